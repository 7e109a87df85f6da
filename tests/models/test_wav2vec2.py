"""wav2vec 2.0 and HuBERT: the numbers and gradients of transformers', in and out of its folders, and padding."""

from __future__ import annotations

import copy
import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from vits import assert_equal, drawn_anew

import pretrain_lib as pl
from pretrain_lib.hf import to_hugging_face

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "conv_dim": (8, 12),
        "conv_kernel": (10, 3), "conv_stride": (5, 2), "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
STILL = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "layerdrop": 0.0, "feat_proj_dropout": 0.0}
SHAPES = [TINY, TINY | {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
          TINY | {"feat_extract_norm": "layer", "num_conv_pos_embeddings": 5, "num_conv_pos_embedding_groups": 1, "layer_norm_eps": 0.01},
          TINY | {"do_stable_layer_norm": True, "hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 1,
                  "conv_dim": (6,), "conv_kernel": (8,), "conv_stride": (4,)}]
FAMILIES = {"wav2vec2": (transformers.Wav2Vec2Model, transformers.Wav2Vec2Config), "hubert": (transformers.HubertModel, transformers.HubertConfig)}
EACH = pytest.mark.parametrize("shape", SHAPES)
BOTH = pytest.mark.parametrize("family", FAMILIES)


def waves(n=3, steps=203, seed=2):
    return torch.randn(n, steps, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def mask_of(lengths, steps=203):
    return (torch.arange(steps) < torch.tensor(lengths)[:, None]).long()


def made(family, shape, **more):
    kind, config = FAMILIES[family]
    return drawn_anew(kind(config(**shape, **STILL, **more)))


def as_saved(model, folder):
    if isinstance(model, pl.Wav2Vec2Model):
        return to_hugging_face(model)[1]
    model.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


@torch.no_grad()
def gradients(model, folder):
    """By the names of a folder; 0 where there is none."""
    double = copy.deepcopy(model)
    for twin, p in zip(double.parameters(), model.parameters(), strict=True):
        twin.copy_(torch.zeros_like(p) if p.grad is None else p.grad)
    spelt = pl.Wav2Vec2Model.hugging_face.spelt
    return {spelt(name): tensor for name, tensor in as_saved(double, folder).items()}


@EACH
@BOTH
@pytest.mark.parametrize("dtype", [torch.double, torch.float])
@pytest.mark.parametrize("masked", [False, True])
def test_numbers_and_gradients_are_those_of_transformers(family, shape, dtype, masked, tmp_path):
    theirs = made(family, shape)
    theirs.save_pretrained(tmp_path)
    ours, theirs = pl.load_pretrained(tmp_path).to(dtype), theirs.to(dtype).eval()
    x, mask = waves().to(dtype), mask_of([203, 120, 171]) if masked else None
    frames = ours.frames(x, torch.tensor([203, 120, 171]) if masked else None)
    expected = theirs(x, attention_mask=mask).last_hidden_state
    assert frames.vectors.shape == expected.shape and frames.mask.sum(1).tolist() == [
        (n - ours.window) // ours.stride + 1 for n in ([203, 120, 171] if masked else [203] * 3)]
    a, b = frames.vectors[frames.mask], expected[frames.mask]
    a.square().sum().backward()
    b.square().sum().backward()
    assert_equal({"frames": a, **{n: g for n, g in gradients(ours, tmp_path).items() if "k_proj.bias" not in n}},
                 {"frames": b, **{n: g for n, g in gradients(theirs, tmp_path).items() if "k_proj.bias" not in n}}, dtype)


@EACH
@BOTH
def test_every_layer_and_hidden_frames_are_those_of_transformers(family, shape, tmp_path):
    theirs = made(family, shape)
    theirs.save_pretrained(tmp_path)
    ours, theirs = pl.load_pretrained(tmp_path).double(), theirs.double().eval()
    frames = ours.frames(waves()).vectors.shape[1]
    hidden = torch.rand(3, frames, generator=torch.Generator().manual_seed(0)) < 0.3
    vectors, _ = ours.layers_of(waves(), hidden=hidden)
    expected = theirs(waves(), mask_time_indices=hidden, output_hidden_states=True)
    torch.testing.assert_close(vectors[-1], expected.last_hidden_state, rtol=0, atol=1e-10)
    assert len(vectors) == len(expected.hidden_states)
    for one, other in zip(vectors[:-1], expected.hidden_states[:-1], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@EACH
@BOTH
def test_a_folder_goes_there_and_back_without_a_bit_changed(family, shape, tmp_path):
    kind, config = {"wav2vec2": (pl.Wav2Vec2Model, pl.Wav2Vec2Config), "hubert": (pl.HubertModel, pl.HubertConfig)}[family]
    model = drawn_anew(kind(config(**shape), 3))
    pl.save_pretrained(model, tmp_path / "ours")
    theirs, report = FAMILIES[family][0].from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    theirs.save_pretrained(tmp_path / "theirs")
    back = pl.load_pretrained(tmp_path / "theirs")
    assert type(back) is kind and back.config == model.config
    assert all(torch.equal(back.state_dict()[name], t) for name, t in model.state_dict().items())
    with torch.no_grad():
        x = waves().float()
        torch.testing.assert_close(theirs.eval()(x).last_hidden_state, back(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert"])
def test_fields_that_a_folder_leaves_out_are_those_of_transformers(kind):
    ours = {"wav2vec2": pl.Wav2Vec2Config, "hubert": pl.HubertConfig}[kind]
    assert ours.from_hugging_face(FAMILIES[kind][1]().to_dict()) == ours.from_hugging_face({}) == ours()


def test_a_folder_of_pre_training_is_read_without_its_heads_and_old_names_of_the_gains_are_known(tmp_path):
    theirs = drawn_anew(transformers.Wav2Vec2ForPreTraining(transformers.Wav2Vec2Config(**TINY, **STILL, codevector_dim=8, proj_codevector_dim=8)))
    theirs.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    older = {n.replace("parametrizations.weight.original0", "weight_g").replace("parametrizations.weight.original1", "weight_v"): t
             for n, t in load_file(file).items()}
    assert any("quantizer" in n for n in older) and any(n.endswith("weight_g") for n in older)
    save_file(older, file)
    ours = pl.load_pretrained(tmp_path).double()
    assert type(ours) is pl.Wav2Vec2Model
    expected = theirs.wav2vec2.double().eval()(waves()).last_hidden_state
    torch.testing.assert_close(ours(waves()), expected, rtol=0, atol=1e-10)


def test_a_folder_without_a_vector_for_hidden_frames_is_read(tmp_path):
    made("hubert", TINY, mask_time_prob=0.0).save_pretrained(tmp_path / "theirs")
    ours = pl.load_pretrained(tmp_path / "theirs")
    assert ours.mask_vector is None and not ours.config.masked
    pl.save_pretrained(ours, tmp_path / "ours")
    assert transformers.HubertModel.from_pretrained(tmp_path / "ours").config.mask_time_prob == 0.0
    assert not pl.load_pretrained(tmp_path / "ours").config.masked


def test_of_wav2vec2_base_a_frame_hears_400_samples_every_320():
    """25 ms and 20 ms at 16 kHz, as section 4.2 of the paper has it."""
    config = pl.Wav2Vec2Config()
    assert (config.window, config.stride) == (400, 320)


def test_wav2vec2_base_has_the_size_that_transformers_has(monkeypatch):
    monkeypatch.setattr("pretrain_lib.models.wav2vec2.initialise", lambda model, *arguments, **settings: model)
    with torch.device("meta"):
        ours, theirs = pl.Wav2Vec2Model(pl.Wav2Vec2Config()), transformers.Wav2Vec2Model(transformers.Wav2Vec2Config())
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters()) > 94e6


def test_padding_changes_nothing_where_the_front_is_normalised_by_place():
    model = drawn_anew(pl.Wav2Vec2Model(pl.Wav2Vec2Config(**SHAPES[1]))).double().eval()
    x, mask = waves(), mask_of([203, 120, 171])
    for filling in (0.0, 1e3):
        padded = torch.where(mask.bool(), x, torch.tensor(filling, dtype=torch.double))
        vectors, real = model.frames(padded, mask.sum(1))
        for row, length in enumerate([203, 120, 171]):
            alone = model.frames(x[row:row + 1, :length]).vectors[0]
            torch.testing.assert_close(vectors[row, real[row]], alone, rtol=0, atol=1e-10)


def test_where_it_is_normalised_by_group_padding_is_heard_as_in_transformers():
    model = drawn_anew(pl.Wav2Vec2Model(pl.Wav2Vec2Config(**TINY))).double().eval()
    vectors, real = model.frames(waves() * mask_of([203, 120, 171]), torch.tensor([203, 120, 171]))
    assert (vectors[1, real[1]] - model.frames(waves()[1:2, :120]).vectors[0]).abs().max() > 1e-3


@pytest.mark.parametrize("field, value", [("hidden_act", "relu"), ("conv_pos_batch_norm", True)])
def test_what_is_not_known_is_refused_in_a_folder(field, value, tmp_path):
    made("hubert", TINY, **{field: value}).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"{field}={value!r}: known here is"):
        pl.load_pretrained(tmp_path)


def test_other_heads_are_refused_by_name(tmp_path):
    made("wav2vec2", TINY).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"architectures": ["Wav2Vec2ForXVector"]}))
    with pytest.raises(ValueError, match="holds a Wav2Vec2ForXVector: known are Wav2Vec2Model"):
        pl.load_pretrained(tmp_path)


@pytest.mark.parametrize("wrong, said", [
    ({"num_attention_heads": 3}, "num_attention_heads must be a divisor of hidden_size=16, got 3"),
    ({"num_conv_pos_embedding_groups": 5}, "num_conv_pos_embedding_groups must be a divisor of hidden_size=16, got 5"),
    ({"conv_kernel": (3,)}, r"conv_kernel must be one for each of conv_dim=\(8, 12\), got \(3,\)"),
    ({"feat_extract_norm": "batch"}, "feat_extract_norm must be one of group, layer"),
])
def test_a_wrong_shape_is_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        pl.Wav2Vec2Config(**TINY | wrong)


def test_waves_too_short_for_a_frame_are_refused():
    model = pl.Wav2Vec2Model(pl.Wav2Vec2Config(**TINY))
    with pytest.raises(ValueError, match=r"waves must be \(B, T\) with at least 20 samples, .*got \(2, 19\)"):
        model(torch.randn(2, 19))
