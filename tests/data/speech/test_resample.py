import numpy as np
import pytest
import torch

from pretrain_lib.data.speech.resample import resample

signal = pytest.importorskip("scipy.signal")


@pytest.mark.parametrize("rate, new_rate", [(22050, 16000), (8000, 16000), (48000, 16000), (44100, 16000), (11025, 16000), (16000, 8000), (3, 7)])
@pytest.mark.parametrize("samples", [1, 50, 1001])
def test_it_is_scipys_resample_poly(rate, new_rate, samples):
    sound = np.random.default_rng(samples).standard_normal((2, samples))
    g = np.gcd(rate, new_rate)
    theirs = signal.resample_poly(sound, new_rate // g, rate // g, axis=1)
    ours = resample(torch.from_numpy(sound), rate, new_rate)
    torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=0, atol=1e-10)


def test_a_tone_stays_and_one_that_would_alias_goes():
    t = torch.arange(22050, dtype=torch.float64) / 22050
    inner = slice(200, -200)
    for hertz, kept in ((440, 1.0), (9500, 0.0)):
        out = resample(torch.sin(2 * torch.pi * hertz * t), 22050, 16000)
        true = torch.sin(2 * torch.pi * hertz * torch.arange(16000, dtype=torch.float64) / 16000)
        assert (out - kept * true)[inner].abs().max() < 0.01


def test_one_rate_is_left_alone_and_wrong_ones_are_refused():
    sound = torch.randn(10)
    assert resample(sound, 8000, 8000) is sound
    with pytest.raises(ValueError, match="rates must be at least 1"):
        resample(sound, 0, 8000)
    with pytest.raises(ValueError, match="0 samples"):
        resample(sound[:0], 8000, 16000)
