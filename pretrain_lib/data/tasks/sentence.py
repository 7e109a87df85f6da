"""A sentence with its label, as tasks are made of them."""

from __future__ import annotations

from typing import NamedTuple

from ..text.document import split_sentences

FEWEST_WORDS = 5  # headings and cheers are no sentences
MASK = "[MASK]"  # what BERT and ModernBERT read where a word is hidden


class Labelled(NamedTuple):
    """A sentence and its class.

    Attributes:
        sentence: its text.
        kind: the name of its class, or a number as text.
        source: the document that it is from.
        word: the word that was masked in it, if one was, not to stand on both sides of a split.
    """

    sentence: str
    kind: str
    source: str
    word: str = ""


def long_sentences(text: str) -> list[str]:
    """The sentences of a text that have some words."""
    return [s for s in split_sentences(text) if len(s.split()) >= FEWEST_WORDS]
