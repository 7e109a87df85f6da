"""Images cut into square patches, and put together again."""

from __future__ import annotations

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
