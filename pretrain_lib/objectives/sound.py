"""What objectives on sound share: samples padded at the end, and how many frames each has."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..data.keys import Keys
from ..data.source import Samples
from ..models.frames import first_of, number_of_frames
from .base import take_column

MASK = "attention_mask"


def heard_of(samples: Samples, column: str) -> tuple[Tensor, Tensor]:
    """What is heard, (B, T, M) or (B, T), and its mask, (B, T).

    Raises:
        ValueError: if there is no such column, the mask is of another shape, or padding does not
            stand at the end.
    """
    heard, mask = take_column(samples, column), take_column(samples, MASK)
    if mask.shape != heard.shape[:2]:
        raise ValueError(f"{MASK} must be {tuple(heard.shape[:2])}, one for each step of {column}, "
                         f"got {tuple(mask.shape)}")
    if not (first_of(mask.long().sum(1), mask.shape[1]) == mask.bool()).all():
        raise ValueError(f"{MASK} must be 1 where there is sound and 0 in the padding behind it, "
                         "and in some row sound stands behind padding")
    return heard, mask


def frames_of(mask: Tensor, keys: Keys, stride: int, window: int) -> Tensor:
    """How many frames each sample has, (B,), at least one.

    Raises:
        ValueError: if a sample is too short for one, naming it.
    """
    steps = mask.long().sum(1)  # (B,)
    frames = number_of_frames(steps, stride, window)
    if not frames.all():
        row = int(np.argmin(frames.numpy()))
        raise ValueError(f"sample {keys.sample[row]} is too short: it has {steps[row]} steps, and "
                         f"a frame is made of {window}")
    return frames
