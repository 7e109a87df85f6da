import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pretrain_lib.data.speech.features import MelConfig, centred, deltas, log_mel, mel_filters, mfcc

REFERENCE = np.load(Path(__file__).with_name("librosa_reference.npz"))
CONFIGS = {
    "plain": MelConfig(),
    "htk": MelConfig(8000, 23, 200, 80, 256, 60.0, 3800.0, "htk", "none"),
    "wide": MelConfig(num_mel_bins=80, n_fft=400),
    "short": MelConfig(),
    "silent": MelConfig(),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_features_are_those_of_librosa(case):
    wave = torch.from_numpy(REFERENCE[f"{case}.wave"])
    log = log_mel(wave.double(), CONFIGS[case])
    length = torch.tensor([len(log)])
    for name, ours in {"log_mel": log, "mfcc": mfcc(log), "deltas": deltas(log[None], length)[0]}.items():
        theirs = torch.from_numpy(REFERENCE[f"{case}.{name}"])
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() < 1e-4, name
    assert (log_mel(wave, CONFIGS[case]) - log).abs().max() < 1e-3  # float32


@pytest.mark.parametrize("case", ["plain", "htk", "wide"])
def test_filters_are_those_of_transformers(case):
    audio = pytest.importorskip("transformers.audio_utils")
    c = CONFIGS[case]
    theirs = audio.mel_filter_bank(c.n_fft // 2 + 1, c.num_mel_bins, c.min_frequency, c.highest, c.sampling_rate,
                                   None if c.norm == "none" else c.norm, c.mel_scale)
    torch.testing.assert_close(mel_filters(c), torch.from_numpy(theirs), rtol=1e-9, atol=1e-12)


def test_a_tone_is_loudest_in_the_band_around_it():
    config = MelConfig(mel_scale="htk", norm="none")
    for hertz in (300, 1000, 3000):
        tone = torch.sin(2 * math.pi * hertz * torch.arange(8000) / 16000)
        mel = 2595 * math.log10(1 + hertz / 700)
        place = mel / (2595 * math.log10(1 + 8000 / 700)) * 41 - 1
        assert abs(int(log_mel(tone, config)[20].argmax()) - place) <= 0.6


def test_frames_do_not_depend_on_the_padding_of_the_batch():
    config, wave = MelConfig(), torch.randn(1000, dtype=torch.float64)
    alone = log_mel(wave, config)
    batch = log_mel(torch.nn.functional.pad(wave, (0, 700))[None].expand(2, -1), config)
    assert alone.shape == (config.frames(1000), 40) == (7, 40)
    torch.testing.assert_close(batch[1, : len(alone)], alone, rtol=0, atol=1e-10)


def test_silence_and_a_single_sample_are_well_defined():
    assert (log_mel(torch.zeros(1000)) == math.log(1e-10)).all()
    assert log_mel(torch.ones(1)).shape == (1, 40) and log_mel(torch.ones(1)).isfinite().all()
    with pytest.raises(ValueError, match="at least one sample"):
        log_mel(torch.zeros(0))


def test_deltas_of_a_slope_are_the_slope_and_padding_has_no_part():
    frames = 3.0 * torch.arange(10).double()[None, :, None].expand(2, 10, 1)
    lengths = torch.tensor([10, 6])
    cut = deltas(frames, lengths)
    assert torch.allclose(cut[0, 2:8], torch.tensor(3.0).double())
    assert torch.equal(cut[1, :6], deltas(frames[1:, :6], lengths[1:])[0])
    assert deltas(torch.ones(1, 1, 2), torch.tensor([1])).eq(0).all()


def test_centred_takes_each_clip_by_itself():
    frames, lengths = torch.randn(2, 6, 3, dtype=torch.float64) + 5, torch.tensor([6, 2])
    out = centred(frames, lengths)
    torch.testing.assert_close(out[1, :2], frames[1, :2] - frames[1, :2].mean(0))
    assert out[1, 2:].eq(0).all() and out[0].mean(0).abs().max() < 1e-12


@pytest.mark.parametrize("wrong, field", [({"n_fft": 256}, "n_fft"), ({"n_fft": 513}, "n_fft"), ({"num_mel_bins": 0}, "num_mel_bins"),
                                          ({"max_frequency": 9000.0}, "max_frequency"), ({"mel_scale": "bark"}, "mel_scale"),
                                          ({"min_frequency": 8000.0}, "min_frequency")])
def test_wrong_settings_are_named(wrong, field):
    with pytest.raises(ValueError, match=f"^{field} must be"):
        MelConfig(**wrong)


def test_too_many_coefficients_are_refused():
    with pytest.raises(ValueError, match="between 1 and 40"):
        mfcc(torch.zeros(5, 40), 41)
