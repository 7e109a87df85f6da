"""What a learner is told of the exercises, by what their notebooks printed."""

from __future__ import annotations

import json
import re

import nbformat
import pytest

from pretrain_lib.course.check import check
from pretrain_lib.course.exercises import all_exercises
from pretrain_lib.course.progress import main, states
from pretrain_lib.course.sources import NOTEBOOKS


def saved(folder, name: str, *texts: str) -> None:
    cells = [nbformat.v4.new_code_cell("check(…)", outputs=[nbformat.v4.new_output("stream", text=text)]) for text in texts]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / name)


def test_what_check_prints_is_understood(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    for answer in (..., 128, 64):
        check("02.1", answer)
    lines = capsys.readouterr().out.splitlines(keepends=True)
    for name, line, state in zip("abc", lines, ("open", "not right yet", "passes"), strict=True):
        saved(tmp_path, f"{name}.ipynb", line)
        assert states(tmp_path / f"{name}.ipynb") == {"02.1": state}


def test_the_last_verdict_counts(tmp_path):
    saved(tmp_path, "a.ipynb", "02.1 is open: the factor\n", "noise\n02.1 passes: yes\n02.2 is not right yet: no\n")
    assert states(tmp_path / "a.ipynb") == {"02.1": "passes", "02.2": "not right yet"}


def test_a_learner_sees_what_is_next(tmp_path, capsys):
    saved(tmp_path, "mine.ipynb", "00.1 passes: all\n", "02.1 passes: x\n02.2 is not right yet: y\n")
    (tmp_path / "broken.ipynb").write_text("{")
    assert main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^00 .* 1 of 1  all pass$", said, re.MULTILINE)
    assert re.search(r"^02  ●◐······ .* 1 of 8  next: 02.2 .*\(not right yet\)$", said, re.MULTILINE)
    assert "broken.ipynb cannot be read" in said
    assert f"2 of {sum(len(all_exercises(p.stem[:2])) for p in NOTEBOOKS.glob('*.ipynb'))} exercises pass" in said


def test_the_course_as_it_comes_has_everything_open(capsys):
    assert main([]) == 0
    assert re.search(r"^0 of \d+ exercises pass", capsys.readouterr().out, re.MULTILINE)


def test_a_folder_without_notebooks_is_said(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "no notebook" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["x 02.1 passes", "02.1 passed", "102.1 passes"])
def test_other_words_are_no_verdict(tmp_path, text):
    saved(tmp_path, "a.ipynb", text)
    assert states(tmp_path / "a.ipynb") == {}


def test_a_notebook_that_was_never_run_says_nothing(tmp_path):
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": "x", "outputs": []}]}))
    assert states(tmp_path / "a.ipynb") == {}
