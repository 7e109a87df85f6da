"""Models of triples against their formulas, in complex numbers and one triple at a time."""

import pytest
import torch

from pretrain_lib.models.knowledge import ComplEx, ComplExConfig, DistMult, KnowledgeConfig, TransE, TransEConfig

N, R, D = 7, 3, 6
KINDS = [(TransE, TransEConfig(N, R, D, 1)), (TransE, TransEConfig(N, R, D, 2)), (DistMult, KnowledgeConfig(N, R, D)),
         (ComplEx, ComplExConfig(N, R, D))]  # fmt: skip
EACH = pytest.mark.parametrize("kind, config", KINDS, ids=["TransE-1", "TransE-2", "DistMult", "ComplEx"])


def by_formula(model, head: int, relation: int, tail: int) -> float:
    """The score of one triple, as the paper writes it."""
    h, t = (model.entities.weight[i].detach() for i in (head, tail))
    r = model.relations.weight[relation].detach()
    if isinstance(model, TransE):
        difference = h / h.square().sum().sqrt() + r - t / t.square().sum().sqrt()
        return -(difference.abs().sum() if model.config.norm == 1 else difference.square().sum().sqrt()).item()
    if isinstance(model, DistMult):
        return sum((h[i] * r[i] * t[i]).item() for i in range(D))
    h, r, t = (torch.complex(v[: D // 2], v[D // 2 :]) for v in (h, r, t))
    return (h * r * t.conj()).sum().real.item()


@EACH
def test_scores_are_those_of_the_formula(kind, config):
    model = kind(config, seed=1).double()
    everything = torch.cartesian_prod(torch.arange(N), torch.arange(R), torch.arange(N)).T
    scores = model(*everything)
    for score, (head, relation, tail) in zip(scores.tolist(), everything.T.tolist(), strict=True):
        assert score == pytest.approx(by_formula(model, head, relation, tail), abs=1e-10)


@EACH
def test_all_tails_and_all_heads_are_scored_as_one_by_one(kind, config):
    model = kind(config).double()
    first, second = torch.tensor([0, 3, 6]), torch.tensor([2, 0, 1])
    for e in range(N):
        each = torch.full((3,), e)
        assert torch.allclose(model.tail_scores(first, second)[:, e], model(first, second, each), rtol=0, atol=1e-10)
        assert torch.allclose(model.head_scores(second, first)[:, e], model(each, second, first), rtol=0, atol=1e-10)


def test_what_each_can_and_cannot_say_of_symmetry():
    h, r, t = torch.tensor([0]), torch.tensor([1]), torch.tensor([2])
    symmetric, other = DistMult(KINDS[2][1]).double(), ComplEx(KINDS[3][1]).double()
    assert torch.equal(symmetric(h, r, t), symmetric(t, r, h))
    assert (other(h, r, t) - other(t, r, h)).abs() > 1e-3
    with torch.no_grad():
        other.relations.weight[:, D // 2 :] = 0
        assert torch.allclose(other(h, r, t), other(t, r, h), rtol=0, atol=1e-12)
        other.relations.weight[:, D // 2 :], other.relations.weight[:, : D // 2] = 1.0, 0
        assert torch.allclose(other(h, r, t), -other(t, r, h), rtol=0, atol=1e-12)
    step = TransE(KINDS[1][1]).double()
    with torch.no_grad():
        step.relations.weight[:] = 0  # where a symmetric relation leads TransE
    assert step.tail_scores(h, r).argmax() == h


def test_entities_of_trans_e_have_length_one_and_the_same_seed_the_same_weights():
    model, again = (TransE(TransEConfig(N, R, D), seed=3) for _ in range(2))
    assert (model.encode(torch.arange(N)).norm(dim=1) - 1).abs().max() < 1e-6
    assert torch.equal(model.entities.weight, again.entities.weight)
    assert model.entities.weight.abs().max() <= 6 / D**0.5


@pytest.mark.parametrize("wrong, message", [
    (lambda: TransEConfig(3, 1, 4, norm=3), "norm must be 1 or 2, got 3"),
    (lambda: ComplExConfig(3, 1, 5), "hidden_size must be even"),
    (lambda: KnowledgeConfig(0, 1), "num_entities must be an integer of at least 1, got 0"),
    (lambda: TransE(TransEConfig(3, 1, 4))(torch.tensor([3]), torch.tensor([0]), torch.tensor([0])),
     "entities must be 0 to 2, of which the model has vectors, got 3"),
    (lambda: DistMult(KnowledgeConfig(3, 1, 4)).tail_scores(torch.tensor([0]), torch.tensor([1])), "relation must be 0 to 0, .* got 1"),
])  # fmt: skip
def test_what_is_wrong_is_said(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
