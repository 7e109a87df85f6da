"""Measures of retrieval against all orders, scikit-learn, and what chance gives."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

import pretrain_lib as pl
from pretrain_lib.evaluation import retrieval as module
from pretrain_lib.evaluation.uncertainty import lead


def by_all_orders(scores, grades, k):
    """The five measures of one query: their means over all orders in which no score rises."""
    def measures(order):
        gains = [grades[i] for i in order]
        first = next(place for place, gain in enumerate(gains, 1) if gain)
        dcg, best = (sum(g / math.log2(1 + place) for place, g in enumerate(ranked[:k], 1))
                     for ranked in (gains, sorted(gains, reverse=True)))
        return (first, 1 / first, float(first <= k),
                sum(g > 0 for g in gains[:k]) / sum(g > 0 for g in gains), dcg / best)

    orders = [order for order in itertools.permutations(range(len(scores)))
              if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))]
    return np.mean([measures(order) for order in orders], axis=0)


pools = st.integers(1, 5).flatmap(lambda n: st.tuples(
    st.lists(st.integers(-2, 2), min_size=n, max_size=n),
    st.lists(st.integers(0, 3), min_size=n, max_size=n).filter(any),
    st.integers(1, n)))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(pools)
def test_every_measure_is_its_mean_over_all_orders_of_what_is_tied(pool):
    scores, grades, k = pool
    found = pl.measure_retrieval(torch.tensor([scores]), torch.tensor([grades]), at=(k,))
    ours = [found.rank, found.reciprocal_rank, found.hit[k], found.recall[k], found.ndcg[k]]
    np.testing.assert_allclose(torch.cat(ours), by_all_orders(scores, grades, k), atol=1e-12)
    assert found.pool == len(scores)


def example(queries=30, documents=40, levels=8, seed=0):
    generator = np.random.default_rng(seed)
    scores = generator.integers(levels, size=(queries, documents)).astype(float)
    grades = generator.integers(4, size=(queries, documents)) * (generator.random((queries, documents)) < 0.2)
    grades[:, 0] = 1
    return torch.from_numpy(scores), torch.from_numpy(grades)


@pytest.mark.parametrize("kind", ["binary", "graded"])
def test_ndcg_is_scikit_learns(kind):
    scores, grades = example()
    grades = (grades > 0).long() if kind == "binary" else grades
    found = pl.measure_retrieval(scores, grades, at=(1, 5, 40))
    for k, ours in found.ndcg.items():
        theirs = [ndcg_score(g[None], s[None], k=k) for s, g in zip(scores.numpy(), grades.numpy(), strict=True)]
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_mrr_of_one_relevant_document_is_scikit_learns_where_nothing_is_tied():
    scores = torch.from_numpy(np.random.default_rng(1).permuted(np.arange(600.0).reshape(20, 30), axis=1))
    target = torch.arange(20)
    found = pl.measure_retrieval(scores, target)
    theirs = label_ranking_average_precision_score(torch.nn.functional.one_hot(target, 30).numpy(), scores.numpy())
    assert abs(found.reciprocal_rank.mean() - theirs) < 1e-12
    assert torch.equal(found.hit[5], found.recall[5]) and torch.equal(found.hit[5], (found.rank <= 5).double())


def test_scores_that_say_nothing_measure_what_chance_does():
    found = pl.measure_retrieval(torch.zeros(3, 20), torch.tensor([0, 7, 19]), at=(1, 5))
    assert torch.allclose(found.hit[5], torch.tensor(5 / 20).double()) and torch.allclose(found.rank, torch.tensor(10.5).double())
    assert torch.allclose(found.reciprocal_rank, (1 / torch.arange(1, 21).double()).mean())


def test_what_is_equal_but_for_rounding_is_tied_in_any_units():
    scores, grades = example(levels=3)
    noise = torch.from_numpy(np.random.default_rng(2).uniform(-1, 1, scores.shape))
    exact = pl.measure_retrieval(scores, grades)
    for unit in (1e-9, 1.0, 1e9):
        rounded = pl.measure_retrieval((scores + 3e-8 * noise) * unit, grades)
        assert torch.equal(rounded.rank, exact.rank) and torch.allclose(rounded.ndcg[5], exact.ndcg[5], atol=1e-12)
    assert not torch.equal(pl.measure_retrieval(scores + 3e-8 * noise, grades, tolerance=0).rank, exact.rank)


def test_queries_in_blocks_are_queries_at_once(monkeypatch):
    scores, grades = example()
    whole = pl.measure_retrieval(scores, grades)
    monkeypatch.setattr(module, "CELLS", 100)
    parts = pl.measure_retrieval(scores, grades)
    assert torch.equal(whole.reciprocal_rank, parts.reciprocal_rank) and torch.allclose(whole.ndcg[10], parts.ndcg[10], atol=1e-14)


def test_two_models_are_compared_query_by_query():
    scores, grades = example()
    better = [pl.measure_retrieval(scores + 3 * (grades > 0) + seed / 7, grades).reciprocal_rank for seed in range(3)]
    worse = [pl.measure_retrieval(scores + seed / 7, grades).reciprocal_rank for seed in range(3)]
    found = lead(torch.stack(better, 1), torch.stack(worse, 1), resamples=200)
    assert found.difference > 0 and found.is_clear


def test_the_pool_is_told():
    found = pl.measure_retrieval(torch.eye(4), torch.arange(4), at=(1, 2))
    assert str(found) == "hit@1 100.0%, hit@2 100.0%, MRR 1.000: 4 queries among 4 documents"


def test_cosines_do_not_hang_on_lengths_and_a_vector_of_zeros_is_like_nothing():
    queries, documents = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).double(), torch.eye(5).double()
    cosines = pl.cosine_scores(queries, 7 * documents)
    assert torch.allclose(cosines, queries / queries.norm(dim=1, keepdim=True), atol=1e-12)
    assert not pl.cosine_scores(torch.zeros(1, 5), documents.half()).any()
    assert pl.cosine_scores(queries.half(), documents.half()).dtype == torch.float32


S = torch.zeros(2, 3)


@pytest.mark.parametrize("scores, relevant, options, message", [
    (torch.zeros(2, 0), torch.zeros(2, 0), {}, r"scores must be \(queries, documents\), with at least one of each, got \(2, 0\)"),
    (S.log() * 0, torch.tensor([0, 1]), {}, "scores must be finite numbers, got NaN or infinity"),
    (S, torch.tensor([0, 3]), {}, "relevant must be documents from 0 to 2, got 3"),
    (S, torch.tensor([[1, 0, 0], [0, 0, 0]]), {}, "query 1 has no relevant document among the 3 of the pool"),
    (S, torch.tensor([[1, 0, 0], [1, -1, 0]]), {}, "relevant must be grades of 0 and more"),
    (S, torch.tensor([0, 1, 2]), {}, r"relevant must be \(2,\) integers, .* or \(2, 3\), .*got \(3,\)"),
    (S, torch.tensor([0.0, 1.0]), {}, r"relevant must be \(2,\) integers, .*got \(2,\) torch.float32"),
    (S, torch.tensor([0, 1]), {"at": (1, 10)}, r"at must be places from 1 to 3, the size of the pool, got \(1, 10\)"),
    (S, torch.tensor([0, 1]), {"at": (1,), "tolerance": -1.0}, "tolerance must be at least 0, got -1.0"),
])  # fmt: skip
def test_what_cannot_be_measured_is_refused(scores, relevant, options, message):
    with pytest.raises(ValueError, match=message):
        pl.measure_retrieval(scores, relevant, **{"at": (1,), **options})


def test_vectors_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"queries \(2, 3\) and documents \(4, 5\) must be \(Q, D\) and \(N, D\)"):
        pl.cosine_scores(torch.zeros(2, 3), torch.zeros(4, 5))
    with pytest.raises(ValueError, match="got 2 queries and a pool of 0 documents"):
        pl.cosine_scores(torch.zeros(2, 3), torch.zeros(0, 3))
