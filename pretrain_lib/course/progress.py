"""Which exercises pass, as a learner's own notebooks say. It runs nothing.

    python course.py progress [FOLDER]

`check` prints its verdict, and JupyterLab saves what a cell printed. The last verdict counts.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from .exercises import all_exercises
from .sources import NOTEBOOKS

VERDICT = re.compile(r"^(\d\d\.\d+) (passes|is not right yet|is open)\b", re.MULTILINE)
MARKS = {"passes": "●", "not right yet": "◐", "open": "○", "not run": "·"}
STATES = {"passes": "passes", "is not right yet": "not right yet", "is open": "open"}


def printed(cell: dict) -> str:
    """What a cell has printed."""
    streams = [o for o in cell.get("outputs", []) if o.get("output_type") == "stream"]
    return "\n".join("".join(stream.get("text", "")) for stream in streams)


def states(notebook: Path) -> dict[str, str]:
    """The last verdict on each exercise of a notebook, as it was saved."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    text = "\n".join(printed(cell) for cell in cells if cell["cell_type"] == "code")
    return {id: STATES[verdict] for id, verdict in VERDICT.findall(text)}


def report(folder: Path) -> str:
    """A line for each chapter, and the exercises that are next."""
    lines, found, minutes, done, total = [], {}, 0, 0, 0
    for path in sorted(folder.glob("*.ipynb")):
        try:
            found |= {id: (path, state) for id, state in states(path).items()}
        except (ValueError, KeyError, TypeError):
            lines.append(f"{path.name} cannot be read as a notebook")
    for chapter in sorted({path.stem[:2] for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")}):
        exercises = all_exercises(chapter)
        now = {id: found[id][1] if id in found else "not run" for id in exercises}
        passed = sum(state == "passes" for state in now.values())
        done, total = done + passed, total + len(exercises)
        left = [id for id, state in now.items() if state != "passes"]
        minutes += sum(exercises[id].minutes for id in left)
        marks = "".join(MARKS[state] for state in now.values())
        following = [f"next: {id} {exercises[id].title} ({now[id]})" for id in left[:1]]
        rest = following[0] if left else "all pass"
        lines.append(f"{chapter}  {marks:<8}  {passed} of {len(exercises)}  {rest}")
    legend = "  ".join(f"{mark} {state}" for state, mark in MARKS.items())
    rest = f"the others take about {minutes / 60:.0f} hours"
    return "\n".join([*lines, "", legend, f"{done} of {total} exercises pass; {rest}."])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course.py progress", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=NOTEBOOKS, metavar="FOLDER",
                        help="where your notebooks are, if not in the course's own folder")
    folder = parser.parse_args(arguments).folder
    if not list(folder.glob("*.ipynb")):
        print(f"course.py progress: there is no notebook in {folder}", file=sys.stderr)
        return 2
    print(report(folder))
    print("This is what your notebooks said when they were last run and saved.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
