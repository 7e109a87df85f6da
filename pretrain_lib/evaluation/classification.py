"""How good predicted classes are, and whether one classifier is better than another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


def classes_of(predictions: Tensor, labels: Tensor) -> Tensor:
    """Predicted classes (N,), from classes or from scores (N, classes) of which the largest counts.

    Raises:
        ValueError: if they do not fit the labels or there is no sample.
    """
    if predictions.ndim == 2:
        predictions = predictions.argmax(dim=1)
    if predictions.shape != labels.shape or labels.ndim != 1 or not len(labels):
        raise ValueError(
            f"predictions {tuple(predictions.shape)} and labels {tuple(labels.shape)} "
            "must be of one length above 0"
        )
    return predictions


def accuracy(predictions: Tensor, labels: Tensor) -> float:
    """The fraction of samples whose class is predicted.

    Args:
        predictions: (N,) classes, or (N, classes) scores of which the largest counts.
        labels: (N,) classes.

    Raises:
        ValueError: if the two do not fit together or there is no sample.
    """
    return (classes_of(predictions, labels) == labels).float().mean().item()


def confusion_matrix(predictions: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """How many samples of each class, a row, are taken for each class, a column.

    Args:
        predictions: (N,) classes, or (N, classes) scores of which the largest counts.
        labels: (N,) classes.
        num_classes: number of classes, C; both are 0 to C - 1.

    Returns:
        (C, C) int64.
    """
    cells = labels.long() * num_classes + classes_of(predictions, labels).long()
    return torch.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def macro_f1(predictions: Tensor, labels: Tensor) -> float:
    """The mean over classes of F1 = 2 TP / (2 TP + FP + FN): rare classes count like common ones.

    Classes are those that occur among the labels or the predictions.

    Args:
        predictions: (N,) classes, or (N, classes) scores of which the largest counts.
        labels: (N,) classes.
    """
    predictions = classes_of(predictions, labels).long()
    num_classes = int(torch.maximum(predictions.max(), labels.max())) + 1
    counts = confusion_matrix(predictions, labels, num_classes).double()
    both = counts.sum(0) + counts.sum(1)  # 2 TP + FP + FN, (C,)
    occurs = both > 0
    return (2 * counts.diagonal()[occurs] / both[occurs]).mean().item()


def majority_class(labels: Tensor) -> int:
    """The most frequent class, the lowest of several: what to guess without reading anything."""
    return int(torch.bincount(labels.long()).argmax())


class Comparison(NamedTuple):
    """What `paired_bootstrap` finds.

    Attributes:
        difference: accuracy of A minus that of B.
        low: lower end of the interval of the difference.
        high: its upper end.
        p: how often chance alone makes the difference as large, in either direction.
    """

    difference: float
    low: float
    high: float
    p: float


def paired_bootstrap(correct_a: Tensor, correct_b: Tensor, groups=None, resamples: int = 10_000,
                     confidence: float = 0.95, seed: int = 0) -> Comparison:
    """Whether A is right more often than B on the same samples, or by chance.

    Samples are drawn anew with replacement, each with the answers of both. The interval is that
    of the percentiles; the p-value counts how often resampled differences, centred at 0, are as
    far from it as the one observed (Efron and Tibshirani, An Introduction to the Bootstrap, 1993).
    Of fewer than some 20 samples or groups it is too sure: what it has not seen it cannot draw.

    Args:
        correct_a: (N,) or (N, runs), whether A is right: 0 or 1, or False or True. Runs, such as
            seeds, are averaged: they do not make more samples.
        correct_b: the same of B.
        groups: (N,) which samples belong together, such as sentences of one speech; groups are
            then drawn whole. None draws single samples.
        resamples: how many times.
        confidence: share of the resampled differences within the interval, between 0 and 1.
        seed: of the draws.

    Raises:
        ValueError: if A and B do not fit together, or there are fewer than 2 samples or groups.
    """
    a, b = (np.asarray(correct, dtype=np.float64) for correct in (correct_a, correct_b))
    if a.shape != b.shape or a.ndim not in (1, 2):
        raise ValueError(f"correct_a {a.shape} and correct_b {b.shape} must be of one shape, (N,) "
                         "or (N, runs)")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    gain = (a - b).reshape(len(a), -1).mean(1)  # (N,)
    groups = np.arange(len(gain)) if groups is None else np.unique(groups, return_inverse=True)[1]
    if len(groups) != len(gain):
        raise ValueError(f"{len(groups)} groups do not fit {len(gain)} samples")
    sums, sizes = np.bincount(groups, weights=gain), np.bincount(groups)  # (G,)
    if len(sums) < 2:
        raise ValueError(f"a bootstrap needs at least 2 samples or groups, got {len(sums)}")
    generator = np.random.default_rng(seed)
    drawn = np.empty(resamples)
    for i in range(resamples):
        chosen = generator.integers(len(sums), size=len(sums))
        drawn[i] = sums[chosen].sum() / sizes[chosen].sum()
    difference = gain.mean()
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    as_far = np.abs(drawn - difference) >= abs(difference) - 1e-12
    p = (1 + as_far.sum()) / (1 + resamples)
    return Comparison(float(difference), float(low), float(high), float(p))
