"""How the course answers: open, wrong, failing and right answers; predictions."""

import importlib

import pytest
import torch

from pretrain_lib.course.check import check, predict, reveal
from pretrain_lib.course.exercises import Exercise, Mistake, all_exercises, find_exercise

# The package exports a function by the name of this module.
module = importlib.import_module("pretrain_lib.course.check")


def grade_double(double):
    if double(2) == 2:
        raise Mistake("you gave the number back")
    assert double(2) == 4
    return "doubles 2"


def grade_choice(letter):
    if letter != "b":
        raise Mistake("read the axis again")
    return "b it is"


REFERENCE = object()
KNOWN = {
    "99.1": Exercise("99.1", "double a number", 1, 3, REFERENCE, grade_double),
    "99.2": Exercise("99.2", "choose", 1, 3, "b", grade_choice),
}


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(module, "find_exercise", KNOWN.__getitem__)
    monkeypatch.delenv("COURSE_STRICT", raising=False)


def not_implemented(x):
    raise NotImplementedError


@pytest.mark.parametrize("stub", [None, ..., lambda x: None, lambda x: ..., not_implemented])
def test_an_empty_stub_is_open_and_the_library_stands_in(stub, capsys):
    assert check("99.1", stub) is REFERENCE
    assert capsys.readouterr().out == "99.1 is open: double a number (about 3 min)\n"


def test_a_right_answer_is_used_from_then_on(capsys):
    def double(x):
        return 2 * x

    assert check("99.1", double) is double
    assert capsys.readouterr().out == "99.1 passes: doubles 2\n"


def test_a_mistake_is_named(capsys):
    assert check("99.1", lambda x: x) is REFERENCE
    assert "99.1 is not right yet: you gave the number back" in capsys.readouterr().out
    assert check("99.2", "a") == "b"
    assert "read the axis again" in capsys.readouterr().out


def test_an_exception_in_the_learners_code_is_one_line_with_its_place(capsys):
    def broken(x):
        return x + undefined_name  # noqa: F821

    assert check("99.1", broken) is REFERENCE
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    assert "NameError" in told and "return x + undefined_name" in told


@pytest.mark.parametrize("answer", [..., lambda x: x, lambda x: 1 / 0])
def test_strict_mode_raises_whatever_does_not_pass(answer, monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    with pytest.raises(AssertionError, match="99.1"):
        check("99.1", answer)


def test_an_unknown_exercise_names_the_nearest():
    some = sorted(all_exercises())[0]
    with pytest.raises(KeyError, match=some):
        find_exercise(some + "9")


def test_a_prediction_is_set_beside_the_measurement(capsys):
    predict("99.3", 20, "%")
    reveal("99.3", 10)
    assert capsys.readouterr().out.splitlines()[-1] == "99.3: measured 10 %; you said 20 %, 2 times that"


def test_no_prediction_is_no_error(capsys):
    predict("99.4", ...)
    reveal("99.4", 1.23456)
    reveal("99.5", "up")
    told = capsys.readouterr().out.splitlines()
    assert told[1:] == ["99.4: measured 1.235 (no guess was made)", "99.5: measured up (no guess was made)"]


def test_code_that_stumbles_over_the_dots_is_open(capsys):
    assert check("99.1", lambda x: 2 * ...) is REFERENCE
    assert check("99.2", ("a", ...)) == "b"
    assert capsys.readouterr().out.count("is open") == 2


def test_an_error_deep_in_a_library_is_shown_at_the_learners_line(capsys):
    def broken(x):
        return torch.stack([torch.zeros(x), torch.zeros(x + 1)])

    check("99.1", broken)
    told = capsys.readouterr().out
    assert "your code stopped with RuntimeError" in told and "at: return torch.stack(" in told


def test_an_answer_that_cannot_be_compared_is_not_blamed_on_the_learners_code(capsys):
    assert check("99.1", lambda x: torch.zeros(2, 3)) is REFERENCE
    told = capsys.readouterr().out
    assert "cannot be compared" in told and "your code stopped" not in told


def test_a_class_may_be_an_answer():
    KNOWN["99.6"] = Exercise("99.6", "a module", 1, 1, None, lambda answer: str(issubclass(answer, torch.nn.Module)))
    assert check("99.6", torch.nn.Linear) is torch.nn.Linear


def test_a_module_whose_forward_pass_is_empty_is_open(capsys):
    class Empty(torch.nn.Module):
        def forward(self, x):
            ...

    KNOWN["99.8"] = Exercise("99.8", "a module", 1, 1, REFERENCE, lambda answer: str(answer()(torch.zeros(2)).shape))
    assert check("99.8", Empty) is REFERENCE
    assert check("99.8", torch.nn.Identity) is torch.nn.Identity
    assert "is open" in capsys.readouterr().out


def test_grading_draws_the_same_numbers_each_time_and_none_of_the_notebooks(capsys):
    KNOWN["99.7"] = Exercise("99.7", "draw", 1, 1, None, lambda answer: str(answer()))
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    for _ in range(2):
        check("99.7", lambda: torch.rand(1).item())
    assert len(set(capsys.readouterr().out.splitlines())) == 1
    assert torch.rand(1) == expected
