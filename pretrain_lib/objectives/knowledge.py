"""Triples that are true, told from triples that are not known to be."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.knowledge.triples import Triples
from ..data.source import Samples
from .base import Batch, Objective, take_column

TRIPLE = ("head", "relation", "tail")


def take_triple(samples: Samples) -> dict[str, Tensor]:
    """The columns head, relation and tail, (B,) each."""
    return {name: take_column(samples, name) for name in TRIPLE}


class TripleMargin(Objective):
    """A true triple has to score higher by a margin than one with another head or tail.

    Which of the two is exchanged, and for whom, is a function of the sample's key; each entity that
    makes no known triple is as likely. Bordes et al. draw among all entities, so that some of what
    they call corrupted is true.

    Source: Bordes et al., "Translating embeddings for modeling multi-relational data", NeurIPS
    2013, equation 1 and algorithm 1.

    Args:
        known: triples that are true, such as those of the training.
        margin: γ, above 0.

    Raises:
        ValueError: for a margin that is not above 0.
    """

    def __init__(self, known: Triples, margin: float = 1.0):
        super().__init__()
        if not margin > 0:
            raise ValueError(f"margin must be above 0, got {margin}: without one, equal scores "
                             "cost nothing")
        self.known = known
        self.margin = margin

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        triple = take_triple(samples)
        head, tail = self.corrupted(*triple.values(), keys)
        return Batch(triple | {"other_head": head, "other_tail": tail}, {},
                     {"margin": len(head)})

    def corrupted(self, head: Tensor, relation: Tensor, tail: Tensor,
                  keys: Keys) -> tuple[Tensor, Tensor]:
        """Heads and tails, (B,) each, one of the two exchanged in each triple.

        Raises:
            ValueError: if every entity would make a known triple.
        """
        at_head = keys.uniform("side") < 0.5  # (B,)
        allowed = ~torch.where(at_head[:, None], self.known.known_heads(relation, tail),
                               self.known.known_tails(head, relation))  # (B, N)
        allowed.scatter_(1, torch.where(at_head, head, tail)[:, None], False)
        number = allowed.sum(1)
        if (number == 0).any():
            row = int((number == 0).nonzero()[0])
            names = (self.known.entities[head[row]], self.known.relations[relation[row]],
                     self.known.entities[tail[row]])
            side = "head" if at_head[row] else "tail"
            raise ValueError(f"the triple {names} cannot be corrupted: with every entity for its "
                             f"{side} it is known to be true; leave the relation out")
        place = (keys.uniform("entity").double() * number).long()
        other = (allowed.cumsum(1) > place[:, None]).int().argmax(1)  # the place-th that is allowed
        return torch.where(at_head, other, head), torch.where(at_head, tail, other)

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        head, relation, tail = (batch.inputs[name] for name in TRIPLE)
        true = model(head, relation, tail)
        other = model(batch.inputs["other_head"], relation, batch.inputs["other_tail"])
        return {"margin": F.relu(self.margin - true + other).sum()}


class TripleSoftmax(Objective):
    """The tail is chosen among all entities, given head and relation; and the head, likewise.

    Other true answers compete with the one that is asked, as classes do in any softmax.

    Source: Lacroix, Usunier and Obozinski, "Canonical tensor decomposition for knowledge base
    completion", ICML 2018, the full multiclass log-loss.
    """

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        return Batch(take_triple(samples), {}, {"tail": len(keys), "head": len(keys)})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        head, relation, tail = (batch.inputs[name] for name in TRIPLE)
        return {"tail": F.cross_entropy(model.tail_scores(head, relation), tail, reduction="sum"),
                "head": F.cross_entropy(model.head_scores(relation, tail), head, reduction="sum")}
