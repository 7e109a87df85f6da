"""Masked images: hide patches, predict their pixels (He et al., CVPR 2022, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import Samples
from ..models.patches import patchify, unpatchify
from ..validation import is_a, require, require_at_least, require_kinds
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
        normalize: whether to predict each patch's pixels less their mean, over their deviation.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    ratio: float = 0.75
    patch: int = 4
    normalize: bool = False

    def __post_init__(self):
        fits = is_a(float, self.ratio) and 0 < self.ratio < 1
        require(fits, "ratio", self.ratio, "strictly between 0 and 1")
        require_at_least(self, 1, "patch")
        require_kinds(self)
        require(self.patch > 1 or not self.normalize, "patch", self.patch,
                "at least 2 with normalize: one pixel has no deviation")


class MaskedImage(Objective):
    """Hides a fraction of an image's patches and scores the model on the hidden pixels only.

    The model is called as `model(images, mask)`, with the hidden pixels set to 0 and a mask
    (B, 1, H, W) that is 1 where they were.

    With `normalize` it has to say of each pixel how many deviations of its patch it lies above the
    patch's mean: edges count in faint patches as they do in strong ones (ibid., section 3 and Table
    1d). What the model says is then no picture. To show it, `as_pixels` takes mean and deviation
    from the image itself, which the model has not seen: light and contrast of each patch are true,
    what is in it is predicted.

    Args:
        ratio: fraction of the patches to hide, strictly between 0 and 1.
        patch: side of a patch in pixels; must divide the image's height and width.
        normalize: whether the targets are normalised in each patch.

    Raises:
        ValueError: for a ratio outside (0, 1), a patch below 1 (below 2 with `normalize`), or one
            that does not fit.
    """

    config_class = MaskedImageConfig
    column = "images"

    def __init__(self, ratio: float = 0.75, patch: int = 4, normalize: bool = False):
        MaskedImageConfig(ratio, patch, normalize)  # which refuses what is not allowed
        super().__init__()
        self.ratio = ratio
        self.patch = patch
        self.normalize = normalize

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        images = take_column(samples, "images")  # (B, C, H, W)
        if images.ndim != 4 or not images.is_floating_point():
            raise ValueError("images must be (B, C, H, W) and float to be cut into patches, got "
                             f"{tuple(images.shape)} and {images.dtype}")
        channels, height, width = images.shape[1:]
        if height % self.patch or width % self.patch or height * width == self.patch**2:
            raise ValueError(
                f"patches of {self.patch} pixels do not tile an image of {height} × {width}: "
                "choose a divisor of both sides, smaller than the image"
            )
        mask = patch_mask(keys, height, width, self.patch, self.ratio)
        inputs = {"images": images * (1 - mask), "mask": mask}
        counts = {"masked_pixels": mask.sum().item() * channels}
        return Batch(inputs, {"images": self.target(images)}, counts)

    def target(self, images: Tensor) -> Tensor:
        """What the model should say of images: (B, C, H, W)."""
        if not self.normalize:
            return images
        mean, deviation = self.mean_and_deviation(images)
        return (images - mean) / deviation

    def mean_and_deviation(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Those of each patch, over pixels and channels, at each of its pixels: (B, C, H, W)."""
        patches = patchify(images, self.patch)  # (B, N, P² · C)
        variance, mean = torch.var_mean(patches, dim=2, keepdim=True)
        deviation = (variance + 1e-6).sqrt()  # of a patch of one colour, 1e-3
        return tuple(unpatchify(each.expand_as(patches), self.patch, images.shape[2])
                     for each in (mean, deviation))

    def as_pixels(self, answer: Tensor, images: Tensor) -> Tensor:
        """A model's answer as a picture, for showing.

        Args:
            answer: (B, C, H, W), what the model says.
            images: (B, C, H, W), the images as they are, nothing hidden.

        Returns:
            (B, C, H, W), about 0 to 1.
        """
        if not self.normalize:
            return answer
        mean, deviation = self.mean_and_deviation(images)
        return answer * deviation + mean

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        mask = batch.inputs["mask"]
        prediction = model(batch.inputs[self.column], mask)
        error = half_squared_error(prediction, batch.targets[self.column], where=mask)
        return {"masked_pixels": error}
