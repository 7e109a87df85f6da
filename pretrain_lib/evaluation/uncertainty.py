"""How sure a lead is: with other test samples, and with other seeds.

Two things are drawn in a comparison of models. The samples of the test set are, and what a seed
decides is: the labelled samples, the first weights, the order. More seeds say nothing about other
test samples, and more test samples say nothing about other seeds (Bouthillier et al., Accounting
for Variance in Machine Learning Benchmarks, 2021).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .classification import Comparison, paired_bootstrap


class Lead(NamedTuple):
    """How far A is ahead of B, with both uncertainties.

    Attributes:
        over_samples: the interval and p-value for other test samples.
        over_seeds: the interval and p-value for other seeds.
    """

    over_samples: Comparison
    over_seeds: Comparison

    @property
    def difference(self) -> float:
        """The mean score of A minus that of B."""
        return self.over_seeds.difference

    @property
    def is_clear(self) -> bool:
        """Whether neither interval includes 0."""
        return all(found.low > 0 or found.high < 0 for found in self)


def lead(a, b, groups=None, resamples: int = 10_000, confidence: float = 0.95) -> Lead:
    """How far A is ahead of B, over test samples and over seeds.

    Args:
        a: (N, runs), what A scores on each sample in each run, such as 0 or 1 for wrong or right;
            run i of both has the same seed.
        b: the same of B.
        groups: (N,) which samples belong together, such as sentences of one speech.
        resamples: of the bootstrap over samples.
        confidence: of both intervals, between 0 and 1.

    Raises:
        ValueError: if A and B do not fit together, or there are fewer than 2 samples or runs.
    """
    a, b = (np.asarray(scores, dtype=np.float64) for scores in (a, b))
    if a.ndim != 2:
        raise ValueError(f"a {a.shape} and b {b.shape} must be of one shape, (N, runs)")
    over_samples = paired_bootstrap(a, b, groups, resamples, confidence)
    return Lead(over_samples, over_seeds(a.mean(0), b.mean(0), confidence))


def over_seeds(a, b, confidence: float = 0.95) -> Comparison:
    """Whether A is better than B by more than seeds differ: a paired t-test.

    The mean of the differences is divided by its standard error and set beside Student's t with
    one degree of freedom less than there are runs (Student, The Probable Error of a Mean, 1908).

    Args:
        a: (runs,) scores of A, one per seed.
        b: (runs,) scores of B, with the same seeds.
        confidence: of the interval, between 0 and 1.

    Raises:
        ValueError: if A and B do not fit together, or there are fewer than 2 runs.
    """
    from scipy.stats import t

    a, b = (np.asarray(scores, dtype=np.float64) for scores in (a, b))
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise ValueError(f"a {a.shape} and b {b.shape} must be of one shape, (runs,), with at "
                         "least 2 runs")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    gains = a - b
    difference, error = gains.mean(), gains.std(ddof=1) / math.sqrt(len(gains))
    if error == 0:
        low = high = difference
        p = 1.0 if difference == 0 else 0.0
    else:
        low, high = t.interval(confidence, len(gains) - 1, difference, error)
        p = 2 * t.sf(abs(difference) / error, len(gains) - 1)
    return Comparison(float(difference), float(low), float(high), float(p))
