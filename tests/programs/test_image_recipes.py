"""The recipes for images, tried for two updates on a few pictures in the columns of their real set."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pretrain_lib import load_images, load_pretrained
from pretrain_lib.__main__ import main
from pretrain_lib.programs.recipe import read_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
CIFAR = 50_000  # images to train on
SMALL = {
    "resnet18-simclr-cifar10": "--model.embedding-size 4 --model.hidden-sizes 4 8 --model.depths 1 1 --objective.projection 8 8 4",
    "vit-s-mae": "--model.hidden-size 16 --model.num-hidden-layers 1 --model.num-attention-heads 2 --model.intermediate-size 32 "
                 "--model.decoder-hidden-size 16 --model.decoder-num-hidden-layers 1 --model.decoder-num-attention-heads 2 "
                 "--model.decoder-intermediate-size 32"}
SHORT = "--train.steps 2 --train.warmup-steps 1 --train.batch-size 8 --train.workers 0 --train.device cpu"


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path):
    """Two classes, a sub-folder each."""
    for i in range(40):
        path = tmp_path / "pictures" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(i).save(path)
    return str(tmp_path / "pictures")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A data set of the Hub with the columns and splits of uoft-cs/cifar10, as files."""
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    columns = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=["airplane", "automobile"])})
    (tmp_path / "cifar10" / "plain_text").mkdir(parents=True)
    for split, number in (("train", 16), ("test", 8)):
        rows = {"img": [picture(i) for i in range(number)], "label": [i % 2 for i in range(number)]}
        table = datasets.Dataset.from_dict(rows, features=columns)
        table.to_parquet(tmp_path / "cifar10" / "plain_text" / f"{split}-00000-of-00001.parquet")
    return f"hub:{tmp_path / 'cifar10'}"


@pytest.mark.parametrize("recipe, source", [("resnet18-simclr-cifar10", "repository"), ("vit-s-mae", "repository"), ("vit-s-mae", "folder")])
def test_a_recipe_becomes_a_model_that_encodes_an_image(recipe, source, request, tmp_path, monkeypatch):
    name = request.getfixturevalue(source)
    monkeypatch.chdir(tmp_path)
    words = f"{SMALL[recipe]} {SHORT} --data.name {name} --folder run".split()
    assert main(["pretrain", str(RECIPES / f"{recipe}.toml"), *words]) == 0
    model = load_pretrained("run").eval()
    features = model.encode(load_images(name, "test").images[:3])
    assert features.shape == (3, model.feature_size) and features.isfinite().all()
    assert features[0].sub(features[1]).abs().max() > 0


@pytest.mark.parametrize("name, epochs, warmup", [("resnet18-simclr-cifar10", 200, 10), ("vit-s-mae", 800, 40)])
def test_updates_make_the_epochs_that_are_said(name, epochs, warmup):
    train = read_recipe(RECIPES / f"{name}.toml").train
    for steps, passes in ((train.steps, epochs), (train.warmup_steps, warmup)):
        assert abs(steps * train.batch_size - passes * CIFAR) <= train.batch_size / 2


@pytest.mark.parametrize("name, millions", [("resnet18-simclr-cifar10", 11.2), ("vit-s-mae", 22)])
def test_the_encoder_is_as_large_as_it_is_called(name, millions):
    """He et al. 2016 and Touvron et al. 2021, whose 22 million have patches of 16 and images of 224 pixels."""
    recipe = read_recipe(RECIPES / f"{name}.toml")
    with torch.device("meta"):
        model = recipe.model.kind(recipe.model.config)
    found = sum(p.numel() for p in model.encoder.parameters()) / 1e6
    assert found == pytest.approx(millions, rel=0.04)


def test_a_masked_autoencoder_learns_at_the_rate_of_its_batch():
    train = read_recipe(RECIPES / "vit-s-mae.toml").train
    assert train.learning_rate == pytest.approx(1.5e-4 * train.batch_size / 256)
