"""How good a text is, at a first look, in any language."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from .document import Document

TOO_SHORT = 5  # words
# Chinese and Japanese put no spaces between words: there, a character counts as one.
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]+")


@dataclass(frozen=True)
class QualityReport:
    """What a first look at a text tells, in any language.

    Attributes:
        documents: number of documents.
        words: number of words: what stands between spaces, and each Chinese or Japanese character.
        characters: number of characters.
        duplicates: documents whose words are those of an earlier one.
        too_short: documents of fewer than five words.
        non_letters: share of the characters, other than white space, that are no letters.
    """

    documents: int
    words: int
    characters: int
    duplicates: int
    too_short: int
    non_letters: float

    def __str__(self) -> str:
        return "\n".join([
            f"documents     {self.documents:>13,}",
            f"words         {self.words:>13,}",
            f"characters    {self.characters:>13,}",
            f"duplicates    {self.duplicates:>13,}",
            f"under {TOO_SHORT} words {self.too_short:>13,}",
            f"non-letters   {self.non_letters:>13.1%}",
        ])


def quality_report(corpus: Iterable[Document]) -> QualityReport:
    """Counts documents, words, duplicates, and what looks like no language; reads in one pass.

    Memory grows by 16 bytes and some overhead a document.
    """
    words = duplicates = too_short = documents = 0
    characters, seen = Counter(), set()
    for document in corpus:
        documents += 1
        characters.update(document.text)
        found = sum(1 for _ in WORD.finditer(document.text))
        words += found
        too_short += found < TOO_SHORT
        fingerprint = words_fingerprint(document.text)
        duplicates += fingerprint in seen
        seen.add(fingerprint)
    non_letters = share_of_non_letters(characters)
    return QualityReport(
        documents, words, characters.total(), duplicates, too_short, non_letters
    )


def words_fingerprint(text: str) -> bytes:
    """Equal for texts of equal words, however spaced."""
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).digest()


def share_of_non_letters(characters: Counter) -> float:
    """Letters are what Unicode calls letters and the marks on them, as Hindi's vowels are."""
    visible = {c: n for c, n in characters.items() if not c.isspace()}
    letters = sum(n for c, n in visible.items() if unicodedata.category(c)[0] in "LM")
    return 1 - letters / max(sum(visible.values()), 1)
