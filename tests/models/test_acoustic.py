"""Encoders of sound: what frames hear, what they must not, padding, and bad shapes."""

from __future__ import annotations

import pytest
import torch

import pretrain_lib as pl
from pretrain_lib.models.acoustic import turned_around
from pretrain_lib.models.frames import StackedSteps, number_of_frames

MELS, STEPS, LENGTHS = 5, 30, [30, 17, 8]
FRONT = {"num_mel_bins": MELS, "conv_dim": (8, 6), "conv_kernel": (3, 4), "conv_stride": (2, 2)}
MODELS = {
    "joined": lambda **more: pl.AcousticLSTM(pl.AcousticLSTMConfig(**FRONT | more, hidden_size=7)),
    "apart": lambda **more: pl.AcousticLSTM(pl.AcousticLSTMConfig(**FRONT | more, hidden_size=7, directions="apart")),
    "transformer": lambda **more: pl.AcousticTransformer(pl.AcousticTransformerConfig(**FRONT | more, hidden_size=16, num_attention_heads=2)),
}
EACH = pytest.mark.parametrize("name", MODELS)


def spectra(n=3, seed=0, steps=STEPS):
    return torch.randn(n, steps, MELS, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def lengths():
    return torch.tensor(LENGTHS)


def sound():
    return (torch.arange(STEPS) < lengths()[:, None])[:, :, None]


@EACH
def test_padding_changes_neither_frames_nor_features_nor_gradients(name):
    model = MODELS[name]().double()
    alone = [model.frames(spectra()[row:row + 1, :length]).vectors[0] for row, length in enumerate(LENGTHS)]
    features = [model.encode(spectra()[row:row + 1, :length])[0] for row, length in enumerate(LENGTHS)]
    sum(f.square().sum() for f in features).backward()
    expected = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    for filling in (0.0, 100.0):
        padded = torch.where(sound(), spectra(), torch.tensor(filling, dtype=torch.double))
        vectors, real = model.frames(padded, lengths())
        assert real.sum(1).tolist() == [length // 4 for length in LENGTHS]
        for row, one in enumerate(alone):
            torch.testing.assert_close(vectors[row, real[row]], one, rtol=0, atol=1e-12)
        model.zero_grad()
        together = model.encode(padded, lengths())
        torch.testing.assert_close(together, torch.stack(features), rtol=0, atol=1e-12)
        together.square().sum().backward()
        for parameter, gradient in expected.items():
            torch.testing.assert_close(model.get_parameter(parameter).grad, gradient, rtol=0, atol=1e-10)


@EACH
def test_a_row_of_padding_gives_no_nan(name):
    model, empty = MODELS[name]().double(), lengths()
    empty[1] = 0
    features = model.encode(spectra(), empty)
    features.square().sum().backward()
    assert features.isfinite().all() and all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@EACH
def test_what_is_hidden_is_heard_nowhere(name):
    model, hidden = MODELS[name]().double(), torch.zeros(3, 7, dtype=torch.bool)
    hidden[0, 2:4], hidden[1, 0], hidden[2, 1] = True, True, True
    where = hidden.repeat_interleave(4, dim=1)[:, :, None]
    a = spectra()
    b = a.clone()
    b[:, :28] = torch.where(where, spectra(seed=1)[:, :28], a[:, :28])
    (one, _), (other, _) = model.frames(a, hidden=hidden), model.frames(b, hidden=hidden)
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert (model(a) - model(b)).abs().max() > 1e-3


@EACH
def test_layers_are_numbered_from_what_enters_the_first(name):
    model = MODELS[name]().double()
    vectors, _ = model.layers_of(spectra(), lengths())
    assert len(vectors) == 1 + model.config.num_hidden_layers
    for layer, expected in enumerate(vectors):
        assert torch.equal(model.frames(spectra(), lengths(), layer=layer).vectors, expected)
    assert model.encode(spectra(), lengths()).shape == (3, model.feature_size)


def test_a_frame_has_heard_its_own_steps_and_earlier_ones_only():
    model = MODELS["apart"]().double()
    x = spectra().requires_grad_()
    contexts = model.contexts(x)
    reads = [torch.autograd.grad(part[0, 3].sum(), x, retain_graph=True)[0][0].abs().sum(1).nonzero()[:, 0]
             for part in (contexts.frames, contexts.earlier, contexts.later)]
    assert reads[0].max() == 15 and reads[1].min() == 0 and reads[1].max() == 15  # frame 3 is of the steps 12 to 15
    assert reads[2].max() == 27 and reads[2].min() == reads[0].min() == 7  # the kernels reach 1 and 2 · 2 steps back


def test_joined_directions_have_heard_everything_and_are_refused_as_contexts():
    model = MODELS["joined"]().double()
    x = spectra().requires_grad_()
    heard = torch.autograd.grad(model(x)[0, 3, :7].sum(), x)[0][0].abs().sum(1)
    assert (heard[:28] > 0).all()
    with pytest.raises(ValueError, match="directions must be 'apart', or what is heard before a frame has heard it all"):
        model.contexts(spectra())


def test_apart_the_second_half_reads_the_sound_turned_around():
    """Of one direction's weights in both, it is the first half of the sound played backwards."""
    model = pl.AcousticLSTM(pl.AcousticLSTMConfig(MELS, (6,), (2,), (2,), hidden_size=7, directions="apart")).double()
    for layer in model.layers:
        layer.back.load_state_dict(layer.onwards.state_dict())
    frames = torch.randn(1, 9, 6, dtype=torch.double)
    earlier, later = frames, frames
    onwards, other = frames.flip(1), frames.flip(1)
    real = torch.ones(1, 9, dtype=torch.bool)
    for layer in model.layers:
        earlier, later = layer(earlier, later, real)
        onwards, other = layer(onwards, other, real)
    torch.testing.assert_close(later, onwards.flip(1), rtol=0, atol=1e-12)


def test_turning_around_leaves_the_padding_behind():
    x = torch.arange(5).expand(2, 5)[:, :, None]
    real = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()
    assert turned_around(x, real)[:, :, 0].tolist() == [[2, 1, 0, 3, 4], [4, 3, 2, 1, 0]]


@pytest.mark.parametrize("name", MODELS)
def test_waves_are_heard_as_spectra_are(name):
    model = MODELS[name](num_mel_bins=0, conv_kernel=(10, 3), conv_stride=(5, 2)).double()
    x = torch.randn(2, 95, dtype=torch.double)
    assert model.columns == ("waves", "lengths") and model.stride == 10
    vectors, real = model.frames(x, torch.tensor([95, 52]))
    assert real.sum(1).tolist() == [9, 5]
    torch.testing.assert_close(vectors[1, :5], model.frames(x[1:, :52]).vectors[0], rtol=0, atol=1e-12)


def test_a_transcriber_scores_every_frame_from_zero_and_a_frozen_encoder_stays_in_evaluation_mode():
    model = pl.Transcriber(MODELS["joined"](dropout=0.5).double(), 4)
    logits, real = model(spectra(), lengths())
    assert logits.shape == (3, 7, 5) and not logits.any() and real.sum() == 7 + 4 + 2
    assert model.train().encoder.training
    model.encoder.requires_grad_(False)
    assert not model.train().encoder.training and model.training
    with pytest.raises(ValueError, match="LinearAutoencoder answers with no frames of a sound: give an AcousticLSTM"):
        pl.Transcriber(pl.LinearAutoencoder(6, 2), 3)


def test_the_label_of_a_frame_is_that_of_its_middle():
    labels = torch.arange(14).expand(2, 14)
    assert StackedSteps(MELS, 4).labels_of(labels, 3).tolist() == [[2, 6, 10]] * 2
    assert StackedSteps(MELS, 4).labels_of(labels, 5).tolist() == [[2, 6, 10, -100, -100]] * 2  # padded less than what is heard
    assert StackedSteps(MELS, 1).labels_of(labels, 14).tolist() == labels.tolist()
    waves = pl.Wav2Vec2Model(pl.Wav2Vec2Config(8, 1, 1, 8, (2,) * 7, num_conv_pos_embeddings=2, num_conv_pos_embedding_groups=1))
    assert waves.labels_of(labels, 4, every=160).tolist() == [[1, 3, 5, 7]] * 2  # 12.5 ms, 32.5 ms, …


def test_frames_are_counted_as_convolutions_make_them():
    conv = torch.nn.Sequential(torch.nn.Conv1d(1, 1, 10, 5), torch.nn.Conv1d(1, 1, 3, 2))
    for steps in range(20, 60):
        assert number_of_frames(steps, 10, 20) == conv(torch.zeros(1, 1, steps)).shape[2]
    assert number_of_frames(torch.tensor([3, 20, 30]), 10, 20).tolist() == [0, 1, 2] and number_of_frames(3, 10, 20) == 0


def test_a_recipe_can_name_them():
    from pretrain_lib.programs.recipe import can_be, config_from
    for kind in (pl.AcousticLSTM, pl.AcousticTransformer, pl.Wav2Vec2Model, pl.HubertModel):
        assert can_be("model", kind)
    assert config_from(pl.AcousticLSTMConfig, {"conv_dim": [4, 4], "conv_kernel": [3, 3], "conv_stride": [2, 1]}, "model", "r").stride == 2
    assert not can_be("model", pl.Transcriber)


@pytest.mark.parametrize("wrong, said", [
    ({"conv_kernel": (1, 4)}, r"conv_kernel must be at least conv_stride=\(2, 2\): no step is left out, got \(1, 4\)"),
    ({"conv_stride": (2,)}, r"conv_stride must be one for each of conv_dim=\(8, 6\), got \(2,\)"),
    ({"conv_dim": ()}, "conv_dim must be whole numbers of at least 1"),
    ({"num_mel_bins": -1}, "num_mel_bins must be an integer of at least 0, got -1"),
    ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
    ({"directions": "both"}, "directions must be one of joined, apart, got 'both'"),
    ({"hidden_size": 0}, "hidden_size must be an integer of at least 1"),
])
def test_a_wrong_shape_is_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        pl.AcousticLSTMConfig(**FRONT | wrong)


def test_heads_of_an_odd_size_are_refused():
    with pytest.raises(ValueError, match="num_attention_heads must be a divisor of half of hidden_size=12: angles turn pairs, got 4"):
        pl.AcousticTransformerConfig(hidden_size=12, num_attention_heads=4)


@pytest.mark.parametrize("shape, said", [
    ((2, 30, 4), r"what is heard must be \(B, T, 5\) for num_mel_bins=5, got \(2, 30, 4\)"),
    ((2, 30), r"what is heard must be \(B, T, 5\) for num_mel_bins=5, got \(2, 30\)"),
    ((2, 3, 5), "3 steps are too short for a frame of 4"),
])
def test_another_sound_is_refused(shape, said):
    with pytest.raises(ValueError, match=said):
        MODELS["joined"]()(torch.randn(shape))
