"""How the course answers a learner: checks of exercises, and predictions beside measurements."""

from __future__ import annotations

import functools
import inspect
import os
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from numbers import Real
from typing import Any

import torch

from .exercises import Exercise, Mistake, find_exercise


class StillOpen(Exception):
    """The learner has not answered yet."""


def is_blank(value: Any) -> bool:
    """Whether an answer, or a part of it, is what an empty stub leaves."""
    if isinstance(value, list | tuple | set | dict):
        return any(part is Ellipsis for part in (value.values() if isinstance(value, dict) else value))
    return value is None or value is Ellipsis


def watched(answer: Callable, failures: list[Exception]) -> Callable:
    """The learner's function, which raises `StillOpen` when it behaves as an empty stub does.

    What it raises is noted in `failures` too, in case the grader catches it.
    """

    @functools.wraps(answer)
    def call(*args, **kwargs):
        try:
            value = answer(*args, **kwargs)
        except Exception as error:
            is_stub = isinstance(error, NotImplementedError) or "ellipsis" in str(error)
            failures.append(StillOpen() if is_stub else error)
            raise failures[-1]
        if is_blank(value):
            failures.append(StillOpen())
            raise failures[-1]
        return value

    return call


@contextmanager
def own_randomness():
    """Lets a grader draw the same random numbers each time, and none of the notebook's."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield


def judge(exercise: Exercise, answer: Any) -> tuple[str, str]:
    """What came of an answer, "passes", "open" or "wrong", and the line that says so."""
    id = exercise.id
    failures: list[Exception] = [StillOpen()] if is_blank(answer) else []
    graded = watched(answer, failures) if inspect.isroutine(answer) else answer
    if inspect.isclass(answer) and issubclass(answer, torch.nn.Module):
        graded = type(answer.__name__, (answer,), {"forward": watched(answer.forward, failures)})
    cause = ""
    try:
        with own_randomness():
            shown = None if failures else exercise.grade(graded)
    except Mistake as mistake:
        cause = str(mistake)
    except Exception as error:
        cause = describe(error, answer, error in failures)
    if any(isinstance(failure, StillOpen) for failure in failures):
        return "open", f"{id} is open: {exercise.title} (about {exercise.minutes} min)"
    if cause:
        return "wrong", f"{id} is not right yet: {cause}"
    return "passes", f"{id} passes: {shown}"


def check(id: str, answer: Any) -> Any:
    """Checks an answer, says what came of it, and returns what later cells should use.

    Args:
        id: the exercise, such as "02.1".
        answer: a function, or the answer itself; `...` for none yet.

    Returns:
        The answer if it passes, otherwise the library's own: the notebook goes on either way.

    Raises:
        AssertionError: if the answer does not pass and COURSE_STRICT=1 is set.
        KeyError: if there is no such exercise.
    """
    exercise = find_exercise(id)
    outcome, verdict = judge(exercise, answer)
    if outcome != "passes" and os.environ.get("COURSE_STRICT") == "1":
        raise AssertionError(verdict)
    print(verdict)
    return answer if outcome == "passes" else exercise.reference


def describe(error: Exception, answer: Any, learners: bool) -> str:
    """An error in one line: where the learner's code raised it, or else why grading stopped."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if not learners:
        return f"it cannot be compared with the right answer ({text}): is it of the right type and shape?"
    file = getattr(getattr(answer, "__code__", None), "co_filename", None)
    lines = [frame.line for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"your code stopped with {text}" + (f", at: {lines[-1]}" if lines and lines[-1] else "")


PREDICTIONS: dict[str, tuple[Any, str]] = {}


def predict(id: str, guess: Any = None, unit: str = "") -> None:
    """Takes down what the learner expects, before the measurement shows it."""
    PREDICTIONS[id] = (None if is_blank(guess) else guess, unit)
    if is_blank(guess):
        print(f"{id}: no guess yet. Put one in place of the dots: it makes what comes next stick.")
    else:
        print(f"{id}: your guess is {with_unit(guess, unit)}")


def reveal(id: str, measured: Any) -> None:
    """Sets the measurement beside what was predicted."""
    guess, unit = PREDICTIONS.get(id, (None, ""))
    line = f"{id}: measured {with_unit(measured, unit)}"
    if guess is None:
        print(f"{line} (no guess was made)")
    elif isinstance(guess, Real) and isinstance(measured, Real) and measured:
        print(f"{line}; you said {with_unit(guess, unit)}, {guess / measured:.2g} times that")
    else:
        print(f"{line}; you said {with_unit(guess, unit)}")


def with_unit(value: Any, unit: str) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"{text} {unit}".strip()
