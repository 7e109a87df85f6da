"""Clips cut into tubelets, patches that go through a few frames, and put together again."""

from __future__ import annotations

from torch import Tensor

from .patches import patchify, unpatchify


def tubelets(clips: Tensor, frames: int, patch: int) -> Tensor:
    """Cuts clips into tubelets, column by column, row by row, then time by time.

    Args:
        clips: (B, T, C, H, W).
        frames: that a tubelet goes through, t, a divisor of T.
        patch: its side in pixels, P, a divisor of H and W.

    Returns:
        (B, N, t · P² · C) with N = T/t · HW/P²; a tubelet is read frame by frame, each as
        `models.patches.patchify` has it.
    """
    patches = patchify(clips.flatten(0, 1), patch)  # (B · T, HW/P², P² · C)
    patches = patches.unflatten(0, (len(clips), -1, frames))  # (B, T/t, t, HW/P², P² · C)
    return patches.transpose(2, 3).flatten(3).flatten(1, 2)


def untubelets(pixels: Tensor, frames: int, patch: int, shape: tuple[int, ...]) -> Tensor:
    """Puts tubelets, (B, N, t · P² · C), together to clips of a shape (B, T, C, H, W)."""
    patches = pixels.unflatten(1, (shape[1] // frames, -1)).unflatten(3, (frames, -1))
    patches = patches.transpose(2, 3).flatten(0, 2)  # (B · T, HW/P², P² · C)
    return unpatchify(patches, patch, shape[3]).unflatten(0, shape[:2])
