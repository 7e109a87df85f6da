"""How the course answers a learner: checks of exercises, and predictions beside measurements."""

from __future__ import annotations

import functools
import os
import traceback
from collections.abc import Callable
from numbers import Real
from typing import Any

from .exercises import Mistake, find_exercise


class StillOpen(Exception):
    """The learner has not answered yet."""


def is_blank(value: Any) -> bool:
    return value is None or value is Ellipsis


def watched(answer: Callable) -> Callable:
    """The learner's function, which raises `StillOpen` when it returns what an empty stub returns."""

    @functools.wraps(answer)
    def call(*args, **kwargs):
        try:
            value = answer(*args, **kwargs)
        except NotImplementedError:
            raise StillOpen from None
        if is_blank(value):
            raise StillOpen
        return value

    return call


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
    try:
        if is_blank(answer):
            raise StillOpen
        shown = exercise.grade(watched(answer) if callable(answer) else answer)
    except StillOpen:
        verdict = f"{id} is open: {exercise.title} (about {exercise.minutes} min)"
    except Mistake as mistake:
        verdict = f"{id} is not right yet: {mistake}"
    except Exception as error:
        verdict = f"{id} is not right yet: your code stopped with {describe(error)}"
    else:
        print(f"{id} passes: {shown}")
        return answer
    if os.environ.get("COURSE_STRICT") == "1":
        raise AssertionError(verdict)
    print(verdict)
    return exercise.reference


def describe(error: Exception) -> str:
    """The error in one line, with the line of the learner's code that it came from."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "pretrain_lib" not in f.filename]
    place = f", at: {frames[-1].line}" if frames and frames[-1].line else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}{place}"


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
