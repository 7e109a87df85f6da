"""A process that can read the course and nothing else, reach nobody, and write nowhere that stays.

Linux namespaces do it, through bubblewrap (https://github.com/containers/bubblewrap): the process
sees the system's programs, this Python and the library, all read-only, and small folders in memory.
It has no network and sees no process but its own. What it starts ends with it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from . import plain
from .sources import ROOT

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/fonts",
          "/etc/ld.so.cache", "/etc/localtime")
ROOM = str(256 * 2**20)  # bytes that a notebook may write to each of its folders
PROGRAM = [sys.executable, "-P", "-m", "pretrain_lib.course.sandboxed"]


class NoSandbox(Exception):
    """There is no isolation to be had here; the message says why and what to do."""


class OutOfTime(BaseException):
    """The time that one submission may take is over."""


def python_folders() -> list[str]:
    """Where this Python and its packages are, without the course itself."""
    found = [sys.base_prefix, sys.prefix, *(path for path in sys.path if os.path.isdir(path))]
    found += [os.path.realpath(path) for path in found]
    outermost: list[str] = []
    for path in sorted(set(map(os.path.abspath, found)), key=len):
        seen = any(Path(path).is_relative_to(outer) for outer in [*outermost, "/usr"])
        if path != str(ROOT) and not seen:
            outermost.append(path)
    return outermost


def walls(submission: Path | None) -> list[str]:
    """The command that builds the sandbox and then runs what follows it."""
    bubblewrap = shutil.which("bwrap")
    if not bubblewrap:
        remedy = "on Debian and Ubuntu: apt install bubblewrap"
        raise NoSandbox(f"bubblewrap is not installed ({remedy})")
    command = [bubblewrap, "--die-with-parent", "--new-session", "--unshare-ipc", "--unshare-pid",
               "--unshare-net", "--unshare-uts", "--unshare-cgroup-try", "--cap-drop", "ALL"]
    if os.getuid() == 0:  # becomes nobody inside; see sandboxed.limit
        command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-user"]
    for path in SYSTEM:
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):
            command += ["--ro-bind", path, path]
    command += ["--size", ROOM, "--tmpfs", "/tmp"]  # before what may lie below it: this Python
    places = [*python_folders(), "/course/notebooks"]
    parents = {str(parent) for place in places for parent in Path(place).parents[:-1]}
    for path in sorted(parents):  # bubblewrap would make them for the user alone
        command += ["--perms", "0755", "--dir", path]
    for path in python_folders():
        command += ["--ro-bind", path, path]
    for folder in ("pretrain_lib", "results"):
        command += ["--ro-bind", str(ROOT / folder), f"/course/{folder}"]
    if submission:
        command += ["--ro-bind", str(submission), "/submission"]
    command += ["--proc", "/proc", "--dev", "/dev"]
    for folder in ("/course/notebooks", "/dev/shm"):
        command += ["--size", ROOM, "--tmpfs", folder]
    command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/course/notebooks"]
    return [*command, "--"]


def environment(course: str) -> dict[str, str]:
    """All that the process learns from its environment."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8",
            "PYTHONUTF8": "1", "PYTHONPATH": course, "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0", "IPYTHONDIR": "/tmp/ipython", "MPLBACKEND": "agg",
            "MPLCONFIGDIR": "/tmp/matplotlib", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
            "TQDM_DISABLE": "1", "COURSE_SCALE": "smoke"}


@contextmanager
def started(cells: list[str], submission: Path | None, memory: int, isolated: bool):
    """A process that runs cells, and whom one talks to on its standard input and output.

    Args:
        cells: code, in order.
        submission: a folder of files that the cells may read.
        memory: bytes that a process of theirs may have.
        isolated: whether in a sandbox, or else, for those who are trusted, in a folder of its own.

    Raises:
        NoSandbox: if it does not start.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as complaints:
        place, course = Path(folder) / "notebooks", "/course" if isolated else str(ROOT)
        place.mkdir()
        (Path(folder) / "pretrain_lib").symlink_to(ROOT / "pretrain_lib")
        command = [*walls(submission), *PROGRAM] if isolated else PROGRAM
        process = subprocess.Popen(command, cwd=place, env=environment(course),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=complaints, start_new_session=True)
        inside = submission and ("/submission" if isolated else str(submission))
        try:
            try:
                plain.send(process.stdin, {"cells": cells, "submission": inside, "memory": memory,
                                           "sandboxed": isolated})
                plain.receive(process.stdout)  # it is ready
            except (EOFError, OSError):
                complaints.seek(0)
                lines = complaints.read().decode(errors="replace").strip().splitlines()
                reason = lines[-1] if lines else "no reason given"
                raise NoSandbox(f"the process ended before it began: {reason}") from None
            yield process
        finally:
            end(process)


def end(process: subprocess.Popen) -> None:
    """Ends a process and all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)  # of bubblewrap: its sandbox dies with it
    except ProcessLookupError:
        pass
    process.wait()
    for stream in (process.stdin, process.stdout):
        try:
            stream.close()
        except OSError:  # what was still to be said has no reader
            pass


@contextmanager
def deadline(seconds: float):
    """Raises `OutOfTime` in what runs longer."""

    def ring(number, frame):
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def try_sandbox(memory: int) -> None:
    """Starts an empty notebook in the sandbox.

    Raises:
        NoSandbox: if that fails.
    """
    with started([], None, memory, isolated=True):
        pass
