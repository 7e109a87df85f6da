"""From a source to batches: micro-batch i of a run is a function of i.

So the loader has no state to save. A run that resumes at update s asks for the micro-batches from
s · accumulation on, and gets the very ones it would have got, with any number of workers. Several
ranks cut each micro-batch into equal parts, and see together what one would see alone.
"""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, Dataset

from ..data.source import Source, keys_at
from ..models.coupled import coupled_parts, gathers
from ..models.mode import mode_kept
from ..objectives.base import Batch, Objective, Step
from .config import TrainConfig
from .distributed import World

STOPS = (signal.SIGINT, signal.SIGTERM)


class MicroBatches(Dataset):
    """A rank's part of the micro-batches of a run, by number."""

    def __init__(self, source: Source, objective: Objective, config: TrainConfig, world: World):
        self.source = source
        self.objective = objective
        self.config = config
        self.world = world

    def __len__(self) -> int:
        return self.config.steps * self.config.accumulation

    def __getitem__(self, i: int) -> Batch:
        size = self.config.micro_batch_size // self.world.size
        positions = (i * self.world.size + self.world.rank) * size + np.arange(size)
        progress = (i // self.config.accumulation) / self.config.steps
        keys = keys_at(positions, len(self.source), self.config.seed, progress)
        batch = self.objective.batch(self.source.take(keys), keys)
        batch.samples = keys.sample
        return batch


def require_shares(config: TrainConfig, module: Step, ranks: int) -> None:
    """A batch can be cut into micro-batches, and these into equal shares of the ranks.

    Raises:
        ValueError: naming what does not divide what, or what couples the samples of a batch.
    """
    with mode_kept(module):
        coupled = coupled_parts(module.train())
    for part in coupled:
        couples = f"{type(part).__name__} couples the samples of a batch"
        if config.accumulation > 1:
            raise ValueError(f"{couples}, and {config.accumulation} micro-batches would not be "
                             "what one batch is: set accumulation=1")
        if ranks > 1 and not gathers(part):
            raise ValueError(f"{couples}, and does not gather them from {ranks} processes: train "
                             f"in one, or {remedy(part)}")
    parts = config.accumulation * ranks
    if config.batch_size % parts:
        raise ValueError(
            f"batch_size={config.batch_size} cannot be shared out evenly over {ranks} processes "
            f"with accumulation={config.accumulation}: choose a multiple of {parts}")


def remedy(part: nn.Module) -> str:
    """How a part that couples samples would work on several ranks."""
    if isinstance(part, _BatchNorm):
        return "build the model with pretrain_lib.BatchNorm"
    return "use pretrain_lib.gathered in its forward, and say gathers = True"


def leave_signals_to_the_trainer(worker: int) -> None:
    """Lets a worker live on when Ctrl-C, or a SIGTERM to the whole group, ends the run.

    The process that trains finishes its update first, and needs batches for it. A second SIGTERM is
    meant for the worker: so multiprocessing ends those that do not end by themselves.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.signal(number, signal.SIG_DFL))
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


@contextmanager
def stops_held_back():
    """Keeps signals to stop waiting; a worker that starts meanwhile does so until it is ready."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def micro_batches(source: Source, objective: Objective, config: TrainConfig, first_step: int,
                  pin_memory: bool, world: World = World()) -> Generator[Batch]:
    """A rank's micro-batches from update `first_step` on, prepared ahead by the workers.

    Workers start with the first batch that is asked for, and end when the generator is closed.
    """
    dataset = MicroBatches(source, objective, config, world)
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=range(first_step * config.accumulation, len(dataset)),
        num_workers=config.workers,
        pin_memory=pin_memory,
        worker_init_fn=leave_signals_to_the_trainer,
        generator=torch.Generator(),  # its own, so that the global one is left alone
    )
    with stops_held_back():
        batches = iter(loader)
    yield from batches
