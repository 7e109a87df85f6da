"""Whether a classifier that is 80 % sure is right in 80 of 100 cases.

Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .classification import classes_of

SMALLEST, LARGEST = 1e-3, 1e3


class Reliability(NamedTuple):
    """Samples sorted into bins of equal width by confidence, the largest probability of each.

    Attributes:
        confidence: (M,) mean confidence in each bin; NaN where it is empty.
        accuracy: (M,) share of right answers in it; NaN where it is empty.
        count: (M,) samples in it.
    """

    confidence: Tensor
    accuracy: Tensor
    count: Tensor

    @property
    def error(self) -> float:
        """The expected calibration error: Σ count/N |accuracy − confidence| (ibid., section 2)."""
        gap = (self.accuracy - self.confidence).abs().nan_to_num()
        return (self.count * gap).sum().item() / self.count.sum().item()


def reliability(logits: Tensor, labels: Tensor, bins: int = 15) -> Reliability:
    """A reliability diagram's numbers.

    Bin m of M holds confidences in ((m − 1)/M, m/M].

    Args:
        logits: (N, classes), of which a softmax makes probabilities.
        labels: (N,) classes.
        bins: M.

    Raises:
        ValueError: if the two do not fit together, there is no sample, or no bin.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    right = (classes_of(logits, labels) == labels).double()
    confidence = logits.double().softmax(1).amax(1)
    bin_of = ((confidence * bins).ceil().long() - 1).clamp(0, bins - 1)
    count = torch.bincount(bin_of, minlength=bins)
    sums = [torch.bincount(bin_of, values, minlength=bins) for values in (confidence, right)]
    return Reliability(*(total / count for total in sums), count)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T for which softmax(logits / T) has the smallest cross-entropy.

    One number for all samples, so no answer changes, only how sure it is (ibid., section 4.2). Fit
    it on samples that were not trained on, and judge it on yet others. The cross-entropy is convex
    in β = 1/T; its slope, the mean of E_β[logit] − logit of the label, is bisected.

    Args:
        logits: (N, classes).
        labels: (N,) classes.

    Raises:
        ValueError: if the two do not fit together, or no T between 0.001 and 1000 is best.
    """
    classes_of(logits, labels)
    logits = logits.double()
    true = logits.gather(1, labels.long()[:, None])[:, 0]

    def slope(beta: float) -> float:
        return (((beta * logits).softmax(1) * logits).sum(1) - true).mean().item()

    low, high = 1 / LARGEST, 1 / SMALLEST
    if not slope(low) < 0 < slope(high):
        raise ValueError(f"no temperature between {SMALLEST} and {LARGEST} is best: the answers "
                         "must be sometimes wrong, and better than chance")
    for _ in range(45):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / middle
