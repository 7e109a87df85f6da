"""Documents from files of your own: .txt, .jsonl, .csv, .tsv and .parquet, also as .gz."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..tables.dialect import Dialect, missing_column
from ..tables.lines import decoded_lines, kind_of
from ..tables.rows import has, read_rows, require_table, value_of
from .document import Document
from .parts import Part

PART = 2**20  # characters after which a .txt is cut, so that memory stays flat
LONGEST_LABEL = 100  # characters


def read_files(files: list[Path], column: str, document: Part = "file",
               dialect: Dialect = Dialect()) -> Iterator[Document]:
    """The documents of some files: those of each .txt, and each row of the other formats.

    A row's short values in other columns are its labels.
    """
    for path in files:
        if kind_of(path) == ".txt":
            require_table(path, dialect)
            yield from read_txt(path, document, dialect.encoding)
        else:
            for number, row in read_rows(path, [column], dialect):
                yield as_document(row, column, path, number)


def as_document(row: dict, column: str, path: Path | str, number: int) -> Document:
    """A row as a document, which is empty where the row has no text.

    Raises:
        ValueError: if it has no such column, or something else than text there.
    """
    if not has(row, column):
        raise missing_column(path, column, row)
    text = value_of(row, column) or ""
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


def read_txt(path: Path, document: Part = "file", encoding: str = "") -> Iterator[Document]:
    """The documents of a text file: the file, its paragraphs, or its lines; blank ones are none.

    A very long file or paragraph is several: it is cut at the first blank line after `PART`
    characters, or at any line after twice as many.
    """
    if document == "line":
        numbered_lines = enumerate(decoded_lines(path, encoding), start=1)
        yield from (Document(line, f"{path}:{n}") for n, line in numbered_lines if line.strip())
        return
    most = PART if document == "file" else 0
    lines, size, first, number = [], 0, 1, 0
    for number, line in enumerate(decoded_lines(path, encoding), start=1):
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
