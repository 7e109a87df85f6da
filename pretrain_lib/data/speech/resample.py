"""Sound at another rate: interpolated with a windowed sinc, which takes out what would alias."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd

import torch
from torch import Tensor
from torch.nn import functional as F

ZERO_CROSSINGS = 10  # of the sinc, on either side
BETA = 5.0  # of the Kaiser window; both are those of scipy.signal.resample_poly


def resample(samples: Tensor, rate: int, new_rate: int) -> Tensor:
    """Sound at `rate` samples a second as sound at `new_rate`.

    Beyond its ends the sound is zero.

    Args:
        samples: (..., S) floats.
        rate: how many of them are a second.
        new_rate: how many there shall be.

    Returns:
        (..., ⌈S · new_rate / rate⌉), of the same type.

    Raises:
        ValueError: if a rate is below 1, or there is no sample.
    """
    if min(rate, new_rate) < 1 or not samples.shape[-1]:
        raise ValueError(f"rates must be at least 1 and there must be a sample, got {rate}, "
                         f"{new_rate} and {samples.shape[-1]} samples")
    up, down = new_rate // gcd(rate, new_rate), rate // gcd(rate, new_rate)
    if up == down:
        return samples
    weights = phases(up, down).to(samples)  # (up, taps)
    taps = weights.shape[1]
    length = ceil(samples.shape[-1] * up / down)
    position = torch.arange(length) * down  # on the common grid, where sample k is at k · up
    first = position // up  # the last sample that is not after it; (length,)
    reach = taps // 2
    padded = F.pad(samples, (reach, reach))
    near = padded.unfold(-1, taps, 1)  # (..., S', taps): those around each sample
    return (near[..., first, :] * weights[position % up]).sum(-1)


@lru_cache(maxsize=8)
def phases(up: int, down: int) -> Tensor:
    """The weights of the samples around a place, for each place between two samples: (up, taps).

    Tap i of phase p stands for the sample that is i − taps // 2 after the last one before the
    place, which is p / up behind it.
    """
    widest = max(up, down)
    half = ZERO_CROSSINGS * widest
    reach = half // up + 1
    samples = torch.arange(-reach, reach + 1, dtype=torch.float64)
    offset = torch.arange(up, dtype=torch.float64)[:, None] - samples * up  # (up, taps)
    return low_pass(offset, half, widest) * up / low_pass(
        torch.arange(-half, half + 1, dtype=torch.float64), half, widest).sum()


def low_pass(offset: Tensor, half: int, widest: int) -> Tensor:
    """A sinc of cutoff 1 / widest in a Kaiser window, zero beyond `half`."""
    inside = (1 - (offset / half).square()).clamp(min=0).sqrt()
    window = torch.special.i0(BETA * inside) / torch.special.i0(torch.tensor(BETA).double())
    return torch.special.sinc(offset / widest) / widest * window * (offset.abs() <= half)
