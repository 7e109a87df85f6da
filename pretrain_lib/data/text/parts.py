"""What a document is in a .txt: the file, a paragraph or a line; guessed where nobody says it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, islice, pairwise
from typing import Literal

Part = Literal["file", "paragraph", "line"]
HEAD = 10_000  # lines that a guess looks at
FEWEST = 10  # paragraphs or lines that are worth parting
LONGEST_PARAGRAPH = 20  # lines, on average, where blank lines part paragraphs
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
