"""Two views as a recipe's data: a ResNet learns from them, its run goes on, and an older one too."""

import json
import shutil

import pytest
import torch

from pretrain_lib import ImageViews, ImageViewsConfig, load_images, load_pretrained
from pretrain_lib.__main__ import main
from pretrain_lib.data.keys import Keys

RECIPE = """
[data]
kind = "ImageViews"
name = "digits"
smallest_crop = 0.5
flip = 0.0

[model]
kind = "ResNetModel"
num_channels = 1
embedding_size = 4
hidden_sizes = [4, 8]
depths = [1, 1]
stem = "cifar"

[objective]
kind = "Contrastive"
temperature = 0.2
learned = false
negatives = "both views"
projection = [8, 16, 8]
[objective.views]
first = ["images"]
second = ["other_images"]

[train]
steps = 30
batch_size = 32
learning_rate = 0.005
device = "cpu"
evaluate_every = 15
"""


def test_views_are_of_both_splits(tmp_path):
    data = ImageViews.open(ImageViewsConfig("digits", flip=0, colour=0, smallest_crop=1), tmp_path / "run")
    for part, split in ((data.training, "train"), (data.held_out, "test")):
        samples, images = part.take(Keys.of(0, 9)), load_images("digits", split).images
        assert len(part) == len(images)
        for view in ("images", "other_images"):
            torch.testing.assert_close(samples[view], images[:9], atol=1e-5, rtol=0)


def test_one_view_changes_the_images_alone(tmp_path):
    still = ImageViews.open(ImageViewsConfig("digits", flip=0, colour=0, smallest_crop=1, views=1), tmp_path / "run")
    data = ImageViews.open(ImageViewsConfig("digits", views=1), tmp_path / "run")
    for part, found, split in ((still.training, data.training, "train"), (still.held_out, data.held_out, "test")):
        images = load_images("digits", split).images[:9]
        samples = found.take(Keys.of(0, 9))
        assert set(samples) == {"images", "labels"} and (samples["images"] - images).abs().max() > 0.1
        torch.testing.assert_close(part.take(Keys.of(0, 9))["images"], images, atol=1e-5, rtol=0)


def test_a_recipe_that_contrasts_one_view_is_told_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.toml").write_text(RECIPE, encoding="utf-8")
    assert main(["pretrain", "r.toml", "--data.views", "1"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "pretrain: the source has no column 'other_images'; its columns are images, labels"


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_change_where_there_are_any(channels):
    images = torch.rand(8, channels, 9, 9, generator=torch.Generator().manual_seed(0))
    names = [transform.name for transform in ImageViewsConfig(invert=0.5, blur=0.5).transforms(channels)]
    assert ("grey" in names) == (channels == 3)
    for transform in ImageViewsConfig(colour=1, grey=1, invert=0.5, blur=0.5).transforms(channels):
        assert transform(images, Keys.of(0, 8), transform.name).shape == images.shape


def test_a_recipe_of_two_views_becomes_a_resnet_and_runs_from_before_a_field_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.toml").write_text(RECIPE, encoding="utf-8")
    assert main(["pretrain", "r.toml"]) == 0
    found = load_pretrained("runs/r")
    assert type(found).__name__ == "ResNetModel" and found.config.norm == "batch"
    config = tmp_path / "runs/r/config.json"
    described = json.loads(config.read_text())
    losses = [json.loads(line)["evaluation"]["loss"] for line in (tmp_path / "runs/r/log.jsonl").read_text().splitlines() if "evaluation" in line]
    assert losses[-1] < losses[0]
    for part, field in (("model", "norm"), ("objective", "norm"), ("objective", "seed"), ("data", "views")):
        del described["recipe"][part][field]
    del described["objective"]["norm"], described["architecture"]["norm"]
    capsys.readouterr()
    for whole, said in ((True, "holds this run, finished after 30 updates"), (False, "resumed from step 30 of 30")):
        config.write_text(json.dumps(described))
        if not whole:
            shutil.rmtree(tmp_path / "runs/r/model")
        assert main(["pretrain", "r.toml", "--resume"]) == 0
        assert said in capsys.readouterr().out
    config.write_text(json.dumps(described))
    assert main(["pretrain", "r.toml", "--resume", "--model.norm", "group"]) == 1
    assert "recipe.model.norm: 'batch', now 'group'" in capsys.readouterr().err


@pytest.mark.parametrize("wrong, message", [
    ({"smallest_crop": 0.0}, "smallest_crop must be above 0 and at most 1, got 0.0"),
    ({"colour": 1.5}, "colour must be between 0 and 1, got 1.5"), ({"flip": -0.5}, "flip must be between 0 and 1"),
    ({"views": 3}, "views must be 1 or 2, got 3"), ({"views": True}, "views must be an int, got True"),
    ({"margin": -1}, "margin must be an integer of at least 0"),
])
def test_nonsense_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ImageViewsConfig(**wrong)
