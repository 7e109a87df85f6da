"""The exercises of each chapter: what a right answer is, and what wrong ones mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules
from typing import Any


class Mistake(Exception):
    """A wrong answer; the message names its likely cause in plain words."""


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        id: chapter and number, such as "02.1".
        title: what is to be done, in a few words.
        difficulty: 1 to 3.
        minutes: how long it takes.
        reference: the library's answer, which later cells use until the learner's passes.
        grade: raises `Mistake` for a wrong answer; returns what was checked, in a few words.
    """

    id: str
    title: str
    difficulty: int
    minutes: int
    reference: Any
    grade: Callable[[Any], str]


def grade_letters(choices: dict[str, str], needed: dict[str, str], harmful: dict[str, str],
                  praise: str) -> Callable[[Any], str]:
    """The grade of a design: a set of letters with all that are needed and none that does harm.

    Args:
        choices: what there is to choose from, by letter.
        needed: what it means to leave out a letter that belongs in.
        harmful: what it means to choose one that does not.
        praise: what a right answer has.
    """

    def grade(answer) -> str:
        try:
            chosen = {str(letter).strip().lower() for letter in answer}
        except TypeError:
            raise Mistake("answer with a set of letters, such as {'b', 'c'}") from None
        if not chosen <= set(choices):
            raise Mistake(f"choose among the letters {', '.join(choices)}")
        for letter, why in (harmful | needed).items():
            if (letter in chosen) == (letter in harmful):
                raise Mistake(why)
        return praise

    return grade


def all_exercises(chapter: str = "") -> dict[str, Exercise]:
    """All exercises by id, of one chapter such as "02" or of all."""
    names = sorted(module.name for module in iter_modules(__path__) if module.name.startswith("ch"))
    modules = [import_module(f"{__name__}.{name}") for name in names if name.endswith(chapter)]
    return {exercise.id: exercise for module in modules for exercise in module.EXERCISES}


def find_exercise(id: str) -> Exercise:
    """The exercise with that id.

    Raises:
        KeyError: if there is none; the message names the nearest ids.
    """
    own = all_exercises(id[:2])
    if id not in own:
        known = all_exercises()
        near = get_close_matches(id, known, n=3, cutoff=0.5) or sorted(known)
        raise KeyError(f"there is no exercise {id!r}; there are {', '.join(near)}")
    return own[id]


def grade_diagnoses(right: dict[str, str], diagnoses, clues: dict[str, str]) -> Callable[[Any], str]:
    """The grade of logs that were read: for each, by its letter, what went wrong.

    Args:
        right: the diagnosis of each log.
        diagnoses: what there is to choose from.
        clues: where to look again.
    """
    number = {3: "three", 4: "four", 5: "five"}[len(right)]

    def grade(answer) -> str:
        if not isinstance(answer, dict) or set(answer) != set(right):
            raise Mistake("a dictionary is wanted, {" + ", ".join(f'"{log}": "…"' for log in right) + "}")
        unknown = [diagnosis for diagnosis in answer.values() if diagnosis not in diagnoses]
        if unknown:
            raise Mistake(f"{unknown[0]!r} is none of {', '.join(diagnoses)}")
        for log, diagnosis in right.items():
            if answer[log] != diagnosis:
                raise Mistake(f"{log} is not {answer[log]!r}. Look again: {clues[log]}")
        return f"all {number} read: " + "; ".join(" ".join(item) for item in right.items())

    return grade
