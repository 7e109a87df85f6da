"""Masked images: hide patches, predict their pixels (He et al., CVPR 2022, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import Samples
from ..validation import is_a, require, require_at_least
from .base import Batch, Objective, take_column
from .reconstruction import half_squared_error


def patch_mask(keys: Keys, height: int, width: int, patch: int, ratio: float) -> Tensor:
    """Hides exactly round(ratio · patches) patches of each image, at least one and not all.

    Args:
        keys: keys of B samples.
        height: height of the image in pixels; a multiple of `patch`, as is `width`.
        width: width of the image in pixels.
        patch: side of a patch in pixels.
        ratio: fraction of the patches to hide, strictly between 0 and 1.

    Returns:
        (B, 1, height, width) float32, 1 where hidden.
    """
    rows, columns = height // patch, width // patch
    patches = rows * columns
    hidden = min(max(round(ratio * patches), 1), patches - 1)
    order = keys.permutation("mask", patches)  # (B, patches)
    mask = torch.zeros(len(keys), patches).scatter_(1, order[:, :hidden], 1.0)
    mask = mask.reshape(len(keys), 1, rows, columns)
    return mask.repeat_interleave(patch, dim=2).repeat_interleave(patch, dim=3)


@dataclass(frozen=True)
class MaskedImageConfig:
    """Settings of `MaskedImage`.

    Attributes:
        ratio: fraction of the patches to hide, strictly between 0 and 1.
        patch: side of a patch in pixels.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    ratio: float = 0.75
    patch: int = 4

    def __post_init__(self):
        fits = is_a(float, self.ratio) and 0 < self.ratio < 1
        require(fits, "ratio", self.ratio, "strictly between 0 and 1")
        require_at_least(self, 1, "patch")


class MaskedImage(Objective):
    """Hides a fraction of an image's patches and scores the model on the hidden pixels only.

    The model is called as `model(images, mask)`, with the hidden pixels set to 0 and a mask
    (B, 1, H, W) that is 1 where they were.

    Args:
        ratio: fraction of the patches to hide, strictly between 0 and 1.
        patch: side of a patch in pixels; must divide the image's height and width.

    Raises:
        ValueError: for a ratio outside (0, 1), a patch below 1, or one that does not fit.
    """

    config_class = MaskedImageConfig

    def __init__(self, ratio: float = 0.75, patch: int = 4):
        MaskedImageConfig(ratio, patch)  # which refuses what is not allowed
        super().__init__()
        self.ratio = ratio
        self.patch = patch

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        images = take_column(samples, "images")  # (B, C, H, W)
        if images.ndim != 4:
            raise ValueError(
                f"images must be (B, C, H, W) to be cut into patches, got {tuple(images.shape)}")
        channels, height, width = images.shape[1:]
        if height % self.patch or width % self.patch or height * width == self.patch**2:
            raise ValueError(
                f"patches of {self.patch} pixels do not tile an image of {height} × {width}: "
                "choose a divisor of both sides, smaller than the image"
            )
        mask = patch_mask(keys, height, width, self.patch, self.ratio)
        inputs = {"images": images * (1 - mask), "mask": mask}
        return Batch(inputs, {"images": images}, {"masked_pixels": mask.sum().item() * channels})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        mask = batch.inputs["mask"]
        prediction = model(batch.inputs["images"], mask)
        error = half_squared_error(prediction, batch.targets["images"], where=mask)
        return {"masked_pixels": error}
