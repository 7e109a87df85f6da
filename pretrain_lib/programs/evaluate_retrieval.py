"""`evaluate --retrieval`: does a model find each query's own document, better than BM25 does?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.tables.dialect import Dialect
from ..data.tables.rows import read_rows
from ..data.tasks.labelled import cell, told_left_out
from ..data.text.document import has_word
from ..data.text.neighbour_data import digest, parts_of
from ..evaluation.classification import Comparison, paired_bootstrap
from ..evaluation.retrieval import Retrieval, cosine_scores, measure_retrieval
from ..training.run_folder import CONFIG, read_config
from ..transfer.lexical import bm25_scores, tfidf_scores
from .embedder import Comparing, Embedder, told_cut_off
from .evaluate import recipe_of
from .pretrain import add_to_report

COLUMNS = ("query", "document")
AT = (1, 10)
CELLS = 50_000_000  # scores at most; of more queries than that gives, some are asked


@dataclass(frozen=True)
class Judged:
    """Queries, and which documents of a pool each asks for.

    Attributes:
        place: where they are from.
        queries: Q different texts.
        documents: N different texts, the pool.
        own: for each query, the numbers of its documents.
        rows: how many rows say so.
        left_out: rows without a query or a document.
    """

    place: str
    queries: list[str]
    documents: list[str]
    own: list[list[int]]
    rows: int
    left_out: list[str]

    def relevant(self) -> Tensor:
        """(Q, N) whether a document is one of a query's own."""
        found = torch.zeros(len(self.queries), len(self.documents), dtype=torch.bool)
        for row, numbers in zip(found, self.own, strict=True):
            row[numbers] = True
        return found

    def sample(self, number: int) -> Judged:
        """So many of the queries, spread evenly, with the whole pool."""
        chosen = np.linspace(0, len(self.queries) - 1, number).astype(int)
        return replace(self, queries=[self.queries[i] for i in chosen],
                       own=[self.own[i] for i in chosen])


@dataclass(frozen=True)
class RetrievalScores:
    """How well queries find their documents, by a model and by what it has to beat.

    Attributes:
        judged: the queries that were asked, and the pool.
        queries: how many there are.
        scores: by name, the model's first.
        lead: of the model over BM25 in nDCG@10, over other queries.
        cut_off: texts of which the model did not read the end.
    """

    judged: Judged
    queries: int
    scores: dict[str, Retrieval]
    lead: Comparison
    cut_off: int

    def __str__(self) -> str:
        judged, width = self.judged, max(map(len, self.scores))
        asked = len(judged.queries)
        some = "" if asked == self.queries else f" of {self.queries}"
        lines = [f"{asked}{some} queries among {len(judged.documents)} documents of "
                 f"{judged.place}; each query's own are relevant, and equal texts are one"]
        if judged.left_out:
            lines.append(told_left_out(judged.left_out, judged.rows))
        lines.append(f"{'':{width}}    hit@1   hit@10      MRR  nDCG@10")
        for name, found in self.scores.items():
            hit_1, hit_10, mrr, ndcg = means(found).values()
            lines.append(f"{name:{width}} {hit_1:8.1%} {hit_10:8.1%} {mrr:8.3f} {ndcg:8.3f}")
        lead = self.lead
        lines.append(f"nDCG@10 above BM25's: {lead.difference:+.3f}, 95% interval {lead.low:+.3f} "
                     f"to {lead.high:+.3f} with other queries")
        if self.cut_off:
            lines.append(told_cut_off(self.cut_off))
        return "\n".join(lines)


def evaluate_retrieval(name: str | Path, path: str | Path, how: Comparing = Comparing(),
                       dialect: Dialect = Dialect()) -> RetrievalScores:
    """Scores a model, BM25 and TF-IDF on the same pool, and what chance does.

    Args:
        name: an encoder of texts: a folder, a run's folder, or a name of the zoo.
        path: a table with the columns query and document, each query beside its own document.
        how: texts are compared.
        dialect: how the table is written, as far as it is said.

    Raises:
        FileNotFoundError: if there is no such model or table.
        ValueError: if the table has fewer than 2 queries or than 10 documents, or the model makes
            no vector of a text.
    """
    return scored(name, read_judged(Path(path), dialect), how)


def evaluate_held_out_pairs(folder: str | Path, how: Comparing = Comparing()) -> RetrievalScores:
    """Scores a run's model on the pairs that it held out, and keeps that in the run's folder.

    The first text of each pair is the query, the second its document.

    Args:
        folder: of a run whose data are `NeighbourData`.
        how: as in `evaluate_retrieval`.

    Raises:
        ValueError: if the pairs have changed since, or too few were held out.
    """
    folder = Path(folder)
    config = recipe_of(folder).data.config
    _, held_out = parts_of(config)
    if digest(held_out) != read_config(folder / CONFIG)["recipe"]["data"]["held_out_text"]:
        raise ValueError(f"the pairs of {config.name} have changed since the run in {folder}: give "
                         "others, with --retrieval")
    rows = list(zip(held_out.first, held_out.second, strict=True))
    judged = judged_of(f"the pairs of {config.name} that were held out", rows, [])
    scores = scored(folder, judged, how)
    names = ["model", *list(scores.scores)[1:]]
    add_to_report(folder, held_out={name: means(found) for name, found in
                                    zip(names, scores.scores.values(), strict=True)})
    return scores


def means(found: Retrieval) -> dict[str, float]:
    """The measures that are told, each the mean over the queries."""
    columns = {"hit@1": found.hit[1], "hit@10": found.hit[10], "MRR": found.reciprocal_rank,
               "nDCG@10": found.ndcg[10]}
    return {name: column.mean().item() for name, column in columns.items()}


def scored(name: str | Path, every: Judged, how: Comparing) -> RetrievalScores:
    """The scores of a model and of its rivals on one pool."""
    judged = every.sample(min(len(every.queries), max(2, CELLS // len(every.documents))))
    embedder = Embedder.of(name, how.pooling, how.length)
    queries, documents = (embedder(texts, kind) for texts, kind in
                          ((judged.queries, "query"), (judged.documents, "document")))
    asked = len(judged.queries), len(judged.documents)
    methods: dict[str, Callable[[], Tensor]] = {
        str(name): lambda: cosine_scores(queries.vectors, documents.vectors),
        f"BM25, {how.terms}": lambda: bm25_scores(judged.queries, judged.documents, how.terms),
        f"TF-IDF, {how.terms}": lambda: tfidf_scores(judged.queries, judged.documents, how.terms),
        "chance": lambda: torch.zeros(asked)}
    relevant = judged.relevant()
    scores = {method: measure_retrieval(score(), relevant, AT) for method, score in methods.items()}
    ours, bm25, *_ = scores.values()
    cut_off = int(queries.cut_off.sum() + documents.cut_off.sum())
    return RetrievalScores(judged, len(every.queries), scores,
                           paired_bootstrap(ours.ndcg[10], bm25.ndcg[10]), cut_off)


def read_judged(path: Path, dialect: Dialect = Dialect()) -> Judged:
    """The queries and documents of a table; equal texts are one.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it has fewer than 2 queries or than 10 documents.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    rows, left_out = [], []
    for number, row in read_rows(path, COLUMNS, dialect):
        texts = [cell(row, column, str(path), number) for column in COLUMNS]
        if all(map(has_word, texts)):
            rows.append(texts)
        else:
            left_out.append(f"{path}:{number}")
    return judged_of(str(path), rows, left_out)


def judged_of(place: str, rows: Sequence[Sequence[str]], left_out: list[str]) -> Judged:
    """Queries, each beside its own document; equal texts are one.

    Raises:
        ValueError: if there are fewer than 2 queries or than 10 documents.
    """
    queries: dict[str, list[int]] = {}
    documents: dict[str, int] = {}
    for query, document in rows:
        own = queries.setdefault(query, [])
        own.append(documents.setdefault(document, len(documents)))
    if len(queries) < 2 or len(documents) < max(AT):
        raise ValueError(f"{place} has {len(queries)} different queries and {len(documents)} "
                         f"different documents: 2 and {max(AT)} are needed")
    return Judged(place, list(queries), list(documents), list(queries.values()), len(rows),
                  left_out)
