"""Starts real processes that work together, from a cell, and gets back what each of them returns.

    def sum_of_ranks(start):
        x = torch.tensor([start + dist.get_rank()])
        dist.all_reduce(x)
        return x

    run_ranks(sum_of_ranks, 2, 10)      # [tensor([21]), tensor([21])]

Cells are no module that another process could import, so a function travels as its source text, with the
imports, functions and constants that it names. Tensors travel in files that hold no code.
"""

from __future__ import annotations

import ast
import builtins
import dis
import faulthandler
import inspect
import linecache
import math
import multiprocessing
import os
import signal
import sys
import tempfile
import textwrap
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import wait
from pathlib import Path
from types import CodeType, ModuleType

import torch
import torch.distributed as dist

from ..files import new_file

PLAIN = (bool, int, float, str, bytes, type(None))
PRELOADED = ["torch.distributed.fsdp", "torch.nn.parallel", "torch._dynamo", "pretrain_lib"]  # what takes long to import


class RankFailed(RuntimeError):
    """A rank raised an error, was killed or did not finish; the message tells which, and where."""


def run_ranks(function: Callable, size: int, *arguments, timeout: float = 120.0,
              patience: float | None = None) -> list:
    """Calls a function in `size` new processes that can talk to each other through gloo.

    Args:
        function: what each rank does; `dist.get_rank()` tells it which one it is. It may use what is
            imported in the notebook, its functions and classes, and plain constants.
        size: number of processes, each with one thread.
        arguments: for the function: tensors, numbers, texts, lists and dictionaries of them, and
            other functions.
        timeout: seconds after which all are ended.
        patience: seconds that a rank waits for the others in one collective; `timeout` if not given.

    Returns:
        What each rank returned, in their order. What they printed is printed here, in that order.

    Raises:
        RankFailed: as soon as one of them fails; the others are ended.
        TypeError: if something cannot travel.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "work.py").write_text(as_module(function, arguments), encoding="utf-8")
        torch.save([None if is_code(a) else a for a in arguments], folder / "arguments.pt")
        patience = timeout if patience is None else patience
        ranks = [context().Process(target=rank_main, args=(name, rank, size, patience, timeout))
                 for rank in range(size)]
        try:
            start(ranks)
            wait_for_all(ranks, folder, time.monotonic() + timeout)
        finally:
            for process in ranks:
                if process.pid:
                    process.kill()
                    process.join()
        for rank in range(size):
            print(read(folder, rank, "out"), end="")
        return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(size)]


def context():
    """How processes start: forked from a server that has imported torch, where there can be one."""
    methods = multiprocessing.get_all_start_methods()
    chosen = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    chosen.set_forkserver_preload(PRELOADED)
    return chosen


def start(ranks: list) -> None:
    """Starts processes without the program or notebook at hand, which they would else run once more."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        for process in ranks:
            process.start()
    finally:
        sys.modules["__main__"] = main


def wait_for_all(ranks: list, folder: Path, deadline: float) -> None:
    """Returns when all ranks have ended well.

    Raises:
        RankFailed: when one has not, or time is up.
    """
    running = dict(enumerate(ranks))
    while running:
        wait([process.sentinel for process in running.values()], max(0.0, deadline - time.monotonic()))
        ended = {rank: process.exitcode for rank, process in running.items() if process.exitcode is not None}
        if any(ended.values()):
            time.sleep(0.3)  # one failure brings others with it: let them end, and tell the first
            codes = {rank: process.exitcode for rank, process in running.items() if process.exitcode}
            raise RankFailed(why_failed(codes, folder))
        if not ended and time.monotonic() >= deadline:
            time.sleep(0.5)  # each notes where it stands
            stands = "\n\n".join(f"rank {rank} was still here:\n{stack(folder, rank)}" for rank in running)
            raise RankFailed(f"{' and '.join(f'rank {rank}' for rank in running)} had not finished when time was up\n\n{stands}")
        running = {rank: process for rank, process in running.items() if rank not in ended}


def why_failed(codes: dict[int, int], folder: Path) -> str:
    """What the rank that failed first has to say."""
    raised = {rank: (folder / f"{rank}.error").stat().st_mtime_ns for rank in codes if (folder / f"{rank}.error").exists()}
    killed = [rank for rank, code in codes.items() if rank not in raised]
    if killed:
        rank = killed[0]
        code = codes[rank]
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"rank {rank} {how}\n{read(folder, rank, 'out')}".strip()
    rank = min(raised, key=raised.get)
    return f"rank {rank} raised an error\n\n{read(folder, rank, 'error')}"


def read(folder: Path, rank: int, kind: str) -> str:
    path = folder / f"{rank}.{kind}"
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def stack(folder: Path, rank: int) -> str:
    """The lines of code that a rank was in, innermost first."""
    lines = [line for line in read(folder, rank, "stack").splitlines() if line.startswith("  File")]
    own = next((i for i, line in enumerate(lines) if "in rank_main" in line), len(lines))
    return "\n".join(lines[:own]).replace(str(folder / "work.py"), "cell")


# ----------------------------------------------------------------------- what happens in a rank


def rank_main(name: str, rank: int, size: int, patience: float, timeout: float) -> None:
    """The life of one rank; ends the process."""
    folder = Path(name)
    stack = (folder / f"{rank}.stack").open("w")
    faulthandler.dump_traceback_later(timeout, file=stack)
    output = os.open(folder / f"{rank}.out", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    errors = os.open(folder / f"{rank}.noise", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(errors, 2)
    sys.stdout, sys.stderr = (open(n, "w", 1, encoding="utf-8", closefd=False) for n in (1, 2))
    try:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", init_method=(folder / "meeting").as_uri(), rank=rank,
                                world_size=size, timeout=timedelta(seconds=patience))
        work = names_of(folder / "work.py")
        given = torch.load(folder / "arguments.pt", weights_only=True)
        result = work["FUNCTION"](*(work.get(f"ARGUMENT_{i}", value) for i, value in enumerate(given)))
        save_result(result, folder / f"{rank}.pt")
        while len(list(folder.glob("*.pt"))) <= size:  # nobody leaves while others still talk to it
            time.sleep(0.005)
    except BaseException:
        (folder / f"{rank}.error").write_text(shortened(traceback.format_exc(), folder), encoding="utf-8")
        leave(1)
    leave(0)


def leave(code: int) -> None:
    """Ends the process at once: gloo's threads do not always survive an orderly end."""
    sys.stdout.flush()
    os._exit(code)


def names_of(path: Path) -> dict:
    """The names that a file of source text defines, with its lines known to tracebacks."""
    text = path.read_text(encoding="utf-8")
    names = {"__name__": "cell", "__file__": str(path)}
    exec(compile(text, str(path), "exec"), names)
    return names


def save_result(result, path: Path) -> None:
    with new_file(path) as partial:
        torch.save(result, partial)
        try:
            torch.load(partial, weights_only=True)
        except Exception:
            raise TypeError(f"a rank can return tensors, numbers, texts, and lists or dictionaries of them, "
                            f"not {type(result).__name__}") from None


def shortened(text: str, folder: Path) -> str:
    """A traceback from the learner's code on, with the cell in place of a temporary file."""
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if str(folder / "work.py") in line), 1)
    return "\n".join([lines[0], *lines[first:]]).replace(str(folder / "work.py"), "cell")


# --------------------------------------------------------------------- from objects to their source


def as_module(function: Callable, arguments: tuple) -> str:
    """Source text that defines FUNCTION and every argument that is code, with all they need."""
    named = {"FUNCTION": function} | {f"ARGUMENT_{i}": a for i, a in enumerate(arguments) if is_code(a)}
    parts: dict[str, str] = {}
    for alias, code in named.items():
        parts |= {alias: define(alias, code, parts)}
    return "\n\n".join(dict.fromkeys(parts.values())) + "\n"


def is_code(value) -> bool:
    return inspect.isroutine(value) or inspect.isclass(value)


def define(alias: str, value, parts: dict[str, str]) -> str:
    """Source text that makes `alias` mean `value`; what that needs first is added to `parts`.

    Raises:
        TypeError: if that cannot be done.
    """
    if isinstance(value, ModuleType):
        return f"import {value.__name__} as {alias}" if alias != value.__name__ else f"import {alias}"
    if is_code(value):
        value = inspect.unwrap(value)
        if value.__module__ != "__main__":
            return f"from {value.__module__} import {value.__name__} as {alias}"
        source, world = source_of(value)
        for name in sorted(names_in(compile(source, "cell", "exec")) - {value.__name__}):
            if name in world and name not in parts:
                parts[name] = define(name, world[name], parts)
        parts[value.__name__] = source
        return source if alias == value.__name__ else f"{alias} = {value.__name__}"
    if is_plain(value) or type(value) in (tuple, list, set) and all(map(is_plain, value)):
        return f"{alias} = {value!r}"
    raise TypeError(f"{alias}, of type {type(value).__name__}, lives in the notebook, where other processes do not see it: "
                    "pass it to the function as an argument")


def is_plain(value) -> bool:
    """Whether its repr is its source."""
    return type(value) in PLAIN and (type(value) is not float or math.isfinite(value))


def source_of(value) -> tuple[str, dict]:
    """The text of a cell's function or class, and the names that it sees.

    Raises:
        TypeError: for a function that uses variables of a function around it.
    """
    if inspect.isfunction(value):
        if value.__closure__:
            raise TypeError(f"{value.__name__} uses {', '.join(value.__code__.co_freevars)} of the function around it: "
                            "define it in a cell of its own, and pass what it needs")
        return textwrap.dedent(inspect.getsource(value)), value.__globals__
    methods = [getattr(m, "__func__", m) for m in vars(value).values()]  # static ones too
    methods = [m for m in methods if inspect.isfunction(m) and linecache.getlines(m.__code__.co_filename)]
    if not methods:
        raise TypeError(f"{value.__name__} cannot travel: it has no method that is written in a cell")
    text = "".join(linecache.getlines(methods[0].__code__.co_filename))
    node = next(n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ClassDef) and n.name == value.__name__)
    return ast.get_source_segment(text, node), methods[0].__globals__


def names_in(code: CodeType) -> set[str]:
    """The global names that a piece of code, and the functions inside it, look up."""
    used = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return (used | set().union(*map(names_in, inner))) - set(vars(builtins))
