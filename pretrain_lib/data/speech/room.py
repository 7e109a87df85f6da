"""Speech as a microphone in a room would hear it: echoes, noise and loudness, functions of keys.

Each clip is changed by itself, whatever stands beside it in a batch and however far it is padded.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log

import torch
from torch import Tensor

from ...validation import require
from ..keys import Keys

Between = tuple[float, float]


@dataclass(frozen=True)
class Room:
    """Echoes, then noise, then a loudness, each drawn for every clip.

    Attributes:
        reverberation: seconds in which echoes fade by 60 dB, least and most; (0, 0) has none.
        direct: how much louder than all echoes the sound itself is, in dB, least and most.
        noise: how much louder than the noise speech is, in dB, least and most.
        gain: change of loudness, in dB, least and most.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    reverberation: Between = (0.1, 0.4)
    direct: Between = (0.0, 12.0)
    noise: Between = (5.0, 30.0)
    gain: Between = (-12.0, 0.0)

    def __post_init__(self):
        for field, value in vars(self).items():
            require(len(value) == 2 and value[0] <= value[1], field, value,
                    "two numbers, the least and the most")
        require(self.reverberation[0] >= 0, "reverberation", self.reverberation, "at least 0")

    def __call__(self, waves: Tensor, lengths: Tensor, keys: Keys, rate: int) -> Tensor:
        """The clips as they are heard there, (B, S); what is beyond a length stays 0.

        One that would be louder than 1 is made so loud.

        Args:
            waves: (B, S), 0 beyond the lengths.
            lengths: (B,) samples of each clip.
            keys: which clips they are.
            rate: samples a second.
        """
        waves = reverberate(waves, lengths, keys, rate, self.reverberation, self.direct)
        waves = add_noise(waves, lengths, keys, self.noise)
        decibels = drawn(keys, "room.gain", self.gain).to(waves)
        waves = waves * 10 ** (decibels / 20)[:, None]
        return waves / waves.abs().amax(1, keepdim=True).clamp(min=1)


def drawn(keys: Keys, stream: str, between: Between) -> Tensor:
    """A number for each key, evenly distributed between two: (B,)."""
    least, most = between
    return least + (most - least) * keys.uniform(stream)


def one_by_one(keys: Keys) -> list[Keys]:
    """The keys, each as a batch of one."""
    return [Keys(keys.seed, keys.epoch[i:i + 1], keys.sample[i:i + 1]) for i in range(len(keys))]


def transform_size(samples: int) -> int:
    """The power of two in which so many samples find room."""
    return 1 << (samples - 1).bit_length()


def add_noise(waves: Tensor, lengths: Tensor, keys: Keys, decibels: Between) -> Tensor:
    """Adds noise whose power falls as 1 / frequency^a, a from 0 (white) to 1 (pink).

    A clip that is silent stays so.

    Args:
        waves: (B, S), 0 beyond the lengths.
        lengths: (B,) samples of each clip.
        keys: which clips they are.
        decibels: the ratio of the clip's mean power to the noise's, least and most.
    """
    ratios, colours = drawn(keys, "room.noise", decibels), keys.uniform("room.colour")
    out = waves.clone()
    for i, key in enumerate(one_by_one(keys)):
        clip = out[i, :lengths[i]]
        noise = coloured(key, len(clip), float(colours[i])).to(waves)
        power = clip.square().mean() / noise.square().mean() / 10 ** (float(ratios[i]) / 10)
        clip += noise * power.sqrt()
    return out


def coloured(key: Keys, samples: int, exponent: float) -> Tensor:
    """Normal noise whose power falls as 1 / frequency^exponent: (samples,) float32."""
    size = transform_size(max(samples, 2))
    spectrum = torch.fft.rfft(key.normal("room.white", (size,))[0])
    place = torch.arange(len(spectrum)).clamp(min=1)
    return torch.fft.irfft(spectrum * place ** (-exponent / 2), size)[:samples]


def reverberate(waves: Tensor, lengths: Tensor, keys: Keys, rate: int, seconds: Between,
                direct: Between) -> Tensor:
    """Adds echoes: the sound at once, and after it noise that fades exponentially.

    The filter has energy 1, and its first sample is the sound itself, so nothing is heard later
    than it was. Echoes beyond the end of a clip are cut off.

    Args:
        waves: (B, S), 0 beyond the lengths.
        lengths: (B,) samples of each clip.
        keys: which clips they are.
        rate: samples a second.
        seconds: in which the echoes fade by 60 dB, least and most.
        direct: the ratio of the sound's energy to all echoes', in dB, least and most.
    """
    fades, ratios = drawn(keys, "room.fade", seconds), drawn(keys, "room.direct", direct)
    out = waves.clone()
    for i, key in enumerate(one_by_one(keys)):
        response = impulse_response(key, float(fades[i]) * rate, float(ratios[i])).to(waves)
        clip = out[i, :lengths[i]]
        size = transform_size(len(clip) + len(response))
        product = torch.fft.rfft(clip, size) * torch.fft.rfft(response, size)
        clip.copy_(torch.fft.irfft(product, size)[:len(clip)])
    return out


def impulse_response(key: Keys, fade: float, direct: float) -> Tensor:
    """What a click sounds like: a 1 and its echoes, scaled to energy 1.

    Args:
        key: of one clip.
        fade: samples in which the echoes fade by 60 dB.
        direct: the 1's energy by that of the echoes, in dB.
    """
    one, length = torch.ones(1), ceil(fade)
    if not length:
        return one
    times = torch.arange(1, length + 1)
    echoes = key.normal("room.echoes", (length,))[0] * torch.exp(-log(1000) * times / fade)
    echoes *= (10 ** (-direct / 10) / echoes.square().sum()).sqrt()
    response = torch.cat([one, echoes])
    return response / response.square().sum().sqrt()
