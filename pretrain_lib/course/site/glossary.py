"""The glossary page, from docs/glossary.tsv: English, Chinese, one line, chapters."""

from __future__ import annotations

import csv
from pathlib import Path

from ..markdown import escaped

HEAD = """# Glossary · 术语表

The field's terms, in English and Chinese: those of the [source article](article.md), and those that the course
needs besides, each with the chapter that treats it.

"""


def page(terms: Path, chapters: dict[str, str]) -> str:
    """The page in Markdown.

    Args:
        terms: a file of four columns, parted by tabs.
        chapters: the names of the chapters that are there, by number.
    """
    with terms.open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.reader(file, delimiter="\t"), key=lambda row: row[0].lower())
    return HEAD + "\n\n".join(term(*row, chapters) for row in rows) + "\n"


def term(english: str, chinese: str, meaning: str, treated: str, chapters: dict[str, str]) -> str:
    links = [f"[{number}](notebooks/{chapters[number]}.ipynb)" if number in chapters else f"{number} (planned)"
             for number in treated.split()]
    word = "chapter" if len(links) == 1 else "chapters"
    return (f"{escaped(english)} · <span lang=\"zh\">{chinese}</span>\n"
            f": {escaped(meaning)} {word.capitalize()} {' and '.join(links)}.")
