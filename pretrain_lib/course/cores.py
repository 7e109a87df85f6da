"""How many cores this program may use: in a container or a job fewer than the machine has."""

from __future__ import annotations

import os
from pathlib import Path

LIMIT = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of processor time, and in how many


def usable_cores() -> int:
    """The cores that this program may use; `course.py`, which imports nothing, counts them alike."""
    everyone = os.cpu_count() or 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else everyone
    try:
        quota, period = LIMIT.read_text().split()
        return min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):  # no such limit; "max" says so, too
        return cores
