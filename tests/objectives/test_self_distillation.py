"""Self-distillation against its loss written out, and its averages against their closed forms."""

import math

import pytest
import torch
from torch import nn
from two_views import pairs, resnet, vit

from pretrain_lib.data.keys import Keys
from pretrain_lib.objectives.self_distillation import SelfDistillation
from pretrain_lib.training.checkpoint import load_checkpoint
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.trainer import Trainer

SIZES, K = (12, 10, 7), 9


def made(**settings):
    model = vit().double()
    return model, SelfDistillation(model, SIZES, K, **settings).double().train()


def batch_of(objective, source=None, n=12):
    keys = Keys.of(0, n)
    return objective.batch((source or pairs(n, torch.float64)).take(keys), keys)


def answers(model, head, images):
    """Cosines with the prototypes, by hand."""
    z = head.project(model.encode(images))
    z, w = (each / each.norm(dim=1, keepdim=True) for each in (z, head.prototypes.weight))
    return (z @ w.T).tolist()


def softmax(row, temperature):
    powers = [math.exp(x / temperature) for x in row]
    return [p / sum(powers) for p in powers]


def test_the_loss_is_its_definition():
    model, objective = made(teacher_temperature=0.1, student_temperature=0.2)
    with torch.no_grad():
        for p in (*objective.teacher.parameters(), *objective.teacher_head.parameters()):
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    objective.centre.copy_(torch.linspace(-0.2, 0.3, K))
    batch = batch_of(objective)
    assert batch.counts == {"self_distillation": 12}
    views = batch.inputs["images"], batch.inputs["other_images"]
    theirs = [answers(objective.teacher, objective.teacher_head, view) for view in views]
    ours = [answers(model, objective.head, view) for view in views]
    total = 0.0
    for wanted, given in ((theirs[0], ours[1]), (theirs[1], ours[0])):
        for t, s in zip(wanted, given, strict=True):
            p = softmax([x - c for x, c in zip(t, objective.centre.tolist(), strict=True)], 0.1)
            total -= 0.5 * sum(a * math.log(b) for a, b in zip(p, softmax(s, 0.2), strict=True))
    assert objective(model, batch)["self_distillation"].item() == pytest.approx(total, abs=1e-10)


def test_the_teacher_is_a_copy_that_nothing_trains():
    model, objective = made()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), objective.teacher.parameters(), strict=True))
    objective(model, batch_of(objective))["self_distillation"].backward()
    for part in (objective.teacher, objective.teacher_head):
        assert all(not p.requires_grad and p.grad is None for p in part.parameters())
    assert all(p.grad is not None for part in (model, objective.head) for p in part.parameters())


@torch.no_grad()
def test_weights_that_stay_are_approached_as_a_geometric_series():
    model, objective = made(momentum=0.8, centre_momentum=0.5)
    before = [p.clone() for p in objective.teacher.parameters()]
    for p in (*model.parameters(), *objective.head.parameters()):
        p.add_(1.0)
    for step in range(5):
        objective(model, batch_of(objective))
        objective.after_step(model, step + 1)
    for old, new, now in zip(before, model.parameters(), objective.teacher.parameters(), strict=True):
        torch.testing.assert_close(now, new + 0.8**5 * (old - new), rtol=0, atol=1e-12)


@torch.no_grad()
def test_the_centre_is_the_average_answer_of_each_update():
    """Over all micro-batches of one, and none of an evaluation."""
    model, objective = made(momentum=0.5, centre_momentum=0.75)
    expected = torch.zeros(K, dtype=torch.float64)
    for step in range(3):
        both = torch.cat([*batch_of(objective).inputs.values()])
        mean = torch.tensor(answers(objective.teacher, objective.teacher_head, both), dtype=torch.float64).mean(0)
        for part in (range(0, 5), range(5, 12)):
            keys = Keys.of(0, part)
            objective(model, objective.batch(pairs(12, torch.float64).take(keys), keys))
        objective.eval()(model, batch_of(objective, pairs(3, torch.float64), 3))
        objective.train().after_step(model, step + 1)
        expected = 0.75 * expected + 0.25 * mean
        torch.testing.assert_close(objective.centre, expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_an_update_without_samples_leaves_the_centre():
    """As in a mixture of tasks, where a batch may hold none of one."""
    model, objective = made()
    objective(model, batch_of(objective))
    objective.after_step(model, 1)
    before = objective.centre.clone()
    none = objective.batch({name: column[:0] for name, column in pairs(2, torch.float64).columns.items()}, Keys.of(0, 0))
    assert objective(model, none)["self_distillation"] == 0
    objective.after_step(model, 2)
    assert torch.equal(objective.centre, before) and before.abs().max() > 0


def test_the_teacher_drops_nothing_out_and_norms_by_its_batch():
    model = nn.Sequential(nn.Dropout(0.5), resnet())
    objective = SelfDistillation(model, SIZES, K).train()
    assert not objective.teacher[0].training and objective.teacher[1].stem.norm.training
    assert not any(part.training for part in objective.eval().modules())


def test_micro_batches_and_one_batch_are_the_same():
    def run(accumulation):
        model, objective = made(momentum=0.7)
        settings = TrainConfig(steps=4, batch_size=8, accumulation=accumulation, learning_rate=1e-3, eps=1e-6, device="cpu", precision="fp32")
        trainer = Trainer(model, objective, pairs(dtype=torch.float64), settings)
        trainer.fit()
        return trainer.module.state_dict()

    whole, parts = run(1), run(4)
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, parts[name], rtol=0, atol=1e-10)


def test_checkpoints_have_the_teacher(tmp_path):
    model = resnet()
    objective = SelfDistillation(model, SIZES, K, momentum=0.5)
    settings = TrainConfig(steps=2, batch_size=4, learning_rate=1e-3, device="cpu")
    Trainer(model, objective, pairs(), settings, folder=tmp_path).fit()
    saved, _ = load_checkpoint(tmp_path / "checkpoints" / "step-00000002")
    assert saved["objective"].keys() == objective.state_dict().keys()
    assert all(torch.equal(saved["objective"][name], tensor) for name, tensor in objective.state_dict().items())
    assert any(name.startswith("teacher.stages") for name in saved["objective"]) and objective.centre.abs().max() > 0


@pytest.mark.parametrize("wrong, message", [
    ({"teacher_temperature": 0.0}, "teacher_temperature must be above 0, got 0.0"),
    ({"student_temperature": 0}, "student_temperature must be above 0, got 0"),
    ({"momentum": 1.0}, "momentum must be at least 0 and below 1, got 1.0"),
    ({"centre_momentum": -0.1}, "centre_momentum must be at least 0 and below 1"),
    ({"prototypes": 1}, "prototypes must be an integer of at least 2, got 1"),
    ({"projection": (12, 0)}, "projection must be whole numbers of at least 1"),
    ({"projection": ()}, "projection must be at least one size"),
    ({"norm": "none"}, "norm must be one of batch, layer"),
])
def test_nonsense_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        SelfDistillation(**{"model": vit(), "projection": SIZES, **wrong})
