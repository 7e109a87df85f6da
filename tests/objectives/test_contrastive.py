"""The contrastive loss against its sum written out, and what it teaches."""

import math

import pytest
import torch
from torch import nn

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.objectives.contrastive import Contrastive, info_nce
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.trainer import Trainer


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def written_out(first: list[list[float]], second: list[list[float]], temperature: float) -> float:
    total = 0.0
    for i in range(len(first)):
        for ask, among in ((first[i], second), (second[i], first)):
            scores = [math.exp(cosine(ask, other) / temperature) for other in among]
            total -= 0.5 * math.log(scores[i] / sum(scores))
    return total


def step(objective: Contrastive, model: nn.Module, source: Columns) -> float:
    keys = Keys.of(0, len(source))
    batch = objective.batch(source.take(keys), keys)
    assert batch.counts == {"contrastive": len(source)}
    return objective(model, batch)["contrastive"].item()


def test_the_loss_is_its_definition():
    source = Columns(left=normal(9, 5), right=normal(9, 5, seed=1))
    objective = Contrastive({"a": ["left"], "b": ["right"]}, temperature=0.3).double()
    expected = written_out(source.left.tolist(), source.right.tolist(), 0.3)
    assert step(objective, nn.Identity(), source) == pytest.approx(expected, rel=1e-7)


def test_vectors_that_say_nothing_lose_the_logarithm_of_the_batch():
    same = torch.ones(8, 3, dtype=torch.float64)
    assert info_nce(same, same, 1.0).item() == pytest.approx(8 * math.log(8), rel=1e-12)


def test_each_view_may_have_a_model_and_several_columns():
    source = Columns(image=normal(6, 4), word=normal(6, 3, seed=1), weight=normal(6, 3, seed=2))

    class Words(nn.Linear):
        def forward(self, word, weight):
            return super().forward(word * weight)

    towers = nn.ModuleDict({"image": nn.Linear(4, 5), "caption": Words(3, 5)}).double()
    objective = Contrastive({"image": ["image"], "caption": ["word", "weight"]}, temperature=0.5).double()
    images, captions = towers["image"](source.image), towers["caption"](source.word, source.weight)
    assert step(objective, towers, source) == pytest.approx(written_out(images.tolist(), captions.tolist(), 0.5), rel=1e-7)


def test_one_column_is_seen_twice_and_dropout_makes_two_views_of_it():
    source = Columns(image=normal(6, 4))
    objective = Contrastive({"once": ["image"], "again": ["image"]}).double()
    assert step(objective, nn.Dropout(0.5).eval(), source) < step(objective, nn.Dropout(0.5), source)


def test_it_teaches_what_two_views_share():
    """Views share their first two numbers of ten, and the temperature is learned besides."""
    shared = normal(256, 2)
    source = Columns(a=torch.cat([shared, normal(256, 8, seed=1)], 1).float(), b=torch.cat([shared, normal(256, 8, seed=2)], 1).float())
    model, objective = nn.Linear(10, 2), Contrastive({"a": ["a"], "b": ["b"]}, temperature=0.5)
    nn.init.constant_(model.weight, 0.1)
    model.weight.data += 0.01 * normal(2, 10, seed=3).float()
    trainer = Trainer(model, objective, source, TrainConfig(steps=150, batch_size=64, learning_rate=0.02, device="cpu"), held_out=source)
    before = trainer.evaluate(source)["loss"]
    trainer.fit()
    assert trainer.evaluate(source)["loss"] < before - 1
    assert model.weight[:, :2].norm() > 5 * model.weight[:, 2:].norm()
    assert objective.log_scale.item() > -math.log(0.5)


def test_the_scale_stays_below_100_and_may_fall_again():
    """Views that are the same ask for an ever larger scale; views that have nothing in common for a small one."""
    settings = TrainConfig(steps=10, batch_size=8, learning_rate=1.0, schedule="constant", device="cpu")
    objective = Contrastive({"a": ["a"], "b": ["b"]})
    same = normal(8, 4).float()
    Trainer(nn.Linear(4, 4), objective, Columns(a=same, b=same), settings).fit()
    assert objective.log_scale.exp().item() == pytest.approx(100)
    Trainer(nn.Linear(4, 4).requires_grad_(False), objective, Columns(a=same, b=-same), settings).fit()
    assert objective.log_scale.exp().item() < 1


@pytest.mark.parametrize("views, temperature, message", [
    ({"a": ["x"]}, 0.1, "two views, got 1: a"),
    ({"a": ["x"], "b": ["y"], "c": ["z"]}, 0.1, "two views, got 3: a, b, c"),
    ({"a": ["x"], "b": ["y"]}, 0.0, "temperature must be at least 0.01, got 0.0"),
    ({"a": ["x"], "b": ["y"]}, math.nan, "temperature must be at least 0.01, got nan"),
])
def test_other_views_and_temperatures_are_refused(views, temperature, message):
    with pytest.raises(ValueError, match=message):
        Contrastive(views, temperature)


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no column 'right'; its columns are left"):
        step(Contrastive({"a": ["left"], "b": ["right"]}), nn.Identity(), Columns(left=normal(4, 2)))
