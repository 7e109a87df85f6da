"""Intersection over union: how much of two boxes, or of a class's two areas, is shared."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..data.source import UNSCORED


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """The area that two boxes share, divided by the area that they cover together.

    Args:
        a: (N, 4), x0, y0, x1, y1.
        b: (M, 4).

    Returns:
        (N, M), each between 0 and 1; 0 where both boxes are empty.
    """
    low = torch.maximum(a[:, None, :2], b[:, :2])  # (N, M, 2)
    high = torch.minimum(a[:, None, 2:], b[:, 2:])
    shared = (high - low).clamp(min=0).prod(2)  # (N, M)
    covered = area(a)[:, None] + area(b) - shared
    return torch.where(covered > 0, shared / covered, 0.0)


def area(boxes: Tensor) -> Tensor:
    """The area of boxes (N, 4): (N,)."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)


class MeanIoU(NamedTuple):
    """What `mean_iou` finds.

    Attributes:
        mean: over the classes that occur, background included.
        per_class: (num_classes + 1,) of each class, background first; NaN where it does not occur.
        absent: classes that occur neither in a mask nor in a prediction, and are left out.
    """

    mean: float
    per_class: Tensor
    absent: list[int]


def mean_iou(predicted: Tensor, masks: Tensor, num_classes: int) -> MeanIoU:
    """Intersection over union of each class's pixels, over all images together, and their mean.

    Sums over images come before the division: a mean over images would count an image without a
    class as 0 / 0 (Long, Shelhamer & Darrell, "Fully convolutional networks for semantic
    segmentation", CVPR 2015, section 5, "Metrics").

    Args:
        predicted: (N, H, W) classes, 0 is background.
        masks: (N, H, W) the true ones; -100 is not scored.
        num_classes: kinds of objects, so that classes are 0 to `num_classes`.

    Raises:
        ValueError: if shapes differ, a class is none, or no pixel is scored.
    """
    if predicted.shape != masks.shape:
        raise ValueError(f"predicted {tuple(predicted.shape)} and masks {tuple(masks.shape)} must "
                         "be of one shape, (N, H, W)")
    scored = masks != UNSCORED
    said, true = predicted[scored].long(), masks[scored].long()  # (P,)
    if not len(true):
        raise ValueError("no pixel of the masks is scored: all are -100")
    both = torch.cat([said, true])
    if both.min() < 0 or both.max() > num_classes:
        raise ValueError(f"classes must be 0, background, to {num_classes}, "
                         f"got {both.min().item()} to {both.max().item()}")
    size = num_classes + 1
    cells = torch.bincount(true * size + said, minlength=size**2).view(size, size).double()
    shared = cells.diagonal()
    covered = cells.sum(0) + cells.sum(1) - shared
    per_class = shared / covered  # 0 / 0 is NaN
    return MeanIoU(per_class.nanmean().item(), per_class, (covered == 0).nonzero()[:, 0].tolist())
