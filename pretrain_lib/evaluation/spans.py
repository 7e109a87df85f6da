"""How well names are found: F1 over whole spans, as at CoNLL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Span = tuple[int, int, str]  # first word, the one behind the last, and what kind


class SpanScores(NamedTuple):
    """What `span_scores` finds; each between 0 and 1.

    Attributes:
        precision: share of the predicted spans that are right.
        recall: share of the true spans that are found.
        f1: their harmonic mean.
    """

    precision: float
    recall: float
    f1: float


def spans(tags: Sequence[str]) -> set[Span]:
    """The spans of a sentence's BIO tags.

    An I of another kind than the word before, or behind an O, begins a span too, as in the script
    `conlleval` of CoNLL-2000.
    """
    found, start, kind = set(), 0, ""
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, this = tag.partition("-")
        goes_on = prefix == "I" and kind and this == kind
        if kind and not goes_on:
            found.add((start, i, kind))
            kind = ""
        if prefix in ("B", "I") and not goes_on:
            start, kind = i, this or "name"
    return found


def span_scores(predicted: Sequence[Sequence[str]], true: Sequence[Sequence[str]]) -> SpanScores:
    """Precision, recall and F1 over all spans of all sentences.

    A span is right if it begins and ends where a true one does and is of its kind (Tjong Kim Sang
    and De Meulder, "Introduction to the CoNLL-2003 shared task", 2003, section 2). Without a span
    to divide by, a score is 0.

    Args:
        predicted: for each sentence its words' tags, such as "B-COUNTRY".
        true: the same, as many.

    Raises:
        ValueError: if a sentence has not as many predicted tags as true ones.
    """
    right = said = there = 0
    for guess, truth in zip(predicted, true, strict=True):
        if len(guess) != len(truth):
            raise ValueError(f"{len(guess)} predicted tags do not fit {len(truth)} true ones")
        found, wanted = spans(guess), spans(truth)
        right, said, there = right + len(found & wanted), said + len(found), there + len(wanted)
    return SpanScores(right / max(said, 1), right / max(there, 1), 2 * right / max(said + there, 1))
