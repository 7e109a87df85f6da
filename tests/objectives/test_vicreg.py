"""VICReg against its formula, number by number."""

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from two_views import pairs, vit

from pretrain_lib.data.keys import Keys
from pretrain_lib.objectives.base import weighted_mean
from pretrain_lib.objectives.vicreg import VICReg, lack_of_spread, redundancy
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.trainer import Trainer


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def columns(z):
    return z.T.tolist()


def written_out_variance(z) -> float:
    return statistics.fmean(max(0.0, 1 - math.sqrt(statistics.variance(column) + 1e-4)) for column in columns(z))


def written_out_covariance(z) -> float:
    numbers = columns(z)
    return sum(statistics.covariance(a, b)**2 for i, a in enumerate(numbers) for j, b in enumerate(numbers) if i != j) / len(numbers)


@given(st.integers(2, 9), st.integers(1, 6), st.floats(0.1, 3.0))
@settings(max_examples=25, deadline=None)
def test_terms_are_their_formulae(n, width, size):
    z = size * normal(n, width, seed=n)
    assert lack_of_spread(z).item() == pytest.approx(written_out_variance(z), abs=1e-10)
    assert redundancy(z).item() == pytest.approx(written_out_covariance(z), rel=1e-10, abs=1e-10)


def test_the_loss_is_their_weighted_sum():
    objective, model, source = VICReg((12, 10, 7), 3.0, 2.0, 0.5).double(), vit().double(), pairs(dtype=torch.float64)
    keys = Keys.of(0, 12)
    batch = objective.batch(source.take(keys), keys)
    assert batch.counts == {"invariance": 12, "variance": 12, "covariance": 12}
    z, other = objective.head(model.encode(torch.cat([source.images, source.other_images]))).detach().chunk(2)
    expected = 3.0 * statistics.fmean(((z - other)**2).flatten().tolist())
    for each in (z, other):
        expected += 2.0 * written_out_variance(each) + 0.5 * written_out_covariance(each)
    assert weighted_mean(objective(model, batch), batch.counts, objective.weights).item() == pytest.approx(expected, abs=1e-10)


def test_gradients_are_those_of_differences():
    z = normal(6, 4).requires_grad_()
    assert torch.autograd.gradcheck(lack_of_spread, 0.5 * z) and torch.autograd.gradcheck(redundancy, z)


def test_all_alike_costs_the_most_and_has_a_finite_gradient():
    z = torch.ones(5, 3, dtype=torch.float64, requires_grad=True)
    cost = lack_of_spread(z) + redundancy(z)
    cost.backward()
    assert cost.item() == pytest.approx(0.99) and z.grad.isfinite().all()


def test_it_spreads_what_it_embeds():
    objective = VICReg((12, 16, 4))
    trainer = Trainer(vit(), objective, pairs(64), TrainConfig(steps=60, batch_size=32, learning_rate=0.01, device="cpu"), held_out=pairs(64))
    before = trainer.evaluate(pairs(64))
    trainer.fit()
    after = trainer.evaluate(pairs(64))
    assert after["variance"] < 0.5 * before["variance"] and after["loss"] < before["loss"]


@pytest.mark.parametrize("wrong, message", [
    ({"projection": ()}, "projection must be at least one size"),
    ({"projection": (8, -1)}, "projection must be whole numbers of at least 1"),
    ({"variance": -1.0}, "variance must be at least 0, got -1.0"),
    ({"covariance": math.nan}, "covariance must be a finite number, got nan"),
    ({"norm": "none"}, "norm must be one of batch, layer"),
])
def test_nonsense_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        VICReg(**{"projection": (8, 4), **wrong})
