"""Marks a folder of submissions: grades.csv, and a page of feedback for each student.

    python course.py grade FOLDER [CHAPTER ...] [--to FOLDER] [--hidden FILE] [--trusted]

FOLDER holds a sub-folder for each student, with that student's notebooks anywhere in it, or
notebooks of which each is named after its student: ana.ipynb, or ana_02_autoencoder_math.ipynb.
What the notebooks are called does not matter: the exercises that they check tell the chapter.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import runpy
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

from .cores import usable_cores
from .exercises import all_exercises
from .questions import Marks, attend, clean
from .sandbox import NoSandbox, OutOfTime, deadline, started, try_sandbox
from .sources import CHECK, NOTEBOOKS

ANSWERS = re.compile(r"course\.exercises|find_exercise|all_exercises|\.reference\b")
COLUMNS = ("student", "chapter", "passed", "of", "right", "wrong", "open", "notebook", "note")
LARGEST = 64 * 2**20  # bytes of a notebook
REFUSAL = """\
Submissions are programs of strangers, and there is no sandbox here to run them in: {0}.
Mend that, or, if you trust every submission as you would your own code, add --trusted.
"""


@dataclass
class Submission:
    """What a student handed in.

    Attributes:
        notebooks: the code cells of each notebook, by its path.
        unreadable: what is no notebook, with the reason.
        folder: where the student's files are; None for a single notebook.
    """

    notebooks: dict[Path, list[str]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    folder: Path | None = None


def read_notebook(path: Path) -> list[str]:
    """A notebook's code cells.

    Raises:
        ValueError: if it is no notebook.
    """
    if path.is_symlink() or not path.is_file():
        raise ValueError("not a file")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"larger than {LARGEST // 2**20} MB")
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
        return ["".join(source) for source in code]
    except (ValueError, KeyError, TypeError, RecursionError, OSError):
        raise ValueError("not a notebook") from None


def visible(folder: Path) -> list[Path]:
    """What is in a folder, without what systems and editors leave there."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))


def files_below(folder: Path) -> Iterator[Path]:
    """The files of a folder; links are not followed."""
    for path in visible(folder):
        if path.is_dir() and not path.is_symlink():
            yield from files_below(path)
        else:
            yield path


def student_of(file: Path) -> str:
    """Whose notebook this is, by its name: ana_02_autoencoder_math.ipynb is ana's."""
    return re.sub(r"[-_ ]*\d\d_[a-z_]+$", "", file.stem) or file.stem


def submissions(folder: Path) -> dict[str, Submission]:
    """What each student handed in."""
    found: dict[str, Submission] = {}
    for entry in visible(folder):
        is_folder = entry.is_dir() and not entry.is_symlink()
        own = found.setdefault(entry.name if is_folder else student_of(entry), Submission())
        if is_folder:
            own.folder = entry.resolve()
        for file in files_below(entry) if is_folder else [entry]:
            if file.suffix != ".ipynb" and is_folder:
                continue
            try:
                own.notebooks[file] = read_notebook(file)
            except ValueError as error:
                own.unreadable.append(f"{file.name} is {error}")
    return found


def chapter_of(cells: list[str]) -> str:
    """The chapter of most of a notebook's exercises, such as "02"; "" if it has none."""
    known = all_exercises()
    asked = Counter(id[:2] for cell in cells for id in set(CHECK.findall(cell)) if id in known)
    return asked.most_common(1)[0][0] if asked else ""


def chapters_own(chapter: str) -> dict[str, bool]:
    """The cells of a chapter as it was given out: whether answers may depend on them."""
    found = {}
    for path in NOTEBOOKS.glob(f"{chapter}_*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            tags, source = cell["metadata"].get("tags", []), "".join(cell["source"])
            found[source] = bool({"setup", "exercise"} & set(tags) or CHECK.search(source))
    return found


def needed(cells: list[str], chapter: str) -> list[str]:
    """The cells that answers may depend on: all but the chapter's own that only show something."""
    own = chapters_own(chapter)
    return [cell for cell in cells if own.get(cell, True)]


@dataclass(frozen=True)
class Grader:
    """How submissions are run.

    Attributes:
        seconds: what one notebook may take.
        memory: bytes that one of its processes may have.
        isolated: whether in a sandbox.
        hidden: a file with a teacher's further checks.
    """

    seconds: float = 300
    memory: int = 4 * 2**30
    isolated: bool = True
    hidden: Path | None = None

    def run(self, cells: list[str], folder: Path | None) -> Marks:
        """Runs cells and judges the answers in them."""
        marks = Marks()
        try:
            with started(cells, folder, self.memory, self.isolated) as process:
                with deadline(self.seconds):
                    attend(process, marks, teachers_checks(self.hidden))
        except OutOfTime:
            marks.accident = f"it took longer than {self.seconds:g} s"
        except NoSandbox as error:
            marks.accident = str(error)
        return marks

    def mark(self, cells: list[str], chapter: str, folder: Path | None) -> Marks:
        """Judges a notebook's answers; runs cells that only show something if need be."""
        marks = self.run(needed(cells, chapter), folder)
        texts = [text for _, text in marks.verdicts.values()]
        missed = "NameError" in marks.errors or any("NameError" in text for text in texts)
        return self.run(cells, folder) if missed and not marks.accident else marks


@dataclass
class Row:
    """One student's result in one chapter."""

    student: str
    chapter: str
    notebook: str = ""
    marks: Marks = field(default_factory=Marks)
    note: str = ""

    def ids(self, outcome: str) -> list[str]:
        """The exercises with an outcome; one that was never asked is open."""
        ids, verdicts = all_exercises(self.chapter), self.marks.verdicts
        return [id for id in ids if verdicts.get(id, ("open",))[0] == outcome]


def rows_of(student: str, handed_in: Submission, chapters: list[str], grader: Grader) -> list[Row]:
    """A student's results, one a chapter, whatever happens."""
    try:
        return best_rows(student, handed_in, chapters, grader)
    except Exception as error:
        note = f"the grader stopped: {type(error).__name__}: {clean(error)}"
        return [Row(student, chapter, note=note) for chapter in chapters]


def best_rows(
    student: str, handed_in: Submission, chapters: list[str], grader: Grader
) -> list[Row]:
    """A student's results, one a chapter; of several notebooks of a chapter the best counts."""
    rows = []
    for chapter in chapters:
        best, own = None, {line for cell in chapters_own(chapter) for line in cell.splitlines()}
        for path, cells in handed_in.notebooks.items():
            if chapter_of(cells) != chapter:
                continue
            row = Row(student, chapter, path.name, grader.mark(cells, chapter, handed_in.folder))
            notes = [row.marks.accident] if row.marks.accident else []
            if any(ANSWERS.search(line) for cell in cells for line in cell.splitlines() if line not in own):
                notes.append("look at it: it mentions the library's own answers")
            row.note = "; ".join(notes)
            if best is None or len(row.ids("passes")) > len(best.ids("passes")):
                best = row
        others = [f"{path.name} has no exercise"
                  for path, cells in handed_in.notebooks.items() if not chapter_of(cells)]
        missing = "; ".join(["no notebook of this chapter", *handed_in.unreadable, *others])
        rows.append(best or Row(student, chapter, note=missing))
    return rows


def write_table(rows: list[Row], path: Path) -> None:
    """One line a student and chapter. What a spreadsheet would take for a formula is quoted."""
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for row in rows:
            ids = [row.ids(outcome) for outcome in ("passes", "wrong", "open")]
            texts = [row.student, row.notebook, row.note]
            quoted = ["'" * text.startswith(tuple("=+-@\t")) + text for text in texts]
            student, notebook, note = quoted
            counts = [len(ids[0]), sum(map(len, ids))]
            table.writerow([student, row.chapter, *counts, *map(" ".join, ids), notebook, note])


def feedback(student: str, rows: list[Row]) -> str:
    """The page for a student, in Markdown."""
    lines = [f"# {student}", ""]
    for row in rows:
        exercises = all_exercises(row.chapter)
        lines += [f"## Chapter {row.chapter}: {len(row.ids('passes'))} of {len(exercises)}", ""]
        if row.note:
            lines += [f"Note: {as_text(row.note)}", ""]
        for id, exercise in exercises.items():
            outcome, text = row.marks.verdicts.get(id, ("open", f"{id} is open: {exercise.title}"))
            mark = "✓" if outcome == "passes" else "·"
            lines.append(f"* {mark} **{exercise.title}**: {as_text(text)}")
        lines.append("")
    return "\n".join(lines)


def as_text(line: str) -> str:
    """A line that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>#|!])", r"\\\1", line)


@lru_cache
def teachers_checks(file: Path | None) -> dict[str, Callable]:
    """The dictionary HIDDEN of a teacher's file: {"02.3": a function that gets the answer}."""
    return runpy.run_path(str(file))["HIDDEN"] if file else {}


def grade(folder: Path, to: Path, chapters: list[str], grader: Grader, jobs: int) -> list[Row]:
    """Marks all submissions in a folder, some at a time, and writes what came of it."""
    everyone = submissions(folder)
    if not everyone:
        raise ValueError(f"{folder} is empty: it should hold a folder or a notebook a student")
    notebooks = [cells for own in everyone.values() for cells in own.notebooks.values()]
    chapters = chapters or sorted({chapter_of(cells) for cells in notebooks} - {""})
    (to / "feedback").mkdir(parents=True, exist_ok=True)
    rows = []
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        marking = partial(rows_of, chapters=chapters, grader=grader)
        for student, own in zip(everyone, pool.map(marking, everyone, everyone.values())):
            for row in own:
                passed, of = len(row.ids("passes")), len(all_exercises(row.chapter))
                note = f", {row.note}" if row.note else ""
                print(f"{student}, chapter {row.chapter}: {passed} of {of}{note}", flush=True)
            (to / "feedback" / f"{student}.md").write_text(feedback(student, own), encoding="utf-8")
            rows += own
    write_table(rows, to / "grades.csv")
    return rows


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course.py grade", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER",
                        help="a sub-folder or a notebook for each student")
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER",
                        help="such as 02; those handed in if none is named")
    parser.add_argument("--to", type=Path, metavar="FOLDER",
                        help="where results go; FOLDER-graded if not said")
    parser.add_argument("--hidden", type=Path, metavar="FILE",
                        help="Python with further checks, in HIDDEN")
    parser.add_argument("--seconds", type=float, default=300,
                        help="that one notebook may take (300)")
    parser.add_argument("--memory", type=float, default=4, metavar="GB",
                        help="that one process may have (4)")
    parser.add_argument("--jobs", type=int, default=usable_cores(),
                        help="notebooks at a time; one a usable core if not said")
    parser.add_argument("--trusted", action="store_true", help="run submissions without a sandbox")
    options = parser.parse_args(arguments)
    if os.name == "nt":
        print("course.py grade needs Linux or macOS; on Windows use it inside WSL", file=sys.stderr)
        return 1
    folder = options.folder.resolve()
    memory = int(options.memory * 2**30)
    try:
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder}")
        chapters = [chapter.zfill(2) for chapter in options.chapters]
        unknown = [chapter for chapter in chapters if not all_exercises(chapter)]
        if unknown:
            raise ValueError(f"chapter {unknown[0]} has no exercises")
        hidden = options.hidden and options.hidden.resolve()
        teachers_checks(hidden)
        if not options.trusted:
            try_sandbox(memory)
        to = (options.to or folder.with_name(folder.name + "-graded")).resolve()
        grader = Grader(options.seconds, memory, not options.trusted, hidden)
        grade(folder, to, chapters, grader, options.jobs)
    except NoSandbox as error:
        print(REFUSAL.format(error), end="", file=sys.stderr)
        return 3
    except (ValueError, OSError, KeyError) as error:
        print(f"course.py grade: {error}", file=sys.stderr)
        return 2
    print(f"\n{to / 'grades.csv'}\n{to / 'feedback'}: a page for each student")
    return 0


if __name__ == "__main__":
    sys.exit(main())
