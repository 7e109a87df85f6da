"""What a document is in a .txt: the file, a paragraph or a line; and a single document in two."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, groupby, islice, pairwise
from typing import Literal

from .document import END, Document

Part = Literal["file", "paragraph", "line"]
HEAD = 10_000  # lines that a guess looks at
FEWEST = 10  # paragraphs or lines that are worth parting
LONGEST_PARAGRAPH = 20  # lines, on average, where blank lines part paragraphs
EVERY, SHORTEST = 20, 2000  # the last twentieth is a single document's end, or so many characters
BREAKS = re.compile(r"(?=\n)"), END, re.compile(r"(?=\s)")  # where it may begin, the best first
INDENTED, WRAPPED = 0.1, 0.8  # shares of lines, from which a text is code or verse, or is wrapped


def guessed_part(lines) -> Part:
    """What is likely a document in a file that holds several texts, or one.

    Where many lines are indented, as in code and verse, it is the file. Otherwise it is a
    paragraph if blank lines part some, and a line if the lines are not those of a wrapped text.

    Args:
        lines: the file's lines.
    """
    lines = [line.rstrip() for line in islice(lines, HEAD)]
    texts = [line for line in lines if line]
    paragraphs = sum(has_text for has_text, _ in groupby(lines, bool))
    if sum(line[0].isspace() for line in texts) > INDENTED * len(texts):
        return "file"
    if paragraphs >= FEWEST and len(texts) <= LONGEST_PARAGRAPH * paragraphs:
        return "paragraph"
    return "line" if len(texts) >= FEWEST and not is_wrapped(texts) else "file"


def is_wrapped(lines: Sequence[str]) -> bool:
    """Whether most lines end where the next line's first word would not have fitted."""
    width = max(map(len, lines))
    full = sum(len(line) + 1 + first_word(after) > width for line, after in pairwise(lines))
    return full > WRAPPED * (len(lines) - 1)


def first_word(line: str) -> int:
    """The length of a line's first word; a character's where no space parts words."""
    word, space, _ = line.strip().partition(" ")
    return len(word) if space else 1


def two_at_least(documents: Iterable[Document]) -> Iterator[Document]:
    """The documents; a single one in two, its end the second."""
    documents = iter(documents)
    first = list(islice(documents, 2))
    if len(first) == 1 and len(first[0].text) > 1:
        at = beginning_of_end(first[0].text)
        first = [replace(first[0], text=first[0].text[:at]),
                 replace(first[0], text=first[0].text[at:], source=f"{first[0].source}, its end")]
    yield from chain(first, documents)


def beginning_of_end(text: str) -> int:
    """Where the last twentieth begins: at a line, sentence or word, if one begins before it."""
    least = max(len(text) // EVERY, min(SHORTEST, len(text) // 2))
    latest, earliest = len(text) - least, max(1, len(text) - 2 * least)
    for pattern in BREAKS:
        places = [found.end() for found in pattern.finditer(text, earliest, latest + 1)
                  if found.end() <= latest]
        if places:
            return places[-1]
    return latest
