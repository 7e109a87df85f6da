import numpy as np
import pytest
import torch
from torch import nn

from pretrain_lib.data.keys import Keys
from pretrain_lib.objectives.base import Batch, Objective, Step
from pretrain_lib.objectives.reconstruction import Reconstruction


def test_batch_moves_every_tensor_and_keeps_the_rest():
    batch = Batch({"x": torch.ones(2, 3)}, {"y": torch.zeros(2)}, {"term": 2}, np.array([7, 8]))
    moved = batch.to("meta")
    assert moved.inputs["x"].is_meta and moved.targets["y"].is_meta
    assert moved.counts == {"term": 2}
    assert moved.samples.tolist() == [7, 8]
    assert not batch.inputs["x"].is_meta


def test_map_applies_the_function_to_inputs_and_targets():
    doubled = Batch({"x": torch.ones(2)}, {"y": torch.full((2,), 3.0)}, {}).map(lambda t: 2 * t)
    assert doubled.inputs["x"].tolist() == [2, 2] and doubled.targets["y"].tolist() == [6, 6]


def test_a_bare_objective_says_that_it_does_nothing():
    with pytest.raises(NotImplementedError):
        Objective().batch({}, Keys.of(0, 1))
    with pytest.raises(NotImplementedError):
        Objective()(nn.Identity(), Batch({}, {}, {}))


def test_step_is_one_module_with_the_parameters_of_both():
    model, objective = nn.Linear(3, 3), Reconstruction()
    objective.temperature = nn.Parameter(torch.tensor(1.0))
    step = Step(model, objective)
    assert {name for name, _ in step.named_parameters()} == {
        "model.weight", "model.bias", "objective.temperature"}
    batch = objective.batch({"images": torch.ones(2, 3)}, Keys.of(0, 2))
    assert torch.equal(step(batch)["reconstruction"], objective(model, batch)["reconstruction"])
