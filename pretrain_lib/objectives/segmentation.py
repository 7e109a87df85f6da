"""Segmentation: the class of every pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.source import UNSCORED, Samples
from ..validation import require_at_least
from .base import Batch, Objective, take_column


class Segmentation(Objective):
    """Cross-entropy between scores and the class of each pixel, averaged over scored pixels.

    So fully convolutional networks were trained (Long, Shelhamer & Darrell, CVPR 2015, section 4).
    The source has the columns `images`, (B, C, H, W), and `masks`, (B, H, W): 0 is background, 1 +
    its class an object, and -100 is not scored.

    Args:
        num_classes: kinds of objects.
    """

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        require_at_least(self, 1, "num_classes")

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        images, masks = take_column(samples, "images"), take_column(samples, "masks").long()
        self.check(images, masks)
        scored = int((masks != UNSCORED).sum())
        return Batch({"images": images}, {"masks": masks}, {"cross_entropy": scored})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        scores, masks = model(batch.inputs["images"]), batch.targets["masks"]
        given = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        expected = (len(masks), self.num_classes + 1, *masks.shape[1:])
        if given != expected:
            raise ValueError(f"{type(model).__name__} answers with {given}, not with "
                             f"{expected}, a score a pixel of background and {self.num_classes} "
                             "classes: give a Segmenter of as many")
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        return {"cross_entropy": F.cross_entropy(scores, masks, reduction="sum",
                                                 ignore_index=UNSCORED)}

    def check(self, images: Tensor, masks: Tensor) -> None:
        """Raises where a mask is of another size than its image, or a pixel of no class."""
        if masks.shape != (len(images), *images.shape[-2:]):
            raise ValueError(f"masks must be {(len(images), *images.shape[-2:])}, of the size of "
                             f"images {tuple(images.shape)}, got {tuple(masks.shape)}")
        strange = masks[(masks != UNSCORED) & ((masks < 0) | (masks > self.num_classes))]
        if len(strange):
            raise ValueError(f"masks must hold 0, background, to {self.num_classes}, the last "
                             f"class, or {UNSCORED}, not scored, got {strange[0].item()}")
