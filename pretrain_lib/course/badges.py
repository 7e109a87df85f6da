"""Gives the course its address on GitHub: links that open the chapters in Colab, Kaggle and Binder.

    python course.py badges --repo OWNER/NAME

Writes the address into pyproject.toml, and from there into the README and the notebooks: links
below their titles, and a first cell that fetches the course where a notebook was opened alone. It
executes nothing.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from .addresses import ADDRESS, PYPROJECT, badges, repository
from .build import code_cells, is_current, kinds, outputs_digest, outputs_edited, write
from .sources import ROOT, chapter_sources, digest, read_text, tags

README = ROOT / "README.md"
BEGIN, END = "<!-- badges: written by course.py badges -->", "<!-- end of badges -->"


def set_repository(owner_and_name: str) -> None:
    """Writes the one setting."""
    text = PYPROJECT.read_text(encoding="utf-8")
    line = f'Repository = "https://github.com/{owner_and_name}"'
    text = re.sub(r'^Repository = ".*"$', line, text, flags=re.MULTILINE)
    PYPROJECT.write_text(text, encoding="utf-8", newline="\n")


def section(owner_and_name: str | None) -> str:
    """The README's links, from marker to marker; nothing while there is no address."""
    if not owner_and_name:
        return f"{BEGIN}\n{END}"
    names = [source.stem for source in chapter_sources()]
    rows = [f"| {name[:2]} | {badges(name, owner_and_name)} |" for name in names]
    return "\n".join([BEGIN, "| chapter | opens in a browser |", "|---|---|", *rows, END])


def write_readme() -> None:
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(before + section(repository()) + after, encoding="utf-8", newline="\n")


def code(notebook: NotebookNode) -> list[str]:
    """The code that makes a notebook's outputs: all but the cell that finds the course."""
    cells = code_cells(notebook)
    return [cell.source for cell in cells[1:]] if cells and "setup" in tags(cells[0]) else []


def stamp(place: Path, made: NotebookNode, source: Path) -> bool:
    """Brings a built notebook's links and first cell up to date, and keeps its outputs.

    Returns:
        Whether it could: one that is not what its source makes is left for `course.py build`.
    """
    built = nbformat.read(place, as_version=4) if place.exists() else None
    if not built or outputs_edited(built) or code(built) != code(made):
        return False
    if not is_current(place, {"source": digest(read_text(source))}):
        return False
    for old, new in zip(code_cells(built), code_cells(made), strict=True):
        new.outputs, new.execution_count = old.outputs, old.execution_count
    made.metadata = built.metadata
    made.metadata["course"]["outputs"] = outputs_digest(made)
    write(place, made)
    return True


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course.py badges", description=__doc__.splitlines()[0])
    parser.add_argument("--repo", metavar="OWNER/NAME",
                        help="on GitHub; as set in pyproject.toml if not said")
    repo = parser.parse_args(arguments).repo
    if repo and not ADDRESS.fullmatch(repo):
        wanted = "a repository is OWNER/NAME, such as ana/pretraining"
        print(f"course.py badges: {wanted}; got {repo!r}", file=sys.stderr)
        return 2
    if repo:
        set_repository(ADDRESS.fullmatch(repo)[1])
    if not repository():
        print("course.py badges: say where the course lives: --repo OWNER/NAME", file=sys.stderr)
        return 2
    write_readme()
    for source in chapter_sources():
        for place, made, _ in kinds(source):
            if not stamp(place, made, source):
                remedy = f"python course.py build {place.stem[:2]}"
                print(f"{place.relative_to(ROOT)} is not what its source makes: {remedy}")
    print(f"The README and the notebooks point to https://github.com/{repository()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
