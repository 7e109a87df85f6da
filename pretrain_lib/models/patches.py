"""Images cut into square patches, and put together again."""

from __future__ import annotations

import torch
from torch import Tensor


def patchify(images: Tensor, patch: int) -> Tensor:
    """Cuts images into patches, row by row.

    Args:
        images: (B, C, H, W).
        patch: side of a patch in pixels, P, a divisor of H and W.

    Returns:
        (B, N, P² · C) with N = HW / P²; a patch is read row by row, a pixel's channels at once.
    """
    x = images.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))  # (B, C, H/P, P, W/P, P)
    return x.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def unpatchify(patches: Tensor, patch: int, height: int) -> Tensor:
    """Puts patches of `patchify`, (B, N, P² · C), together to images (B, C, H, W)."""
    x = patches.unflatten(2, (patch, patch, -1))  # (B, N, P, P, C)
    x = x.unflatten(1, (height // patch, -1)).permute(0, 5, 1, 3, 2, 4)  # (B, C, H/P, P, W/P, P)
    return x.flatten(4).flatten(2, 3)


def hidden_tiles(tiles: Tensor, kind: str, remedy: str) -> tuple[Tensor, int]:
    """Which patches or tubelets of a mask are hidden, and how many in each sample.

    Args:
        tiles: (B, N, pixels) bool, a mask that was cut into them.
        kind: what they are called, with their size, for errors.
        remedy: how to make a mask that is right, for errors.

    Returns:
        (B, N) bool, and the number of those that are True in each row.

    Raises:
        ValueError: if one is hidden in part, or one sample hides more of them than another.
    """
    hidden = tiles.all(dim=2)
    in_part, number = (hidden != tiles.any(dim=2)).sum(), hidden.sum(dim=1)
    in_part, fewest, most = torch.stack([in_part, *number.aminmax()]).tolist()  # one wait for a GPU
    if in_part:
        raise ValueError(f"mask must hide whole {kind}, got {in_part} hidden in part: {remedy}")
    if fewest < most:
        raise ValueError(f"mask must hide as many {kind} in each sample, got from {fewest} to "
                         f"{most} of {hidden.shape[1]}: {remedy}")
    return hidden, most
