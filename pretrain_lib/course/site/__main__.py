"""Builds the site: build/site/index.html, which needs neither a server nor a network.

    python course.py site
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from ..results import ROOT
from . import clinic, findings, glossary, reference
from .chapters import chapter_names, write_chapters

DOCS = ROOT / "docs"
PAGES = ROOT / "build" / "site-pages"  # what Sphinx reads
SITE = ROOT / "build" / "site"  # what it writes
MATHJAX = "static/mathjax/tex-svg.js"  # draws letters itself: browsers refuse fonts to file://
LINK = re.compile(r"\[([^\]]*)\]\(notebooks/(\w+)\.ipynb[^)]*\)")


def write_pages(folder: Path) -> None:
    """Gathers everything that Sphinx reads: the pages of docs/, the chapters, and what is generated."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS, folder)
    chapters = chapter_names()
    pages = {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")} | {
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").replace("](docs/", "]("),
        "findings.md": findings.page(chapters),
        "glossary.md": glossary.page(DOCS / "glossary.tsv", chapters),
        "reference.md": reference.page(),
    }
    for name, text in pages.items():
        (folder / name).write_text(without_dead_links(text, set(chapters.values())), encoding="utf-8")
    write_chapters(folder / "notebooks")
    clinic.draw(folder)
    mathjax = Path(find_spec("sphinx-mathjax-offline").origin).parent / MATHJAX
    shutil.copy(mathjax, folder / "_static" / "mathjax.js")


def without_dead_links(text: str, chapters: set[str]) -> str:
    """The text with links to the chapters that are there; of those that are planned only the words stay."""
    return LINK.sub(lambda link: link[0] if link[2] in chapters else link[1], text)


def build(pages: Path, site: Path) -> int:
    """Runs Sphinx, for which every warning is an error; its exit code."""
    shutil.rmtree(site, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going", "-E",
               "-d", str(pages.with_name(pages.name + "-cache")), str(pages), str(site)]
    return subprocess.call(command)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course.py site", description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=SITE, metavar="FOLDER", help="instead of build/site")
    options = parser.parse_args(arguments)
    if options.to.is_dir() and any(options.to.iterdir()) and not (options.to / ".buildinfo").exists():
        print(f"{options.to} holds something else than a site: name a folder that is new or empty", file=sys.stderr)
        return 2
    write_pages(PAGES)
    failed = build(PAGES, options.to.resolve())
    print("the site was not built: mend what is named above" if failed else
          f"open {options.to / 'index.html'}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
