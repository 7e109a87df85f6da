"""How near written texts come to those that people wrote: exact match and chrF."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

LONGEST = 6  # characters of an n-gram
BETA = 2  # recall counts as if it were twice as important as precision


def exact_matches(written: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Which texts are the reference to the letter, (N,) bool.

    Raises:
        ValueError: if there are not as many references as texts, or none.
    """
    require_pairs(written, references)
    return np.array([a == b for a, b in zip(written, references, strict=True)])


def chrf(written: Sequence[str], references: Sequence[str]) -> float:
    """chrF of a whole set of texts, between 0 and 1: an F-score of their character n-grams.

    Precision is the share of the n-grams written that the reference has too, recall the share of
    the reference's that were written. Both are counted over all texts, for each n from 1 to 6, and
    averaged over n; spaces do not count. Then F = (1 + β²) P R / (β² P + R) with β = 2 (Popović,
    "chrF: character n-gram F-score for automatic MT evaluation", WMT 2015, and with this β "chrF
    deconstructed", WMT 2016). No tokenizer is needed, so it serves Chinese as well as French.

    Raises:
        ValueError: if there are not as many references as texts, or none.
    """
    require_pairs(written, references)
    return f_score(sum(map(n_gram_counts, written, references)))


def sentence_chrf(written: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """chrF of each text by itself, (N,): what a bootstrap draws from.

    Raises:
        ValueError: if there are not as many references as texts, or none.
    """
    require_pairs(written, references)
    return np.array([f_score(counts) for counts in map(n_gram_counts, written, references)])


def n_gram_counts(written: str, reference: str) -> np.ndarray:
    """n-grams of the text, of the reference, and in both, for n = 1 … 6: (6, 3).

    Where the reference is shorter than n, those of the text do not count, as in sacrebleu.
    """
    a, b = ("".join(text.split()) for text in (written, reference))
    rows = []
    for n in range(1, LONGEST + 1):
        ours, theirs = (Counter(text[i : i + n] for i in range(len(text) - n + 1))
                        for text in (a, b))
        rows.append([ours.total() if theirs else 0, theirs.total(), (ours & theirs).total()])
    return np.array(rows)


def f_score(counts: np.ndarray) -> float:
    """F from counts (6, 3); lengths that text or reference are too short for are left out."""
    written, expected, common = counts[(counts[:, :2] > 0).all(1)].T
    if not common.sum():
        return 0.0
    precision, recall = (common / written).mean(), (common / expected).mean()
    return float((1 + BETA**2) * precision * recall / (BETA**2 * precision + recall))


def require_pairs(written: Sequence[str], references: Sequence[str]) -> None:
    if len(written) != len(references) or not len(written):
        raise ValueError(f"{len(written)} texts and {len(references)} references: "
                         "each text needs one, and there must be some")
