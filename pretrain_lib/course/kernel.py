"""Executing a notebook in a kernel of this very Python, and leaving none behind."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

ANSI = re.compile(r"\x1b\[[0-9;]*m")


class NotebookFailed(Exception):
    """A notebook stopped; the message holds the failing cell and why."""


class ThisPython(AsyncKernelManager):
    """Starts kernels with the interpreter that runs this, whatever kernels are installed."""

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}",
                "--IPKernelApp.log_level=ERROR"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


@contextmanager
def terminate_as_interrupt():
    """Lets SIGTERM end the program as Ctrl-C does, so that kernels are shut down on the way."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def execute(notebook: NotebookNode, folder: Path, scale: str, *, strict: bool = False,
            timeout: int = 1800, on_cell: Callable[[int], None] = lambda index: None) -> None:
    """Runs all cells, in place.

    Args:
        notebook: what to run; gets the outputs.
        folder: the working directory.
        scale: value of COURSE_SCALE.
        strict: whether an exercise that does not pass is an error.
        timeout: seconds that one cell may take.
        on_cell: called with the index of each cell when it starts.

    Raises:
        NotebookFailed: if a cell fails, takes too long, or its kernel dies.
        KeyboardInterrupt: on SIGINT or SIGTERM, after the kernel has been shut down.
    """
    env = os.environ | {"COURSE_SCALE": scale, "COURSE_STRICT": str(int(strict)), "TQDM_DISABLE": "1",
                        "COURSE_WIDGETS": "0",
                        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
                        "PYTHONHASHSEED": "0", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    running = {"index": 0}

    def started(cell, cell_index):
        running["index"] = cell_index
        on_cell(cell_index)

    client = NotebookClient(notebook, km=ThisPython(), timeout=timeout, record_timing=False,
                            on_cell_start=started, resources={"metadata": {"path": str(folder)}},
                            shutdown_kernel="immediate")
    # In a thread, where nbclient leaves the handling of signals to this program.
    with ThreadPoolExecutor(max_workers=1) as thread, terminate_as_interrupt():
        try:
            thread.submit(client.execute, env=env).result()
        except CellExecutionError as error:
            reason = ANSI.sub("", error.traceback).strip() or f"{error.ename}: {error.evalue}"
        except CellTimeoutError:
            reason = f"it took longer than {timeout} s"
        except DeadKernelError:
            reason = "the kernel died (out of memory, or killed)"
        else:
            return
        finally:
            kill(client.km)
    index = running["index"]
    cell = notebook.cells[index].source
    raise NotebookFailed(f"cell {index + 1} of {len(notebook.cells)} failed:\n\n{indent(cell)}\n\n{reason}")


def kill(manager: AsyncKernelManager) -> None:
    """Makes sure that the kernel's process has ended."""
    process = getattr(getattr(manager, "provisioner", None), "process", None)
    if process is not None and process.poll() is None:
        if hasattr(os, "killpg"):  # the kernel leads a group: what its cells have started ends too
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()


def indent(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines())
