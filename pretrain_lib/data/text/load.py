"""Text by name: packaged English, files of your own, or the Hub."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Literal

from .. import hub
from ..tables.dialect import Dialect, require_files
from ..tables.lines import decoded_lines, find_files, kind_of
from .corpora import load_docstrings, load_sotu
from .document import Corpus, Document
from .files import as_document, read_files
from .parts import Part, guessed_part

logger = logging.getLogger(__name__)

PACKAGED = {"sotu": load_sotu, "docstrings": load_docstrings}
WHOLE = {"file": "the whole file", "paragraph": "a paragraph", "line": "a line"}


def load_text(
    name: str | Path,
    *,
    column: str = "text",
    split: str = "train",
    config: str | None = None,
    revision: str | None = None,
    fallback: str | None = None,
    document: Literal["auto", "file", "paragraph", "line"] = "auto",
    dialect: Dialect = Dialect(),
) -> Corpus:
    """Text by name: "sotu", "docstrings", files such as "books/*.txt", or "hub:owner/name".

    Files may be .txt (one document each, parts of some megabytes where one is longer; for a single
    file and where asked, its paragraphs or lines), .jsonl, .csv, .tsv or .parquet (one document a
    row), and any of these as .gz. Data sets of the Hub are streamed.

    Args:
        name: which text.
        column: where the rows of files and of the Hub hold their text: a name, one within another
            ("answer.text"), or, in a table whose first line is a row, a number ("1" is the first).
        split: the Hub's split.
        config: the Hub's configuration of the data set.
        revision: the Hub's commit or tag; None takes the newest and stays with it.
        fallback: what to load, saying so, where the Hub cannot be reached; None raises instead.
        document: what a document is in a .txt; "auto" takes the file where there are several, and
            looks for paragraphs and lines in a single one, telling what it took.
        dialect: how files are written, as far as they do not say it themselves.

    Raises:
        ValueError: for an unknown name or kind of file. And while it is read: for a file that is
            binary or not UTF-8, naming the byte; for a missing column, naming those that exist;
            at the end of a text without a single word.
        FileNotFoundError: if no file matches.
        ConnectionError: if the Hub cannot be reached and there is no fallback.
    """
    name = str(name)
    check_document(document, name)
    if name.startswith("hub:") or name in PACKAGED:
        require_files(dialect, name)
    if name.startswith("hub:"):
        try:
            return load_hub_text(name.removeprefix("hub:"), column, split, config, revision)
        except ConnectionError as error:
            if fallback is None:
                raise
            logger.warning("%s Using %r instead.", error, fallback)
            return load_text(fallback)
    if name in PACKAGED:
        return PACKAGED[name]()
    check_name(name)
    files = find_files(name)
    if document != "auto" and all(kind_of(path) != ".txt" for path in files):
        raise nothing_to_part(document, name)
    part = part_of(files, dialect.encoding) if document == "auto" else document
    read = partial(not_empty, name, partial(read_files, files, column, part, dialect))
    return Corpus(name, read, "1 file" if len(files) == 1 else f"{len(files)} files")


def check_document(document: str, name: str) -> None:
    """Refuses what no document can be, and to part what has its documents already."""
    if document not in ("auto", *WHOLE):
        raise ValueError(f"document must be one of auto, {', '.join(WHOLE)}, got {document!r}")
    if document != "auto" and (name in PACKAGED or name.startswith("hub:")):
        raise nothing_to_part(document, name)


def nothing_to_part(document: str, name: str) -> ValueError:
    return ValueError(f"document={document!r} is for .txt files, and {name!r} has none: its "
                      "documents are given. Leave it at \"auto\"")


def part_of(files: list[Path], encoding: str) -> Part:
    """What a document is in these files, where nobody says it."""
    if len(files) > 1 or kind_of(files[0]) != ".txt":
        return "file"
    part = guessed_part(decoded_lines(files[0], encoding))
    others = " or ".join(repr(other) for other in WHOLE if other != part)
    print(f"{files[0]}: {WHOLE[part]} is a document; if not so, set document to {others}")
    return part


def check_name(name: str) -> None:
    """Refuses what is neither a packaged text nor looks like files."""
    if Path(name).name != name or Path(name).suffix or glob_marks(name) or Path(name).exists():
        return
    near = get_close_matches(name.lower(), PACKAGED, n=1, cutoff=0.4)
    guess = f"did you mean {near[0]!r}? " if near else ""
    known = ", ".join(map(repr, PACKAGED))
    raise ValueError(
        f"unknown text {name!r}: {guess}Known are {known}, 'hub:owner/name' and files such as "
        "'books/*.txt'"
    )


def glob_marks(name: str) -> bool:
    return any(mark in name for mark in "*?[")


def not_empty(name: str, read: Callable[[], Iterable[Document]]) -> Iterator[Document]:
    """The documents of a pass, and an error at its end if none had any text."""
    empty = True
    for document in read():
        empty = empty and not document.text.strip()
        yield document
    if empty:
        raise ValueError(f"the text {name!r} is empty: none of its documents holds a word")


def load_hub_text(
    repository: str, column: str, split: str, config: str | None, revision: str | None
) -> Corpus:
    """A data set of the Hub, of which each row is a document."""
    stream = hub.open_stream(repository, config, split, revision)
    name = f"hub:{repository}"

    def read() -> Iterator[Document]:
        for number, row in enumerate(stream, start=1):
            yield as_document(row, column, f"{name}/{split}", number)

    licence = stream.info.license or "licence: see there"
    about = f"https://huggingface.co/datasets/{repository}, {licence}"
    return Corpus(name, partial(not_empty, name, read), about)


