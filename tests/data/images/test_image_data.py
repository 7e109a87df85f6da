"""Images as a recipe's data: from the recipe to a model that load_pretrained reads."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from pretrain_lib import Autoencoder, ImageConfig, ImageData, ResNetConfig, load_images, load_pretrained
from pretrain_lib.__main__ import main
from pretrain_lib.programs.pretrain import model_config
from pretrain_lib.programs.recipe import recipe_from

RECIPE = """
[data]
kind = "ImageData"
name = "digits"
{size}

[model]
kind = "{model}"
{fields}

[objective]
kind = "{objective}"

[train]
steps = 20
batch_size = 16
learning_rate = 0.003
device = "cpu"
evaluate_every = 10
"""


VIT_MAE = """patch_size = 4
hidden_size = 16
num_hidden_layers = 1
num_attention_heads = 2
intermediate_size = 32
decoder_hidden_size = 16
decoder_num_hidden_layers = 1
decoder_num_attention_heads = 2
decoder_intermediate_size = 32"""


def test_training_is_the_one_split_and_what_is_held_out_the_other(tmp_path):
    data = ImageData.open(ImageConfig("digits", size=16, margin=2), tmp_path / "run")
    for part, split in ((data.training, "train"), (data.held_out, "test")):
        assert torch.equal(part.images, load_images("digits", split, 16, 2).images)
    assert data.model_fields == {"input_shape": (1, 16, 16), "num_channels": 1, "image_size": 16} and data.tokenizer is None


@pytest.mark.parametrize("model, fields, objective, size", [
    ("Autoencoder", "hidden_sizes = [32]\ncode_size = 8", "Denoising", ""),
    ("ConvAutoencoder", "channels = [4, 8]\ncode_size = 8", "Reconstruction", "size = 16"),
    ("MaskedAutoencoder", "channels = [4, 8]\npool_size = 2", "MaskedImage", "size = 16"),
    ("ViTMAEForPreTraining", VIT_MAE, "MaskedImage", "size = 16"),
])
def test_a_recipe_of_images_becomes_a_model(model, fields, objective, size, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.toml").write_text(RECIPE.format(model=model, fields=fields, objective=objective, size=size), encoding="utf-8")
    assert main(["pretrain", "r.toml"]) == 0
    assert "load_pretrained" in capsys.readouterr().out
    found = load_pretrained("runs/r")
    side = 16 if size else 8
    assert type(found).__name__ == model
    assert (1, side, side) == getattr(found.config, "input_shape", None) or side == found.config.image_size
    log = [json.loads(line) for line in (tmp_path / "runs" / "r" / "log.jsonl").read_text().splitlines()]
    losses = [line["evaluation"]["loss"] for line in log if "evaluation" in line]
    assert losses[-1] < losses[0]
    assert (tmp_path / "runs" / "r" / "curves.png").is_file()
    for words, said in ((["--resume"], ""), (["--resume", "--data.margin", "1"], "recipe.data.margin: 0, now 1")):
        assert main(["pretrain", "r.toml", *words]) == bool(said)
        assert said in capsys.readouterr().err


def test_a_run_from_before_a_setting_goes_on_with_its_default_and_no_other(tmp_path, monkeypatch, capsys):
    """The objective's `normalize` is younger than the objective."""
    monkeypatch.chdir(tmp_path)
    text = RECIPE.format(model="MaskedAutoencoder", fields="channels = [4, 8]\npool_size = 2", objective="MaskedImage", size="size = 16")
    (tmp_path / "r.toml").write_text(text.replace("steps = 20", "steps = 4\ncheckpoint_every = 2"), encoding="utf-8")
    assert main(["pretrain", "r.toml"]) == 0
    file = tmp_path / "runs" / "r" / "config.json"
    then = json.loads(file.read_text(encoding="utf-8"))
    del then["objective"]["normalize"], then["recipe"]["objective"]["normalize"]
    for words, said in ((["--objective.normalize"], "recipe.objective.normalize: False, now True"), ([], "")):
        file.write_text(json.dumps(then), encoding="utf-8")
        shutil.rmtree(tmp_path / "runs" / "r" / "model", ignore_errors=True)  # so that the run is not finished
        assert main(["pretrain", "r.toml", "--resume", *words]) == bool(said)
        assert said in capsys.readouterr().err


def test_channels_and_size_are_those_of_the_images_whatever_the_recipe_says(tmp_path):
    table = {"data": {"kind": "ImageData", "name": "digits"}, "objective": {"kind": "MaskedImage"},
             "model": {"kind": "ViTModel", "hidden_size": 8, "num_attention_heads": 1, "patch_size": 4}}
    recipe, data = recipe_from(table, "r.toml"), ImageData.open(ImageConfig("digits"), tmp_path)
    assert model_config(recipe, data) == replace(recipe.model.config, num_channels=1, image_size=8)
    table["model"] = {"kind": "ResNetModel", "hidden_sizes": [4], "depths": [1]}
    assert model_config(recipe_from(table, "r.toml"), data) == ResNetConfig(1, hidden_sizes=(4,), depths=(1,))


def test_first_weights_of_an_autoencoder_are_those_of_its_seed_and_leave_the_random_state():
    config = Autoencoder.config_class((1, 8, 8), (16,), 4)
    state = torch.get_rng_state()
    first, again, other = (Autoencoder(config, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)
    torch.manual_seed(1)
    assert all(torch.equal(first[name], tensor) for name, tensor in Autoencoder(config).state_dict().items())
