"""A budget of minutes, turned into a number of updates once: a schedule never reads the clock."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from .config import TrainConfig
from .run_folder import CONFIG, read_config

if TYPE_CHECKING:
    from .distributed import World
    from .trainer import Trainer

TRIED = 12  # updates that are timed, a few of which the machine needs to get going
GETTING_GOING = 4


def with_steps(config: TrainConfig, steps: int) -> TrainConfig:
    """The config with so many updates, and a warm-up that is the same share of them."""
    warmup = round(config.warmup_steps * steps / config.steps)
    return replace(config, steps=steps, warmup_steps=min(warmup, steps))


def steps_of(folder: Path) -> int | None:
    """The number of updates of the run in this folder; None where there is none.

    Raises:
        CheckpointError: if its config cannot be read.
    """
    path = folder / CONFIG
    return read_config(path)["train"]["steps"] if path.exists() else None


def steps_within(minutes: float, trainer_of: Callable[[TrainConfig], Trainer],
                 config: TrainConfig) -> int:
    """How many updates fit in a budget, found by a short run that is thrown away.

    Its own time counts: what it and getting ready took is not there for training. So do the
    evaluations that training will make. All ranks take what rank 0 found.

    Args:
        minutes: the budget.
        trainer_of: makes a trainer, without a folder, of a config.
        config: how the run will train.

    Raises:
        ValueError: if not even one update fits.
    """
    begin = time.perf_counter()
    world, first, each, evaluation = trial(trainer_of, config)
    gc.collect()  # parts of a trainer refer to each other, and the run needs the memory
    ready = first - begin  # building, compiling: it happens once more
    left = 60 * minutes - (time.perf_counter() - begin) - ready - evaluation
    evaluating = evaluation / config.evaluate_every if config.evaluate_every else 0
    steps = world.on_first(lambda: math.floor(left / (each + evaluating)))
    if steps < 1:
        raise ValueError(f"{minutes:g} minutes are too few: getting ready takes "
                         f"{60 * minutes - left:.0f} s, and an update {each:.2g} s")
    return steps


def trial(trainer_of: Callable[[TrainConfig], Trainer],
          config: TrainConfig) -> tuple[World, float, float, float]:
    """A run of a few updates, by a trainer that is thrown away.

    Returns:
        The ranks; the moment after the first update; the seconds of a later one, and of an
        evaluation.
    """
    trainer = trainer_of(replace(with_steps(config, TRIED), evaluate_every=0, patience=0,
                                 log_every=TRIED))
    held_out, trainer.held_out = trainer.held_out, None
    moments, update = [], trainer.update

    def timed_update(*arguments):
        result = update(*arguments)
        moments.append(time.perf_counter())
        return result

    trainer.update = timed_update
    trainer.fit()
    seconds = [b - a for a, b in zip(moments, moments[1:], strict=False)][GETTING_GOING:]
    evaluation = time.perf_counter()
    if held_out is not None:
        trainer.evaluate(held_out)
    evaluation = time.perf_counter() - evaluation
    return trainer.world, moments[0], median(seconds), evaluation
