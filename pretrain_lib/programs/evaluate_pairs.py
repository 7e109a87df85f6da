"""`evaluate --pairs`: do the cosines of pairs of texts rise with the scores that people gave?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.tables.dialect import Dialect
from ..data.tables.rows import read_rows
from ..data.tasks.labelled import cell, told_left_out
from ..data.text.document import has_word
from ..evaluation.correlation import Correlation, spearman_interval
from ..transfer.lexical import tfidf_cosines
from .embedder import Comparing, Embedder, told_cut_off
from .parts import in_parts

COLUMNS = ("first", "second", "score")


@dataclass(frozen=True)
class ScoredPairs:
    """Pairs of texts, each with a number that says how alike they are.

    Attributes:
        place: where they are from.
        first: N texts.
        second: N texts.
        scores: (N,) float64.
        left_out: rows without one of the three.
    """

    place: str
    first: list[str]
    second: list[str]
    scores: np.ndarray
    left_out: list[str]


@dataclass(frozen=True)
class PairScores:
    """How well cosines agree with the scores of pairs, by a model and by what it has to beat.

    Attributes:
        pairs: which pairs.
        correlations: Spearman's, by name, the model's first; None where all cosines are equal.
        cut_off: texts of which the model did not read the end.
    """

    pairs: ScoredPairs
    correlations: dict[str, Correlation | None]
    cut_off: int

    def __str__(self) -> str:
        pairs, width = self.pairs, max(map(len, self.correlations))
        lines = [f"{len(pairs.scores)} pairs of {pairs.place}: Spearman's correlation of cosines "
                 "and scores, 95% interval with other pairs"]
        if pairs.left_out:
            lines.append(told_left_out(pairs.left_out, len(pairs.scores)))
        for name, found in self.correlations.items():
            said = "none: all cosines are equal" if found is None else (
                f"{found.value:.3f}  ({found.low:.3f} to {found.high:.3f})")
            lines.append(f"{name:{width}}  {said}")
        if self.cut_off:
            lines.append(told_cut_off(self.cut_off))
        return "\n".join(lines)


def evaluate_pairs(name: str | Path, path: str | Path, how: Comparing = Comparing(),
                   dialect: Dialect = Dialect()) -> PairScores:
    """Spearman's correlation of cosines with scores, by a model and by TF-IDF.

    Args:
        name: an encoder of texts: a folder, a run's folder, or a name of the zoo.
        path: a table with the columns first, second and score, the higher the more alike.
        how: texts are compared.
        dialect: how the table is written, as far as it is said.

    Raises:
        FileNotFoundError: if there is no such model or table.
        ValueError: if the table has fewer than 3 pairs, scores that are no numbers or all the same,
            or the model makes no vector of a text.

    Source: Cer et al., "SemEval-2017 task 1: Semantic textual similarity", 2017, for the task;
    Reimers and Gurevych, "Sentence-BERT", EMNLP 2019, section 4.1, for Spearman's correlation.
    """
    pairs = read_pairs(Path(path), dialect)
    cosines, cut_off = cosines_of(Embedder.of(name, how.pooling, how.length), pairs)
    by_words = tfidf_cosines(pairs.first, pairs.second, how.terms).numpy()
    return PairScores(pairs, {
        name: spearman_interval(found, pairs.scores) if np.ptp(found) else None
        for name, found in ((str(name), cosines), (f"TF-IDF, {how.terms}", by_words))}, cut_off)


def cosines_of(embedder: Embedder, pairs: ScoredPairs) -> tuple[np.ndarray, int]:
    """The cosine of each pair, (N,), and of how many texts the end was not read."""
    cosines, cut_off = [], 0
    for part in in_parts(zip(pairs.first, pairs.second, strict=True)):
        first, second = (embedder(texts) for texts in zip(*part, strict=True))
        cosines.append((first.vectors * second.vectors).sum(1).numpy())
        cut_off += int(first.cut_off.sum() + second.cut_off.sum())
    return np.concatenate(cosines), cut_off


def read_pairs(path: Path, dialect: Dialect = Dialect()) -> ScoredPairs:
    """The pairs of a table.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it has fewer than 3 pairs, or a score that is no number, or one score only.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    kept, left_out = [], []
    for number, row in read_rows(path, COLUMNS, dialect):
        place = f"{path}:{number}"
        first, second, score = (cell(row, column, str(path), number) for column in COLUMNS)
        if has_word(first) and has_word(second) and score:
            kept.append((first, second, as_number(score, place)))
        else:
            left_out.append(place)
    scores = np.array([score for *_, score in kept])
    if len(kept) < 3 or not np.ptp(scores):
        raise ValueError(f"{path} has {len(kept)} pairs with {len(set(scores))} different scores: "
                         "3 and 2 are needed")
    first, second, _ = map(list, zip(*kept, strict=True))
    return ScoredPairs(str(path), first, second, scores, left_out)


def as_number(score: str, place: str) -> float:
    """A score as a number.

    Raises:
        ValueError: if it is none, or is not finite.
    """
    try:
        number = float(score)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f"{place}: score must be a finite number, got {score!r}")
    return number
