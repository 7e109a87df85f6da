"""Sentences of a word a line with its tag, as the files of CoNLL-2003 have them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..tables.dialect import Dialect, missing_column
from ..tables.lines import decoded_lines
from ..tables.rows import require_table

logger = logging.getLogger(__name__)

DOCUMENT = "-DOCSTART-"  # the word that begins a document, in files that mark this
SPACES = re.compile("[ \t]+")
BIOES = re.compile("O|[BIESLU]-.+")
IN_BIO = {"S": "B", "U": "B", "E": "I", "L": "I"}  # a name of one word, and the end of one


class TaggedSentence(NamedTuple):
    """A sentence, and the document or the line that it is from."""

    words: list[str]
    tags: list[str]
    source: str


def read_conll(path: Path, tokens: str, tags: str, dialect: Dialect) -> list[TaggedSentence]:
    """The sentences of a file with a word a line, its tag behind it, and a blank line behind each.

    Columns are separated by tabs, or else by spaces. Lines that begin with # and have not as many
    columns as others are passed over.

    Args:
        path: of the file.
        tokens: the column with the words: a name of `dialect.columns`, or a number from "1". Where
            it is neither, words are the first column that does not count 1, 2, 3, …
        tags: the column with their tags; where it is neither, the last.
        dialect: names of the columns, separator and encoding.

    Raises:
        ValueError: if a line has not as many columns as others, or there is no such column.
    """
    require_table(path, dialect, ("quote",))
    sentences = list(conll_rows(path, dialect))
    if not sentences:
        return []
    _, _, rows = sentences[0]
    names = dialect.columns or tuple(str(i + 1) for i in range(len(rows[0])))
    counted = all(row[0] == str(i + 1) for i, row in enumerate(rows)) and len(rows[0]) > 2
    word = position(path, tokens, "tokens", names, 1 if counted else 0)
    tag = position(path, tags, "ner_tags", names, len(names) - 1)
    if len(names) > 2 and not dialect.columns:
        logger.warning("%s: words are in column %d, tags in column %d of %d; if not so, say which "
                       "as tokens and tags, or name all in a Dialect's columns", path, word + 1,
                       tag + 1, len(names))
    tagged = [TaggedSentence([row[word] for row in rows], [row[tag] for row in rows], source)
              for _, source, rows in sentences]
    return in_bio(path, tagged)


def position(path: Path, asked: str, usual: str, names: Sequence[str], otherwise: int) -> int:
    """Which column is asked for."""
    if asked in names:
        return names.index(asked)
    if asked != usual:
        raise missing_column(path, asked, names)
    return otherwise


def conll_rows(path: Path, dialect: Dialect) -> Iterator[tuple[int, str, list[list[str]]]]:
    """The line at which each sentence begins, its source, and its rows."""
    width = len(dialect.columns) or usual_width(path, dialect)
    document, rows, begin = "", [], 0
    for number, line in enumerate(decoded_lines(path, dialect.encoding), start=1):
        line = line.rstrip("\r\n")
        fields = fields_of(line, dialect.separator)
        if not line.strip() or fields[0] == DOCUMENT:
            if rows:
                yield begin, document or f"{path}:{begin}", rows
                rows = []
            if fields[0] == DOCUMENT:
                document = f"{path}:{number}"
            continue
        if line.startswith("#") and len(fields) != width:
            continue
        if len(fields) != width or width < 2:
            raise ValueError(f"{path}, line {number}: {len(fields)} columns, where "
                             f"{max(width, 2)} are needed, a word and its tag among them, and a "
                             "blank line between sentences; set --separator if it is not a tab or "
                             "a space")
        begin = begin if rows else number
        rows.append(fields)
    if rows:
        yield begin, document or f"{path}:{begin}", rows


def usual_width(path: Path, dialect: Dialect) -> int:
    """The columns of the first line that is no comment and begins no document."""
    lines = (line.rstrip("\r\n") for line in decoded_lines(path, dialect.encoding))
    return next((len(fields_of(line, dialect.separator)) for line in lines
                 if line.strip() and not line.startswith(("#", DOCUMENT))), 2)


def fields_of(line: str, separator: str) -> list[str]:
    """The columns of a line; spaces separate them where neither a tab nor what was set does."""
    separator = separator or "\t"
    return line.split(separator) if separator in line else SPACES.split(line.strip(" "))


def in_bio(path: Path, sentences: list[TaggedSentence]) -> list[TaggedSentence]:
    """Sentences with tags of the scheme BIOES (or BILOU) in that of BIO; others as they are."""
    kinds = {tag for sentence in sentences for tag in sentence.tags}
    if not all(map(BIOES.fullmatch, kinds)) or not any(kind[0] in IN_BIO for kind in kinds):
        return sentences
    logger.warning("%s: its tags say where names end (BIOES); they are read as BIO, which says the "
                   "same", path)
    return [s._replace(tags=[IN_BIO.get(tag[0], tag[0]) + tag[1:] for tag in s.tags])
            for s in sentences]
