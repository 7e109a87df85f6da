"""Rows of tables: .jsonl, .csv, .tsv and .parquet, also as .gz."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from .dialect import Dialect, missing_column
from .guess import settle
from .lines import DAMAGED_GZIP, damaged_gzip, decoded_lines, kind_of, open_bytes
from .readings import records, table_lines

LOOKED_AT = 1000  # rows of which one must have a column

Row = tuple[int, dict]  # its line or number in the file, from 1, and its values by column


def read_rows(path: Path, wanted: Sequence[str], dialect: Dialect = Dialect()) -> Iterator[Row]:
    """The rows of a table.

    Args:
        path: of a .jsonl, .csv, .tsv or .parquet, or of a .txt that is written as a .tsv.
        wanted: columns that each row has then, None where it says nothing; "answer.text" is what
            "text" means within "answer".
        dialect: how the table is written.

    Raises:
        ValueError: if it cannot be read, or if none of its first rows has a column that is wanted.
    """
    kind = kind_of(path)
    if kind in (".csv", ".tsv", ".txt"):
        return read_csv(path, wanted, dialect)
    require_table(path, dialect)
    if kind == ".parquet":
        require_table(path, dialect, ("encoding",), "text")
        return with_columns(path, read_parquet(path), "row", wanted)
    return with_columns(path, read_jsonl(path, dialect.encoding), "line", wanted)


def require_table(path: Path, dialect: Dialect, fields=("columns", "separator", "quote"),
                  kinds: str = ".csv and .tsv") -> None:
    """Raises if one of the fields is set, where it means nothing in a file of this kind."""
    for name in fields:
        if getattr(dialect, name):
            raise ValueError(f"{name} is for files of {kinds}, and {path} is none: leave it out")


def with_columns(path: Path, rows: Iterator[Row], unit: str,
                 wanted: Sequence[str]) -> Iterator[Row]:
    """Rows with a value for each column that is wanted, None where a row has none.

    Raises:
        ValueError: if none of the first rows has it, naming the first by its number of a "line" or
            "row".
    """
    head = list(islice(rows, LOOKED_AT))
    for name in wanted:
        if head and not any(has(row, name) for _, row in head):
            columns = dict.fromkeys(chain.from_iterable(row for _, row in head))
            raise missing_column(f"{path}, {unit} {head[0][0]},", name, columns)
    for number, row in chain(head, rows):
        yield number, row | {name: value_of(row, name) for name in wanted}


def has(row: dict, name: str) -> bool:
    """Whether a row has a column, also one within another: "answer.text"."""
    outer, dot, inner = name.partition(".")
    if name in row or not dot:
        return name in row
    return isinstance(row.get(outer), dict) and has(row[outer], inner)


def value_of(row: dict, name: str):
    """What a row has in a column, also in one within another; None if nothing."""
    outer, dot, inner = name.partition(".")
    if name in row or not dot:
        return row.get(name)
    return value_of(row[outer], inner) if isinstance(row.get(outer), dict) else None


# --- Formats --------------------------------------------------------------------------------


def read_jsonl(path: Path, encoding: str) -> Iterator[Row]:
    for number, line in enumerate(decoded_lines(path, encoding), start=1):
        if line.strip():
            yield number, json_row(line, f"{path}, line {number}")


def json_row(line: str, place: str) -> dict:
    """A line of a .jsonl as a row.

    Raises:
        ValueError: if it is no JSON object, has numbers too long or brackets too deep to read, or
            holds half of a character.
    """
    try:
        row = json.loads(line)
        if "\\u" in line:  # only an escape gets a lone surrogate past the decoding of the file
            json.dumps(row, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: not JSON: {error}") from None
    except UnicodeEncodeError as error:
        raise ValueError(f"{place}: {error.object[error.start]!a} is half of a character, such as "
                         "an emoji that was cut in two: write all of it or none") from None
    except RecursionError:
        raise ValueError(f"{place}: its brackets nest too deep to be read: flatten it") from None
    except ValueError:
        raise ValueError(f"{place}: holds a number of more than {sys.get_int_max_str_digits()} "
                         "digits: put it in quotes, as text") from None
    if not isinstance(row, dict):
        raise ValueError(f"{place}: must be an object with columns as keys")
    return row


def read_csv(path: Path, wanted: Sequence[str], dialect: Dialect) -> Iterator[Row]:
    """The rows of a table, whose first line names the columns if `settle` finds that it does.

    Columns of one name are told apart by a number: "stars (1)", "stars (2)".
    """
    settled = settle(path, dialect, wanted)
    if settled is None:
        return
    for record in records(table_lines(path, dialect.encoding), settled.separator, settled.quote):
        if record.line >= settled.begin:
            yield record.line, dict(zip(settled.names, record.fields, strict=True))


def read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with open_bytes(path) as file:
            for batch in parquet.ParquetFile(file).iter_batches(batch_size=256):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except DAMAGED_GZIP as error:
        raise damaged_gzip(path, error) from None
    except (pyarrow.ArrowException, OSError, UnicodeError) as error:
        raise ValueError(f"{path} cannot be read as Parquet: {error}") from None
