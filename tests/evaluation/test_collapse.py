"""Measures of collapse against what is known of made-up features."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.evaluation.collapse import direction_spread, effective_rank


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_singular_values(values, n=40):
    """Centred features of these singular values."""
    rows, _ = np.linalg.qr(np.c_[np.ones(n), normal(n, len(values)).numpy()])
    columns, _ = np.linalg.qr(normal(len(values), len(values), seed=1).numpy())
    return torch.from_numpy(rows[:, 1:] * values @ columns.T)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=12), st.floats(-3, 3))
@settings(max_examples=30, deadline=None)
def test_the_rank_is_the_exponential_of_the_entropy_of_shares(values, offset):
    shares = np.array(values) / sum(values)
    expected = math.exp(-sum(p * math.log(p) for p in shares))
    assert effective_rank(with_singular_values(np.array(values)) + offset) == pytest.approx(expected, rel=1e-7)


def test_the_rank_is_that_of_the_covariance():
    x = normal(300, 6) @ torch.diag(torch.tensor([3.0, 2, 1, 1, 0.5, 0.1], dtype=torch.float64))
    roots = torch.linalg.eigvalsh(torch.cov(x.T)).sqrt()
    shares = roots / roots.sum()
    assert effective_rank(x) == pytest.approx((-(shares * shares.log()).sum()).exp().item(), rel=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_what_has_collapsed_has_rank_0_and_no_spread(dtype):
    x = torch.tensor([0.3, -1.7, 12.1, 0.0]).expand(50, -1).to(dtype)
    assert effective_rank(x) == 0 and direction_spread(x) < 1e-7
    assert effective_rank(torch.zeros(5, 3, dtype=dtype)) == direction_spread(torch.zeros(5, 3, dtype=dtype)) == 0


def test_rounding_is_no_direction():
    x = torch.full((50, 8), 0.3) * (1 + 5e-8 * normal(50, 8)).float()
    assert effective_rank(x) == 0
    assert effective_rank(x + normal(50, 1).float()) == pytest.approx(1, abs=1e-4)


def test_a_line_has_rank_1_and_all_directions_rank_d():
    assert effective_rank(normal(50, 1) * torch.tensor([1.0, 2, 3])) == pytest.approx(1, abs=1e-6)
    assert effective_rank(torch.cat([torch.eye(4), -torch.eye(4)])) == pytest.approx(4, rel=1e-6)


def test_spread_is_one_over_the_root_of_the_width():
    assert direction_spread(5 * normal(20_000, 64)) == pytest.approx(1 / 8, rel=0.01)
    circle = torch.stack([torch.arange(360.).deg2rad().cos(), torch.arange(360.).deg2rad().sin()], 1)
    assert direction_spread(circle * normal(360, 1).abs()) == pytest.approx(math.sqrt(0.5), rel=1e-6)


@pytest.mark.parametrize("measure", [effective_rank, direction_spread])
@pytest.mark.parametrize("features, message", [
    (torch.ones(4), r"\(N, D\) of at least two samples, got \(4,\)"), (torch.ones(1, 3), "at least two samples"),
    (torch.ones(3, 0), "at least two samples"), (torch.tensor([[1.0], [math.nan]]), "must be finite numbers"),
    (torch.ones(3, 2, dtype=torch.int64), "must be finite numbers"),
])
def test_what_cannot_be_measured_is_told(measure, features, message):
    with pytest.raises(ValueError, match=message):
        measure(features)
