"""Pairs of texts that a recipe trains on, some documents of which are held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ...validation import require, require_at_least, require_kinds
from ..source import Data, alone
from ..tables.dialect import Dialect
from .load_neighbours import load_neighbours
from .neighbours import Neighbours, Unit, encode_neighbours
from .tokenizer import load_tokenizer, tokenizer_hash, train_tokenizer, vocabulary_size


@dataclass(frozen=True)
class NeighbourConfig:
    """Which pairs of texts, and how they are read.

    Attributes:
        name: what `load_neighbours` takes: "sotu", "named docstrings", "faq.csv", "books/*.txt".
        unit: what a text of a corpus is that is paired with the next, "paragraph" or "sentence".
        first: the column of a table with the one text, such as a question.
        second: the column with the other, such as its answer.
        tokenizer: a folder or a name of the zoo; left empty, one is trained on the pairs to train
            on.
        vocab_size: number of tokens of a tokenizer that is trained.
        length: tokens of a text at most, T.
        held_out: share of the documents that are held out, between 0 and 1.
        seed: which documents.
        columns: the names of all columns, for a table whose first line is a row.
        separator: between the fields of a table; left empty, it is guessed and told, as are
        quote: the sign around fields, or "none" where quotes are part of the text, and
        encoding: such as "cp1252"; left empty, UTF-8 or UTF-16.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    name: str = "sotu"
    unit: Unit = "paragraph"
    first: str = "first"
    second: str = "second"
    tokenizer: str = ""
    vocab_size: int = 8192
    length: int = 128
    held_out: float = 0.1
    seed: int = 0
    columns: tuple[str, ...] = ()
    separator: str = ""
    quote: str = ""
    encoding: str = ""

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, 0, "seed")
        require_at_least(self, 1, "vocab_size")
        require_at_least(self, 3, "length")
        require(0 < self.held_out < 1, "held_out", self.held_out, "between 0 and 1")
        self.dialect()

    def dialect(self) -> Dialect:
        """How a table is written, as far as it is said."""
        return Dialect(self.columns, self.separator, self.quote, self.encoding)


class NeighbourData(Data):
    """Pairs of texts as token ids, in two parts that share no document and no text.

    Args:
        config: which, and how they are read.
        pairs: those to train on, and those held out.
        tokenizer: of both texts.

    Attributes:
        pairs: the texts behind `training` and `held_out`.
    """

    config_class = NeighbourConfig

    def __init__(self, config: NeighbourConfig, pairs: tuple[Neighbours, Neighbours], tokenizer):
        self.config, self.pairs, self.tokenizer = config, pairs, tokenizer
        self.training, self.held_out = (encode_neighbours(part, tokenizer, config.length)
                                        for part in pairs)
        self.model_fields = {"vocab_size": vocabulary_size(tokenizer)}

    @classmethod
    def open(cls, config: NeighbourConfig, beside: Path,
             on_first: Callable = alone) -> NeighbourData:
        """The pairs, read by the first process before the others; all make the same tokenizer."""
        read: list[tuple[Neighbours, Neighbours]] = []
        on_first(lambda: read.append(parts_of(config)))
        pairs = read[0] if read else parts_of(config)
        on_first(lambda: print(shares(*pairs)))
        training = pairs[0]
        tokenizer = (load_tokenizer(config.tokenizer) if config.tokenizer else
                     train_tokenizer([*training.first, *training.second], config.vocab_size))
        return cls(config, pairs, tokenizer)

    def about(self) -> dict:
        """Its settings, what makes ids of its texts, and digests of these."""
        training, held_out = map(digest, self.pairs)
        return asdict(self.config) | {"columns": list(self.config.columns),
                                      "tokenizer_hash": tokenizer_hash(self.tokenizer),
                                      "training_text": training, "held_out_text": held_out}


def parts_of(config: NeighbourConfig) -> tuple[Neighbours, Neighbours]:
    """The pairs to train on, and those held out."""
    pairs = load_neighbours(config.name, unit=config.unit, first=config.first,
                            second=config.second, dialect=config.dialect())
    return pairs.split(config.held_out, config.seed)


def shares(training: Neighbours, held_out: Neighbours) -> str:
    """A line for people: what is trained on, what is held out, and what neither."""
    said = [f"{name} {len(part):,} pairs of {len(set(part.documents)):,} documents"
            for name, part in (("trained on:", training), ("held out:", held_out))]
    said += [f"left out: {number:,} ({why})" for why, number in training.left_out.items() if number]
    return "; ".join(said)


def digest(pairs: Neighbours) -> str:
    """SHA-256 of the texts of all pairs, in order."""
    found = hashlib.sha256()
    for pair in zip(pairs.first, pairs.second, strict=True):
        found.update(json.dumps(pair).encode())
    return found.hexdigest()
