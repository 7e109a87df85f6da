"""Filtered ranks against sorting by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.data.knowledge.triples import Triples
from pretrain_lib.evaluation.link_prediction import EntityCounts, LinkRanks, filtered_ranks, link_prediction
from pretrain_lib.models.knowledge import DistMult, KnowledgeConfig


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=2, max_size=12), st.data())
@settings(max_examples=60, deadline=None)
def test_a_rank_is_the_mean_over_all_orders_of_those_that_tie(entities, data):
    truth = data.draw(st.integers(0, len(entities) - 1))
    scores, known = (torch.tensor([column], dtype=dtype) for column, dtype in zip(zip(*entities, strict=True), (torch.double, torch.bool), strict=True))
    rivals = [score for i, (score, hidden) in enumerate(entities) if i != truth and not hidden]
    own = entities[truth][0]
    first, last = 1 + sum(score > own for score in rivals), 1 + sum(score >= own for score in rivals)
    assert filtered_ranks(scores, torch.tensor([truth]), known).item() == (first + last) / 2


@given(st.integers(0, 30))
@settings(max_examples=8, deadline=None)
def test_ranks_of_a_model_are_those_of_brute_force(seed):
    generator = np.random.default_rng(seed)
    numbers = {tuple(row) for row in generator.integers(0, (8, 2, 8), (30, 3)).tolist()}
    known = Triples(*torch.tensor(sorted(numbers)).T, [str(i) for i in range(8)], ["r", "s"])
    asked = known.subset(range(0, len(known), 3))
    model = DistMult(KnowledgeConfig(8, 2, 4), seed).double()
    ranks = link_prediction(model, asked, known, batch_size=4)
    for i, (h, r, t) in enumerate(zip(*(c.tolist() for c in asked.columns.values()), strict=True)):
        tails = {e: model(*torch.tensor([[h], [r], [e]])).item() for e in range(8) if e == t or (h, r, e) not in numbers}
        heads = {e: model(*torch.tensor([[e], [r], [t]])).item() for e in range(8) if e == h or (e, r, t) not in numbers}
        assert ranks.tail[i] == 1 + sorted(tails, key=tails.get, reverse=True).index(t)
        assert ranks.head[i] == 1 + sorted(heads, key=heads.get, reverse=True).index(h)


def test_the_means_are_those_of_the_ranks():
    ranks = LinkRanks(torch.tensor([1.0, 4.0]).double(), torch.tensor([2.0, 2.5]).double())
    assert ranks.mean_rank == 9.5 / 4 and ranks.mrr == pytest.approx((1 + 1 / 4 + 1 / 2 + 1 / 2.5) / 4, abs=1e-12)
    assert ranks.hits(1) == 0.25 and ranks.hits(2) == 0.5 and ranks.hits(3) == 0.75


def test_counting_ranks_the_most_frequent_first():
    learned = Triples.of([("a", "in", "x"), ("b", "in", "x"), ("c", "in", "y"), ("d", "near", "a")], entities=list("abcdxy"))
    asked = Triples.of([("d", "in", "x"), ("d", "in", "y")], learned.entities, learned.relations)
    known = Triples.of(learned.rows() + asked.rows(), learned.entities, learned.relations)
    ranks = link_prediction(EntityCounts(learned), asked, known)
    assert ranks.tail.tolist() == [1, 1]  # of y, x is another right answer and takes no place
    assert ranks.head[0] == 1 + 1 + 2 / 2  # behind c, as seldom a head as x and y; a and b are right


def test_a_model_that_scores_all_alike_is_in_the_middle():
    class Indifferent:
        def tail_scores(self, head, relation):
            return torch.zeros(len(head), 6)

        head_scores = tail_scores

    known = Triples.of([("a", "r", "b"), ("c", "r", "d"), ("e", "r", "f")])
    assert set(link_prediction(Indifferent(), known, known).both.tolist()) == {3.5}


def test_what_is_wrong_is_said():
    known, other = Triples.of([("a", "r", "b")]), Triples.of([("a", "r", "c")])
    with pytest.raises(ValueError, match="must be numbered alike"):
        link_prediction(EntityCounts(known), other, known)
    with pytest.raises(ValueError, match="the model scores 5 entities, and the triples have 2"):
        link_prediction(DistMult(KnowledgeConfig(5, 1, 2)), known, known)
    with pytest.raises(ValueError, match="a score is NaN"):
        filtered_ranks(torch.tensor([[float("nan"), 1.0]]), torch.tensor([0]), torch.zeros(1, 2, dtype=torch.bool))
