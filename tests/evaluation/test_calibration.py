"""Calibration against loops, closed forms, and answers drawn from known probabilities."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.evaluation.calibration import fit_temperature, reliability


def sample(n, classes, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, classes, generator=generator, dtype=torch.double)
    return logits, torch.randint(classes, (n,), generator=generator)


def drawn(logits, seed=1):
    """Labels drawn from the probabilities that the logits stand for."""
    generator = torch.Generator().manual_seed(seed)
    return torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]


@settings(deadline=None, max_examples=20)
@given(n=st.integers(1, 60), classes=st.integers(2, 5), bins=st.integers(1, 20),
       seed=st.integers(0, 99))
def test_bins_and_error_equal_a_loop(n, classes, bins, seed):
    logits, labels = sample(n, classes, seed)
    found = reliability(logits, labels, bins)
    error, total = 0.0, 0
    probabilities = logits.softmax(1)
    for m in range(bins):
        inside = [i for i in range(n) if m / bins < probabilities[i].max() <= (m + 1) / bins]
        assert found.count[m] == len(inside)
        total += len(inside)
        if not inside:
            assert found.accuracy[m].isnan() and found.confidence[m].isnan()
            continue
        right = sum(int(probabilities[i].argmax() == labels[i]) for i in inside) / len(inside)
        sure = sum(probabilities[i].max().item() for i in inside) / len(inside)
        assert math.isclose(found.accuracy[m], right) and math.isclose(found.confidence[m], sure)
        error += len(inside) / n * abs(right - sure)
    assert total == n and math.isclose(found.error, error, abs_tol=1e-12)


def test_a_bin_holds_its_upper_edge():
    undecided = reliability(torch.zeros(3, 2), torch.tensor([0, 0, 1]), bins=2)  # confidence 0.5
    assert undecided.count.tolist() == [3, 0] and math.isclose(undecided.error, 2 / 3 - 1 / 2)


def test_who_knows_the_probabilities_is_calibrated_and_who_exaggerates_is_not():
    logits, _ = sample(20_000, 4)
    labels = drawn(logits)
    assert reliability(logits, labels).error < 0.02
    assert reliability(3 * logits, labels).error > 0.1


def test_temperature_undoes_an_exaggeration():
    logits, _ = sample(20_000, 4)
    labels = drawn(logits)
    own = fit_temperature(logits, labels)
    assert abs(own - 1) < 0.05
    assert math.isclose(fit_temperature(3 * logits, labels), 3 * own, rel_tol=1e-9)


def test_temperature_of_two_classes_has_a_closed_form():
    logits = torch.tensor([[2.5, 0.0]]).repeat(10, 1)
    labels = torch.tensor([0] * 7 + [1] * 3)
    assert math.isclose(fit_temperature(logits, labels), 2.5 / math.log(7 / 3), rel_tol=1e-9)


def test_bad_input_is_refused():
    logits, labels = sample(4, 3)
    with pytest.raises(ValueError, match="bins must be at least 1"):
        reliability(logits, labels, 0)
    with pytest.raises(ValueError, match="sometimes wrong"):
        fit_temperature(logits, logits.argmax(1))
    with pytest.raises(ValueError, match="of one length"):
        fit_temperature(logits, labels[:2])
