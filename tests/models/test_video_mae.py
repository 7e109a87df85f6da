"""VideoMAE: the numbers and gradients of transformers', what is seen, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from transformers.models.videomae.modeling_videomae import get_sinusoid_encoding_table
from vits import assert_equal, drawn_anew

import pretrain_lib as pl
from pretrain_lib.hf import from_hugging_face, to_hugging_face
from pretrain_lib.models.tubelets import tubelets, untubelets
from pretrain_lib.models.video import waves

TINY = {"image_size": 12, "patch_size": 4, "num_frames": 6, "tubelet_size": 2, "num_channels": 1, "hidden_size": 16,
        "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "decoder_hidden_size": 12,
        "decoder_num_hidden_layers": 2, "decoder_num_attention_heads": 3, "decoder_intermediate_size": 20}
SHAPES = [TINY, TINY | {"num_channels": 3, "tubelet_size": 3, "patch_size": 6, "layer_norm_eps": 0.01, "num_attention_heads": 4},
          TINY | {"num_frames": 2, "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 1}]
EACH = pytest.mark.parametrize("shape", SHAPES)
MODELS = {"VideoMAEModel": {}, "VideoMAEForVideoClassification": {"num_labels": 3}, "VideoMAEForPreTraining": {}}


def theirs_and_ours(kind, shape, folder, **settings):
    theirs = drawn_anew(getattr(transformers, kind)(transformers.VideoMAEConfig(**shape, **MODELS[kind], **settings))).eval()
    theirs.save_pretrained(folder)
    ours = pl.load_pretrained(folder)
    assert type(ours) is getattr(pl, kind)
    return theirs.double(), ours.double()


def clips_for(config, n=5):
    return torch.rand(n, *config.clip_shape, generator=torch.Generator().manual_seed(2), dtype=torch.double)


def hidden_for(config, n=5, number=4):
    """Which tubelets are hidden, as many in each clip, by no pattern."""
    order = torch.rand(n, config.tubelets, generator=torch.Generator().manual_seed(3)).argsort(1)
    return torch.zeros(n, config.tubelets, dtype=torch.bool).scatter_(1, order[:, :number], True)


def of_pixels(hidden, config):
    """The same as a mask of pixels."""
    pixels = hidden[:, :, None].expand(-1, -1, config.tubelet_size * config.patch_size**2).double()
    shape = (len(hidden), config.num_frames, 1, config.image_size, config.image_size)
    return untubelets(pixels, config.tubelet_size, config.patch_size, shape)


def gradients(model):
    """By the names of a folder; 0 where there is none."""
    if isinstance(model, transformers.PreTrainedModel):
        spelt = pl.VideoMAEModel.hugging_face.spelt
        return {spelt(name): torch.zeros_like(p) if p.grad is None else p.grad for name, p in model.named_parameters()}
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.zeros_like(p) if p.grad is None else p.grad)
    return to_hugging_face(model)[1]


@EACH
@pytest.mark.parametrize("kind", ["VideoMAEModel", "VideoMAEForVideoClassification"])
def test_numbers_and_gradients_are_those_of_transformers(kind, shape, tmp_path):
    theirs, ours = theirs_and_ours(kind, shape, tmp_path)
    clips = clips_for(ours.config)
    answer, expected = ours(clips), theirs(clips)[0]
    for each in (answer, expected):
        each.square().sum().backward()
    assert_equal({"answer": answer, **gradients(ours)}, {"answer": expected, **gradients(theirs)}, torch.double)


@EACH
def test_hidden_tubelets_are_predicted_as_transformers_does(shape, tmp_path):
    theirs, ours = theirs_and_ours("VideoMAEForPreTraining", shape, tmp_path)
    clips, hidden = clips_for(ours.config), hidden_for(ours.config, number=2)
    expected = theirs(clips, bool_masked_pos=hidden).logits  # (B, hidden, t · P² · C)
    answer = ours(clips, of_pixels(hidden, ours.config))
    found = tubelets(answer, ours.config.tubelet_size, ours.config.patch_size)[hidden].view_as(expected)
    for each in (found, expected):
        each.square().sum().backward()
    assert_equal({"pixels": found, **gradients(ours)}, {"pixels": expected, **gradients(theirs)}, torch.double)


@EACH
@pytest.mark.parametrize("kind", MODELS)
def test_a_folder_goes_there_and_back_without_a_bit_changed(kind, shape, tmp_path):
    config = pl.VideoMAEConfig(**shape)
    model = drawn_anew(getattr(pl, kind)(config, *MODELS[kind].values(), seed=3))
    pl.save_pretrained(model, tmp_path / "ours")
    theirs, report = getattr(transformers, kind).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    theirs.save_pretrained(tmp_path / "theirs")
    for folder in ("ours", "theirs"):
        back = pl.load_pretrained(tmp_path / folder)
        assert type(back) is type(model) and back.config == config
        assert all(torch.equal(back.state_dict()[name], t) for name, t in model.state_dict().items())


def test_fields_that_a_folder_leaves_out_are_those_of_transformers(tmp_path):
    left = {"hidden_size": 24, "num_hidden_layers": 1, "decoder_num_hidden_layers": 1, "decoder_hidden_size": 24, "image_size": 32}
    theirs, _ = theirs_and_ours("VideoMAEForPreTraining", left, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["VideoMAEForPreTraining"], "model_type": "videomae", **left}))
    ours = pl.load_pretrained(tmp_path).double()
    assert ours.config == pl.VideoMAEConfig(**left)
    clips, hidden = clips_for(ours.config, 1), hidden_for(ours.config, 1)
    found = tubelets(ours(clips, of_pixels(hidden, ours.config)), 2, 16)[hidden]
    torch.testing.assert_close(found, theirs(clips, bool_masked_pos=hidden).logits[0], rtol=0, atol=1e-10)


def test_two_biases_may_be_spelt_as_transformers_has_them_in_memory(tmp_path):
    _, ours = theirs_and_ours("VideoMAEForPreTraining", TINY, tmp_path)
    config, tensors = to_hugging_face(ours)
    other = {name.replace(".q_bias", ".query.bias").replace(".v_bias", ".value.bias"): t for name, t in tensors.items()}
    assert len(other.keys() - tensors.keys()) == 8  # two in each of four layers
    back = from_hugging_face(config, other, "here").double()
    assert all(torch.equal(back.state_dict()[name], t) for name, t in ours.state_dict().items())


@pytest.mark.parametrize("field, value", [("use_mean_pooling", False), ("qv_bias", False), ("hidden_act", "relu")])
def test_what_is_another_architecture_is_refused(field, value, tmp_path):
    transformers.VideoMAEModel(transformers.VideoMAEConfig(**TINY, **{field: value})).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"has {field}={value!r}: known here is"):
        pl.load_pretrained(tmp_path)


@pytest.mark.parametrize("places, size", [(18, 16), (200, 48), (5, 7)])
def test_places_are_the_waves_of_transformers(places, size):
    assert torch.equal(waves(places, size), get_sinusoid_encoding_table(places, size))


def test_videomae_base_is_as_large_as_that_of_transformers(monkeypatch):
    """Places are no parameters, so small frames do."""
    monkeypatch.setattr("pretrain_lib.models.video.initialise", lambda model, *arguments, **settings: model)
    with torch.device("meta"):
        ours = pl.VideoMAEForVideoClassification(pl.VideoMAEConfig(image_size=32), 400)
        theirs = transformers.VideoMAEForVideoClassification(transformers.VideoMAEConfig(image_size=32, num_labels=400))
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters()) == 86_534_800


def test_tubelets_are_those_of_brute_force_and_go_together_again():
    clips = torch.arange(2 * 6 * 3 * 8 * 12).view(2, 6, 3, 8, 12)
    cut = tubelets(clips, 2, 4)
    expected = [clips[b, t:t + 2, :, y:y + 4, x:x + 4].permute(0, 2, 3, 1).flatten()
                for b in range(2) for t in range(0, 6, 2) for y in range(0, 8, 4) for x in range(0, 12, 4)]
    assert torch.equal(cut, torch.stack(expected).view(2, -1, 2 * 16 * 3))
    assert torch.equal(untubelets(cut, 2, 4, clips.shape), clips)


def test_hidden_tubelets_are_not_there_for_the_encoder():
    model = drawn_anew(pl.VideoMAEForPreTraining(pl.VideoMAEConfig(**TINY))).double()
    clips, mask = clips_for(model.config), of_pixels(hidden_for(model.config), model.config)
    with torch.no_grad():
        answer, lengths = model(clips, mask), []
        model.encoder.layers[0].register_forward_pre_hook(lambda layer, given: lengths.append(given[0].shape))
        assert torch.equal(model(torch.where(mask == 1, 9.0, clips), mask), answer)
        assert lengths == [(5, 27 - 4, 16)]
        assert not torch.equal(model(torch.where(mask == 0, 9.0, clips), mask), answer)


def test_the_order_of_frames_matters_to_the_encoder():
    model = drawn_anew(pl.VideoMAEModel(pl.VideoMAEConfig(**TINY))).double()
    clips = clips_for(model.config)
    assert (model.encode(clips) - model.encode(clips.flip(1))).norm() > 0.01 * model.encode(clips).norm()


def test_keys_have_no_bias_of_their_own():
    names = dict(pl.VideoMAEModel(pl.VideoMAEConfig(**TINY)).named_parameters())
    assert names["layers.0.attention.query_bias"].shape == (16,) and "layers.0.attention.qkv.bias" not in names


def test_a_classifier_starts_at_uniform_on_the_encoders_own_weights():
    model = drawn_anew(pl.VideoMAEForPreTraining(pl.VideoMAEConfig(**TINY))).double()
    headed, clips = model.with_classifier(7), clips_for(model.config)
    assert torch.equal(headed(clips), torch.zeros(5, 7, dtype=torch.double)) and torch.equal(headed.encode(clips), model.encode(clips))
    with torch.no_grad():
        headed.mean_norm.weight.fill_(3.0)
    again = headed.with_classifier(2)
    assert torch.equal(again.mean_norm.weight, headed.mean_norm.weight) and again.num_labels == 2


def test_what_clips_and_masks_must_be_is_said():
    model = pl.VideoMAEForPreTraining(pl.VideoMAEConfig(**TINY))
    clips, mask = clips_for(model.config).float(), of_pixels(hidden_for(model.config), model.config)
    uneven = mask.clone()
    uneven[0] = 0
    uneven[0, :2, :, :4, :4] = 1
    for wrong, said in ((mask.roll(1, dims=4), r"whole tubelets of 2 × 4 × 4 pixels, got \d+ hidden in part: let MaskedVideo hide patch=4"),
                        (uneven, "as many tubelets of 2 × 4 × 4 pixels in each sample, got from 1 to 4 of 27"),
                        (mask[:, 0], r"mask must be \(B, 6, 1, 12, 12\) for num_frames=6 and image_size=12, got \(5, 1, 12, 12\)")):
        with pytest.raises(ValueError, match=said):
            model(clips, wrong)
    with pytest.raises(ValueError, match=r"clips must be \(B, 6, 1, 12, 12\) for num_frames=6, num_channels=1 and image_size=12, got \(5, 1, 6"):
        model.encode(clips.transpose(1, 2))


@pytest.mark.parametrize("wrong, said", [
    ({"tubelet_size": 4}, "tubelet_size must be a divisor of num_frames=6, got 4"),
    ({"decoder_num_attention_heads": 5}, "decoder_num_attention_heads must be a divisor of decoder_hidden_size=12, got 5"),
    ({"patch_size": 5}, "patch_size must be a divisor of image_size=12, got 5"),
    ({"num_frames": 0}, "num_frames must be an integer of at least 1, got 0"),
])
def test_a_wrong_shape_is_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        pl.VideoMAEConfig(**TINY | wrong)
