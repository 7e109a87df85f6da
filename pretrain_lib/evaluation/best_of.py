"""What a best result is worth that was picked from several runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def expected_maximum(scores: Sequence[float], runs: int) -> float:
    """The best score that one may expect of some runs, told from the scores of others.

    Runs are drawn with replacement from those observed: E max = Σ v (P(V ≤ v)ⁿ - P(V < v)ⁿ) over
    the observed values v (Dodge et al., "Show your work: improved reporting of experimental
    results", EMNLP 2019). A best of ten must not be compared with a best of two. From few observed
    runs it is somewhat too low, the more so the larger n (Tang et al., "Showing your work doesn't
    always work", ACL 2020).

    Args:
        scores: (N,) of N runs that differ in their seed or setting, larger being better. Use
            validation scores where runs are chosen among.
        runs: n, of which the best would be reported.

    Raises:
        ValueError: if there is no score, or no run.
    """
    values = np.sort(np.asarray(scores, dtype=np.float64))
    if values.ndim != 1 or not len(values) or runs < 1:
        raise ValueError(f"scores must be some numbers in a row and runs at least 1, got scores of "
                         f"shape {values.shape} and runs={runs}")
    at_most = np.arange(len(values) + 1) / len(values)  # P(V ≤ v) at each value, from 0 on
    return float(values @ np.diff(at_most**runs))
