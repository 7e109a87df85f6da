import numpy as np
import pytest
import torch

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.speech.room import Room, add_noise, coloured, drawn, impulse_response, one_by_one, reverberate

KEYS = Keys.of(3, [5, 9])
LENGTHS = torch.tensor([4000, 1500])


def clips(padding=0):
    waves = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    waves = torch.nn.functional.pad(waves, (0, padding))
    return waves * (torch.arange(waves.shape[1]) < LENGTHS[:, None])


def test_noise_has_the_ratio_that_is_asked_for_and_padding_stays_silent():
    waves = clips(100)
    noise = add_noise(waves, LENGTHS, KEYS, (7.0, 7.0)) - waves
    for i, length in enumerate(LENGTHS):
        ratio = waves[i, :length].square().mean() / noise[i, :length].square().mean()
        assert 10 * torch.log10(ratio) == pytest.approx(7.0, abs=1e-6)
        assert noise[i, length:].eq(0).all()


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_the_power_of_noise_falls_with_its_exponent(exponent):
    power = sum(np.abs(np.fft.rfft(coloured(key, 2**14, exponent).numpy())) ** 2 for key in one_by_one(Keys.of(0, 8)))
    octaves = [np.log2(power[2**k:2**(k + 1)].mean()) for k in range(4, 13)]
    slope = np.polyfit(np.arange(len(octaves)), octaves, 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.08)


def test_echoes_are_a_convolution_with_the_response():
    waves = clips()
    out = reverberate(waves, LENGTHS, KEYS, 8000, (0.1, 0.1), (3.0, 3.0))
    for i, key in enumerate(one_by_one(KEYS)):
        response = impulse_response(key, float(drawn(KEYS, "", (0.1, 0.1))[0]) * 8000, 3.0).double()
        brute = np.convolve(waves[i, :LENGTHS[i]], response)[:LENGTHS[i]]
        torch.testing.assert_close(out[i, :LENGTHS[i]], torch.from_numpy(brute), rtol=0, atol=1e-9)
        assert out[i, LENGTHS[i]:].eq(0).all()


def test_a_response_has_energy_one_a_direct_part_and_fades_by_60_decibels():
    responses = torch.stack([impulse_response(key, 8000.0, 6.0) for key in one_by_one(Keys.of(0, 64))]).double()
    torch.testing.assert_close(responses.square().sum(1), torch.ones(64).double(), rtol=0, atol=1e-5)
    direct, echoes = responses[:, 0].square(), responses[:, 1:].square()
    assert (10 * torch.log10(direct / echoes.sum(1)) - 6.0).abs().max() < 1e-4
    level = 10 * torch.log10(echoes.reshape(64, 8, 1000).mean((0, 2)))
    assert level[0] - level[7] == pytest.approx(60 * 7 / 8, abs=1)
    assert impulse_response(one_by_one(KEYS)[0], 0.0, 6.0).tolist() == [1.0]


def test_a_clip_sounds_the_same_alone_in_another_batch_and_further_padded():
    room = Room()
    out = room(clips(), LENGTHS, KEYS, 16000)
    alone = room(clips()[1:, :1500], LENGTHS[1:], Keys.of(3, [9]), 16000)
    further = room(clips(500), LENGTHS, KEYS, 16000)
    assert torch.equal(out[1, :1500], alone[0]) and torch.equal(further[:, :4000], out)
    other = room(clips(), LENGTHS, Keys.of(3, [5, 9], epoch=1), 16000)
    assert not torch.equal(out, other)


def test_silence_stays_silent_and_one_sample_is_enough():
    out = Room()(torch.zeros(1, 50), torch.tensor([50]), Keys.of(0, 1), 16000)
    assert out.eq(0).all()
    assert Room()(torch.ones(1, 1), torch.tensor([1]), Keys.of(0, 1), 16000).isfinite().all()


@pytest.mark.parametrize("wrong", [{"noise": (30.0, 5.0)}, {"reverberation": (-1.0, 0.0)}, {"gain": (1.0,)}])
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be"):
        Room(**wrong)
