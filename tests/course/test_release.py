"""The archive for a class: it runs on its own, and holds no solution."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import jupytext
import nbformat
import pytest

from pretrain_lib.course.exercises import all_exercises
from pretrain_lib.course.release import NAME, packed, release
from pretrain_lib.course.sources import ROOT, SOLUTION, chapter_sources

from .test_environments import dead_links, pages


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """The unpacked archive, in a folder of its own."""
    folder = tmp_path_factory.mktemp("class")
    with zipfile.ZipFile(release(folder)) as archive:
        archive.extractall(folder)
    return folder / NAME


def bare(code: str) -> str:
    """Code without spaces and comments, so that layout hides nothing."""
    return re.sub(r"\s+", "", re.sub(r"(?m)#.*$", "", code))


def solutions() -> list[tuple[str, str]]:
    found = []
    for source in chapter_sources():
        for cell in jupytext.read(source, fmt="py:percent").cells:
            found += [(source.stem, match[2]) for match in SOLUTION.finditer(cell.source)]
    return found


def texts(course: Path) -> dict[str, str]:
    """Every text of the archive, notebooks by their cells' sources."""
    read = {}
    for path in sorted(course.rglob("*")):
        if path.suffix in {".py", ".md", ".toml", ".txt", ".yml", ".json", ".sbatch", ".sh"}:
            read[path.relative_to(course).as_posix()] = bare(path.read_text(encoding="utf-8"))
        elif path.suffix == ".ipynb":
            cells = nbformat.read(path, as_version=4).cells
            read[path.relative_to(course).as_posix()] = bare("\n".join(cell.source for cell in cells if cell.cell_type == "code"))
    return read


def test_no_solution_is_in_the_archive(course):
    read = texts(course)
    assert len(solutions()) >= 60
    shown = [(chapter, name, code) for chapter, code in solutions()
             for name, text in read.items() if bare(code) in text]
    assert not shown


def test_the_search_would_find_one(course, tmp_path):
    chapter, code = solutions()[0]
    (tmp_path / "leak.py").write_text(f"def answer():\n{code}", encoding="utf-8")
    assert bare(code) in texts(tmp_path)["leak.py"]


def test_what_would_give_it_away_stays_at_home(course):
    names = {path.relative_to(course).as_posix() for path in course.rglob("*")}
    assert {"course.py", "notebooks/00_start_here.ipynb", "pretrain_lib/zoo/__init__.py"} <= names
    assert not {"notebooks/src", "notebooks/solutions", "tests", ".git", ".venv", "build", "docs/instructors.md"} & names
    assert not any("__pycache__" in name for name in names)


def test_pages_speak_only_of_what_is_there(course):
    for page in pages(course):
        assert not dead_links(page), page
    read = (course / "README.md").read_text(encoding="utf-8")
    offered = set(re.findall(r"course\.py (\w+)", read))
    assert "lab" in offered and not offered & {"test", "build", "site", "release", "grade"}
    assert "notebooks/solutions" not in read and "<!-- not in" not in read


@pytest.mark.parametrize("command", ["test", "build", "site", "release", "badges"])
def test_what_needs_the_whole_course_says_so(course, command, capsys):
    spec = importlib.util.spec_from_file_location("course_of_a_class", course / "course.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.main([command]) != 0
    assert f"'{command}' needs the whole course" in capsys.readouterr().err
    assert not (course / ".venv").exists(), "it is said before anything is installed"


def test_the_same_course_makes_the_same_bytes(tmp_path):
    one, two = release(tmp_path / "one"), release(tmp_path / "two")
    assert one.read_bytes() == two.read_bytes()


def test_the_library_of_the_archive_is_whole(course):
    code = ("from pretrain_lib.course.exercises import all_exercises as every; "
            "import pretrain_lib; print(pretrain_lib.__file__); print(*every())")
    where, ids = subprocess.run([sys.executable, "-c", code], cwd=course, check=True, text=True,
                                capture_output=True, env=environment(course)).stdout.splitlines()
    assert Path(where).is_relative_to(course)
    assert ids.split() == list(all_exercises())


def environment(course: Path) -> dict:
    return os.environ | {"PYTHONPATH": str(course), "PYTHONSAFEPATH": "", "COURSE_SCALE": "smoke"}


@pytest.mark.slow
def test_a_chapter_runs_in_the_archive_alone(course):
    """Without the repository: its folder is not on the path, and the library is the archive's."""
    command = [sys.executable, "-m", "pretrain_lib.course.run", "00", "--scale", "smoke"]
    said = subprocess.run(command, cwd=course, env=environment(course), text=True, capture_output=True,
                          timeout=280)
    assert said.returncode == 0, said.stdout + said.stderr
    executed = nbformat.read(course / "build" / "notebooks" / "00_start_here.ipynb", as_version=4)
    outputs = [output.get("text", "") for cell in executed.cells for output in cell.get("outputs", [])]
    assert sum("00.1 is open" in text for text in outputs) == 2  # the demonstration and the exercise
    assert str(ROOT) not in "".join(outputs)


def test_packed_checks_do_what_they_did(tmp_path):
    code = 'from __future__ import annotations\n\n\ndef half(x: wrong) -> "½":\n    return x / 2\n'
    (tmp_path / "ch97.py").write_text(packed(code, "97"), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("ch97", tmp_path / "ch97.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.half(3) == 1.5
    assert "x / 2" not in (tmp_path / "ch97.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["release", "progress", "grade", "badges"])
def test_course_py_hands_over_where_it_was_called(command, tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("course_cli", ROOT / "course.py")
    course = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(course)
    handed = []
    monkeypatch.setattr(course, "hand_over", lambda *arguments: handed.append(arguments))
    monkeypatch.chdir(tmp_path)
    course.perform(command, ["here"], "python", {})
    module = f"pretrain_lib.course.{command}"
    assert handed == [(["python", "-P", "-m", module, "here"], {}, str(tmp_path))]
    assert importlib.util.find_spec(module)
