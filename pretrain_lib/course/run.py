"""Runs chapters without a screen and says what came of them.

    python -m pretrain_lib.course.run [CHAPTER ...] [--scale smoke|laptop|gpu] [--jobs N]

Chapters run side by side, as many as the cores can serve; what came of them is told in order. Those
that time things run after the others, alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import nbformat

from .dial import SCALE, SCALES
from .headline import MIME
from .kernel import NotebookFailed, execute, terminate_as_interrupt
from .chapters import UnknownChapter, select_chapters
from .cores import usable_cores
from .sources import NOTEBOOKS, ROOT

ALONE = ("09", "10", "13")  # chapters whose headlines are times


@dataclass
class Outcome:
    """What came of a chapter."""

    chapter: str
    seconds: float
    failure: str = ""
    headlines: list[dict] = field(default_factory=list)


class Line:
    """A chapter's line on the screen: rewritten in place on a terminal, if it has the screen for itself."""

    def __init__(self, chapter: str, cells: int, alone: bool):
        self.chapter, self.cells = chapter, cells
        self.start = time.perf_counter()
        self.live = alone and sys.stdout.isatty()
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


def run_chapter(path: Path, scale: str, timeout: int, alone: bool = True) -> Outcome:
    """Executes one notebook; its executed copy goes to build/notebooks/."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    line = Line(path.stem, len(notebook.cells), alone)
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


def tell(outcome: Connection, path: Path, scale: str, timeout: int) -> None:
    """Runs a chapter in a process of its own, which only SIGTERM ends before its time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        outcome.send(run_chapter(path, scale, timeout, alone=False))
    except KeyboardInterrupt:  # its kernel has ended, and the thread that spoke with it need not say so
        os._exit(130)


def side_by_side(paths: list[Path], scale: str, timeout: int, jobs: int) -> Iterator[Outcome]:
    """What comes of chapters of which so many run at a time, in their order; interrupted, all are ended."""
    context, processes = get_context("spawn"), []

    def outcome(path: Path) -> Outcome:
        ours, theirs = context.Pipe(duplex=False)
        processes.append(context.Process(target=tell, args=(theirs, path, scale, timeout)))
        processes[-1].start()
        theirs.close()
        try:
            return ours.recv()
        except EOFError:
            return Outcome(path.stem, 0.0, "its process ended early")

    with ThreadPoolExecutor(jobs) as threads, terminate_as_interrupt():
        try:
            for told in [threads.submit(outcome, path) for path in paths]:
                yield told.result()
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()
            raise


def outcomes_of(chosen: list[Path], scale: str, timeout: int, jobs: int) -> Iterator[Outcome]:
    """What comes of each chapter: of those side by side in their order, then of those that run alone."""
    alone = [path for path in chosen if path.stem[:2] in ALONE]
    others = [path for path in chosen if path not in alone]
    if min(jobs, len(others)) > 1:
        yield from side_by_side(others, scale, timeout, jobs)
    else:
        alone = chosen
    for path in alone:
        yield run_chapter(path, scale, timeout)


def threads() -> int:
    """How many threads a chapter computes with."""
    return int(os.environ.get("OMP_NUM_THREADS", "") or usable_cores())


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
    parser.add_argument("--jobs", type=int, default=max(1, usable_cores() // threads()), metavar="N",
                        help="chapters side by side; by default as many as the cores can serve")
    parser.add_argument("--timeout", type=int, default=1800, metavar="SECONDS", help="for one cell")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs must be at least 1, got {options.jobs}")
    try:
        chosen = select_chapters(options.chapters, sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")))
    except UnknownChapter as error:
        print(error, file=sys.stderr)
        return 2
    outcomes = []
    try:
        for outcome in outcomes_of(chosen, options.scale, options.timeout, options.jobs):
            outcomes.append(outcome)
            if outcome.failure:
                print(f"\n{outcome.chapter}: {outcome.failure}\n", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    finally:
        if outcomes:
            outcomes.sort(key=lambda outcome: outcome.chapter)
            print("\n" + table(outcomes))
            if options.scale == "smoke" and not all(h["met"] for o in outcomes for h in o.headlines):
                print("At the scale smoke too little is computed to meet every bound.")
    return 1 if any(outcome.failure for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
