"""Inside the sandbox: runs a notebook's cells, and lets the grader outside question its answers.

Started by sandbox.py, with the conversation on standard input and output. The cells come first, in
one message. At each `check("02.1", answer)` the grader is asked. It calls the answer as often as it
likes, with arguments of its own, and says what came of it.
"""

from __future__ import annotations

import ast
import os
import pickle
import re
import shutil
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any, BinaryIO

from . import plain
from .check import judge, own_randomness
from .exercises import find_exercise

NOBODY = 65534
PROCESSES = 64
FILE = 256 * 2**20  # bytes
ID = re.compile(r"\d\d\.\d+")


class Ask(ast.NodeTransformer):
    """Turns check("02.1", …) into a question to the grader, whatever `check` means by then."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        named = isinstance(node.func, ast.Name) and node.func.id == "check" and node.args
        id = getattr(node.args[0], "value", None) if named else None
        if isinstance(id, str) and ID.fullmatch(id):
            node.func.id = "__ask_the_grader__"
        return node


class WhereItIsNow(ast.NodeTransformer):
    """Lets a notebook import what has moved within the library since it was given out."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | list[ast.ImportFrom]:
        if node.level or node.module.partition(".")[0] != "pretrain_lib":
            return node
        return [ast.copy_location(ast.ImportFrom(where_it_is(node.module, alias.name), [alias], 0), node)
                for alias in node.names]


def where_it_is(module: str, name: str) -> str:
    """The module of the library that has a name: the one that is asked, or else the one that defines it."""
    try:
        if hasattr(import_module(module), name) or find_spec(f"{module}.{name}"):
            return module
    except ImportError:
        pass
    library = [part for path, part in sys.modules.items() if path.startswith("pretrain_lib.")]
    return next((part.__name__ for part in library
                 if getattr(vars(part).get(name), "__module__", None) == part.__name__), module)


class Grader:
    """The grader as the notebook sees it: a function that takes the place of `check`."""

    def __init__(self, heard: BinaryIO, said: BinaryIO):
        self.heard, self.said = heard, said

    def send(self, **message) -> None:
        plain.send(self.said, message)

    def check(self, id: str, answer: Any) -> Any:
        """Has an answer judged; returns what later cells should use."""
        exercise = find_exercise(id)
        try:
            said = {"kind": "function"} if callable(answer) else plain.encode(answer)
            self.send(check=id, answer=said)
        except plain.NotPlain as error:
            self.send(check=id, answer={"kind": "other"}, why=str(error))
        with own_randomness():
            while "verdict" not in (message := plain.receive(self.heard)):
                if "call" in message:
                    self.call(answer, message["call"])
                else:
                    self.send(judged=judge(exercise, answer))
        return answer if message["verdict"] == "passes" else exercise.reference

    def call(self, answer, arguments: str) -> None:
        try:
            ordered, named = pickle.loads(plain.decode(arguments))  # the grader's: to be trusted
            self.send(returned=plain.encode(answer(*ordered, **named)))
        except BaseException as error:
            self.send(raised=type(error).__name__, text=str(error)[:400])


def limit(memory: int, sandboxed: bool) -> None:
    """Takes rights away from this process and from all that it starts."""
    import resource

    if os.path.exists("/proc/self/oom_score_adj"):  # where memory runs out, this ends first
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    if sandboxed and os.getuid() == 0:  # Linux counts no processes of root
        for folder in (os.getcwd(), "/tmp"):
            os.chmod(folder, 0o777)
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    if sandboxed:
        resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE, FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def copy(submission: str) -> None:
    """Brings the files that were handed in with a notebook to where it runs, as far as they fit."""
    try:
        shutil.copytree(submission, os.getcwd(), symlinks=True, dirs_exist_ok=True)
    except OSError:  # it runs without what could not be copied
        pass


def run(cells: list[str], grader: Grader) -> None:
    """Executes cells as a notebook does: one that fails does not stop those after it."""
    from IPython.core.interactiveshell import InteractiveShell

    import pretrain_lib.course

    shell = InteractiveShell.instance()
    shell.ast_transformers += [Ask(), WhereItIsNow()]
    shell.push({"__ask_the_grader__": grader.check})
    pretrain_lib.course.check = sys.modules["pretrain_lib.course.check"].check = grader.check
    for cell in cells:
        result = shell.run_cell(cell)
        error = result.error_before_exec or result.error_in_exec
        grader.send(cell=type(error).__name__ if error else "")


def main() -> None:
    conversation = os.dup(0), os.dup(1)
    grader = Grader(os.fdopen(conversation[0], "rb"), os.fdopen(conversation[1], "wb"))
    order = plain.receive(grader.heard)
    limit(order["memory"], order["sandboxed"])
    if order["submission"]:
        copy(order["submission"])
    os.register_at_fork(after_in_child=lambda: [os.close(end) for end in conversation])
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    grader.send(ready=True)
    run(order["cells"], grader)
    grader.send(done=True)
    os._exit(0)  # threads that the notebook has left behind are not waited for


if __name__ == "__main__":
    main()
