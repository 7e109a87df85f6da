"""Documents from files of your own: .txt, .jsonl, .csv, .tsv and .parquet, also as .gz."""

from __future__ import annotations

import codecs
import csv
import glob
import gzip
import io
import json
import re
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import chain, count
from pathlib import Path

from .document import Document
from .parts import Part

SUFFIXES = (".txt", ".jsonl", ".csv", ".tsv", ".parquet")
TABLES = SUFFIXES[1:]
SEPARATORS = ",;\t|"
PART = 2**20  # characters after which a .txt is cut, so that memory stays flat
LONGEST_LABEL = 100  # characters
BYTE_ORDER_MARK = "\ufeff"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # how such a file begins, if it says so
MOST_COLUMNS = 30  # that an error lists
LONGEST_FIELD = 2**31 - 1  # of a .csv; Python's own limit is 131 072 characters
BEHIND_LONE_CR = re.compile(r"(?<=\r)(?!\n)")
DAMAGED_GZIP = (gzip.BadGzipFile, EOFError, zlib.error)

Row = tuple[int, dict]  # its line or number in the file, from 1, and its values by column


def find_files(pattern: str) -> list[Path]:
    """The files that a path or a pattern such as "books/**/*.txt" names, in alphabetical order.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if one is of a kind that cannot be read.
    """
    path = Path(pattern)
    if path.is_dir():
        example = f"{path.as_posix()}/*.txt"
        raise ValueError(f"{pattern} is a folder: name its files, such as {example!r}")
    names = [pattern] if path.is_file() else sorted(glob.glob(pattern, recursive=True))
    files = [path for path in map(Path, names) if path.is_file()]
    if not files:
        raise FileNotFoundError(f"no file matches {pattern!r}")
    for path in files:
        if kind_of(path) not in SUFFIXES:
            known = ", ".join(SUFFIXES)
            raise ValueError(f"{path} must end in {known}, or one of these and .gz")
    return files


def kind_of(path: Path) -> str:
    """The suffix that tells the format, whether or not the file is compressed."""
    return Path(path.stem if path.suffix.lower() == ".gz" else path.name).suffix.lower()


def read_files(files: list[Path], column: str, document: Part = "file") -> Iterator[Document]:
    """The documents of some files: those of each .txt, and each row of the other formats.

    A row's short values in other columns are its labels.
    """
    for path in files:
        if kind_of(path) == ".txt":
            yield from read_txt(path, document)
        else:
            for number, row in read_rows(path):
                yield as_document(row, column, path, number)


def as_document(row: dict, column: str, path: Path | str, number: int) -> Document:
    """A row as a document.

    Raises:
        ValueError: if it has no such column, or no text there.
    """
    if column not in row:
        raise missing_column(path, column, row)
    text = row[column] or ""
    if not isinstance(text, str):
        kind = type(text).__name__
        raise ValueError(f"{path}, row {number}: column {column!r} must hold text, got {kind}")
    labels = {
        name: str(value)
        for name, value in row.items()
        if name != column and isinstance(value, str | int | float)
        and len(str(value)) <= LONGEST_LABEL
    }
    return Document(text, f"{path}:{number}", labels)


def missing_column(place: Path | str, name: str, columns: Iterable[str]) -> ValueError:
    """The error for a column that is not there: it offers the nearest name and lists them all."""
    columns = [str(column) for column in columns]
    folded = {column.casefold().strip(): column for column in columns}
    near = get_close_matches(name.casefold().strip(), folded, n=1)
    hint = f"did you mean {folded[near[0]]!r}? " if near else ""
    more = f" and {len(columns) - MOST_COLUMNS} more" if len(columns) > MOST_COLUMNS else ""
    return ValueError(f"{place} has no column {name!r}; {hint}its columns are "
                      f"{', '.join(columns[:MOST_COLUMNS])}{more}")


# --- Formats --------------------------------------------------------------------------------


def read_txt(path: Path, document: Part = "file") -> Iterator[Document]:
    """The documents of a text file: the file, its paragraphs, or its lines; blank ones are none.

    A very long file or paragraph is several: it is cut at the first blank line after `PART`
    characters, or at any line after twice as many.
    """
    if document == "line":
        numbered_lines = enumerate(decoded_lines(path), start=1)
        yield from (Document(line, f"{path}:{n}") for n, line in numbered_lines if line.strip())
        return
    most = PART if document == "file" else 0
    lines, size, first, number = [], 0, 1, 0
    for number, line in enumerate(decoded_lines(path), start=1):
        if document == "paragraph" and not lines and not line.strip():
            first += 1
            continue
        lines.append(line)
        size += len(line)
        if size >= most and (size >= 2 * PART or not line.strip()):
            yield Document("".join(lines), f"{path}:{first}")
            lines, size, first = [], 0, number + 1
    if lines or number == 0:
        yield Document("".join(lines), str(path) if first == 1 else f"{path}:{first}")


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a .jsonl, .csv, .tsv or .parquet file."""
    readers = {".jsonl": read_jsonl, ".csv": read_csv, ".tsv": read_csv, ".parquet": read_parquet}
    return readers[kind_of(path)](path)


def read_jsonl(path: Path) -> Iterator[Row]:
    for number, line in enumerate(decoded_lines(path), start=1):
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


def read_csv(path: Path) -> Iterator[Row]:
    """The rows of a table whose first line names the columns, separated by one of `SEPARATORS`.

    Columns of one name are told apart by a number: "stars (1)", "stars (2)". Blank lines before
    the first are skipped.
    """
    csv.field_size_limit(LONGEST_FIELD)
    lines = table_lines(path)
    blank, first = next(((i, line) for i, line in enumerate(lines) if line.strip()), (0, ""))
    if not first:
        return
    separator = "\t" if kind_of(path) == ".tsv" and "\t" in first else separator_of(first)
    table = csv.reader(chain([first], lines), strict=True, delimiter=separator)
    number = blank + 1  # where a row begins
    try:
        header = numbered(next(table))
        number = blank + table.line_num + 1
        for row in table:
            if row and len(row) != len(header):
                raise ValueError(
                    f"{path}, line {number}: {len(row)} fields, but {len(header)} columns; put "
                    f"double quotes around a field that holds {separator!r}"
                )
            if row:
                yield number, dict(zip(header, row, strict=True))
            number = blank + table.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {number}: not CSV: {error}; a field that begins with a double quote "
            "must end with one, and quotes within it are written twice"
        ) from None


def table_lines(path: Path) -> Iterator[str]:
    r"""The lines of a table, which may end in \r alone, as on old Macs, if its first one does."""
    lines = decoded_lines(path)
    first = next(lines, "")
    everything = chain([first], lines)
    if BEHIND_LONE_CR.search(first):
        return chain.from_iterable(map(BEHIND_LONE_CR.split, everything))
    return everything


def separator_of(header: str) -> str:
    """What separates the names of columns: what stands between them most often, or else a comma."""
    bare = "".join(header.split('"')[::2])  # what is outside quotes
    return max(SEPARATORS, key=bare.count)


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


# --- Bytes ----------------------------------------------------------------------------------


def open_bytes(path: Path):
    """The bytes of a file, decompressed if it ends in .gz."""
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def decoded_lines(path: Path) -> Iterator[str]:
    """The lines of a file in UTF-8, or in UTF-16 with its byte order mark, with their ends.

    Raises:
        ValueError: at the first byte that is no text, naming it (for .gz, counted in the
            decompressed file), or for a damaged .gz.
    """
    try:
        with open_bytes(path) as file:
            mark = file.read(2)
            file.seek(0)
            yield from utf_16_lines(file, path) if mark in UTF_16 else utf_8_lines(file, path)
    except DAMAGED_GZIP as error:
        raise damaged_gzip(path, error) from None


def damaged_gzip(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is no intact .gz file: {error}; copy or compress it anew")


def utf_16_lines(file, path: Path) -> Iterator[str]:
    try:
        yield from io.TextIOWrapper(file, "utf-16", newline="\n")
    except UnicodeError as error:
        raise ValueError(
            f"{path} begins like UTF-16 and is not: {error}; save it as UTF-8"
        ) from None


def utf_8_lines(file, path: Path) -> Iterator[str]:
    offset = 0
    for line in file:
        text = decode(line, path, offset)
        yield text if offset else text.removeprefix(BYTE_ORDER_MARK)
        offset += len(line)


def decode(line: bytes, path: Path, offset: int) -> str:
    """A line of a file, `offset` bytes from its start, as text."""
    zero = line.find(0)
    for name, half in (("utf-16le", line[1::2]), ("utf-16be", line[::2])):
        if offset == 0 and half.count(0) > 0.5 * len(half):  # Latin letters have a zero byte each
            raise ValueError(
                f"{path} looks like UTF-16 without its byte order mark: convert it, for example "
                f"with iconv -f {name} -t utf-8, or save it as UTF-8"
            )
    if zero >= 0:
        raise ValueError(f"{path} is not text but binary: byte {offset + zero} is 0x00")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte {offset + error.start} is 0x{line[error.start]:02x}; "
            "convert it, for example with iconv -f latin1 -t utf-8, or save it as UTF-8"
        ) from None
