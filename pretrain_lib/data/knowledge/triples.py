"""What is known as triples: a head, a relation and a tail, such as France, capital, Paris."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..keys import Keys
from ..source import Columns
from ..tables.dialect import Dialect, require_files
from ..tables.lines import find_files
from ..tables.rows import read_rows
from ..tasks.labelled import cell
from .countries import country_triples

Row = tuple[str, str, str]


class Triples(Columns):
    """A source of triples, each three numbers: samples have `head`, `relation` and `tail`, (B,).

    Args:
        head: (M,) int64, numbers of entities.
        relation: (M,) int64, numbers of relations.
        tail: (M,) int64, numbers of entities.
        entities: names of all N entities, those included that no triple here has.
        relations: names of all R relations.

    Raises:
        ValueError: if there is no triple, a number has no name, or a triple is there twice.
    """

    def __init__(self, head, relation, tail, entities: Sequence[str], relations: Sequence[str]):
        columns = {"head": head, "relation": relation, "tail": tail}
        super().__init__(**{name: torch.as_tensor(column).long()
                            for name, column in columns.items()})
        self.entities, self.relations = list(entities), list(relations)
        for name, column in self.columns.items():
            number = len(self.relations if name == "relation" else self.entities)
            least, largest = column.aminmax()
            if least < 0 or largest >= number:
                strange = int(largest if largest >= number else least)
                raise ValueError(f"{name} must be 0 to {number - 1}, as there are {number} names, "
                                 f"got {strange}")
        stacked = torch.stack(list(self.columns.values()), 1)
        if len(stacked.unique(dim=0)) < len(stacked):
            raise ValueError("a triple is there twice: of one pair, one part of a split would know "
                             "the answers of the other; Triples.of leaves the second out")

    @classmethod
    def of(cls, rows: Iterable[Row], entities: Sequence[str] | None = None,
           relations: Sequence[str] | None = None) -> Triples:
        """Triples of names; what is there twice is taken once.

        Args:
            rows: head, relation and tail of each.
            entities: names of the entities in order; None takes those that occur, as they come.
            relations: names of the relations, likewise.

        Raises:
            ValueError: if there is no triple, or one has a name that is not among those given.
        """
        rows = list(dict.fromkeys(rows))
        if entities is None:
            entities = list(dict.fromkeys(chain.from_iterable((h, t) for h, _, t in rows)))
        if relations is None:
            relations = list(dict.fromkeys(relation for _, relation, _ in rows))
        entity = {name: number for number, name in enumerate(entities)}
        relation = {name: number for number, name in enumerate(relations)}
        for row in rows:
            for what, name, known in (("entity", row[0], entity), ("relation", row[1], relation),
                                      ("entity", row[2], entity)):
                if name not in known:
                    raise ValueError(f"the triple {row} has an unknown {what}, {name!r}: it is "
                                     f"none of the {len(known)} that are known")
        head, kind, tail = ([known[row[place]] for row in rows] for place, known in
                            enumerate((entity, relation, entity)))
        return cls(head, kind, tail, entities, relations)

    def rows(self) -> list[Row]:
        """The triples as names: head, relation, tail."""
        numbers = zip(*(column.tolist() for column in self.columns.values()), strict=True)
        return [(self.entities[h], self.relations[r], self.entities[t]) for h, r, t in numbers]

    def subset(self, ids) -> Triples:
        """The triples `ids`; entities and relations keep their numbers."""
        ids = torch.as_tensor(ids)
        return Triples(*(column[ids] for column in self.columns.values()), self.entities,
                       self.relations)

    def known_tails(self, head: Tensor, relation: Tensor) -> Tensor:
        """Which entities are a tail of a head and relation, (B,) each: (B, N) bool."""
        return self._mask(self._tails, head, relation)

    def known_heads(self, relation: Tensor, tail: Tensor) -> Tensor:
        """Which entities are a head of a relation and tail, (B,) each: (B, N) bool."""
        return self._mask(self._heads, relation, tail)

    @cached_property
    def _tails(self) -> dict[tuple[int, int], list[int]]:
        return gathered_by(self.head, self.relation, self.tail)

    @cached_property
    def _heads(self) -> dict[tuple[int, int], list[int]]:
        return gathered_by(self.relation, self.tail, self.head)

    def _mask(self, known: dict, first: Tensor, second: Tensor) -> Tensor:
        mask = torch.zeros(len(first), len(self.entities), dtype=torch.bool)
        pairs = zip(first.tolist(), second.tolist(), strict=True)
        answers = [known.get(pair, []) for pair in pairs]
        rows = [row for row, these in enumerate(answers) for _ in these]
        mask[rows, list(chain.from_iterable(answers))] = True
        return mask

    def split(self, held_out: float = 0.1, seed: int = 0) -> tuple[Triples, Triples]:
        """Triples to learn from and triples to ask, of which the first give none away.

        All that is said of two entities is on one side, whatever the relation and the direction:
        Toutanova and Chen ("Observed versus latent features for knowledge base and text inference",
        2015) found FB15k's test triples turned round among those for training, and left out the
        pairs that both have. Each entity and relation keeps a triple to be learned from, for
        nothing can be asked of one that was never met.

        Args:
            held_out: share of the triples to ask, above 0 and below 1.
            seed: which random choice.

        Raises:
            ValueError: for a share outside (0, 1), a relation with one triple only, or if so many
                cannot be held out.
        """
        if not 0 < held_out < 1:
            raise ValueError(f"held_out must be above 0 and below 1, got {held_out}")
        triples = torch.stack(list(self.columns.values()), 1).numpy()  # (M, 3)
        of_entity = np.bincount(triples[:, ::2].ravel(), minlength=len(self.entities))
        of_relation = np.bincount(triples[:, 1], minlength=len(self.relations))
        if (of_relation == 1).any():
            name = self.relations[int((of_relation == 1).argmax())]
            raise ValueError(f"the relation {name!r} has one triple only, which can be learned "
                             "from or asked, not both: leave it out, or give it more")
        wanted, asked = max(1, round(held_out * len(self))), []
        for group in self._pairs(seed):
            if len(asked) + len(group) > wanted:
                continue
            entities = np.bincount(triples[group][:, ::2].ravel(), minlength=len(of_entity))
            relations = np.bincount(triples[group, 1], minlength=len(of_relation))
            if ((entities < of_entity) | (entities == 0)).all() and (
                    (relations < of_relation) | (relations == 0)).all():
                asked += group.tolist()
                of_entity, of_relation = of_entity - entities, of_relation - relations
        if len(asked) < wanted:
            raise ValueError(f"{wanted} triples cannot be held out, {len(asked)} can: every entity "
                             "and relation keeps one to be learned from; lower held_out")
        learned = np.setdiff1d(np.arange(len(self)), asked)
        return self.subset(learned), self.subset(np.sort(asked))

    def _pairs(self, seed: int) -> list[np.ndarray]:
        """The positions of triples that speak of the same two entities, pairs in random order."""
        ends = torch.stack([self.head, self.tail], 1).sort(1).values
        _, pair = ends.unique(dim=0, return_inverse=True)
        positions = pair.argsort(stable=True).numpy()
        groups = np.split(positions, np.cumsum(np.bincount(pair.numpy()))[:-1])
        order = Keys.of(seed, [0]).permutation("held-out pairs", len(groups))[0].tolist()
        return [groups[i] for i in order]


class Leak(NamedTuple):
    """A triple that is asked, and one learned from that may give it away.

    Attributes:
        kind: "same"; "symmetric", turned round with its relation; "inverse", turned round with
            another relation; or "parallel", the same two entities with another relation.
        asked: head, relation and tail.
        learned: head, relation and tail.
    """

    kind: str
    asked: Row
    learned: Row


def triple_leaks(learned: Triples, asked: Triples) -> list[Leak]:
    """The triples to ask whose two entities the triples to learn from join as well.

    Source: Toutanova and Chen, "Observed versus latent features for knowledge base and text
    inference", 2015.
    """
    by_pair = defaultdict(list)
    for row in learned.rows():
        by_pair[frozenset(row[::2])].append(row)
    return [Leak(kind_of_leak(row, other), row, other)
            for row in asked.rows() for other in by_pair.get(frozenset(row[::2]), [])]


def kind_of_leak(asked: Row, learned: Row) -> str:
    """How two triples of the same entities resemble each other."""
    forwards, alike = asked[0] == learned[0], asked[1] == learned[1]
    if forwards:
        return "same" if alike else "parallel"
    return "symmetric" if alike else "inverse"


def gathered_by(first: Tensor, second: Tensor, third: Tensor) -> dict[tuple[int, int], list[int]]:
    """The numbers of the third column, by those of the first two."""
    found = defaultdict(list)
    for a, b, c in zip(first.tolist(), second.tolist(), third.tolist(), strict=True):
        found[a, b].append(c)
    return dict(found)


def load_triples(name: str | Path, *, head: str = "head", relation: str = "relation",
                 tail: str = "tail", dialect: Dialect = Dialect()) -> Triples:
    """Triples by name: "countries", or files of your own.

    "countries" are 256 countries and territories, present and past, as the package `countryinfo`
    has them: capital, continent, subregion, borders, languages, currencies and time zones. A border
    is there in both directions, also where one of the two does not name it.

    Args:
        name: "countries", or files (.csv, .tsv, .jsonl, .parquet).
        head: the column of the heads. In a table whose first line is a row, "1" is the first.
        relation: the column of the relations.
        tail: the column of the tails.
        dialect: how files are written, as far as they do not say it themselves.

    Raises:
        ValueError: if a column is missing, or a row lacks one of the three.
        FileNotFoundError: if no file matches.
    """
    if name == "countries":
        require_files(dialect, name)
        return Triples.of(country_triples())
    wanted = (head, relation, tail)
    rows = []
    for path in find_files(str(name)):
        for number, row in read_rows(path, wanted, dialect):
            triple = tuple(cell(row, column, str(path), number) for column in wanted)
            if not all(triple):
                raise ValueError(f"{path}, row {number}: a triple needs a head, a relation and a "
                                 f"tail, and the column {wanted[triple.index('')]!r} is empty")
            rows.append(triple)
    if not rows:
        raise ValueError(f"{name} holds no triple")
    return Triples.of(rows)
