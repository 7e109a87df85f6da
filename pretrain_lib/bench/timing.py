"""Timing things against each other on a machine that others use too."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch


def interleaved(candidates: dict[str, Callable[[], object]], rounds: int,
                warm_up: int = 1) -> dict[str, list[float]]:
    """Seconds of each candidate in each round; all are called once a round, in turns.

    What slows the machine for a while slows all of them, so ratios within a round mean something
    where seconds do not. Every other round goes backwards, so nobody always follows the same one.

    Args:
        candidates: functions by name.
        rounds: how often each is timed.
        warm_up: calls of each before, that are not timed.
    """
    wait = torch.cuda.synchronize if torch.cuda.is_available() else (lambda: None)
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(-warm_up, rounds):
        order = list(candidates.items())
        for name, call in order if number % 2 else reversed(order):
            wait()
            start = time.perf_counter()
            call()
            wait()
            if number >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: dict[str, list[float]], slow: str, fast: str) -> float:
    """How many times longer `slow` takes than `fast`: the median over rounds of their ratio."""
    return median(a / b for a, b in zip(seconds[slow], seconds[fast], strict=True))
