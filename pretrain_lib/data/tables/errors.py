"""Why a table of unknown origin cannot be read, and what settles it: one line for each case."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from .dialect import Dialect, missing_column
from .lines import kind_of
from .readings import Reading, Record, may_be_a_name, names_of, numbered, records, table_lines

NO_SEPARATOR = "\x1f"  # of a table of one column
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
NAMES = {**SEPARATORS, " ": "a space", NO_SEPARATOR: "nothing"}
LABEL_FIRST = re.compile(r"-?\d+ \S")  # a number and a space


def two_readings(path: Path, dialect: Dialect, one: Reading, other: Reading) -> ValueError:
    """The error for a table that can be read in two ways."""
    pairs = zip_longest(*(records(table_lines(path, dialect.encoding), r.separator, r.quote)
                          for r in (one, other)))
    line = next(a.line if a else b.line for a, b in pairs
                if not a or not b or a.fields != b.fields)
    if one.separator != other.separator:
        ways = " or ".join(f"--separator {shown(r.separator)}" for r in (one, other))
    else:
        ways = " or ".join(f"--quote {in_shell(r.quote)}" for r in (one, other))
    return ValueError(f"{path} can be read in two ways that differ from line {line} on: "
                      f"{in_words(one)}, {one.rows} rows behind the first; {in_words(other)}, "
                      f"{other.rows}: settle it with {ways}")


def swallowed_lines(path: Path, reading: Reading) -> ValueError:
    """The error for quotes around lines that look like rows of their own."""
    return ValueError(f"{path}, line {reading.long}: read {in_words(reading)}, quotes hold whole "
                      f"lines that may be rows: settle it with --quote {in_shell(reading.quote)} "
                      "if these lines are one text, or --quote none if quotes are part of the text")


def no_reading(path: Path, dialect: Dialect, wanted: Sequence[str],
               readings: list[Reading]) -> ValueError:
    """The error for a table that has no reading with the columns asked for."""
    whole = [r for r in readings if not r.fault]
    hopeful = [r for r in readings if r.fault and r.first and names_of(r, dialect, wanted)]
    unclosed = [r for r in readings
                if r.fault and r.fault is r.first and kind_of(path) == ".csv"]
    if whole and not hopeful and not unclosed:
        return lacking(path, dialect, wanted, max(whole, key=lambda r: r.width))
    furthest = max(hopeful or unclosed or readings, key=lambda r: r.fault.line)
    return at_fault(path, dialect, furthest)


def lacking(path: Path, dialect: Dialect, wanted: Sequence[str], reading: Reading) -> ValueError:
    """The error for a column that is not there."""
    if dialect.columns and reading.width != len(dialect.columns):
        return ValueError(f"{path}, line {reading.first.line}: {reading.width} fields, but "
                          f"--columns names {len(dialect.columns)}")
    names = dialect.columns or numbered(reading.first.fields)
    absent = next((name for name in wanted if name not in names), wanted[0])
    if dialect.columns or all(map(may_be_a_name, filter(None, names))):
        return with_yes_and_no(missing_column(path, absent, names), names, reading)
    error = missing_column(f"{path}, line {reading.first.line},", absent, map(cut, names))
    return ValueError(f"{error}; if this line is a row, name the columns in order with --columns, "
                      f"or ask for them by number, 1 to {reading.width}; if it is cut at the wrong "
                      "places, set --separator or --quote")


def with_yes_and_no(error: ValueError, names: Sequence[str], reading: Reading) -> ValueError:
    """An error for a missing column that also says which columns of several are a class each."""
    fields = reading.second.fields if reading.second else []
    binary = [name for name, value in zip(names, fields) if value in ("0", "1")]
    if len(binary) < 2:
        return error
    return ValueError(f"{error}; {', '.join(binary[:-1])} and {binary[-1]} hold 0 or 1: each is a "
                      "task of its own")


def at_fault(path: Path, dialect: Dialect, reading: Reading) -> ValueError:
    """The error for a record that cannot be read, with the advice that fits it."""
    record, width = reading.fault, len(dialect.columns) or reading.width
    place = f"{path}, line {record.line}"
    if record.fault:
        tried = "" if reading.quote == '"' else f", as --quote {in_shell(reading.quote)} reads it"
        return ValueError(f"{place}: not CSV: {record.fault}{tried}; "
                          f"{quoting_advice(record.raw, reading)}")
    advice = width_advice(record, width, reading, dialect)
    if "--" not in advice:
        advice += ", or set --quote and --separator to what the table is written with"
    return ValueError(f"{place}: {len(record.fields)} fields, but {width} columns; {advice}")


def quoting_advice(raw: str, reading: Reading) -> str:
    """What to do about quotes that do not end as they should."""
    if r"\"" in raw and reading.quote == '"':
        return ("where a backslash stands before a quote within quotes, set "
                f"--quote {in_shell(chr(92) + chr(34))}")
    return ("a field that begins with a quote must end with one, and quotes within it are written "
            "twice, unless --quote says otherwise; where quotes are part of the text, set --quote "
            "none")


def width_advice(record: Record, width: int, reading: Reading, dialect: Dialect) -> str:
    """What to do about a record with more or fewer fields than there are columns."""
    raw, extra = record.raw, len(record.fields) - width
    separator = shown(reading.separator)
    named = "name one more in --columns" if dialect.columns else ""
    for sign in ("'", r"\"", '"'):
        begins = rf"(?:^|{re.escape(reading.separator)})\s*{re.escape(sign[-1])}"
        if sign != reading.quote and (sign in raw if sign[0] == "\\" else re.search(begins, raw)):
            return f"where fields are in quotes ({sign}), set --quote {in_shell(sign)}"
    if extra == 1 and not record.fields[-1].strip():
        more = named or f"write one more {separator} at the end of the first line"
        return f"the line ends in a separator too many: take it away, or {more}"
    if extra == 1 and record.fields[0].strip().isdigit():
        more = named or f"write {separator} before the first line"
        return f"where rows begin with a number that has no name, {more}"
    if LABEL_FIRST.match(raw) and LABEL_FIRST.match(reading.first.raw):
        return "where a label and a space begin each line, set --separator space"
    others = [s for s in SEPARATORS if s != reading.separator
              and 0 < raw.count(s) == reading.first.raw.count(s)]
    if others:
        return f"where {NAMES[others[0]]} stands between fields, set --separator {shown(others[0])}"
    holds = separator if extra > 0 else "a line break"
    return f"put double quotes around a field that holds {holds}"


# --- In words --------------------------------------------------------------------------------


def in_words(reading: Reading) -> str:
    """A way of reading, in words."""
    separated = f"with {NAMES.get(reading.separator, repr(reading.separator))} between fields"
    if reading.quote == "none":
        return f"{separated} and quotes as part of the text"
    return f"{separated} and {reading.quote} as the quote sign"


def in_shell(quote: str) -> str:
    """A quote sign as it is typed in a shell."""
    return quote if quote == "none" else f'"{quote}"' if "'" in quote else f"'{quote}'"


def shown(separator: str) -> str:
    return {"\t": "tab", " ": "space"}.get(separator, f"'{separator}'")


def listed(fields: list[str]) -> str:
    """The first fields of a record, in one line."""
    return ", ".join(map(cut, fields[:5]))


def cut(text: str) -> str:
    """The beginning of a field, in one line."""
    text = " ".join(text.split())
    return text[:30] + "…" if len(text) > 30 else text
