"""How far written transcripts are from what was said: phone and word error rates."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

Transcript = Sequence[Hashable]


def edit_distance(reference: Transcript, written: Transcript) -> int:
    """The fewest symbols to replace, leave out or put in that make one transcript the other.

    Source: Levenshtein 1966; computed row by row (Wagner and Fischer, "The string-to-string
    correction problem", Journal of the ACM 1974).
    """
    row = list(range(len(written) + 1))
    for i, said in enumerate(reference, 1):
        above, row[0] = row[0], i
        for j, symbol in enumerate(written, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (said != symbol))
    return row[-1]


def edit_counts(references: Sequence[Transcript], written: Sequence[Transcript]) -> np.ndarray:
    """Errors and symbols of each reference, (N, 2): what a bootstrap over utterances draws from.

    Args:
        references: what was said, N transcripts, each a sequence of phones or words.
        written: what a model wrote.

    Raises:
        ValueError: if there are not as many of one as of the other, or a transcript is a string,
            whose letters would be counted.
    """
    if len(references) != len(written) or not len(references):
        raise ValueError(f"{len(written)} transcripts and {len(references)} references: "
                         "each transcript needs one, and there must be some")
    for transcript in (*references, *written):
        if isinstance(transcript, str):
            raise ValueError(f"a transcript must be a list of words or phones, got {transcript!r}: "
                             "split it")
    return np.array([(edit_distance(said, wrote), len(said))
                     for said, wrote in zip(references, written, strict=True)])


def error_rate(references: Sequence[Transcript], written: Sequence[Transcript]) -> float:
    """Errors over symbols said, counted over all utterances: of words WER, of phones PER.

    It is 1 for transcripts that are all empty, and above 1 where more is put in than was said.

    Args:
        references: what was said, N transcripts, each a sequence of phones or words.
        written: what a model wrote.

    Raises:
        ValueError: as `evaluation.error_rate.edit_counts`, or if nothing was said at all.
    """
    errors, symbols = edit_counts(references, written).sum(0)
    if not symbols:
        raise ValueError("all references are empty: there is nothing to be wrong about")
    return float(errors / symbols)
