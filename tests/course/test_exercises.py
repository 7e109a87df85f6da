"""Every exercise of every chapter: stubs are open, solutions pass, planted mistakes are named."""

import importlib.util
import re
from pathlib import Path

import jupytext
import pytest

from pretrain_lib.course.check import check
from pretrain_lib.course.exercises import Mistake, all_exercises
from pretrain_lib.course.sources import SOURCES, chapter_sources, student_notebook

EXERCISES = all_exercises()
ASKED = re.compile(r"""\bcheck\(\s*["'](\d\d\.\d+)["']""")


def planted(chapter: str) -> dict:
    """The wrong answers planted for a chapter: {id: [(answer, word of the message), …]}."""
    path = Path(__file__).parent / "wrong" / f"ch{chapter}.py"
    spec = importlib.util.spec_from_file_location(f"wrong_ch{chapter}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.WRONG


WRONG = {id: answers for source in chapter_sources() for id, answers in planted(source.stem[:2]).items()}
CASES = [pytest.param(id, *case, id=f"{id}-{i}") for id, cases in sorted(WRONG.items()) for i, case in enumerate(cases)]


def test_there_are_enough_exercises_for_the_chapters_there_are():
    assert len(EXERCISES) >= 14
    assert {id[:2] for id in EXERCISES} == {source.stem[:2] for source in chapter_sources()}


@pytest.mark.parametrize("source", chapter_sources(), ids=lambda source: source.stem)
def test_each_exercise_is_asked_in_its_chapter(source):
    asked = ASKED.findall(source.read_text(encoding="utf-8"))
    here = {id for id in EXERCISES if id.startswith(source.stem[:2])}
    assert here <= set(asked)


@pytest.mark.parametrize("source", chapter_sources(), ids=lambda source: source.stem)
def test_no_solution_is_left_in_what_students_get(source):
    solutions = re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", source.read_text("utf-8"), re.DOTALL)
    given = "\n".join(cell.source for cell in student_notebook(source).cells)
    assert solutions and "### BEGIN" not in given
    for solution in solutions:
        assert solution.strip() not in given


@pytest.mark.parametrize("id", sorted(EXERCISES))
def test_an_empty_stub_is_reported_as_open(id, capsys, monkeypatch):
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    for stub in (..., lambda *arguments, **named: None):
        if stub is ... or callable(EXERCISES[id].reference):
            assert check(id, stub) is EXERCISES[id].reference
            assert "is open" in capsys.readouterr().out


@pytest.mark.parametrize("id", sorted(EXERCISES))
def test_the_reference_passes(id, monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    check(id, EXERCISES[id].reference)


@pytest.mark.parametrize("source", chapter_sources(), ids=lambda source: source.stem)
def test_the_solutions_in_the_source_pass_strictly(source, monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    monkeypatch.chdir(SOURCES.parent)
    namespace: dict = {}
    for cell in jupytext.read(source, fmt="py:percent").cells:
        if cell.cell_type == "code" and {"setup", "exercise"} & set(cell.metadata.get("tags", [])):
            exec(compile(cell.source, source.name, "exec"), namespace)


@pytest.mark.parametrize("id", sorted(EXERCISES))
def test_at_least_two_mistakes_are_planted(id):
    assert len(WRONG.get(id, [])) >= 2


@pytest.mark.parametrize("id, answer, word", CASES)
def test_a_planted_mistake_is_named(id, answer, word):
    with pytest.raises(Mistake) as caught:
        EXERCISES[id].grade(answer)
    assert word.lower() in str(caught.value).lower()


