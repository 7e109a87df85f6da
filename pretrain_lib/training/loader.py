"""From a source to batches: micro-batch i of a run is a function of i.

So the loader has no state to save. A run that resumes at update s asks for the micro-batches from
s · accumulation on, and gets the very ones it would have got, with any number of workers.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ..data.source import Source, keys_at
from ..objectives.base import Batch, Objective
from .config import TrainConfig


class MicroBatches(Dataset):
    """The micro-batches of a run, by number."""

    def __init__(self, source: Source, objective: Objective, config: TrainConfig):
        self.source = source
        self.objective = objective
        self.config = config

    def __len__(self) -> int:
        return self.config.steps * self.config.accumulation

    def __getitem__(self, i: int) -> Batch:
        size = self.config.micro_batch_size
        positions = np.arange(i * size, (i + 1) * size)
        progress = (i // self.config.accumulation) / self.config.steps
        keys = keys_at(positions, len(self.source), self.config.seed, progress)
        batch = self.objective.batch(self.source.take(keys), keys)
        batch.samples = keys.sample
        return batch


def ignore_signals(worker: int) -> None:
    """Ctrl-C reaches the workers too; the process that trains decides when they stop."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def micro_batches(source: Source, objective: Objective, config: TrainConfig, first_step: int,
                  pin_memory: bool) -> Iterator[Batch]:
    """The run's micro-batches from update `first_step` on, prepared ahead by the workers."""
    dataset = MicroBatches(source, objective, config)
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=range(first_step * config.accumulation, len(dataset)),
        num_workers=config.workers,
        pin_memory=pin_memory,
        worker_init_fn=ignore_signals,
        generator=torch.Generator(),  # its own, so that the global one is left alone
    )
    return iter(loader)
