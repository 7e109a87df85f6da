"""How well predicted numbers agree with true ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Correlation(NamedTuple):
    """A correlation, and the interval in which it lies with other samples."""

    value: float
    low: float
    high: float


def two_rows(a, b) -> tuple[np.ndarray, np.ndarray]:
    """The two as arrays of float64, of one length and finite."""
    a, b = (np.asarray(x, dtype=np.float64) for x in (a, b))
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise ValueError("two rows of one length, 2 or more, are needed, got "
                         f"{a.shape} and {b.shape}")
    for x in (a, b):
        if not np.isfinite(x).all():
            raise ValueError(f"all numbers must be finite, got {x[~np.isfinite(x)][0]}")
    return a, b


def pearson(a, b) -> float:
    """The correlation of two rows of numbers, −1 to 1.

    Raises:
        ValueError: if they differ in length, hold fewer than two numbers or one that is not finite,
            or if one of them is constant.
    """
    a, b = two_rows(a, b)
    constant = (a == a[0]).all() or (b == b[0]).all()  # the mean of equal numbers may be another
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a @ a) * (b @ b))
    if constant or size == 0:
        raise ValueError("all numbers of a row are equal: nothing varies together with them")
    return float(a @ b / size)


def ranks(x) -> np.ndarray:
    """The rank of each number, from 1; equal ones share the mean of their ranks."""
    _, inverse, counts = np.unique(np.asarray(x), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def spearman(a, b) -> float:
    """The correlation of the ranks: 1 if one grows wherever the other does.

    Spearman, "The proof and measurement of association between two things", 1904.

    Raises:
        ValueError: as `pearson`.
    """
    a, b = two_rows(a, b)
    return pearson(ranks(a), ranks(b))


def spearman_interval(a, b, resamples: int = 1000, confidence: float = 0.95,
                      seed: int = 0) -> Correlation:
    """Spearman's correlation, with the interval of the percentiles of a bootstrap over samples.

    Samples are drawn anew with replacement, and ranked anew (Efron and Tibshirani, An Introduction
    to the Bootstrap, 1993, chapter 13). Draws in which all numbers of a row are equal have no
    correlation, and are left out.

    Args:
        a: (N,) numbers.
        b: (N,) numbers.
        resamples: how many times.
        confidence: share of the resampled correlations within the interval, between 0 and 1.
        seed: of the draws.

    Raises:
        ValueError: as `pearson`, or for a confidence that is none.
    """
    a, b = two_rows(a, b)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    value, generator = spearman(a, b), np.random.default_rng(seed)
    draws = (generator.integers(len(a), size=len(a)) for _ in range(resamples))
    drawn = [spearman(a[ids], b[ids]) for ids in draws if np.ptp(a[ids]) and np.ptp(b[ids])]
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Correlation(value, float(low), float(high))
