"""The recipe for pictures with captions, tried for two updates on a few in the columns of its real set; and drawn ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pretrain_lib import CaptionedData, CLIPModel, load_captioned, load_pretrained
from pretrain_lib.__main__ import main
from pretrain_lib.programs.pretrain import model_config
from pretrain_lib.programs.recipe import read_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "clip-flickr8k.toml"
WORDS = "a b c d e f g h".split()
SMALL = ("--model.projection-dim 8 --model.vision-config.hidden-size 16 --model.vision-config.num-hidden-layers 1 "
         "--model.vision-config.num-attention-heads 2 --model.vision-config.intermediate-size 32 --model.vision-config.patch-size 16 "
         "--model.text-config.hidden-size 16 --model.text-config.num-hidden-layers 1 --model.text-config.num-attention-heads 2 "
         "--model.text-config.intermediate-size 32")
SHORT = "--train.steps 2 --train.warmup-steps 1 --train.batch-size 8 --train.workers 0 --train.device cpu --data.size 32"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A data set of the Hub with the columns and splits of jxie/flickr8k, as files."""
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    captions = [f"caption_{k}" for k in range(5)]
    columns = datasets.Features({"image": datasets.Image()} | {name: datasets.Value("string") for name in captions})
    (tmp_path / "flickr8k" / "data").mkdir(parents=True)
    for split, number in (("train", 16), ("validation", 8), ("test", 8)):
        pictures = [Image.fromarray(np.random.default_rng(i).integers(0, 256, (40, 50, 3), dtype=np.uint8)) for i in range(number)]
        rows = {"image": pictures} | {name: [f"{WORDS[i % 8]} {split} {name[-1]} ." for i in range(number)] for name in captions}
        datasets.Dataset.from_dict(rows, features=columns).to_parquet(tmp_path / "flickr8k" / "data" / f"{split}-00000-of-00001.parquet")
    return f"hub:{tmp_path / 'flickr8k'}"


def test_the_recipe_becomes_a_clip_that_encodes_pictures_and_texts(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["pretrain", str(RECIPE), *f"{SMALL} {SHORT} --data.name {repository} --folder run".split()]) == 0
    model = load_pretrained("run").eval()
    pairs = load_captioned(repository, "validation", 32, caption="caption_0", unknown=True)
    assert model.config.vision_config.image_size == 32
    assert model.config.text_config.vocab_size == pairs.tokenizer.get_vocab_size()
    with torch.no_grad():
        pictures, texts = model.encode_image(pairs.images), model.encode_text(pairs.input_ids, pairs.attention_mask)
    assert pictures.shape == texts.shape == (8, 8)
    assert torch.allclose(pictures.norm(dim=1), torch.ones(8)) and torch.allclose(texts.norm(dim=1), torch.ones(8))


def test_the_data_decide_the_fields_of_both_towers():
    recipe = read_recipe(RECIPE)

    class Digits:
        model_fields = {"image_size": 64, "num_channels": 1, "vocab_size": 77, "input_shape": (1, 64, 64)}

    config = model_config(recipe, Digits)
    assert (config.vision_config.image_size, config.vision_config.num_channels, config.text_config.vocab_size) == (64, 1, 77)
    assert config.vision_config.hidden_size == recipe.model.config.vision_config.hidden_size


def test_updates_make_the_epochs_that_are_said():
    train = read_recipe(RECIPE).train
    assert abs(train.steps * train.batch_size - 100 * 6000) <= train.batch_size / 2
    assert (read_recipe(RECIPE).data.kind, read_recipe(RECIPE).model.kind) == (CaptionedData, CLIPModel)
