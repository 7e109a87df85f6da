"""How well missing triples are found: the true entity's place among all of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.knowledge.triples import Triples
from ..models.mode import evaluation_mode


@dataclass(frozen=True)
class LinkRanks:
    """Where true entities rank among all; 1 is first.

    Attributes:
        tail: (M,) float64, of each triple's tail, given head and relation.
        head: (M,) float64, of its head, given relation and tail.
    """

    tail: Tensor
    head: Tensor

    @property
    def both(self) -> Tensor:
        """(2M,) all of them."""
        return torch.cat([self.tail, self.head])

    @property
    def mean_rank(self) -> float:
        """The mean of all ranks."""
        return self.both.mean().item()

    @property
    def mrr(self) -> float:
        """The mean of one over the rank."""
        return (1 / self.both).mean().item()

    def hits(self, k: int) -> float:
        """The share of ranks that are at most k."""
        return (self.both <= k).double().mean().item()


class EntityCounts:
    """The model to beat: scores entities by how often they are a relation's tail, or its head.

    Args:
        learned: the triples that are counted.
    """

    def __init__(self, learned: Triples):
        shape = len(learned.relations), len(learned.entities)
        ones = torch.ones(len(learned), dtype=torch.float64)
        self.tails, self.heads = (
            torch.zeros(shape, dtype=torch.float64).index_put_((learned.relation, end), ones, True)
            for end in (learned.tail, learned.head))  # (R, N) each

    def tail_scores(self, head: Tensor, relation: Tensor) -> Tensor:
        """How often each entity is a tail of the relation: (B, N)."""
        return self.tails[relation]

    def head_scores(self, relation: Tensor, tail: Tensor) -> Tensor:
        """How often each entity is a head of the relation: (B, N)."""
        return self.heads[relation]


@torch.no_grad()
def link_prediction(model, asked: Triples, known: Triples, batch_size: int = 256) -> LinkRanks:
    """Ranks the true tail and the true head of each triple among all entities.

    Ranks are filtered: an entity that makes another known triple is no mistake, and is passed over
    (Bordes et al. 2013, section 4.1). Of entities with equal scores the true one takes the middle
    place, or a model that scores all alike would be best, or worst (Sun et al., "A re-evaluation of
    knowledge graph completion methods", ACL 2020).

    Args:
        model: with `tail_scores` and `head_scores`, such as a `TransE`.
        asked: M triples.
        known: triples that are true, those to ask and those learned from.
        batch_size: triples that are scored together.

    Raises:
        ValueError: if the triples, or triples and model, are of different entities.
    """
    if asked.entities != known.entities or asked.relations != known.relations:
        raise ValueError("the triples to ask and the known ones must be numbered alike: give "
                         "Triples.of the same entities and relations, or take both from one split")
    tails, heads = [], []
    network = model if isinstance(model, torch.nn.Module) else torch.nn.Identity()
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    with evaluation_mode(network):
        for start in range(0, len(asked), batch_size):
            here = slice(start, start + batch_size)
            head, relation, tail = (column[here] for column in asked.columns.values())
            h, r, t = (column.to(device) for column in (head, relation, tail))
            tails.append(filtered_ranks(model.tail_scores(h, r).cpu(), tail,
                                        known.known_tails(head, relation)))
            heads.append(filtered_ranks(model.head_scores(r, t).cpu(), head,
                                        known.known_heads(relation, tail)))
    return LinkRanks(torch.cat(tails), torch.cat(heads))


def filtered_ranks(scores: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """1 + the number of unknown entities that score higher + half of those that score alike.

    Args:
        scores: (B, N).
        truth: (B,) the entity whose rank is asked.
        known: (B, N) bool, entities that are right too, and take no place.

    Returns:
        (B,) float64.

    Raises:
        ValueError: if shapes do not fit, or a score is NaN.
    """
    if scores.shape != known.shape:
        raise ValueError(f"the model scores {scores.shape[-1]} entities, and the triples have "
                         f"{known.shape[-1]}")
    if scores.isnan().any():
        raise ValueError("a score is NaN, which has no rank: the model has not been trained well")
    own = scores.gather(1, truth[:, None])  # (B, 1)
    others = ~known
    others = others.scatter(1, truth[:, None], False)
    higher, alike = (((scores > own) & others).sum(1), ((scores == own) & others).sum(1))
    return 1 + higher.double() + alike.double() / 2
