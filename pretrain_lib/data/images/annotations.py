"""What images may hold beside a label: boxes and masks, checked when they come in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..source import UNSCORED

Objects = tuple[Sequence, Sequence]  # of an image: boxes x, y, width, height, and their classes
ROUNDING = 1  # pixels by which a box may stick out, and is then cut


def stack_objects(objects: Sequence[Objects], height: int, width: int) -> dict[str, Tensor]:
    """The objects of each image as the columns `boxes` (N, M, 4) and `box_labels` (N, M).

    Args:
        objects: for each of N images its boxes, each x, y, width and height in pixels, and their
            classes. M is the largest number of them.
        height: of the images, in pixels.
        width: likewise.
    """
    most = max(1, *(len(labels) for _, labels in objects))
    boxes = torch.zeros(len(objects), most, 4)
    box_labels = torch.full((len(objects), most), UNSCORED)
    for i, (corners_and_sizes, labels) in enumerate(objects):
        if len(labels):
            found = torch.as_tensor(corners_and_sizes, dtype=torch.float32).reshape(-1, 4)
            found = torch.cat([found[:, :2], found[:, :2] + found[:, 2:]], dim=1)
            boxes[i, : len(labels)] = cut(found, height, width)
            box_labels[i, : len(labels)] = torch.as_tensor(labels)
    return {"boxes": boxes, "box_labels": box_labels}


def cut(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes (M, 4) without what sticks out by less than a pixel, as rounding makes."""
    limits = torch.tensor([width, height, width, height])
    near = (boxes > -ROUNDING) & (boxes < limits + ROUNDING)
    return torch.where(near, boxes.clamp(min=0).minimum(limits), boxes)


def check_boxes(boxes: Tensor, box_labels: Tensor, classes: int, height: int, width: int) -> None:
    """Boxes lie within their images, are not empty, and have a class.

    Args:
        boxes: (N, M, 4), left, upper, right and lower edge in pixels.
        box_labels: (N, M), -100 where there is no object.
        classes: how many classes there are.
        height: of the images, in pixels.
        width: likewise.

    Raises:
        ValueError: naming the first sample at fault.
    """
    if boxes.ndim != 3 or boxes.shape[2] != 4 or boxes.shape[:2] != box_labels.shape:
        raise ValueError("boxes must be (N, M, 4) and box_labels (N, M), got "
                         f"{tuple(boxes.shape)} and {tuple(box_labels.shape)}")
    there = box_labels != UNSCORED
    wrong = there & ((box_labels < 0) | (box_labels >= classes))
    if wrong.any():
        i, j = first(wrong)
        raise ValueError(f"box_labels must lie between 0 and {classes - 1}, or be {UNSCORED} where "
                         f"there is no object, sample {i} has {int(box_labels[i, j])}")
    left, upper, right, lower = boxes.unbind(2)
    wrong = there & ~((right > left) & (lower > upper))
    if wrong.any():
        i, j = first(wrong)
        raise ValueError("boxes must be x0, y0, x1, y1 with x0 < x1 and y0 < y1, sample "
                         f"{i} has {as_words(boxes[i, j])}")
    wrong = there & ((left < 0) | (upper < 0) | (right > width) | (lower > height))
    if wrong.any():
        i, j = first(wrong)
        raise ValueError(f"boxes must lie within images {width} pixels wide and {height} high, "
                         f"sample {i} has {as_words(boxes[i, j])}")


def check_masks(masks: Tensor, classes: int, height: int, width: int) -> None:
    """Masks are as large as their images and hold classes.

    Args:
        masks: (N, H, W), 0 for the background, 1 + class elsewhere, -100 where nothing is scored.
        classes: how many classes there are.
        height: of the images, in pixels.
        width: likewise.

    Raises:
        ValueError: naming the first sample at fault.
    """
    if masks.ndim != 3 or tuple(masks.shape[1:]) != (height, width):
        raise ValueError(f"masks must be as large as the images, (N, {height}, {width}), got "
                         f"{tuple(masks.shape)}")
    wrong = ((masks < 0) & (masks != UNSCORED)) | (masks > classes)
    if wrong.any():
        at = first(wrong)
        raise ValueError(f"masks must hold 0 for the background, 1 to {classes} for the classes, "
                         f"or {UNSCORED} for what is not scored, sample {at[0]} has "
                         f"{int(masks[at])}")


def first(wrong: Tensor) -> tuple[int, ...]:
    """The place of the first True."""
    return tuple(wrong.nonzero()[0].tolist())


def as_words(box: Tensor) -> str:
    return ", ".join(f"{edge:g}" for edge in box.tolist())


def polygon_mask(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Which pixels have their centre in a polygon, by the even-odd rule.

    Args:
        points: (P, 2), x and y of its corners, in pixels.
        height: of the image, in pixels.
        width: likewise.

    Returns:
        (H, W) bool.
    """
    inside = np.zeros((height, width), dtype=bool)
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        rows = np.flatnonzero((y0 <= y) != (y1 <= y))  # those that the edge crosses, and where:
        crossing = x0 + (y[rows] - y0) * (x1 - x0) / (y1 - y0 if len(rows) else 1)
        inside[rows] ^= x > crossing[:, None]
    return inside
