"""Pairs of texts that belong together, and are close by without anyone having labelled them so.

What follows in a document is about the same, a docstring is about the function that it stands in,
and a translation says the same. An encoder learns from such pairs to put related texts close
together: Logeswaran and Lee, "An efficient framework for learning sentence representations", ICLR
2018, from neighbouring sentences; Neelakantan et al., "Text and code embeddings by contrastive
pre-training", 2022, from neighbouring texts, and from docstrings with their code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from ..keys import Keys
from ..source import Columns, Samples
from ..tasks.encoded import cut_to_longest, encode_texts
from .corpora import (
    cached_documents,
    docstrings_of,
    installed_versions,
    is_prose,
    modules_of,
    paragraphs_of,
)
from .document import Corpus, Document, has_word, paragraphs, plain_string, split_sentences

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from ..tasks.translation import ParallelText

Unit = Literal["paragraph", "sentence"]
UNITS = {"paragraph": paragraphs, "sentence": split_sentences}
NAME_PARTS = re.compile(r"[._]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Pairs of texts that belong together.

    Attributes:
        name: which pairs.
        first: N texts.
        second: N texts, one for each.
        documents: where each pair is from; pairs of one document stay in one part of a split.
        left_out: how many pairs were read and not kept, by reason.

    Raises:
        ValueError: if there is no pair, the lists differ in length, or a text has no word.
    """

    name: str
    first: Sequence[str]
    second: Sequence[str]
    documents: Sequence[str]
    left_out: dict[str, int] = field(default_factory=dict)

    def __post_init__(self):
        lengths = len(self.first), len(self.second), len(self.documents)
        if len(set(lengths)) > 1 or not lengths[0]:
            raise ValueError(f"{self.name!r} must have a second text and a document for each first "
                             f"one, and one pair at least, got {lengths[0]} first texts, "
                             f"{lengths[1]} second ones and {lengths[2]} documents")
        for texts in (self.first, self.second):
            for number, text in enumerate(texts):
                if not has_word(text):
                    raise ValueError(f"pair {number} of {self.name!r} has a text without a word: "
                                     f"{text!r}")

    def __len__(self) -> int:
        return len(self.first)

    @property
    def text(self) -> Tensor:
        """(N,) int64, equal for pairs that share a text, see `text_numbers`."""
        return text_numbers(self.first, self.second)

    def subset(self, ids: Sequence[int]) -> Neighbours:
        """The pairs `ids`."""
        columns = ([column[i] for i in ids] for column in (self.first, self.second, self.documents))
        return Neighbours(self.name, *columns, self.left_out)

    def split(self, held_out: float = 0.1, seed: int = 0) -> tuple[Neighbours, Neighbours]:
        """Training and test part that share no document and no text, up to case and punctuation.

        Pairs of the other documents that have a text of the test part are in neither; what is left
        out of the training part counts them.

        Args:
            held_out: share of the documents for the test part, between 0 and 1.
            seed: which random choice.

        Raises:
            ValueError: if one of the parts would have fewer than two pairs.
        """
        names, document = np.unique(self.documents, return_inverse=True)
        order = Keys.of(seed, [0]).permutation("held-out documents", len(names))[0].numpy()
        test = np.isin(document, order[:round(held_out * len(names))])
        texts = {plain_string(column[i]) for i in np.flatnonzero(test)
                 for column in (self.first, self.second)}
        seen = np.array([plain_string(a) in texts or plain_string(b) in texts
                         for a, b in zip(self.first, self.second, strict=True)])
        parts = np.flatnonzero(~seen), np.flatnonzero(test)
        if min(map(len, parts)) < 2:
            raise ValueError(f"{self.name!r} cannot hold out {held_out} of {len(names)} documents: "
                             f"{len(parts[0])} pairs would be left to train on and {len(parts[1])} "
                             "to test, and each part needs two")
        training, test = (self.subset(ids) for ids in parts)
        left_out = self.left_out | {"text of the test part": len(self) - len(training) - len(test)}
        return replace(training, left_out=left_out), test


def neighbouring_texts(corpus: Corpus, unit: Unit = "paragraph") -> Neighbours:
    """Paragraphs or sentences of a corpus, each with the one that follows it in its document.

    A text is in one pair only: the first with the second, the third with the fourth. So no text of
    a pair stands in another one, but for texts that a corpus repeats.

    Args:
        corpus: its documents, such as `load_text("sotu")`.
        unit: what a text is, "paragraph" or "sentence".

    Raises:
        ValueError: for another unit, or a corpus without two texts in a row.
    """
    if unit not in UNITS:
        raise ValueError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
    found, alone = [], 0
    for document in corpus:
        texts = list(filter(has_word, UNITS[unit](document.text)))
        found += [(*pair, document.source) for pair in zip(texts[::2], texts[1::2])]
        alone += len(texts) % 2
    return neighbours_of(corpus.name, found, {"no other text follows": alone})


def named_docstrings() -> Neighbours:
    """Names of functions and classes of installed libraries, each with what its docstring says.

    A name is written as words, with that of its class before it: "logistic regression fit". Of a
    docstring the first paragraph of prose is taken; names that begin with an underscore are not.
    Of pairs with the same name or the same text, the first is kept. A document is a module.

    The first pass takes up to half a minute; what it finds is kept in a cache for these versions.

    Raises:
        ValueError: if none of the libraries is installed.
    """
    found, names, texts, repeated = [], set(), set(), 0
    for document in cached_documents("named-docstrings", installed_versions(), extract_named):
        name = document.labels["name"]
        if plain_string(name) in names or plain_string(document.text) in texts:
            repeated += 1
            continue
        names.add(plain_string(name))
        texts.add(plain_string(document.text))
        found.append((name, document.text, document.source))
    return neighbours_of("named docstrings", found, {"repeated": repeated})


def translations(text: ParallelText) -> Neighbours:
    """Texts with their translations, as pairs that belong together.

    Texts that are equal up to case and punctuation are one document.
    """
    documents = list(map(plain_string, text.sources))
    return Neighbours(text.name, text.sources, text.targets, documents, text.left_out)


def extract_named(libraries: Iterable[str]) -> Iterator[Document]:
    """The first prose of each public docstring, labelled with the name as words."""
    for library, source, path in modules_of(libraries):
        for name, docstring in docstrings_of(path):
            prose = next(filter(is_prose, paragraphs_of(docstring)), None)
            if prose and name and not any(part.startswith("_") for part in name.split(".")):
                yield Document(prose, source, {"library": library, "name": name_as_words(name)})


def name_as_words(name: str) -> str:
    """A qualified name as words: "logistic regression fit" for LogisticRegression.fit."""
    return " ".join(filter(None, NAME_PARTS.split(name))).lower()


def neighbours_of(name: str, pairs: Iterable[tuple[str, str, str]],
                  left_out: dict[str, int]) -> Neighbours:
    """Pairs in memory, each with its document."""
    first, second, documents = ([pair[i] for pair in pairs] for i in range(3))
    return Neighbours(name, first, second, documents, left_out)


# --- Which texts are the same ---------------------------------------------------------------


def text_numbers(first: Sequence[str], second: Sequence[str] = ()) -> Tensor:
    """Numbers that are equal for samples with equal texts, which are no negatives of each other.

    Texts are equal up to case and punctuation. Where samples are pairs, those that share a text, on
    either side, have one number, and so have those that are joined by others in between.

    Args:
        first: N texts.
        second: none, or N texts, one for each.

    Returns:
        (N,) int64, from 0.
    """
    parent = {}

    def root(text: str) -> str:
        while parent.setdefault(text, text) != text:
            parent[text] = text = parent[parent[text]]
        return text

    first = list(map(plain_string, first))
    for a, b in zip(first, map(plain_string, second), strict=bool(second)):
        parent[root(a)] = root(b)
    return torch.from_numpy(np.unique([root(a) for a in first], return_inverse=True)[1])


# --- As ids ---------------------------------------------------------------------------------


class EncodedNeighbours(Columns):
    """Pairs as token ids; a batch is no wider than its longest texts, those of each side.

    Args:
        **columns: `input_ids` and `attention_mask`, each (N, T), of the first texts;
            `other_input_ids` and `other_attention_mask`, each (N, U), of the second; and `text`,
            (N,), see `text_numbers`.
    """

    def take(self, keys: Keys) -> Samples:
        """The rows that the keys name, without the columns that are padding in all of them."""
        samples = super().take(keys)
        for side in ("", "other_"):
            names = f"{side}input_ids", f"{side}attention_mask"
            samples = cut_to_longest(samples, names[1], names)
        return samples

    def subset(self, ids) -> EncodedNeighbours:
        """The rows `ids`, as a source of their own."""
        return EncodedNeighbours(**super().subset(ids).columns)


def encode_neighbours(pairs: Neighbours, tokenizer: Tokenizer,
                      length: int = 128) -> EncodedNeighbours:
    """Both texts of each pair as `[CLS] text [SEP]`, truncated and padded at the end.

    Args:
        pairs: N pairs.
        tokenizer: of both texts; it stays as it is.
        length: tokens of a text at most, [CLS] and [SEP] included.

    Raises:
        ValueError: if the length leaves no place for a token.
    """
    first, second = (encode_texts(texts, tokenizer, length).columns
                     for texts in (pairs.first, pairs.second))
    others = {f"other_{name}": column for name, column in second.items()}
    return EncodedNeighbours(**first, **others, text=pairs.text)
