"""A small course of its own in a folder, with the course's real tools."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

EXERCISES = '''
from . import Exercise, Mistake


def grade_square(square):
    if square(3) == 6:
        raise Mistake("3 squared is 3 times 3, not 2 times 3")
    if square(3) != 9:
        raise Mistake("square(3) should be 9")
    return "squares 3"


EXERCISES = [Exercise("98.1", "square a number", 1, 2, lambda x: x * x, grade_square)]
'''

CHAPTER = '''
# %% [markdown]
# # 98 · Tiny
# %% tags=["setup"]
from pretrain_lib.course.check import check
from pretrain_lib.course.dial import SCALE
from pretrain_lib.course.headline import headline
# %% tags=["exercise"]
def square(x):
    """x²."""
    ### BEGIN SOLUTION
    return x * x
    ### END SOLUTION


square = check("98.1", square)
# %% tags=["NBVAL_CHECK_OUTPUT"]
print(square(5))
# %%
print(SCALE)
print("noise", file=sys.stderr)
headline("five squared", square(5), 26.0)
'''


def make_course(folder: Path, chapter: str = CHAPTER) -> Path:
    """A copy of the tools with one chapter, 98_tiny."""
    ignore = shutil.ignore_patterns("__pycache__", "ch[0-9][0-9].py")
    shutil.copytree(ROOT / "pretrain_lib", folder / "pretrain_lib", ignore=ignore)
    (folder / "pretrain_lib" / "course" / "exercises" / "ch98.py").write_text(EXERCISES, encoding="utf-8")
    (folder / "notebooks" / "src").mkdir(parents=True)
    write_chapter(folder, chapter)
    return folder


def write_chapter(folder: Path, chapter: str) -> None:
    (folder / "notebooks" / "src" / "98_tiny.py").write_text(chapter.lstrip(), encoding="utf-8")


def environment() -> dict:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("COURSE_")}
    return kept | {"PYTHONUTF8": "1"}


def tool(folder: Path, name: str, *arguments: str, timeout: int = 120) -> subprocess.CompletedProcess:
    """Runs python -m pretrain_lib.course.NAME in the copy."""
    command = [sys.executable, "-m", f"pretrain_lib.course.{name}", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), timeout=timeout,
                          capture_output=True, text=True, encoding="utf-8")
