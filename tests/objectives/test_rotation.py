"""Quarter turns, by key, told by a head that the objective owns."""

import math

import pytest
import torch
from torch.nn import functional as F
from two_views import images, resnet, vit

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.objectives.rotation import RotationPrediction, turned
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.trainer import Trainer


def test_turns_are_rot90():
    every = images(4)
    for one, image, turn in zip(turned(every, torch.arange(4)), every, range(4), strict=True):
        assert torch.equal(one, torch.rot90(image, turn, (1, 2)))


def test_each_sample_is_turned_as_its_key_says_and_as_often_each_way():
    objective, source, keys = RotationPrediction(12), Columns(images=images(400)), Keys.of(0, 400)
    batch = objective.batch(source.take(keys), keys)
    turns = batch.targets["turns"]
    assert batch.counts == {"rotation": 400} and turns.bincount(minlength=4).min() > 75
    assert all(torch.equal(batch.inputs["images"][i], torch.rot90(source.images[i], int(turns[i]), (1, 2))) for i in range(400))
    some = Keys.of(0, [7, 3, 3])
    assert objective.batch(source.take(some), some).targets["turns"].tolist() == turns[[7, 3, 3]].tolist()
    later = Keys.of(0, 400, epoch=1)
    assert not torch.equal(objective.batch(source.take(later), later).targets["turns"], turns)


def test_the_loss_is_the_heads_cross_entropy_and_begins_at_chance():
    objective, model, keys = RotationPrediction(12), vit(), Keys.of(0, 12)
    batch = objective.batch({"images": images()}, keys)
    assert objective(model, batch)["rotation"].item() == pytest.approx(12 * math.log(4), rel=1e-6)
    torch.nn.init.normal_(objective.head.weight, generator=torch.Generator().manual_seed(0))
    logits = objective.head(model.encode(batch.inputs["images"]))
    expected = F.cross_entropy(logits, batch.targets["turns"], reduction="sum")
    torch.testing.assert_close(objective(model, batch)["rotation"], expected)


def test_it_learns_which_way_is_up():
    source = Columns(images=images(200) * torch.linspace(0, 1, 8)[:, None])  # dark above
    trainer = Trainer(vit(), RotationPrediction(12), source, TrainConfig(steps=60, batch_size=32, learning_rate=0.01, device="cpu"))
    trainer.fit()
    assert trainer.evaluate(source)["loss"] < 0.3 * math.log(4)


@pytest.mark.parametrize("model", [resnet, vit])
def test_images_of_one_colour_look_alike_each_way(model):
    source = Columns(images=torch.full((16, 3, 8, 8), 0.5))
    trainer = Trainer(model(), RotationPrediction(12), source, TrainConfig(steps=5, batch_size=16, learning_rate=0.01, device="cpu"))
    trainer.fit()
    objective, keys = trainer.module.objective, Keys.of(0, 16)
    answers = objective.head(trainer.module.model.encode(objective.batch(source.take(keys), keys).inputs["images"]))
    torch.testing.assert_close(answers, answers[:1].expand(16, -1), rtol=0, atol=1e-6)
    assert answers.isfinite().all()


def test_what_cannot_be_turned_or_told_is_refused():
    with pytest.raises(ValueError, match=r"images must be square.*got \(2, 3, 8, 6\)"):
        RotationPrediction(12).batch({"images": torch.rand(2, 3, 8, 6)}, Keys.of(0, 2))
    with pytest.raises(ValueError, match="feature_size must be an integer of at least 1, got 0"):
        RotationPrediction(0)
    objective, keys = RotationPrediction(13), Keys.of(0, 12)
    with pytest.raises(ValueError, match="feature_size must be 12, as many as the model's features, got 13"):
        objective(vit(), objective.batch({"images": images()}, keys))
