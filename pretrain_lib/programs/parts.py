"""A file of texts that is worked through a part at a time, each kept before the next is read.

So a file of any length fits into memory, and what was stopped goes on behind the last part.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path

from ..data.tables.dialect import Dialect
from ..data.tables.lines import decoded_lines, kind_of
from ..data.tables.rows import read_rows
from ..data.tasks.labelled import cell
from ..files import new_file, write_text

PART = 2000  # rows that are worked on at once
ABOUT = "about.json"  # beside the parts: what they were made of

Numbered = tuple[int, str]  # a row's or line's number in its file, and its text


def require_room_and_file(output: Path, data: str) -> None:
    """Raises FileExistsError if the output is there, FileNotFoundError if the input is not."""
    if output.exists():
        raise FileExistsError(f"{output} is there already: choose another --output, or move it "
                              "away")
    if not Path(data).is_file():
        raise FileNotFoundError(f"there is no file {data!r}")


def texts_of(path: Path, column: str, dialect: Dialect) -> Iterator[Numbered]:
    """The number of each row or line in a file, and its text; "" where there is none."""
    if kind_of(path) == ".txt":
        lines = decoded_lines(path, dialect.encoding)
        return ((number, line.strip()) for number, line in enumerate(lines, start=1))
    rows = read_rows(path, (column,), dialect)
    return ((number, cell(row, column, str(path), number)) for number, row in rows)


def in_parts(rows: Iterator) -> Iterator[tuple]:
    """The rows, `PART` at a time."""
    rows = iter(rows)
    while part := tuple(islice(rows, PART)):
        yield part


def kept_parts(folder: Path, about: dict, rows: Iterator[Numbered], suffix: str,
               write: Callable[[Path, tuple[Numbered, ...]], None]) -> list[Path]:
    """What is made of the rows, as files in a folder; those that are there stay.

    Args:
        folder: for the parts; whoever has put them together deletes it.
        about: what they are made of, fit for JSON.
        rows: the texts.
        suffix: of a part's file.
        write: makes the file of a part.

    Returns:
        The files, in order.

    Raises:
        ValueError: if the folder holds parts of something else.
    """
    parts, places = in_parts(rows), []
    first = tuple(islice(parts, 1))  # what cannot be read is told before there is a folder
    begin(folder, about | {"part": PART})
    try:
        for number, part in enumerate(chain(first, parts)):
            places.append(folder / f"{number:06d}{suffix}")
            if not places[-1].exists():
                with new_file(places[-1]) as place:
                    write(place, part)
    except KeyboardInterrupt as end:
        end.add_note(f"what is done so far is in {folder}; the same command goes on")
        raise
    return places


def begin(folder: Path, about: dict) -> None:
    """Makes the folder for parts, or goes on with the one that is there.

    Raises:
        ValueError: if it holds parts of something else.
    """
    place, text = folder / ABOUT, json.dumps(about)
    if place.is_file() and json.loads(place.read_text(encoding="utf-8")) != json.loads(text):
        raise ValueError(f"{folder} holds parts of something else, of another model, file or "
                         "option: delete it, or choose another --output")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(place, text)
