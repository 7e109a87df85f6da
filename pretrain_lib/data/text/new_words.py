"""Words that a tokenizer cuts into pieces, as tokens of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..tables.lines import decoded_lines
from .tokenizer import special_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SHOWN = 5  # words in a line for people


def read_words(path: str | Path) -> list[str]:
    """The words of a file that has one a line; empty lines are passed over.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it has no word, or a line has several.
    """
    path, words = Path(path), []
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path} with new words: it has one a line")
    for number, line in enumerate(decoded_lines(path), start=1):
        parts = line.split()
        if len(parts) > 1:
            raise ValueError(f"{path}, line {number}: a line must have one word, got "
                             f"{line.strip()!r}")
        words += parts
    if not words:
        raise ValueError(f"{path} has no word: it must have one a line")
    return words


def with_new_words(tokenizer: Tokenizer, words: Sequence[str]) -> Tokenizer:
    """A copy of a tokenizer to which words are single tokens, where they stand as whole words.

    Within longer words they are cut as before. A word that is one token already stays that; case
    and accents are what they are to the tokenizer. Ids of tokens that were there stay.

    Raises:
        ValueError: if a word would not come back from its token.
    """
    from tokenizers import AddedToken

    added = tokenizer.from_str(tokenizer.to_str())
    for word in unknown_words(tokenizer, words):
        added.add_tokens([AddedToken(word, single_word=True, normalized=True)])
        back = added.decode([added.token_to_id(word)]).strip()
        if back != word:
            raise ValueError(f"{word!r} cannot be a new word: this tokenizer would write {back!r} "
                             "for it, as it writes letters byte by byte. Leave it out")
    return added


def unknown_words(tokenizer: Tokenizer, words: Sequence[str]) -> list[str]:
    """The words that are not one token yet, each once, as the tokenizer spells them."""
    spelt = dict.fromkeys(normalised(tokenizer, word) for word in words)
    unknown = special_ids(tokenizer).unk
    return [word for word in spelt if len(ids := pieces(tokenizer, word)) > 1 or unknown in ids]


def normalised(tokenizer: Tokenizer, word: str) -> str:
    """A word as a tokenizer sees it, such as in lower case."""
    return tokenizer.normalizer.normalize_str(word).strip() if tokenizer.normalizer else word


def pieces(tokenizer: Tokenizer, word: str) -> list[int]:
    """The ids of a word's pieces within a text, where a space stands before it."""
    return tokenizer.encode(f" {word}", add_special_tokens=False).ids


def told(tokenizer: Tokenizer, words: Sequence[str]) -> str:
    """A line for people: how many words are new to a tokenizer, and which it knew."""
    new = set(unknown_words(tokenizer, words))
    known = [word for word in words if normalised(tokenizer, word) not in new]
    more = " …" if len(known) > SHOWN else ""
    return f"new words: {len(new)} added" + (
        f"; {len(known)} left out, which are one token already: {', '.join(known[:SHOWN])}{more}"
        if known else "")
