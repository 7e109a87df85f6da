"""How far up the documents that a query asks for stand, among all documents of a pool.

Documents of one score have no order. So every measure here is its mean over all orders of tied
documents, as McSherry and Najork, "Computing information retrieval performance measures efficiently
in the presence of tied scores", ECIR 2008, have it. Scores that are all the same then measure
exactly what chance does, and nothing hangs on the order in which documents were listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

CELLS = 4_000_000  # scores that are sorted at once


@dataclass(frozen=True)
class Retrieval:
    """What `measure_retrieval` finds, for each of Q queries, in float64.

    Attributes:
        pool: number of documents that each query was compared with.
        rank: (Q,) the place of the first relevant document, counted from 1.
        reciprocal_rank: (Q,) one over that place; its mean is MRR.
        hit: for each k, (Q,) whether a relevant document is among the first k, or how likely so.
        recall: for each k, (Q,) the share of the relevant documents that are among the first k.
        ndcg: for each k, (Q,) the discounted gain of the first k, as a share of the largest.
    """

    pool: int
    rank: Tensor
    reciprocal_rank: Tensor
    hit: dict[int, Tensor]
    recall: dict[int, Tensor]
    ndcg: dict[int, Tensor]

    def __str__(self) -> str:
        hits = ", ".join(f"hit@{k} {values.mean():.1%}" for k, values in self.hit.items())
        return (f"{hits}, MRR {self.reciprocal_rank.mean():.3f}: {len(self.rank)} queries among "
                f"{self.pool} documents")


def measure_retrieval(scores: Tensor, relevant: Tensor, at: Sequence[int] = (1, 5, 10),
                      tolerance: float = 1e-6) -> Retrieval:
    """How well scores find the relevant documents; the larger a score, the nearer to the top.

    Of a query's documents, sorted by score, neighbours are tied where their scores differ by no
    more than `tolerance` times the query's largest absolute score: what is equal on paper differs
    in its last digits in float32. A measure is its mean over all orders of what is tied.

    With one relevant document a query, hit and recall at k are the same, the R@k of models of
    images and texts. nDCG at k is Σ g / log₂(1 + place) over the first k places, divided by what
    the best order has (Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques",
    ACM TOIS 2002); the gain g is the grade itself: give 2^grade − 1 for that one.

    Args:
        scores: (Q, N), of each query with each document, such as `cosine_scores`.
        relevant: (Q,) integers, the document that each query asks for; or (Q, N), 0 where a
            document is not relevant and otherwise how much it is: True, 1, or a grade.
        at: the places k to count up to.
        tolerance: differences of scores that are none, as a share of the query's largest.

    Raises:
        ValueError: if the pool is empty, a score is not finite, a query has no relevant document, a
            grade is negative, the two do not fit together, or k is more than there are documents.
    """
    scores = torch.as_tensor(scores).detach().cpu()
    if scores.ndim != 2 or not scores.numel():
        raise ValueError("scores must be (queries, documents), with at least one of each, got "
                         f"{tuple(scores.shape)}")
    if not scores.isfinite().all():
        raise ValueError("scores must be finite numbers, got NaN or infinity")
    pool = scores.shape[1]
    strange = [k for k in at if not 1 <= k <= pool]
    if strange or not at:
        raise ValueError(f"at must be places from 1 to {pool}, the size of the pool, got "
                         f"{tuple(at)}")
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0, got {tolerance}")
    relevant = torch.as_tensor(relevant).detach().cpu()
    require_relevant(relevant, len(scores), pool)
    rows = max(1, CELLS // pool)
    blocks = [measured(*block, at, tolerance)
              for block in zip(scores.split(rows), relevant.split(rows), strict=True)]
    names = blocks[0].keys()
    columns = {name: torch.cat([block[name] for block in blocks]) for name in names}
    return Retrieval(pool, columns["rank"], columns["reciprocal_rank"],
                     *({k: columns[name, k] for k in at} for name in ("hit", "recall", "ndcg")))


def cosine_scores(queries: Tensor, documents: Tensor) -> Tensor:
    """The cosine of each query with each document; that of a vector of zeros is 0.

    Args:
        queries: (Q, D).
        documents: (N, D).

    Returns:
        (Q, N), in the vectors' precision, at least float32.

    Raises:
        ValueError: if one of them is empty, or their vectors are not of one size.
    """
    shapes = tuple(queries.shape), tuple(documents.shape)
    if queries.ndim != 2 or documents.ndim != 2 or shapes[0][1] != shapes[1][1]:
        raise ValueError(f"queries {shapes[0]} and documents {shapes[1]} must be (Q, D) and (N, D)")
    if not len(queries) or not len(documents):
        raise ValueError(f"there must be a query and a document, got {len(queries)} queries and a "
                         f"pool of {len(documents)} documents")
    dtype = torch.promote_types(torch.promote_types(queries.dtype, documents.dtype), torch.float32)
    return F.normalize(queries.to(dtype), dim=1) @ F.normalize(documents.to(dtype), dim=1).T


def require_relevant(relevant: Tensor, queries: int, pool: int) -> None:
    """Raises where it does not say of each query which documents it asks for."""
    whole = not relevant.is_floating_point() and relevant.dtype != torch.bool
    if relevant.shape == (queries,) and whole:
        outside = relevant[(relevant < 0) | (relevant >= pool)]
        if len(outside):
            raise ValueError(f"relevant must be documents from 0 to {pool - 1}, got "
                             f"{int(outside[0])}")
        return
    if relevant.shape != (queries, pool):
        raise ValueError(f"relevant must be ({queries},) integers, the document of each query, or "
                         f"({queries}, {pool}), how relevant each is, got {tuple(relevant.shape)} "
                         f"{relevant.dtype}")
    if relevant.dtype != torch.bool and not (relevant.isfinite() & (relevant >= 0)).all():
        raise ValueError("relevant must be grades of 0 and more, got a negative one, NaN or "
                         "infinity")
    without = (relevant > 0).sum(1) == 0
    if without.any():
        raise ValueError(f"query {int(without.int().argmax())} has no relevant document among the "
                         f"{pool} of the pool: leave it out, or add one")


def measured(scores: Tensor, relevant: Tensor, at: Sequence[int], tolerance: float) -> dict:
    """The measures of some queries by name, those at k by name and k, (Q,) each."""
    grades = F.one_hot(relevant.long(), scores.shape[1]) if relevant.ndim == 1 else relevant
    scores, order = scores.double().sort(1, descending=True)
    gains = grades.gather(1, order).double()  # (Q, N), as they are ranked
    ties = Ties(scores, tolerance)
    place = torch.arange(1, scores.shape[1] + 1).double()
    total = (gains > 0).double().sum(1)
    tied = ties.sums((gains > 0).double())  # (Q, N), the relevant ones in the tie at a place
    left = ties.size - ties.before  # of the tie's documents, those not placed before
    none = ((left - tied) / left).clamp(min=0).cumprod(1)  # P(nothing relevant so far)
    first = F.pad(none, (1, 0), value=1.0)[:, :-1] - none  # P(the first relevant stands here)
    found = {"rank": first @ place, "reciprocal_rank": first @ (1 / place)}
    discount = 1 / (1 + place).log2()
    expected, share = ties.sums(gains) / ties.size, tied / ties.size
    best = gains.sort(1, descending=True).values
    for k in at:
        found["hit", k] = 1 - none[:, k - 1]
        found["recall", k] = share[:, :k].sum(1) / total
        found["ndcg", k] = (expected[:, :k] @ discount[:k]) / (best[:, :k] @ discount[:k])
    return found


class Ties:
    """Which documents of a sorted list are tied.

    Args:
        scores: (Q, N), descending.
        tolerance: see `measure_retrieval`.

    Attributes:
        size: (Q, N) float64, how many documents the tie of a place has, one or more.
        before: (Q, N) float64, how many places of that tie stand before this one.
    """

    def __init__(self, scores: Tensor, tolerance: float):
        apart = scores[:, :-1] - scores[:, 1:] > tolerance * scores.abs().amax(1, keepdim=True)
        begins = F.pad(apart, (1, 0), value=True)
        self.number = begins.long().cumsum(1) - 1
        place = torch.arange(scores.shape[1]).expand_as(scores)
        self.size = self.sums(torch.ones_like(scores))
        self.before = (place - (place * begins).cummax(1).values).double()

    def sums(self, values: Tensor) -> Tensor:
        """The sum over the tie of each place, (Q, N)."""
        return torch.zeros_like(values).scatter_add(1, self.number, values).gather(1, self.number)
