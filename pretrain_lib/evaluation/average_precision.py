"""Average precision of detections, as COCO measures it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..data.source import UNSCORED
from .iou import box_iou

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of the intersection over union that makes a match
RECALLS = np.linspace(0, 1, 101)
MAX_DETECTIONS = 100  # of a class in an image that count, the best


class AveragePrecision(NamedTuple):
    """What `average_precision` finds; each between 0 and 1.

    Attributes:
        ap: mean over classes and over the thresholds 0.5, 0.55 … 0.95.
        ap50: mean over classes at the threshold 0.5.
        per_class: (num_classes,) means over the thresholds; NaN for an absent class.
        per_class_50: (num_classes,) at the threshold 0.5.
        absent: classes without a true box, which are left out.
    """

    ap: float
    ap50: float
    per_class: Tensor
    per_class_50: Tensor
    absent: list[int]


def average_precision(found: tuple[Tensor, Tensor, Tensor], boxes: Tensor, labels: Tensor,
                      num_classes: int) -> AveragePrecision:
    """How many of the boxes found are right, and of the true ones are found, in one number.

    The detections of a class are sorted by score. One is right if its IoU is at least a threshold
    with a true box of its class and image that none before it has taken, and it takes the one that
    it shares most with. Precision is read off at 101 recalls, at each the best of that recall or a
    higher one, and averaged. Numbers are those of COCO's tool, `COCOeval` (Lin et al., "Microsoft
    COCO: common objects in context", ECCV 2014).

    Args:
        found: boxes (N, K, 4), labels (N, K), -100 where there is none, and scores (N, K), as
            `models.dense.Detections` are.
        boxes: (N, M, 4) the true ones.
        labels: (N, M) of the true ones, -100 where there is none.
        num_classes: number of classes.

    Raises:
        ValueError: if shapes do not fit, a label is none of the classes, or there is no true box.
    """
    check(found, boxes, labels, num_classes)
    found = tuple(column.cpu() for column in found)
    boxes, labels = boxes.cpu(), labels.cpu()
    per_class = torch.stack([of_one_class(found, boxes, labels, kind)
                             for kind in range(num_classes)])  # (C, thresholds)
    means = per_class.mean(1)
    return AveragePrecision(means.nanmean().item(), per_class[:, 0].nanmean().item(), means,
                            per_class[:, 0], means.isnan().nonzero()[:, 0].tolist())


def of_one_class(found: tuple[Tensor, Tensor, Tensor], boxes: Tensor, labels: Tensor,
                 kind: int) -> Tensor:
    """Average precision of one class at each threshold, (thresholds,); NaN without a true box."""
    scores, right = [np.empty(0)], [np.empty((len(THRESHOLDS), 0), dtype=bool)]
    for said, kinds, score, true, true_kinds in zip(*found, boxes, labels, strict=True):
        said, score = said[kinds == kind].double(), score[kinds == kind].double()
        order = score.argsort(descending=True, stable=True)[:MAX_DETECTIONS]
        overlaps = box_iou(said[order], true[true_kinds == kind].double())
        scores.append(score[order].numpy())
        right.append(matched(overlaps.numpy()))
    best_first = np.argsort(-np.concatenate(scores), kind="stable")
    number = int((labels == kind).sum())
    return torch.from_numpy(area_under_precision(np.hstack(right)[:, best_first], number))


def matched(overlaps: np.ndarray) -> np.ndarray:
    """Which detections of an image are right, at each threshold: (thresholds, D).

    Args:
        overlaps: (D, G) IoU of the detections, best first, with the true boxes.
    """
    right = np.zeros((len(THRESHOLDS), len(overlaps)), dtype=bool)
    free = np.ones((len(THRESHOLDS), overlaps.shape[1]), dtype=bool)
    if not free.size:
        return right
    each = np.arange(len(THRESHOLDS))
    for number, row in enumerate(overlaps):
        shared = np.where(free, row, -1.0)  # (thresholds, G)
        best = shared.shape[1] - 1 - shared[:, ::-1].argmax(1)  # of equals the last, as COCOeval
        right[:, number] = shared[each, best] >= THRESHOLDS
        free[each, best] &= ~right[:, number]
    return right


def area_under_precision(right: np.ndarray, number: int) -> np.ndarray:
    """The mean precision over 101 recalls, at each threshold, (thresholds,); NaN for no true box.

    Args:
        right: (thresholds, D) whether each detection is right, best first.
        number: of true boxes.
    """
    if not number:
        return np.full(len(right), np.nan)
    hits = right.cumsum(1)  # (thresholds, D)
    precision = hits / np.arange(1, right.shape[1] + 1)
    from_here_on = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    padded = np.pad(from_here_on, ((0, 0), (0, 1)))  # a recall that is not reached counts 0
    return np.array([row[np.searchsorted(recall, RECALLS)].mean()
                     for row, recall in zip(padded, hits / number, strict=True)])


def check(found: tuple[Tensor, Tensor, Tensor], boxes: Tensor, labels: Tensor,
          num_classes: int) -> None:
    """Raises where detections and true boxes do not fit together, or cannot be scored."""
    for name, its_boxes, its_labels in (("found", *found[:2]), ("true", boxes, labels)):
        if its_boxes.shape != (*its_labels.shape, 4) or len(its_labels) != len(labels):
            raise ValueError(f"{name} boxes must be ({len(labels)}, K, 4) and their labels "
                             f"({len(labels)}, K), got {tuple(its_boxes.shape)} and "
                             f"{tuple(its_labels.shape)}")
        kinds = its_labels[its_labels != UNSCORED]
        strange = kinds[(kinds < 0) | (kinds >= num_classes)]
        if len(strange):
            raise ValueError(f"{name} labels must be 0 to {num_classes - 1}, or {UNSCORED} for no "
                             f"box, got {strange[0].item()}")
    scores = found[2]
    if scores.shape != found[1].shape or scores.isnan().any():
        raise ValueError(f"scores must be {tuple(found[1].shape)} numbers, one for each box found, "
                         f"got {tuple(scores.shape)}{', some NaN' if scores.isnan().any() else ''}")
    if not (labels != UNSCORED).any():
        raise ValueError("there is no true box to be found: all labels are -100")
