"""What objectives on sound share: how long each sample is, and how many frames it has."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..data.keys import Keys
from ..data.source import Samples
from ..models.frames import number_of_frames
from .base import take_column

LENGTHS = "lengths"


def heard_of(samples: Samples, column: str) -> tuple[Tensor, Tensor]:
    """What is heard, (B, T, M) or (B, T), and how many steps of it are no padding, (B,).

    Raises:
        ValueError: if there is no such column, or a length is none of what is heard.
    """
    heard, lengths = take_column(samples, column), take_column(samples, LENGTHS)
    steps = heard.shape[1]
    if lengths.shape != heard.shape[:1] or ((lengths < 0) | (lengths > steps)).any():
        raise ValueError(f"{LENGTHS} must be ({len(heard)},), from 0 to {steps}, the steps of "
                         f"{column}, got {tuple(lengths.shape)} up to {int(lengths.max())}")
    return heard, lengths


def frames_of(lengths: Tensor, keys: Keys, stride: int, window: int) -> Tensor:
    """How many frames samples of so many steps, (B,), have, (B,): at least one.

    Raises:
        ValueError: if a sample is too short for one, naming it.
    """
    frames = number_of_frames(lengths, stride, window)
    if not frames.all():
        row = int(np.argmin(frames.numpy()))
        raise ValueError(f"sample {keys.sample[row]} is too short: it has {lengths[row]} steps, "
                         f"and a frame is made of {window}")
    return frames
