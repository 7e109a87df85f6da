"""How a table is written, as far as somebody says it."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from ...validation import require

MOST_COLUMNS = 30  # that an error lists
BY_WORD = {"tab": "\t", r"\t": "\t", "space": " "}  # what is hard to type
QUOTES = {
    '"': {"quotechar": '"'},
    "none": {"quoting": csv.QUOTE_NONE},
    "'": {"quotechar": "'"},
    r"\"": {"quotechar": '"', "doublequote": False, "escapechar": "\\"},
    r"\'": {"quotechar": "'", "doublequote": False, "escapechar": "\\"},
}


@dataclass(frozen=True)
class Dialect:
    r"""How a table is written; what is left empty is guessed from the file, and told.

    Attributes:
        columns: names of all columns, in order, where the first line is a row and does not name
            them. Without these, columns of such a file are asked for by number: "1" is the first.
        separator: the character between fields; "tab" is one too. Of spaces only the first one in a
            line separates, as in "0 a dull film".
        quote: the sign around fields that hold separators or line breaks: '"' or "'", which is
            written twice within a field; '\"' or "\'" where a backslash stands before it there;
            "none" where quotes are part of the text.
        encoding: of the file, such as "utf-8", "utf-16", "cp1252", "latin-1"; empty means UTF-8, or
            UTF-16 where the file begins with its byte order mark.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    columns: tuple[str, ...] = ()
    separator: str = ""
    quote: str = ""
    encoding: str = ""

    def __post_init__(self):
        require(not isinstance(self.columns, str), "columns", self.columns, "several names")
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "separator", BY_WORD.get(self.separator, self.separator))
        require(len(set(self.columns)) == len(self.columns), "columns", self.columns,
                "different names")
        require(not self.separator or len(self.separator) == 1 and self.separator not in "\r\n\"'",
                "separator", self.separator, "one character, or tab or space")
        require(self.quote in ("", *QUOTES), "quote", self.quote, "one of " + " ".join(QUOTES))
        require(not self.encoding or is_text_encoding(self.encoding), "encoding", self.encoding,
                "one that Python knows, such as utf-8, utf-16, cp1252 or latin-1")


def require_files(dialect: Dialect, name: str) -> None:
    """Raises if something is said of how files are written, and `name` is none."""
    said = [f for f in ("columns", "separator", "quote", "encoding") if getattr(dialect, f)]
    if said:
        raise ValueError(f"{said[0]} is for files, and {name!r} is none: leave it out")


def is_text_encoding(name: str) -> bool:
    try:
        "a".encode(name)
    except LookupError:  # also for what is no encoding of text, such as base64
        return False
    return True


def missing_column(place: Path | str, name: str, columns: Iterable[str]) -> ValueError:
    """The error for a column that is not there: it offers the nearest name and lists them all."""
    columns = [str(column) for column in columns]
    folded = {column.casefold().strip(): column for column in columns}
    near = get_close_matches(name.casefold().strip(), folded, n=1)
    hint = f"did you mean {folded[near[0]]!r}? " if near else ""
    more = f" and {len(columns) - MOST_COLUMNS} more" if len(columns) > MOST_COLUMNS else ""
    return ValueError(f"{place} has no column {name!r}; {hint}its columns are "
                      f"{', '.join(columns[:MOST_COLUMNS])}{more}")
