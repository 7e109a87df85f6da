"""Makes the archive that a class gets: the course without its solutions.

    python course.py release [FOLDER]

It holds what running the course takes, and none of notebooks/src, notebooks/solutions and tests.
The checks come along, since the notebooks call them, and with them the library's own answers, which
later cells use until the learner's pass. So that nobody reads one by accident, they are packed.
Pages leave out what speaks of what stays at home.
"""

from __future__ import annotations

import argparse
import base64
import re
import sys
import zipfile
import zlib
from pathlib import Path

from ..files import new_file
from .sources import ROOT

NAME = "pretraining-course"
FILES = ("course.py", "pyproject.toml", "requirements.txt", "environment.yml", "README.md",
         "LICENSE")
FOLDERS = (("pretrain_lib", "*"), ("results", "*.json"), ("experiments", "*.py"), ("recipes", "*"),
           ("docs", "*.md"), ("docs", "*.png"), (".jupyter", "*.json"))
AT_HOME = {ROOT / "docs" / name for name in ("instructors.md", "index.md", "clinic.md")}  # of teachers, of the site
PASSAGE = re.compile(r"<!-- not in the archive for a class -->\n.*?<!-- end -->\n", re.DOTALL)
CHECKS = "pretrain_lib/course/exercises/ch[0-9][0-9].py"
BEGINNING = (1980, 1, 1, 0, 0, 0)  # one time for all files: the same course makes the same bytes

PACKED = '''\
"""The checks of chapter {chapter}, packed so that nobody reads an answer by accident."""

import base64
import zlib

exec(compile(zlib.decompress(base64.b85decode("""
{code}
""".replace("\\n", ""))), __file__, "exec", dont_inherit=True))
'''


def packed(code: str, chapter: str) -> str:
    """A module that does the same, and cannot be read in passing. It is a curtain, not a lock."""
    text = base64.b85encode(zlib.compress(code.encode())).decode()
    lines = [text[start : start + 96] for start in range(0, len(text), 96)]
    return PACKED.format(chapter=chapter, code="\n".join(lines))


def course_files() -> list[Path]:
    """The files of a student's course."""
    found = [ROOT / name for name in FILES]
    found += sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    for folder, pattern in FOLDERS:
        found += sorted(path for path in (ROOT / folder).rglob(pattern)
                        if path.is_file() and path.suffix != ".pyc")
    return [path for path in found if path.exists() and path not in AT_HOME]


def content(path: Path) -> bytes:
    """What the archive holds of a file: checks packed, pages without what is not there."""
    if path.relative_to(ROOT).match(CHECKS):
        return packed(path.read_text(encoding="utf-8"), path.stem[2:]).encode()
    if path.suffix != ".md":
        return path.read_bytes()
    text = PASSAGE.sub("", path.read_text(encoding="utf-8"))
    if path.parent == ROOT / "docs":  # on the site these pages lie beside the folder of chapters
        text = text.replace("](notebooks/", "](../notebooks/")
    return text.encode()


def release(folder: Path) -> Path:
    """Writes the archive of a student's course; where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{NAME}.zip"
    with (new_file(archive) as partial,
          zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as opened):
        for path in course_files():
            entry = zipfile.ZipInfo(f"{NAME}/{path.relative_to(ROOT).as_posix()}", BEGINNING)
            entry.external_attr = 0o644 << 16
            opened.writestr(entry, content(path), zipfile.ZIP_DEFLATED)
    return archive


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course.py release", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build", metavar="FOLDER",
                        help="where to write it; build/ if none is named")
    archive = release(parser.parse_args(arguments).folder)
    print(f"{archive}, {archive.stat().st_size / 1e6:.0f} MB: unpack it, then python course.py lab")
    return 0


if __name__ == "__main__":
    sys.exit(main())
