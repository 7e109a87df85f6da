"""Pairs of texts that belong together, by name: from a corpus, docstrings, or a table of one's own."""

from __future__ import annotations

import logging
from pathlib import Path

from ..tables.dialect import Dialect, require_files
from ..tables.lines import TABLES, find_files, kind_of
from ..tables.rows import read_rows
from ..tasks.labelled import cell
from .document import has_word, plain_string
from .load import load_text
from .neighbours import Neighbours, Unit, named_docstrings, neighbours_of, neighbouring_texts

logger = logging.getLogger(__name__)

DOCSTRINGS = "named docstrings"


def load_neighbours(
    name: str | Path,
    *,
    unit: Unit = "paragraph",
    first: str = "first",
    second: str = "second",
    dialect: Dialect = Dialect(),
) -> Neighbours:
    """Pairs by name: "named docstrings", tables such as "faq.csv", or else neighbours in a text.

    A row of a table (.csv, .tsv, .jsonl, .parquet) is a pair. Pairs whose first texts are equal up
    to case and punctuation are of one document, so they stay in one part of a split.

    Args:
        name: "named docstrings", a table, or what `load_text` takes: "sotu", "books/*.txt".
        unit: what a text of a corpus is that is paired with the next, "paragraph" or "sentence".
        first: the column of a table with the one text, such as a question.
        second: the column with the other, such as its answer.
        dialect: how files are written, as far as they do not say it themselves.

    Raises:
        ValueError: for an unknown name, a missing column, or no pair at all.
        FileNotFoundError: if no file matches.
    """
    name = str(name)
    if name == DOCSTRINGS:
        require_files(dialect, name)
        return named_docstrings()
    if kind_of(Path(name)) in TABLES:
        return listed_pairs(name, first, second, dialect)
    return neighbouring_texts(load_text(name, dialect=dialect), unit)


def listed_pairs(name: str, first: str, second: str, dialect: Dialect) -> Neighbours:
    """The pairs that the rows of tables are; rows without one of the two texts are left out."""
    pairs, gaps = [], 0
    for path in find_files(name):
        for number, row in read_rows(path, (first, second), dialect):
            texts = [cell(row, column, str(path), number) for column in (first, second)]
            if all(map(has_word, texts)):
                pairs.append((*texts, plain_string(texts[0])))
            else:
                gaps += 1
    if gaps:
        logger.warning("%s: %d of %d rows left out, which lack a text", name, gaps,
                       gaps + len(pairs))
    return neighbours_of(name, pairs, {"a text is missing": gaps})
