"""Captioned images as a recipe's data: two splits, one tokenizer, and what they ask of a model."""

import json

import pytest
import torch
from PIL import Image

from pretrain_lib import CaptionedConfig, CaptionedData, load_captioned, load_pretrained, load_tokenizer
from pretrain_lib.__main__ import main
from pretrain_lib.data.text.tokenizer import tokenizer_hash

RECIPE = """
[data]
kind = "CaptionedData"
name = "captions.csv"
unknown = true

[model]
kind = "BertForMaskedLM"
hidden_size = 8
num_hidden_layers = 1
num_attention_heads = 1
intermediate_size = 8

[objective]
kind = "MaskedLM"

[train]
steps = 4
batch_size = 8
learning_rate = 0.003
device = "cpu"
evaluate_every = 4
"""


def test_both_splits_share_a_tokenizer_and_decide_the_model(tmp_path):
    data = CaptionedData.open(CaptionedConfig("letters", held_out="held out", size=8, seed=1), tmp_path / "run")
    for part, split in ((data.training, "train"), (data.held_out, "held out")):
        there = load_captioned("letters", split, 8, seed=1)
        assert torch.equal(part.images, there.images) and torch.equal(part.input_ids, there.input_ids)
    assert tokenizer_hash(data.training.tokenizer) == tokenizer_hash(data.held_out.tokenizer) == data.about()["tokenizer_hash"]
    assert data.model_fields == {"input_shape": (1, 8, 8), "num_channels": 1, "image_size": 8,
                                 "vocab_size": data.tokenizer.get_vocab_size()}
    assert json.loads(json.dumps(data.about())) == data.about()


def test_a_recipe_trains_on_them_and_keeps_their_tokenizer(tmp_path, monkeypatch):
    """Here a model of texts, on the captions alone."""
    monkeypatch.chdir(tmp_path)
    Image.new("L", (2, 2)).save("one.png")
    Image.new("L", (2, 2), 9).save("two.png")
    captions = [f"{name}.png,this is a picture that has the number {i}" for i in range(20) for name in ("one", "two")]
    (tmp_path / "captions.csv").write_text("\n".join(["image,caption", *captions]), encoding="utf-8")
    (tmp_path / "r.toml").write_text(RECIPE, encoding="utf-8")
    assert main(["pretrain", "r.toml"]) == 0
    assert main(["pretrain", "r.toml", "--resume"]) == 0
    kept, data = load_tokenizer("runs/r/model"), load_captioned("captions.csv")
    assert tokenizer_hash(kept) == tokenizer_hash(data.tokenizer)
    assert load_pretrained("runs/r/model").encoder.config.vocab_size == kept.get_vocab_size()


@pytest.mark.parametrize("fields, message", [
    ({"size": -1}, "size must be an integer of at least 0, got -1"),
    ({"length": 2}, "length must be an integer of at least 3, got 2"),
    ({"name": 3}, "name must be a string, got 3"),
    ({"encoding": "utf-9"}, "encoding must be one that Python knows"),
])
def test_wrong_settings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        CaptionedConfig(**fields)
