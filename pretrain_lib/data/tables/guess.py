"""How a table of unknown origin is written: all ways are tried on the whole of it.

A guess is made where the file settles it, and told. Where two ways read different rows, neither
is taken: the file is refused, with the option that settles it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from .dialect import Dialect
from .errors import (
    NAMES,
    NO_SEPARATOR,
    SEPARATORS,
    listed,
    no_reading,
    swallowed_lines,
    two_readings,
)
from .lines import kind_of
from .readings import RARE, Reading, may_be_a_name, names_of, numbered, read_whole, table_lines

logger = logging.getLogger(__name__)

USUAL = {".csv": ",", ".tsv": "\t"}
ORDER = {  # the preferred ways to quote first
    ".csv": ('"', "none", r"\"", "'", r"\'"),
    ".tsv": ("none", '"', r"\"", "'", r"\'"),
}
SIGN = {  # a table without this sign reads in this way as it does in others
    '"': '"', "none": '"', "'": "'", r"\"": "\\", r"\'": "\\"
}


class Settled(NamedTuple):
    """How a table is read.

    Attributes:
        names: its columns.
        begin: the line at which its rows begin.
        separator: what stands between fields.
        quote: a key of `QUOTES`.
    """

    names: tuple[str, ...]
    begin: int
    separator: str
    quote: str


def format_of(path: Path) -> str:
    """Whose rules a table follows; those of a .tsv hold for one that ends in .txt."""
    return ".csv" if kind_of(path) == ".csv" else ".tsv"


def settle(path: Path, dialect: Dialect, wanted: Sequence[str]) -> Settled | None:
    """How a .csv, .tsv or .txt with rows is written; a guess is told, once while the file stays.

    Args:
        path: of the table.
        dialect: what is known of it.
        wanted: columns that it must have.

    Returns:
        None if the file is empty.

    Raises:
        ValueError: if it can be read in no way, or in two that differ, or lacks a column.
    """
    state = path.stat()
    return _settle(path, dialect, tuple(wanted), (state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=256)
def _settle(path: Path, dialect: Dialect, wanted: tuple[str, ...], state) -> Settled | None:
    readings = all_readings(path, dialect)
    if not readings:
        return None
    fitting = [r for r in readings if not r.fault and names_of(r, dialect, wanted)]
    if not fitting:
        raise no_reading(path, dialect, wanted, readings)
    best, *others = fitting
    doubts = [other for other in others if not same_rows(best, other, dialect, wanted)]
    for other in doubts:
        if not outweighs(best, other, readings, format_of(path)):
            raise two_readings(path, dialect, best, other)
    if not dialect.quote and best.long and (best.loose or best.swallowed >= max(1, best.needed)):
        raise swallowed_lines(path, best)
    names, header = names_of(best, dialect, wanted)
    if not header:
        check_first_row(path, best, dialect)
    tell(path, dialect, best, doubts, readings, header)
    return Settled(names, best.first.line + header, best.separator, best.quote)


def check_first_row(path: Path, reading: Reading, dialect: Dialect) -> None:
    """Raises if the first line, which is read as a row, may be the names of the columns."""
    fields, place = reading.first.fields, f"{path}, line {reading.first.line}"
    if dialect.columns and tuple(numbered(fields)) == dialect.columns:
        raise ValueError(f"{place}: its columns name themselves: leave out --columns, which makes "
                         "this line a row")
    if not dialect.columns and all(map(may_be_a_name, fields)):
        raise ValueError(f"{place}: {listed(fields)} may be a row or the names of the columns: if "
                         "it is a row, name the columns with --columns; if not, ask for them by these "
                         "names")


def all_readings(path: Path, dialect: Dialect) -> list[Reading]:
    """What comes of every way in which the table may be written, the likeliest first."""
    def lines():
        return table_lines(path, dialect.encoding)

    first = next((line for line in lines() if line.strip()), "") or next(lines(), "")
    kind, width, readings = format_of(path), len(dialect.columns), []
    for separator in separators_in(first, kind, dialect) if first else []:
        likeliest, *others = [dialect.quote] if dialect.quote else ORDER[kind]
        usual = read_whole(lines(), separator, likeliest, width)
        readings += [usual, *(read_whole(lines(), separator, quote, width) for quote in others
                              if usual.fault or SIGN[quote] in usual.signs)]
    return [r for r in readings
            if r.first and (dialect.quote or r.quote not in RARE or not r.loose)]


def separators_in(first: str, kind: str, dialect: Dialect) -> list[str]:
    """What may separate the fields of a line, the likeliest first."""
    if dialect.separator:
        return [dialect.separator]
    bare = "".join(first.split('"')[::2])  # what is outside quotes
    found = sorted((s for s in SEPARATORS if s in first), key=bare.count, reverse=True)
    if kind == ".tsv" and "\t" in found:
        return ["\t", *(s for s in found if s != "\t")]
    return found if found and len(dialect.columns) != 1 else [*found, NO_SEPARATOR]


def same_rows(one: Reading, other: Reading, dialect: Dialect, wanted: Sequence[str]) -> bool:
    return ((one.rows, one.mark, one.first.fields) == (other.rows, other.mark, other.first.fields)
            and names_of(one, dialect, wanted) == names_of(other, dialect, wanted))


def outweighs(best: Reading, other: Reading, readings: list[Reading], kind: str) -> bool:
    """Whether of two ways that read different rows the file, or its format, settles which is meant.

    No program writes quotes in the middle of an unquoted field of a table that has quoted ones. A
    .csv has quotes around fields (RFC 4180); a .tsv may have or not. A .tsv has tabs between
    fields, unless another separator stands between fields that are in quotes from end to end.
    """
    if best.separator != other.separator:
        return kind == ".tsv" and best.separator == "\t" and (other.loose or not other.quoted)
    if kind == ".tsv" and (best.quote, other.quote) == ("none", '"'):
        return other.loose
    if best.rows != other.rows or best.loose:
        return False
    if best.quote == "none" and other.quote == r"\"":  # it explains why plain quotes fail
        return not any(r.fault for r in readings
                       if r.quote == '"' and r.separator == best.separator)
    return not (other.sign == "'" and other.quoted >= other.rows)  # each has some


def tell(path: Path, dialect: Dialect, best: Reading, doubts: list[Reading],
         readings: list[Reading], header: bool) -> None:
    """Says what was guessed, and the options that say otherwise."""
    usual = USUAL[format_of(path)]
    guesses, options = [], []
    by_separator = [other for other in doubts if other.separator != best.separator]
    by_quote = [other for other in doubts if other.separator == best.separator]
    if not dialect.separator and (by_separator or best.separator != usual):
        guesses.append(f"there is {NAMES[best.separator]} between fields")
        options.append("--separator")
    others_fail = any(r.fault for r in readings
                      if r.separator == best.separator and r.quote in ('"', "none"))
    plain = best.quote == '"' and format_of(path) == ".csv" and not best.loose
    single = best.single and best.quote != "'"
    if not dialect.quote and (by_quote or single or (others_fail and not plain)):
        guesses.append("quotes are part of the text" if best.quote == "none"
                       else f"fields may be in quotes ({best.quote})")
        options.append("--quote")
    if not header and not dialect.columns:
        guesses.append(f"the first line is a row ({listed(best.first.fields)}), so columns are "
                       f"1 to {best.width}")
        options.append("--columns")
    if guesses:
        logger.warning("%s: %s; if not so, set %s", path, "; ".join(guesses), ", ".join(options))
