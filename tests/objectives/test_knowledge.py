"""Losses on triples against brute force, and what they teach."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.knowledge.triples import Triples
from pretrain_lib.evaluation.link_prediction import link_prediction
from pretrain_lib.models.knowledge import ComplEx, ComplExConfig, TransE, TransEConfig
from pretrain_lib.objectives.knowledge import TripleMargin, TripleSoftmax
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.trainer import Trainer

N, R = 9, 2


def graph(seed: int = 0, size: int = 25) -> Triples:
    generator = np.random.default_rng(seed)
    rows = {(f"e{h}", f"r{r}", f"e{t}") for h, r, t in zip(*(generator.integers(0, k, size) for k in (N, R, N)), strict=True)}
    return Triples.of(sorted(rows), [f"e{i}" for i in range(N)], [f"r{i}" for i in range(R)])


@given(seed=st.integers(0, 50), epoch=st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_one_end_is_exchanged_and_what_comes_is_not_known(seed, epoch):
    triples = graph(seed)
    keys = Keys.of(seed, len(triples), epoch)
    samples, true = triples.take(keys), set(zip(*(c.tolist() for c in triples.columns.values()), strict=True))
    inputs = TripleMargin(triples).batch(samples, keys).inputs
    for h, r, t, a, b in zip(*(inputs[n].tolist() for n in ("head", "relation", "tail", "other_head", "other_tail")), strict=True):
        assert (a == h) != (b == t) and (a, r, b) not in true


def test_every_entity_that_may_come_comes_as_often():
    triples = Triples.of([("a", "r", "b"), ("a", "r", "c"), ("d", "r", "e")])
    n = 20_000
    head, relation, tail = (torch.zeros(n, dtype=torch.long), torch.zeros(n, dtype=torch.long), torch.ones(n, dtype=torch.long))
    heads, tails = TripleMargin(triples).corrupted(head, relation, tail, Keys.of(0, n))
    heads, tails = heads[heads != 0], tails[tails != 1]
    assert abs(len(heads) - n / 2) < 5 * n**0.5 / 2
    for drawn, allowed in ((heads, [1, 2, 3, 4]), (tails, [0, 3, 4])):  # of tails a-r-c is known
        counts = torch.bincount(drawn, minlength=5)
        assert counts.nonzero().flatten().tolist() == allowed
        share = 1 / len(allowed)
        assert (counts[allowed] - share * len(drawn)).abs().max() < 5 * (len(drawn) * share * (1 - share)) ** 0.5


def test_the_margin_loss_is_that_of_equation_one():
    triples, keys = graph(), Keys.of(1, len(graph()))
    model, objective = TransE(TransEConfig(N, R, 4)).double(), TripleMargin(triples, margin=0.7)
    batch = objective.batch(triples.take(keys), keys)
    inputs, expected = batch.inputs, 0.0
    for i in range(len(triples)):
        h, r, t, a, b = (inputs[name][i] for name in ("head", "relation", "tail", "other_head", "other_tail"))
        expected += max(0.0, 0.7 - model(h, r, t).item() + model(a, r, b).item())
    assert objective(model, batch)["margin"].item() == pytest.approx(expected, abs=1e-10)
    assert batch.counts == {"margin": len(triples)}


def test_the_softmax_is_over_all_entities():
    triples, keys = graph(), Keys.of(1, len(graph()))
    model, objective = ComplEx(ComplExConfig(N, R, 4)).double(), TripleSoftmax()
    terms = objective(model, objective.batch(triples.take(keys), keys))
    expected = {"tail": 0.0, "head": 0.0}
    for h, r, t in zip(*triples.columns.values(), strict=True):
        tails = torch.stack([model(h, r, torch.tensor(e)) for e in range(N)])
        heads = torch.stack([model(torch.tensor(e), r, t) for e in range(N)])
        expected["tail"] += (tails.logsumexp(0) - tails[t]).item()
        expected["head"] += (heads.logsumexp(0) - heads[h]).item()
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("model, objective", [
    (TransE(TransEConfig(20, 1, 16)), TripleMargin), (ComplEx(ComplExConfig(20, 1, 16)), TripleSoftmax)], ids=["margin", "softmax"])
def test_pairs_are_learned(model, objective):
    """Ten entities that lead to ten others: all of it can be remembered."""
    triples = Triples.of([(f"{i}", "leads to", f"{i + 10}") for i in range(10)])
    objective = objective(triples) if objective is TripleMargin else objective()
    before = link_prediction(model, triples, triples).mrr
    Trainer(model, objective, triples, TrainConfig(steps=150, batch_size=10, learning_rate=5e-2, device="cpu")).fit()
    assert link_prediction(model, triples, triples).mrr > max(0.8, before + 0.3)


def test_what_is_wrong_is_said():
    with pytest.raises(ValueError, match="margin must be above 0, got 0"):
        TripleMargin(graph(), margin=0)
    full = Triples.of([(h, "r", t) for h in "ab" for t in "ab"])
    with pytest.raises(ValueError, match=r"triple \('a', 'r', 'a'\) cannot be corrupted: with every entity"):
        TripleMargin(full).batch(full.take(Keys.of(0, [0])), Keys.of(0, [0]))
