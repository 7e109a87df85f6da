"""CLIP: the numbers and gradients of transformers', in and out of its folders, and how it is trained."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
import transformers
from safetensors.torch import load_file
from vits import assert_equal, drawn_anew

import pretrain_lib as pl
from pretrain_lib.hf import to_hugging_face

VISION = {"image_size": 12, "patch_size": 4, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
TEXT = {"vocab_size": 40, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20,
        "max_position_embeddings": 10, "eos_token_id": 39, "bos_token_id": 38, "pad_token_id": 0}
SHAPES = {
    "tiny": (VISION, TEXT, 8),
    "gelu, padded with the end, grey": (VISION | {"num_channels": 1, "patch_size": 3, "hidden_act": "gelu", "layer_norm_eps": 0.01},
                                        TEXT | {"hidden_act": "gelu", "pad_token_id": 39, "layer_norm_eps": 0.1}, 5),
    "the highest id, one layer": (VISION | {"image_size": 10, "patch_size": 5, "hidden_size": 24, "num_hidden_layers": 1,
                                            "num_attention_heads": 1}, TEXT | {"eos_token_id": 2, "num_hidden_layers": 1}, 30),
}
EACH = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def their_config(shape):
    vision, text, size = shape
    return transformers.CLIPConfig(text_config=dict(text), vision_config=dict(vision), projection_dim=size)


def theirs_of(shape):
    return drawn_anew(transformers.CLIPModel(their_config(shape)))


def ours_of(shape, seed=0):
    vision, text, size = shape
    text = {name: value for name, value in text.items() if name not in ("bos_token_id", "pad_token_id")}
    return drawn_anew(pl.CLIPModel(pl.CLIPConfig(pl.CLIPTextConfig(**text), pl.CLIPVisionConfig(**vision), size), seed))


def images_for(config, n=4):
    side = config.image_size
    return torch.rand(n, config.num_channels, side, side, generator=torch.Generator().manual_seed(2), dtype=torch.double)


def texts_for(pad, lengths=(9, 4, 6)):
    """A beginning, words, an end, and padding."""
    ids = torch.randint(5, 38, (len(lengths), 9), generator=torch.Generator().manual_seed(3))
    place, last = torch.arange(9), torch.tensor(lengths)[:, None] - 1
    ids = ids.masked_fill(place == 0, 38).masked_fill(place == last, 39).masked_fill(place > last, pad)
    return ids, (place <= last).long()


def as_saved(model, folder):
    if isinstance(model, pl.CLIPModel):
        return to_hugging_face(model)[1]
    model.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


@torch.no_grad()
def gradients(model, folder):
    """By the names of a folder; keys' biases have none but for rounding."""
    double = copy.deepcopy(model)
    for twin, p in zip(double.parameters(), model.parameters(), strict=True):
        twin.copy_(p.grad)
    return as_saved(double, folder)


@EACH
@pytest.mark.parametrize("masked", [True, False])
def test_numbers_and_every_gradient_are_those_of_transformers(shape, masked, tmp_path):
    theirs = theirs_of(shape)
    theirs.save_pretrained(tmp_path)
    ours, theirs = pl.load_pretrained(tmp_path).double(), theirs.double().eval()
    images, (ids, mask) = images_for(ours.config.vision_config), texts_for(shape[1]["pad_token_id"])
    mask = mask if masked else None
    expected = theirs(input_ids=ids, pixel_values=images, attention_mask=mask)
    answers = {"image": ours.encode_image(images), "text": ours.encode_text(ids, mask), "logits": ours(images, ids, mask)}
    assert answers["logits"].shape == (4, 3)
    answers["logits"].square().sum().backward()
    expected.logits_per_image.square().sum().backward()
    assert_equal(answers | gradients(ours, tmp_path),
                 {"image": expected.image_embeds, "text": expected.text_embeds, "logits": expected.logits_per_image}
                 | gradients(theirs, tmp_path), torch.double)


@EACH
def test_a_folder_goes_there_and_back_without_a_bit_changed(shape, tmp_path):
    model = ours_of(shape, 3)
    pl.save_pretrained(model, tmp_path / "ours")
    theirs, report = transformers.CLIPModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    theirs.save_pretrained(tmp_path / "theirs")
    back = pl.load_pretrained(tmp_path / "theirs")
    assert type(back) is pl.CLIPModel and back.config == model.config
    assert all(torch.equal(back.state_dict()[name], t) for name, t in model.state_dict().items())
    images, (ids, mask) = images_for(model.config.vision_config), texts_for(0)
    with torch.no_grad():
        expected = theirs.double().eval()(input_ids=ids, pixel_values=images, attention_mask=mask).logits_per_image
        torch.testing.assert_close(model.double()(images, ids, mask), expected, rtol=0, atol=1e-10)


def changed(folder, **fields):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    return folder


def test_fields_that_a_folder_leaves_out_are_those_of_transformers():
    assumed = transformers.CLIPConfig().to_dict()
    assert pl.CLIPConfig.from_hugging_face(assumed) == pl.CLIPConfig.from_hugging_face({}) == pl.CLIPConfig()


def test_older_folders_say_the_shapes_of_the_towers_elsewhere(tmp_path):
    vision, text, size = SHAPES["tiny"]
    older = {"text_config": {"hidden_size": 99}, "text_config_dict": text, "vision_config": vision, "vision_config_dict": None,
             "projection_dim": size}
    assumed = transformers.CLIPConfig(**copy.deepcopy(older)).to_dict()
    assert pl.CLIPConfig.from_hugging_face(older) == pl.CLIPConfig.from_hugging_face(assumed) == ours_of(SHAPES["tiny"]).config
    theirs_of(SHAPES["tiny"]).save_pretrained(tmp_path / "theirs")
    model = pl.load_pretrained(changed(tmp_path / "theirs", **older))
    pl.save_pretrained(model, tmp_path / "ours")
    assert "text_config_dict" not in json.loads((tmp_path / "ours" / "config.json").read_text())
    assert pl.load_pretrained(tmp_path / "ours").config == model.config


def test_what_is_not_used_here_is_written_back(tmp_path):
    config = their_config(SHAPES["tiny"])
    config.text_config.my_own_field, config.vision_config.initializer_range = [1], 0.5
    config.text_config.projection_dim = config.vision_config.projection_dim = 8
    drawn_anew(transformers.CLIPModel(config)).save_pretrained(tmp_path / "theirs")
    pl.save_pretrained(pl.load_pretrained(tmp_path / "theirs"), tmp_path / "ours")
    one, two = ({name: value for name, value in transformers.CLIPConfig.from_pretrained(at).to_dict().items()
                 if name not in ("pretrain_lib", "_name_or_path", "transformers_version")} for at in (tmp_path / "theirs", tmp_path / "ours"))
    assert two == one and two["text_config"]["my_own_field"] == [1] and two["vision_config"]["initializer_range"] == 0.5


@pytest.mark.parametrize("part, field, value, said", [
    ("vision_config", "hidden_act", "relu", "hidden_act must be one of quick_gelu, gelu, got 'relu'"),
    ("text_config", "hidden_act", "silu", "hidden_act must be one of quick_gelu, gelu, got 'silu'"),
    ("vision_config", "image_size", [12, 12], r"image_size must be an int, got \[12, 12\]"),
    ("text_config", "eos_token_id", [39, 2], r"eos_token_id must be an int, got \[39, 2\]"),
])
def test_what_is_not_known_is_refused_in_a_folder(part, field, value, said, tmp_path):
    pl.save_pretrained(ours_of(SHAPES["tiny"]), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    with pytest.raises(ValueError, match=said):
        pl.load_pretrained(changed(tmp_path, **{part: config[part] | {field: value}}))


def test_other_heads_are_refused_by_name(tmp_path):
    pl.save_pretrained(ours_of(SHAPES["tiny"]), tmp_path)
    with pytest.raises(ValueError, match="holds a CLIPForImageClassification: known are CLIPModel"):
        pl.load_pretrained(changed(tmp_path, architectures=["CLIPForImageClassification"]))


def test_a_tower_that_lost_a_head_is_no_model_of_transformers(tmp_path):
    model = ours_of(SHAPES["tiny"])
    model.towers["text"].encoder.layers[1].attention.num_heads = 2
    with pytest.raises(ValueError, match="layer 1 has 2 heads, the configuration says 3, and transformers has no such model"):
        pl.save_pretrained(model, tmp_path / "m")


def test_clip_with_a_vit_b_32_has_151_million_numbers(monkeypatch):
    monkeypatch.setattr("pretrain_lib.models.two_towers.initialise", lambda model, *arguments, **settings: model)
    with torch.device("meta"):
        ours, theirs = pl.CLIPModel(pl.CLIPConfig()), transformers.CLIPModel(transformers.CLIPConfig())
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters()) == 151_277_313


# ---------------------------------------------------------------------------------- texts, training


def test_what_follows_the_end_of_a_text_changes_nothing():
    model, (ids, mask) = ours_of(SHAPES["tiny"]).double(), texts_for(0)
    other = torch.where(mask > 0, ids, 7)
    assert torch.equal(model.encode_text(ids), model.encode_text(other))
    torch.testing.assert_close(model.encode_text(ids, mask), model.encode_text(other), rtol=0, atol=1e-12)
    torch.testing.assert_close(model.encode_text(ids)[1:2], model.encode_text(ids[1:2, :4]), rtol=0, atol=1e-12)


def test_a_text_without_an_end_or_without_an_end_to_it_is_refused():
    model, (ids, _) = ours_of(SHAPES["tiny"]), texts_for(0)
    with pytest.raises(ValueError, match="every text must hold eos_token_id=39.*text 1 does not"):
        model.encode_text(ids.masked_fill((ids == 39) & (torch.arange(3) == 1)[:, None], 5))
    with pytest.raises(ValueError, match="a sequence of 11 tokens is longer than the model's 10 positions"):
        model.encode_text(torch.full((1, 11), 39))
    with pytest.raises(ValueError, match="input_ids must be 0 to 39"):
        model.encode_text(torch.tensor([[40, 39]]))
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 12, 12\).*got \(1, 3, 8, 8\)"):
        model.encode_image(torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize("kind, wrong, said", [
    (pl.CLIPTextConfig, {"eos_token_id": 49408}, "eos_token_id must be an id below vocab_size=49408, got 49408"),
    (pl.CLIPTextConfig, {"num_attention_heads": 7}, "num_attention_heads must be a divisor of hidden_size=512, got 7"),
    (pl.CLIPVisionConfig, {"patch_size": 15}, "patch_size must be a divisor of image_size=224, got 15"),
    (pl.CLIPVisionConfig, {"attention_dropout": 1.0}, "attention_dropout must be at least 0 and below 1, got 1.0"),
    (pl.CLIPConfig, {"projection_dim": 0}, "projection_dim must be an integer of at least 1, got 0"),
    (pl.CLIPConfig, {"text_config": 3}, "text_config must be a CLIPTextConfig, got 3"),
])
def test_a_wrong_shape_is_named(kind, wrong, said):
    with pytest.raises(ValueError, match=said):
        kind(**wrong)


VIEWS = {"image": ["images"], "text": ["input_ids", "attention_mask"]}


def pairs(pad=0):
    ids, mask = texts_for(pad, (9, 4, 6, 5))
    return pl.Columns(images=images_for(pl.CLIPVisionConfig(**VISION)).float(), input_ids=ids, attention_mask=mask)


def test_the_contrastive_loss_is_transformers_and_learns_the_models_own_scale(tmp_path):
    model, objective, source = ours_of(SHAPES["tiny"]).double(), pl.Contrastive(VIEWS), pairs()
    pl.save_pretrained(model, tmp_path)
    theirs = transformers.CLIPModel.from_pretrained(tmp_path).double()
    keys = pl.Keys.of(0, 4)
    loss = objective(model, objective.batch(source.take(keys), keys).map(lambda t: t.double() if t.is_floating_point() else t))
    expected = theirs(input_ids=source.input_ids, pixel_values=source.images.double(), attention_mask=source.attention_mask, return_loss=True).loss
    assert loss["contrastive"].item() == pytest.approx(4 * expected.item(), rel=1e-10)
    (loss["contrastive"] / 4).backward()
    expected.backward()
    assert model.logit_scale.grad.item() == pytest.approx(theirs.logit_scale.grad.item(), rel=1e-8)
    assert objective.log_scale.grad is None


def test_the_models_scale_stays_below_100_and_is_kept_where_it_is_not_learned():
    settings = pl.TrainConfig(steps=8, batch_size=4, learning_rate=0.5, schedule="constant", device="cpu")
    for learned in (True, False):
        model = pl.CLIPModel(ours_of(SHAPES["tiny"]).config)
        model.logit_scale.data.fill_(math.log(99))
        model.towers.requires_grad_(not learned)
        objective = pl.Contrastive(VIEWS, learned=learned)
        pl.Trainer(model, objective, pairs(), settings).fit()
        assert objective.log_scale.item() == pytest.approx(-math.log(0.07))
        assert (model.logit_scale.item() != pytest.approx(math.log(99))) is learned
        model.logit_scale.data.fill_(9.0)
        with torch.no_grad():
            objective.after_step(model, 9)
        assert model.logit_scale.item() == pytest.approx(math.log(100))
