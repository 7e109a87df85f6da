"""Probes of frames and sounds, and fine-tuning to write transcripts: what they read, learn and refuse."""

import pytest
import torch

import pretrain_lib as pl
from pretrain_lib.data.keys import Keys
from pretrain_lib.models.frames import StackedSteps

MELS, LONGEST = 6, 40


def spoken(n=48, seed=0):
    """Sounds of "phones", each some steps of its own spectrum, said one after the other; one voice is louder.

    Phone 0 is silence: the transcript is what is said without it.
    """
    generator = torch.Generator().manual_seed(seed)
    spectra = torch.cat([torch.zeros(1, MELS), 2 * torch.eye(3, MELS)])
    columns = {"features": torch.zeros(n, LONGEST, MELS), "lengths": torch.zeros(n, dtype=torch.long),
               "phones": torch.full((n, LONGEST), -100), "sequences": torch.full((n, 4), -100), "voices": torch.arange(n) % 2}
    for row in range(n):
        said = torch.randint(1, 4, (2 + row % 3,), generator=generator)
        phones = torch.cat([torch.tensor([p]).repeat(6) if p else torch.zeros(2, dtype=torch.long)
                            for s in said.tolist() for p in (s, 0)])
        length = len(phones)
        noise = 0.3 * torch.randn(length, MELS, generator=generator)
        columns["features"][row, :length] = spectra[phones] + noise + 1.5 * (row % 2) * torch.eye(1, MELS).roll(5, 1)
        columns["lengths"][row] = length
        columns["phones"][row, :length] = phones
        columns["sequences"][row, :len(said)] = said
    return pl.Columns(**columns)


def blstm():
    return pl.AcousticLSTM(pl.AcousticLSTMConfig(MELS, (12,), (3,), (2,), hidden_size=12, num_hidden_layers=1))


def test_frames_become_samples_with_the_label_of_their_middle():
    source, model = spoken(5), blstm()
    for layer in (0, -1):
        found = pl.frame_samples(model, source, layer=layer, batch_size=2)
        with torch.no_grad():
            vectors, mask = model.eval().frames(source.features, source.lengths, layer=layer)
        assert torch.allclose(found.features, vectors[mask], atol=1e-6)
        assert torch.equal(found.labels, source.phones[:, 1::2][mask]) and torch.equal(found.sound, mask.nonzero()[:, 0])
    source.phones[1] = -100
    assert set(pl.frame_samples(model, source).sound.tolist()) == {0, 2, 3, 4}


def test_clusters_of_a_models_frames_are_what_another_is_trained_on():
    """HuBERT's way round, once: frames, k-means, masked prediction."""
    source = spoken(24)
    vectors = pl.frame_vectors(StackedSteps(MELS, 2), source, batch_size=7)
    assert [len(v) for v in vectors] == (source.lengths // 2).tolist()
    clusters = pl.k_means(torch.cat(vectors), 8)
    labelled = pl.frame_samples(StackedSteps(MELS, 2), source)
    assert pl.phone_information(clusters.nearest(labelled.features), labelled.labels) > 0.5
    together = pl.Beside(source, pl.Sequences("clusters", [clusters.nearest(v) for v in vectors]))
    student = blstm()
    trainer = pl.Trainer(student, pl.MaskedFrames(24, 8, "clusters", span=3), together,
                         pl.TrainConfig(steps=80, batch_size=12, learning_rate=1e-2, device="cpu"))
    before = trainer.evaluate(together)["loss"]
    trainer.fit()
    assert trainer.evaluate(together)["loss"] < 0.8 * before


def test_sounds_become_samples_as_the_mean_of_their_frames():
    source, model = spoken(5), blstm()
    found = pl.sound_samples(model, source, "voices", batch_size=2)
    with torch.no_grad():
        expected = model.eval().encode(source.features, source.lengths)
    assert torch.allclose(found.features, expected, atol=1e-6) and torch.equal(found.labels, source.voices)
    assert torch.allclose(pl.features(model, source), expected, atol=1e-6)


def test_a_linear_probe_reads_phones_of_frames_and_voices_of_sounds():
    train, test, model = spoken(30), spoken(20, seed=1), blstm()
    for made, labels in ((pl.frame_samples, "phones"), (pl.sound_samples, "voices")):
        predict = pl.LinearProbe(column="features").fit(made(model, train, labels), 1.0)
        samples = made(model, test, labels)
        assert (predict(samples) == samples.labels).float().mean() > 0.9


def test_stacked_steps_are_the_spectrum_itself_and_do_not_read_the_padding():
    source = spoken(4)
    found = pl.frame_samples(StackedSteps(MELS, 2, 0), source)
    assert torch.equal(found.features[:4], source.features[0, :8].reshape(4, 2 * MELS))
    model, length = StackedSteps(MELS, 2, 3), int(source.lengths[0])
    vectors, mask = model.frames(source.features[:1], source.lengths[:1])
    assert vectors.shape[2] == model.feature_size == 8 * MELS
    assert torch.equal(vectors[0, 2].view(8, MELS), source.features[0, 1:9])
    loud = source.features[:1].clone()
    loud[:, length:] = 99.0
    assert torch.equal(model.frames(loud, source.lengths[:1]).vectors[mask], vectors[mask])
    assert torch.equal(model.frames(source.features[:1, :length]).vectors[0], vectors[0, mask[0]])


def test_an_encoder_learns_to_write_what_is_said():
    train, test, encoder = spoken(), spoken(24, seed=1), blstm()
    before = {name: t.clone() for name, t in encoder.state_dict().items()}
    config = pl.TrainConfig(steps=120, batch_size=12, learning_rate=1e-2, device="cpu")
    model = pl.fine_tune_ctc(encoder, train, 3, config)
    assert not model.training and all(torch.equal(before[name], t) for name, t in encoder.state_dict().items())
    said = [[s for s in row if s > 0] for row in test.sequences.tolist()]
    greedy, beam = pl.transcripts(model, test, batch_size=7), pl.transcripts(model, test, beam=5)
    assert len(greedy) == len(beam) == 24
    assert pl.error_rate(said, greedy) < 0.1 and pl.error_rate(said, beam) < 0.1


def test_a_frozen_encoder_stays_as_it_is_and_another_rate_is_its_own():
    train, encoder = spoken(12), blstm()
    config = pl.TrainConfig(steps=2, batch_size=6, learning_rate=1e-2, device="cpu")
    frozen = pl.fine_tune_ctc(encoder, train, 3, config, frozen=True)
    assert all(torch.equal(t, frozen.encoder.state_dict()[name]) for name, t in encoder.state_dict().items())
    assert frozen.head.weight.any()
    slow, fast = (pl.fine_tune_ctc(encoder, train, 3, config, encoder_rate=rate) for rate in (1e-3, 1.0))
    moved = [sum((a - b).abs().sum().item() for a, b in zip(model.encoder.parameters(), encoder.parameters())) for model in (slow, fast)]
    assert 0 < moved[0] < 0.01 * moved[1]


def test_what_is_written_is_saved_with_its_model_and_heads_are_replaced(tmp_path):
    train = spoken(12)
    config = pl.TrainConfig(steps=2, batch_size=6, learning_rate=1e-2, device="cpu")
    model = pl.fine_tune_ctc(blstm(), train, 3, config)
    pl.save_pretrained(model, tmp_path / "m")
    back = pl.load_pretrained(tmp_path / "m")
    assert pl.transcripts(back, train) == pl.transcripts(model, train)
    again = pl.fine_tune_ctc(model, train, 5, config, frozen=True)
    assert type(again.encoder) is pl.AcousticLSTM and again.num_symbols == 5


def test_waves_are_written_by_wav2vec2():
    config = pl.Wav2Vec2Config(16, 1, 2, 24, (8, 8), (6, 3), (4, 2), num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2)
    waves = pl.Columns(waves=torch.randn(4, 200), lengths=torch.full((4,), 200), sequences=torch.tensor([[1, 2]] * 4))
    model = pl.fine_tune_ctc(pl.Wav2Vec2Model(config), waves, 2, pl.TrainConfig(steps=2, batch_size=4, device="cpu"))
    assert len(pl.transcripts(model, waves)) == 4


def test_a_model_without_frames_is_refused():
    source = spoken(4)
    config = pl.TrainConfig(steps=2, batch_size=2, device="cpu")
    for use in (lambda m: pl.fine_tune_ctc(m, source, 3, config), lambda m: pl.frame_samples(m, source), lambda m: pl.sound_samples(m, source)):
        with pytest.raises(ValueError, match="LinearAutoencoder answers with no frames of a sound"):
            use(pl.LinearAutoencoder(4, 2))
    with pytest.raises(ValueError, match="no column 'words'"):
        pl.sound_samples(blstm(), source, "words")
    with pytest.raises(ValueError, match="encoder_rate must be above 0, got 0.0"):
        pl.fine_tune_ctc(blstm(), source, 3, config, encoder_rate=0.0)
    assert len(source.take(Keys.of(0, range(2)))["features"]) == 2
