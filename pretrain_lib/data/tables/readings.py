"""A table read in one way, from its first line to its last, with the standard library's `csv`."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple

from .dialect import QUOTES, Dialect
from .lines import decoded_lines

LONGEST_FIELD = 2**24  # characters; a quote that is never closed takes no more memory
BEHIND_LONE_CR = re.compile(r"(?<=\r)(?!\n)")
NAME = re.compile(r"[^\W\d][\w.\-/# ]{0,39}")  # what a column may be called
RARE = ("'", r"\"", r"\'")  # ways to quote that are meant only where nothing speaks against them
MOST_WORDS = 3  # of such a name


def table_lines(path: Path, encoding: str = "") -> Iterator[str]:
    r"""The lines of a table, which may end in \r alone, as on old Macs, if its first one does."""
    lines = decoded_lines(path, encoding)
    first = next(lines, "")
    everything = chain([first], lines)
    if BEHIND_LONE_CR.search(first):
        return chain.from_iterable(map(BEHIND_LONE_CR.split, everything))
    return everything


class Record(NamedTuple):
    """A record of a table.

    Attributes:
        line: the number of its first line, from 1.
        raw: its lines as they are.
        fields: what they hold.
        fault: why it cannot be read, if so; then nothing follows it.
    """

    line: int
    raw: str
    fields: list[str]
    fault: str = ""


def records(lines: Iterable[str], separator: str, quote: str) -> Iterator[Record]:
    """The records of a table that is written in one way; blank lines are passed over."""
    if separator == " ":
        yield from (Record(number, line, line.rstrip("\r\n").split(" ", 1))
                    for number, line in enumerate(lines, start=1) if line.rstrip("\r\n"))
        return
    csv.field_size_limit(LONGEST_FIELD)
    taken: list[str] = []

    def noted() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    reader = csv.reader(noted(), strict=True, delimiter=separator, **QUOTES[quote])
    number = 1
    while True:
        fields, fault = [], ""
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fault = str(error)
        if fields or fault:
            yield Record(number, "".join(taken), fields, fault)
        if fault:
            return
        number += len(taken)
        taken.clear()


@dataclass
class Reading:
    """What comes of reading a whole table in one way.

    Attributes:
        separator: what stands between fields.
        quote: a key of `QUOTES`.
        first: its first record, which may name the columns.
        second: the record behind it.
        rows: the number of records behind the first.
        mark: a number that other rows would change.
        fault: the record at which it fails, if it does.
        loose: whether a quote stands in the middle of a field that is not in quotes, as no program
            writes it (RFC 4180, section 2, rule 5).
        long: the line at which the first record of several lines begins; 0 if there is none.
        swallowed: records of several lines each of which, without quotes, would be a row.
        needed: records with quotes that without them would be no rows.
        quoted: records with quotes.
        single: whether a single quote begins a field.
        signs: which of "'", '"' and a backslash stand anywhere.
    """

    separator: str
    quote: str
    first: Record | None = None
    second: Record | None = None
    rows: int = 0
    mark: int = 0
    fault: Record | None = None
    loose: bool = False
    long: int = 0
    swallowed: int = 0
    needed: int = 0
    quoted: int = 0
    single: bool = False
    signs: str = ""

    @property
    def sign(self) -> str:
        """The quote sign, without the backslash that stands before it within a field."""
        return self.quote[-1] if self.quote != "none" else ""

    @property
    def width(self) -> int:
        """The number of fields of every row."""
        return len(self.first.fields)

    def looks_at(self, record: Record) -> None:
        """Counts what tells whether quotes are meant as quotes."""
        self.signs += "".join(s for s in "'\"\\" if s not in self.signs and s in record.raw)
        self.single |= record.raw[0] == "'" or f"{self.separator}'" in record.raw
        if not self.sign or self.sign not in record.raw:
            return
        several = "\n" in record.raw.rstrip("\r\n") or "\r" in record.raw.rstrip("\r\n")
        lines = filter(None, re.split(r"[\r\n]+", record.raw)) if several else [record.raw]
        bare = all(line.count(self.separator) == self.width - 1 for line in lines)
        self.quoted += 1
        self.long = self.long or record.line * several
        self.swallowed += bare and several
        self.needed += not bare
        if not self.loose:
            self.loose = not well_quoted(self.separator, self.quote).fullmatch(record.raw)


@cache
def well_quoted(separator: str, quote: str) -> re.Pattern:
    """A record whose fields are in quotes from end to end, or hold none."""
    s, q = re.escape(separator), re.escape(quote[-1])
    within, bare = rf"[^{q}]++|{q}{q}", rf"[^{q}{s}\r\n]++"
    if len(quote) == 2:  # a backslash stands before what would mean something
        within, bare = rf"[^{q}\\]++|\\.", rf"[^{q}{s}\r\n\\]++|\\."
    a_field = rf"(?:{q}(?:{within})*+{q}|(?:{bare})*+)"
    return re.compile(rf"{a_field}(?:{s}{a_field})*+[\r\n]*", re.DOTALL)


def read_whole(lines: Iterable[str], separator: str, quote: str, width: int = 0) -> Reading:
    """Reads a table to its end, or to where it cannot be written in this way.

    Args:
        lines: of the table, with their ends.
        separator: what stands between fields.
        quote: a key of `QUOTES`.
        width: fields of every record; 0 means as many as the first has.
    """
    reading = Reading(separator, quote)
    for record in records(lines, separator, quote):
        if reading.first is None:
            if not width and not record.raw.strip() and separator not in record.raw:
                continue  # a blank line before the header
            reading.first = record
        elif not record.fault:
            reading.second = reading.second or record
            reading.rows += 1
            reading.mark = hash((reading.mark, *record.fields))
        if record.fault or len(record.fields) != (width or reading.width):
            reading.fault = record
            break
        reading.looks_at(record)
        if reading.loose and quote in RARE:
            break
    return reading


# --- Names of columns -----------------------------------------------------------------------


def names_of(reading: Reading, dialect: Dialect,
             wanted: Sequence[str]) -> tuple[tuple[str, ...], bool] | None:
    """The names of the columns, and whether the first record has them; None if one is missing."""
    if dialect.columns:
        known = len(reading.first.fields) == len(dialect.columns)
        return (dialect.columns, False) if known and {*wanted} <= {*dialect.columns} else None
    names = tuple(numbered(reading.first.fields))
    if {*wanted} <= {*names}:
        return names, True
    numbers = tuple(str(i + 1) for i in range(len(names)))
    return (numbers, False) if {*wanted} <= {*numbers} else None


def numbered(header: list[str]) -> list[str]:
    """The names of columns without spaces around them, those that occur twice with a number."""
    names = [name.strip() for name in header]
    times, taken, numbers = Counter(names), set(names), defaultdict(lambda: count(1))
    for i, name in enumerate(names):
        if times[name] > 1:
            numbered_names = (f"{name} ({number})" for number in numbers[name])
            names[i] = next(new for new in numbered_names if new not in taken)
            taken.add(names[i])
    return names


def may_be_a_name(text: str) -> bool:
    """Whether a column may be called so."""
    return bool(NAME.fullmatch(text.strip())) and len(text.split()) <= MOST_WORDS
