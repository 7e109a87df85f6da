"""Runs chapters without a screen and says what came of them.

    python -m pretrain_lib.course.run [CHAPTER ...] [--scale smoke|laptop|gpu]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from .dial import SCALE, SCALES
from .headline import MIME
from .kernel import NotebookFailed, execute
from .chapters import UnknownChapter, select_chapters
from .sources import NOTEBOOKS, ROOT


@dataclass
class Outcome:
    """What came of a chapter."""

    chapter: str
    seconds: float
    failure: str = ""
    headlines: list[dict] = field(default_factory=list)


class Line:
    """A chapter's line on the screen: rewritten in place on a terminal, printed once elsewhere."""

    def __init__(self, chapter: str, cells: int):
        self.chapter, self.cells = chapter, cells
        self.start = time.perf_counter()
        self.live = sys.stdout.isatty()
        if not self.live:
            print(f"{chapter}: running {cells} cells", flush=True)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def show(self, text: str, end: str = "") -> None:
        width = shutil.get_terminal_size().columns - 1
        line = f"{self.chapter}: {text}, {self.seconds:.0f} s"
        print(("\r" if self.live else "") + (line[:width].ljust(width) if self.live else line), end=end, flush=True)

    def cell(self, index: int) -> None:
        if self.live:
            self.show(f"cell {index + 1} of {self.cells}")


def run_chapter(path: Path, scale: str, timeout: int) -> Outcome:
    """Executes one notebook; its executed copy goes to build/notebooks/."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    line = Line(path.stem, len(notebook.cells))
    failure = ""
    try:
        execute(notebook, NOTEBOOKS, scale, timeout=timeout, on_cell=line.cell)
    except NotebookFailed as error:
        failure = str(error)
    line.show("failed" if failure else "done", end="\n")
    folder = ROOT / "build" / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / path.name)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    headlines = [output.data[MIME] for output in outputs if MIME in output.get("data", {})]
    return Outcome(path.stem, line.seconds, failure, headlines)


def table(outcomes: list[Outcome]) -> str:
    """Chapter, result, seconds, and each headline measurement beside the bound it should meet."""
    rows = [("chapter", "result", "seconds", "headline")]
    for outcome in outcomes:
        texts = [f"{h['name']}: {h['measured']:.4g} {h['unit']}".rstrip()
                 + f" (should be {h['relation']} {h['bound']:.4g}{'' if h['met'] else ', missed'})"
                 for h in outcome.headlines] or ["-"]
        result = "failed" if outcome.failure else "passed"
        rows.append((outcome.chapter, result, f"{outcome.seconds:.0f}", texts[0]))
        rows += [("", "", "", text) for text in texts[1:]]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d}" for a, b, c, d in rows)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course.py run", description=__doc__.splitlines()[0])
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="such as 02; all if none is named")
    parser.add_argument("--scale", choices=SCALES, default=SCALE)
    parser.add_argument("--timeout", type=int, default=1800, metavar="SECONDS", help="for one cell")
    options = parser.parse_args(arguments)
    try:
        chosen = select_chapters(options.chapters, sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")))
    except UnknownChapter as error:
        print(error, file=sys.stderr)
        return 2
    outcomes = []
    try:
        for path in chosen:
            outcomes.append(run_chapter(path, options.scale, options.timeout))
            if outcomes[-1].failure:
                print(f"\n{outcomes[-1].failure}\n", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    finally:
        if outcomes:
            print("\n" + table(outcomes))
            if options.scale == "smoke" and not all(h["met"] for o in outcomes for h in o.headlines):
                print("At the scale smoke too little is computed to meet every bound.")
    return 1 if any(outcome.failure for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
