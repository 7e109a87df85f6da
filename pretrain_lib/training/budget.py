"""A budget of minutes, turned into a number of updates once: a schedule never reads the clock."""

from __future__ import annotations

import gc
import math
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from .config import TrainConfig
from .distributed import join
from .log import Pace
from .run_folder import CONFIG, read_config

if TYPE_CHECKING:
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


class Seconds(NamedTuple):
    """What a run spends its time on.

    Attributes:
        ready: until the first update is done: building, compiling.
        update: a later update.
        evaluation: an evaluation.
        checkpoint: writing a checkpoint.
    """

    ready: float
    update: float
    evaluation: float
    checkpoint: float


def steps_within(minutes: float, trainer_of: Callable[[TrainConfig, Path], Trainer],
                 config: TrainConfig, folder: Path) -> int:
    """How many updates fit in a budget, found by a short run that is thrown away.

    Its own time counts: what it and getting ready took is not there for training. So do the
    evaluations and checkpoints that training will make; each evaluation may be the best so far, and
    then it is followed by a checkpoint. All ranks take what rank 0 found.

    Args:
        minutes: the budget.
        trainer_of: makes a trainer of a config and a folder.
        config: how the run will train.
        folder: the run's folder; the short run has one within it, for the same disk.

    Raises:
        ValueError: if not even one update fits.
    """
    begin = time.perf_counter()
    world, _ = join(config.device)
    folder.mkdir(parents=True, exist_ok=True)
    own = world.on_first(lambda: Path(tempfile.mkdtemp(prefix="trial-", dir=folder)))
    try:
        spent = trial(trainer_of, config, own)
    finally:
        if world.first:
            shutil.rmtree(own, ignore_errors=True)
    gc.collect()  # parts of a trainer refer to each other, and the run needs the memory
    at_the_end = spent.evaluation + spent.checkpoint
    left = 60 * minutes - (time.perf_counter() - begin) - spent.ready - at_the_end
    steps = world.on_first(lambda: math.floor(left / seconds_an_update(spent, config)))
    if steps < 1:
        raise ValueError(f"{minutes:g} minutes are too few: getting ready takes "
                         f"{60 * minutes - left:.0f} s, and an update {spent.update:.2g} s")
    return steps


def seconds_an_update(spent: Seconds, config: TrainConfig) -> float:
    """Of an update with its share of the evaluations, and of the checkpoints behind them or due."""
    every, saved = config.evaluate_every, config.checkpoint_every
    evaluations, due, both = (1 / n if n else 0 for n in (every, saved, math.lcm(every, saved)))
    checkpoints = evaluations + due - both
    return spent.update + evaluations * spent.evaluation + checkpoints * spent.checkpoint


def trial(trainer_of: Callable[[TrainConfig, Path], Trainer], config: TrainConfig,
          folder: Path) -> Seconds:
    """What a few updates, an evaluation and a checkpoint take, by a trainer that is thrown away."""
    moments = [time.perf_counter()]
    trainer = trainer_of(with_steps(config, TRIED), folder)
    with trainer.at_work() as batches:
        for _ in range(TRIED):
            trainer.next_update(batches, Pace())
            moments.append(time.perf_counter())
        if trainer.held_out is not None:
            trainer.evaluate(trainer.held_out)
        moments.append(time.perf_counter())
        trainer.save()
        moments.append(time.perf_counter())
    ready, *updates, evaluation, checkpoint = (b - a for a, b in pairwise(moments))
    return Seconds(ready, median(updates[GETTING_GOING:]), evaluation, checkpoint)
