"""PCGrad against the vectors of algorithm 1, learned weights against their closed form."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.evaluation.gradients import gradient_cosines
from pretrain_lib.objectives.base import Batch, Objective, weighted_mean
from pretrain_lib.objectives.classification import Classification
from pretrain_lib.objectives.gradient_surgery import GradientSurgery, project_conflicts
from pretrain_lib.objectives.multitask import MultiTask, UncertaintyWeighted
from pretrain_lib.objectives.reconstruction import Denoising, Reconstruction
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.trainer import Trainer

CONFIG = {"batch_size": 8, "device": "cpu", "log_every": 1}


class Numbers(Objective):
    """A number for each image, as near as squares say."""

    def batch(self, samples, keys):
        return Batch({"images": samples["images"]}, {"numbers": samples["numbers"]}, {"squared_error": len(keys)})

    def forward(self, model, batch):
        return {"squared_error": (model(batch.inputs["images"])[:, 0] - batch.targets["numbers"]).square().sum()}


class Headed(nn.Module):
    """A layer that tasks share under a head of a task's own."""

    def __init__(self, shared: nn.Module, outputs: int, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.shared, self.head = shared, nn.Linear(4, outputs)

    def forward(self, images):
        return self.head(self.shared(images))


def two_heads() -> nn.ModuleDict:
    torch.manual_seed(0)
    shared = nn.Linear(6, 4)
    return nn.ModuleDict({"a": Headed(shared, 3, 1), "b": Headed(shared, 1, 2)}).double()


def source(n: int = 32) -> Columns:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(n, 6, generator=generator, dtype=torch.double)
    return Columns(images=images, labels=images[:, :3].argmax(1), numbers=images[:, 3] * 2 - images[:, 0])


def tasks() -> dict:
    return {"a": Classification("images"), "b": Numbers()}


def batch_of(objective, n: int = 8):
    keys = Keys.of(0, n)
    return objective.batch(source().take(keys), keys)


@given(st.integers(2, 4), st.integers(2, 5), st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_projections_are_those_of_algorithm_one(tasks, size, seed):
    generator = torch.Generator().manual_seed(seed)
    gradients = torch.randn(tasks, size, generator=generator, dtype=torch.double)
    order = torch.stack([torch.randperm(tasks, generator=generator) for _ in range(tasks)])
    expected = []
    for i in range(tasks):
        g = gradients[i].tolist()
        for j in order[i].tolist():
            other = gradients[j].tolist()
            overlap = sum(a * b for a, b in zip(g, other, strict=True))
            if j != i and overlap < 0:
                length = sum(b * b for b in other)
                g = [a - overlap / length * b for a, b in zip(g, other, strict=True)]
        expected.append(g)
    assert torch.allclose(project_conflicts(gradients, order), torch.tensor(expected, dtype=torch.double), rtol=0, atol=1e-10)


def test_two_projected_gradients_point_against_neither():
    g = torch.tensor([[1.0, 0.0], [-1.0, 1.0]])
    order = torch.tensor([[0, 1], [1, 0]])
    assert torch.allclose(project_conflicts(g, order), torch.tensor([[0.5, 0.5], [0.0, 1.0]]))
    agreeing = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert torch.equal(project_conflicts(agreeing, order), agreeing)


def by_hand(model, objective, batch):
    """Each parameter's gradient: projected where both tasks meet, as it is elsewhere."""
    terms = MultiTask.forward(objective, model, batch)
    means = [objective.weights.get(name, 1.0) * terms[name] / batch.counts[name] for name in terms]
    parameters = list(model.parameters())
    first, second = (torch.autograd.grad(mean, parameters, allow_unused=True, retain_graph=True) for mean in means)
    both = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a is not None and b is not None]
    rows = torch.stack([torch.cat([g[i].flatten() for i in both]) for g in (first, second)])
    rows = project_conflicts(rows, torch.tensor([[1, 0], [0, 1]])).sum(0).split([parameters[i].numel() for i in both])
    projected = dict(zip(both, rows, strict=True))
    return [projected[i].view_as(p) if i in projected else (first[i] if first[i] is not None else second[i])
            for i, p in enumerate(parameters)]  # fmt: skip


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_the_loop_follows_the_projected_gradient(weight):
    model, objective = two_heads(), GradientSurgery(tasks(), {"b/squared_error": weight})
    with torch.no_grad():  # so that they are in each other's way
        model["b"].head.weight.copy_(-model["a"].head.weight[:1])
    batch = batch_of(objective)
    expected = by_hand(model, objective, batch)
    terms = objective(model, batch)
    loss = weighted_mean(terms, batch.counts, objective.weights)
    loss.backward()
    for p, g in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(p.grad, g, rtol=0, atol=1e-10)
    plain = MultiTask(tasks(), objective.weights)
    told = plain(model, batch_of(plain))
    assert terms["surgery"] == 0 and loss.item() == pytest.approx(weighted_mean(told, batch_of(plain).counts, plain.weights).item(), abs=1e-12)


def test_it_trains_in_the_one_loop_and_refuses_to_be_cut():
    model, objective = two_heads(), GradientSurgery(tasks())
    trainer = Trainer(model, objective, source(), TrainConfig(steps=40, learning_rate=3e-2, **CONFIG), held_out=source())
    records = trainer.fit().records
    losses = [r["loss"] for r in records if "loss" in r]
    assert losses[-1] < 0.6 * losses[0] and all(r.get("surgery", 0) == 0 for r in records)
    with pytest.raises(ValueError, match="couples .*accumulation=1"):
        Trainer(two_heads(), GradientSurgery(tasks()), source(), TrainConfig(steps=1, accumulation=2, **CONFIG))


def test_cosines_are_those_of_the_gradients_on_what_is_shared():
    model, objective = two_heads(), MultiTask(tasks())
    batch = batch_of(objective)
    cosines = gradient_cosines(model, objective, batch)
    rows = []
    for name, term in objective(model, batch).items():
        found = torch.autograd.grad(term / batch.counts[name], list(model["a"].shared.parameters()), retain_graph=True)
        rows.append(torch.cat([g.flatten() for g in found]))
    expected = torch.nn.functional.cosine_similarity(rows[0], rows[1], dim=0)
    assert torch.allclose(cosines, torch.tensor([[1, expected], [expected, 1]]).double(), rtol=0, atol=1e-10)
    assert all(p.grad is None for p in model.parameters())
    opposed = MultiTask({"a": Reconstruction(), "b": Reconstruction()}, {"b/reconstruction": -2.0})
    layer = nn.Linear(6, 6).double()
    assert torch.allclose(gradient_cosines(layer, opposed, batch_of(opposed)), torch.tensor([[1.0, -1], [-1, 1]]).double())


def test_learned_weights_are_those_of_the_equations():
    model = two_heads()
    objective = UncertaintyWeighted(tasks(), {"a/cross_entropy": "classification", "b/squared_error": "regression"}).double()
    batch = batch_of(objective)
    with torch.no_grad():
        objective.log_variances.copy_(torch.tensor([0.4, -0.7], dtype=torch.double))
    a, b = (term.item() / 8 for term in MultiTask.forward(objective, model, batch).values())
    loss = weighted_mean(objective(model, batch), batch.counts, objective.weights)
    variances = [math.exp(0.4), math.exp(-0.7)]
    assert loss.item() == pytest.approx(a / variances[0] + b / (2 * variances[1]) + sum(map(math.log, variances)) / 2, abs=1e-10)
    with torch.no_grad():  # where the derivative by each is 0
        objective.log_variances.copy_(torch.tensor([math.log(2 * a), math.log(b)], dtype=torch.double))
    weighted_mean(objective(model, batch), batch.counts, objective.weights).backward()
    assert objective.log_variances.grad.abs().max() < 1e-10


def test_micro_batches_learn_the_same_weights():
    found = []
    for accumulation in (1, 4):
        objective = UncertaintyWeighted(tasks(), {"a/cross_entropy": "classification", "b/squared_error": "regression"}).double()
        Trainer(two_heads(), objective, source(), TrainConfig(steps=5, learning_rate=3e-2, accumulation=accumulation, **CONFIG)).fit()
        found.append(objective.log_variances.detach())
    assert torch.allclose(*found, rtol=0, atol=1e-8) and found[0].abs().min() > 1e-3


def test_a_noisy_task_loses_weight():
    noisy = {"a": Reconstruction(), "b": Denoising(level=0.95)}
    objective = UncertaintyWeighted(noisy, dict.fromkeys(("a/reconstruction", "b/reconstruction"), "regression")).double()
    Trainer(nn.Linear(6, 6).double(), objective, source(), TrainConfig(steps=150, learning_rate=3e-2, **CONFIG)).fit()
    quiet, loud = objective.log_variances.tolist()
    assert quiet < loud - 0.5


@pytest.mark.parametrize("wrong, message", [
    (lambda: GradientSurgery({"a": Reconstruction()}), "two tasks or more can be in each other's way, got 1"),
    (lambda: UncertaintyWeighted(tasks(), {"a/cross_entropy": "ranking"}), "kind of 'a/cross_entropy' must be one of regression, classification, got 'ranking'"),
    (lambda: batch_of(UncertaintyWeighted(tasks(), {"a/cross_entropy": "classification"})), "kinds must name each term once, a/cross_entropy, b/.*, got a/cross"),
    (lambda: gradient_cosines(nn.ModuleDict({"a": nn.Linear(6, 3), "b": nn.Linear(6, 1)}).double(), MultiTask(tasks()), batch_of(MultiTask(tasks()))),
     "the tasks share no parameter"),
])  # fmt: skip
def test_what_is_wrong_is_said(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
