"""Entities and relations as vectors, whose arithmetic says how likely a triple is.

Each model says where a head and a relation lead, and scores a tail by how much it is alike; so it
ranks all entities at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..validation import require, require_at_least, require_kinds
from .base import ModelBase


@dataclass(frozen=True)
class KnowledgeConfig:
    """Shape of a model of triples.

    Attributes:
        num_entities: N.
        num_relations: R.
        hidden_size: numbers in the vector of an entity and of a relation, D.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    num_entities: int
    num_relations: int
    hidden_size: int = 32

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, 1, "num_entities", "num_relations", "hidden_size")


@dataclass(frozen=True)
class TransEConfig(KnowledgeConfig):
    """Shape of a `TransE`: as of the other models of triples, and how distances are measured.

    Attributes:
        norm: 1, the sum of the distances in each direction, or 2, the Euclidean distance.
    """

    norm: int = 2

    def __post_init__(self):
        super().__post_init__()
        require(self.norm in (1, 2), "norm", self.norm, "1 or 2")


@dataclass(frozen=True)
class ComplExConfig(KnowledgeConfig):
    """Shape of a `ComplEx`, whose vectors are of hidden_size / 2 complex numbers."""

    def __post_init__(self):
        super().__post_init__()
        require(self.hidden_size % 2 == 0, "hidden_size", self.hidden_size,
                "even: half of the numbers are real parts, half are imaginary ones")


class KnowledgeModel(ModelBase):
    """A score for every triple, from a vector for each entity and each relation.

    Its features are the vectors of entities, so what they know can be probed.

    Args:
        config: its shape.
        seed: of the first weights, uniform between ± 6 / √D (Bordes et al. 2013, algorithm 1).
    """

    config_class: type[KnowledgeConfig] = KnowledgeConfig
    columns = ("entities",)

    def __init__(self, config: KnowledgeConfig, seed: int = 0):
        super().__init__()
        self.config = config
        self.entities = nn.Embedding(config.num_entities, config.hidden_size)
        self.relations = nn.Embedding(config.num_relations, config.hidden_size)
        bound, generator = 6 / config.hidden_size**0.5, torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for table in (self.entities, self.relations):
                table.weight.uniform_(-bound, bound, generator=generator)

    @property
    def feature_size(self) -> int:
        return self.config.hidden_size

    def encode(self, entities: Tensor) -> Tensor:
        """Numbers of entities (…) to their vectors (…, D)."""
        require_numbers("entities", entities, self.config.num_entities)
        return self.entities(entities)

    def related(self, relation: Tensor) -> Tensor:
        """Numbers of relations (…) to their vectors (…, D)."""
        require_numbers("relation", relation, self.config.num_relations)
        return self.relations(relation)

    def forward(self, head: Tensor, relation: Tensor, tail: Tensor) -> Tensor:
        """Scores (…) of triples, (…) each: the higher, the likelier."""
        return self.likeness(self.from_head(self.encode(head), self.related(relation)),
                             self.encode(tail))

    def tail_scores(self, head: Tensor, relation: Tensor) -> Tensor:
        """Scores of all entities as tails of a head and relation, (B,) each: (B, N)."""
        return self.likeness_to_all(self.from_head(self.encode(head), self.related(relation)))

    def head_scores(self, relation: Tensor, tail: Tensor) -> Tensor:
        """Scores of all entities as heads of a relation and tail, (B,) each: (B, N)."""
        return self.likeness_to_all(self.from_tail(self.related(relation), self.encode(tail)))

    def everyone(self) -> Tensor:
        """The vectors of all entities, (N, D)."""
        return self.encode(torch.arange(self.config.num_entities,
                                        device=self.entities.weight.device))

    def from_head(self, head: Tensor, relation: Tensor) -> Tensor:
        """Where a head and a relation lead, (…, D) each: (…, D)."""
        raise NotImplementedError

    def from_tail(self, relation: Tensor, tail: Tensor) -> Tensor:
        """Where a relation and a tail lead back to, (…, D) each: (…, D)."""
        raise NotImplementedError

    def likeness(self, place: Tensor, entity: Tensor) -> Tensor:
        """How much an entity is alike to where something leads, (…, D) each: (…)."""
        return (place * entity).sum(-1)

    def likeness_to_all(self, place: Tensor) -> Tensor:
        """The same for all entities: (B, D) to (B, N)."""
        return place @ self.everyone().T


class TransE(KnowledgeModel):
    """A relation is a step from head to tail: the score is −‖h + r − t‖.

    A symmetric relation asks for a step and its reverse to be the same, r = −r: then r = 0, and the
    nearest to h + r is h itself.

    Vectors of entities have length 1, or a loss with a margin could be met by making all of them
    longer. Bordes et al. divide each by its length before every update (algorithm 1); here that is
    done wherever a vector is read.

    Source: Bordes, Usunier, García-Durán, Weston and Yakhnenko, "Translating embeddings for
    modeling multi-relational data", NeurIPS 2013, section 2.

    Args:
        config: its shape.
        seed: of the first weights.
    """

    config_class = TransEConfig

    def encode(self, entities: Tensor) -> Tensor:
        """Numbers of entities (…) to their vectors (…, D), of length 1."""
        return F.normalize(super().encode(entities), dim=-1)

    def from_head(self, head: Tensor, relation: Tensor) -> Tensor:
        return head + relation

    def from_tail(self, relation: Tensor, tail: Tensor) -> Tensor:
        return tail - relation

    def likeness(self, place: Tensor, entity: Tensor) -> Tensor:
        return -torch.linalg.vector_norm(place - entity, ord=self.config.norm, dim=-1)

    def likeness_to_all(self, place: Tensor) -> Tensor:
        return self.likeness(place[:, None], self.everyone())


class DistMult(KnowledgeModel):
    """A relation weighs directions: the score is Σ h r t, alike in both directions.

    Source: Yang, Yih, He, Gao and Deng, "Embedding entities and relations for learning and
    inference in knowledge bases", ICLR 2015, section 3 (the model there called DistMult).

    Args:
        config: its shape.
        seed: of the first weights.
    """

    def from_head(self, head: Tensor, relation: Tensor) -> Tensor:
        return head * relation

    def from_tail(self, relation: Tensor, tail: Tensor) -> Tensor:
        return relation * tail


class ComplEx(KnowledgeModel):
    """DistMult with complex numbers: the score is Re Σ h r t̄, and the direction matters.

    A relation with real numbers alone is symmetric, one with imaginary numbers alone changes its
    sign when it is turned round. The first half of a vector are real parts.

    Source: Trouillon, Welbl, Riedel, Gaussier and Bouchard, "Complex embeddings for simple link
    prediction", ICML 2016, section 3.

    Args:
        config: its shape, of an even hidden_size.
        seed: of the first weights.
    """

    config_class = ComplExConfig

    def from_head(self, head: Tensor, relation: Tensor) -> Tensor:
        return complex_product(head, relation)

    def from_tail(self, relation: Tensor, tail: Tensor) -> Tensor:
        return complex_product(conjugate(relation), tail)  # Re Σ h r t̄ = Re Σ h̄ (r̄ t)


def complex_product(first: Tensor, second: Tensor) -> Tensor:
    """The products of complex numbers, (…, D) each, of which the first D / 2 are real parts."""
    (a, b), (c, d) = first.chunk(2, dim=-1), second.chunk(2, dim=-1)
    return torch.cat([a * c - b * d, a * d + b * c], dim=-1)


def conjugate(vector: Tensor) -> Tensor:
    """Complex numbers (…, D) with the sign of their imaginary parts changed."""
    real, imaginary = vector.chunk(2, dim=-1)
    return torch.cat([real, -imaginary], dim=-1)


def require_numbers(what: str, numbers: Tensor, size: int) -> None:
    """Raises where a number is that of none; on a GPU nobody waits to look."""
    if numbers.device.type == "cpu" and numbers.numel():
        least, largest = numbers.aminmax()
        if least < 0 or largest >= size:
            strange = int(largest if largest >= size else least)
            raise ValueError(f"{what} must be 0 to {size - 1}, of which the model has vectors, got "
                             f"{strange}")
