"""Outside the sandbox: questions an answer that lives inside, and judges what comes back.

The check of an exercise runs here, where the notebook cannot reach it. It is given a function that
sends its arguments into the sandbox and returns what the learner's function made of them. Only
plain data comes back. An exercise whose arguments cannot cross (functions, graphs of gradients) is
judged inside instead; `crosses` finds out which, by trying the library's own answer.
"""

from __future__ import annotations

import builtins
import pickle
import threading
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache
from subprocess import Popen
from typing import Any

import torch

from . import plain
from .check import judge
from .exercises import Mistake, find_exercise

OUTCOMES = ("passes", "wrong", "open")
OTHER_SEEDS = 7919  # added to each seed of a check when it is made a second time


class Gone(BaseException):
    """The notebook does not answer any more, or not in the way that was agreed."""


@dataclass
class Marks:
    """What came of a notebook.

    Attributes:
        verdicts: per exercise that was asked, ("passes" | "wrong" | "open", the line that says so).
        errors: the kinds of errors that cells stopped with.
        accident: what ended the run early; empty if nothing did.
    """

    verdicts: dict[str, tuple[str, str]] = field(default_factory=dict)
    errors: set[str] = field(default_factory=set)
    accident: str = ""

    def add(self, id: str, outcome: str, text: str) -> None:
        if self.verdicts.get(id, ("",))[0] != "passes":
            self.verdicts[id] = outcome, text


@contextmanager
def other_seeds():
    """Lets checks draw other random numbers than those that everybody can see."""

    class Generator(torch.Generator):
        def manual_seed(self, seed: int):
            return super().manual_seed(seed + OTHER_SEEDS)

    before, torch.Generator = torch.Generator, Generator
    try:
        yield
    finally:
        torch.Generator = before


def sealed(answer: Any) -> Any:
    """An answer as one beyond a wall: arguments and results are copies made of plain data."""
    if not callable(answer):
        return plain.decode(plain.encode(answer))

    def call(*ordered, **named):
        ordered, named = pickle.loads(pickle.dumps((ordered, named)))
        return plain.decode(plain.encode(answer(*ordered, **named)))

    return call


@lru_cache(maxsize=None)
def crosses(id: str, seeds: bool = False) -> bool:
    """Whether an exercise's own answer passes its check through a wall, with other seeds or not."""
    exercise = find_exercise(id)
    if seeds and not callable(exercise.reference):
        return False
    with other_seeds() if seeds else nullcontext():
        try:
            return judge(exercise, sealed(exercise.reference))[0] == "passes"
        except plain.NotPlain:
            return False


def remote(process: Popen) -> Callable:
    """The function that the learner's notebook is asked about, called in its sandbox."""
    turn = threading.Lock()

    def answer(*ordered, **named):
        with turn:
            arguments = plain.encode(pickle.dumps((ordered, named)))
            message = tell(process, {"call": arguments})
        if "raised" in message:
            raise error_of(clean(message["raised"], 60), clean(message.get("text", "")))
        try:
            return plain.decode(message["returned"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Gone(f"it spoke out of turn: {clean(error, 80)}") from None

    return answer


def tell(process: Popen, message: dict) -> dict:
    """Says something to the notebook; what it answers."""
    try:
        plain.send(process.stdin, message)
        return hear(process)
    except OSError:
        raise Gone("it ended the program") from None


def hear(process: Popen) -> dict:
    try:
        return plain.receive(process.stdout)
    except (EOFError, OSError):
        raise Gone("it ended the program") from None
    except (ValueError, RecursionError) as error:
        raise Gone(f"it spoke out of turn: {clean(error, 80)}") from None


def error_of(name: str, text: str) -> Exception:
    """An error of the kind that the notebook raised, as far as Python itself has it."""
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(text)
        except TypeError:  # one that wants more than a text
            pass
    return RuntimeError(f"{name}: {text}")


def clean(text: Any, longest: int = 400) -> str:
    """A text of a stranger in one line, without what steers a terminal."""
    return "".join(c if c.isprintable() else " " for c in str(text))[:longest]


def examine(process: Popen, message: dict, hidden: dict[str, Callable]) -> tuple[str, str, str]:
    """Judges one answer: by the check, by the same check on other numbers, by a teacher's own."""
    exercise, said = find_exercise(str(message["check"])), message["answer"]
    id, kind = exercise.id, said.get("kind") if isinstance(said, dict) else ""
    if not crosses(id):
        outcome, text = tell(process, {"judge": id})["judged"]
        return id, OUTCOMES[OUTCOMES.index(outcome)], clean(text)
    if kind == "other":
        return id, "wrong", f"{id} is not right yet: {clean(message['why'])}"
    answer = remote(process) if kind == "function" else plain.decode(said)
    outcome, text = judge(exercise, answer)
    if outcome == "passes" and crosses(id, seeds=True):
        with other_seeds():
            outcome, text = judge(exercise, answer)
        if outcome != "passes":
            text += " (it passes on the notebook's numbers, and not on others)"
    if outcome == "passes" and id in hidden:
        outcome, text = judge(replace(exercise, grade=raising_mistakes(hidden[id])), answer)
    return id, outcome, clean(text)


def raising_mistakes(grade: Callable) -> Callable[[Any], str]:
    """A teacher's check, whose failed assertions are mistakes of the learner."""

    def graded(answer) -> str:
        try:
            return str(grade(answer) or "your teacher's checks too")
        except AssertionError as error:
            raise Mistake(str(error) or "a hidden check fails") from None

    return graded


def attend(process: Popen, marks: Marks, hidden: dict[str, Callable]) -> None:
    """Answers a notebook's questions until it has ended, and takes down what came of each."""
    cell = 1
    try:
        while "done" not in (message := hear(process)):
            if "cell" in message:
                marks.errors.add(clean(message["cell"], 60))
                cell += 1
                continue
            id, outcome, text = examine(process, message, hidden)
            marks.add(id, outcome, text)
            plain.send(process.stdin, {"verdict": outcome})
    except Gone as reason:
        marks.accident = f"stopped in cell {cell}: {reason}"
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        marks.accident = f"stopped in cell {cell}: it spoke out of turn: {clean(error, 80)}"
