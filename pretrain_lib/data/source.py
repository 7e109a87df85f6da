"""Where samples come from: sources, views on them, and the order in which training sees them.

A *source* has a length and `take(keys)`, which returns the samples that the keys name as a
dictionary of columns, each with one row a sample. A *view* wraps a source and is one itself. *Data*
are what a recipe names: sources to train on and to hold out, and what they ask of a model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from .keys import Keys

if TYPE_CHECKING:
    from .text.token_dataset import TokenDataset

Samples = dict[str, Tensor]
UNSCORED = -100  # a label that no loss counts, as torch's cross-entropy has it


class Source(Protocol):
    """Anything that training can draw samples from."""

    def __len__(self) -> int: ...

    def take(self, keys: Keys) -> Samples: ...


class Columns:
    """A source held in memory: tensors of equal length, one row a sample.

    Args:
        **columns: tensors or arrays, each (N, ...).

    Raises:
        ValueError: if there is no column, no row, or the columns differ in length.
    """

    def __init__(self, **columns):
        self.columns = {name: torch.as_tensor(column) for name, column in columns.items()}
        lengths = {name: len(column) for name, column in self.columns.items()}
        if not lengths:
            raise ValueError("a source needs at least one column, such as images=tensor")
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns must have one length, got {lengths}")
        if not max(lengths.values()):
            raise ValueError("the source is empty: training needs at least one sample")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getattr__(self, name: str) -> Tensor:
        try:
            return self.__dict__["columns"][name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no column or attribute {name!r}") from None

    def take(self, keys: Keys) -> Samples:
        """The rows that the keys name, as {column: (B, ...)}."""
        ids = torch.from_numpy(keys.sample)
        return {name: column[ids] for name, column in self.columns.items()}

    def subset(self, ids) -> Columns:
        """The rows `ids`, as a source of their own."""
        ids = torch.as_tensor(ids)
        return Columns(**{name: column[ids] for name, column in self.columns.items()})


def alone(work: Callable):
    """Calls a function where one process works alone."""
    return work()


class Data:
    """What a recipe trains on. A kind of data has a `config_class` and `open`.

    Attributes:
        config_class: a frozen dataclass, the fields of the recipe's table `[data]`.
        config: one of them.
        training: samples to train on.
        held_out: samples of the same kind that are not trained on.
        model_fields: fields that the data decide in the configuration of a model that has them.
        tokenizer: what made ids of the text; None where there is none.
        documents: the texts behind `training` and `held_out`, whose samples have `config.length`
            tokens; None where there are none.
    """

    config_class: type
    config: object
    training: Source
    held_out: Source
    model_fields: dict = {}
    tokenizer = None
    documents: tuple[TokenDataset, TokenDataset] | None = None

    @classmethod
    def open(cls, config, beside: Path, on_first: Callable = alone) -> Data:
        """The data that a configuration describes: found, or made now.

        Args:
            config: of `config_class`.
            beside: the run's folder; what is made once, for all runs, goes beside it.
            on_first: calls a function in the first of several processes, while the others wait.
        """
        raise NotImplementedError

    def about(self) -> dict:
        """What makes these data what they are, fit for JSON: runs on others are other runs."""
        return asdict(self.config)

    def recognised(self, about: dict) -> dict:
        """What `about` said in an earlier version, as it is said today if it is of these data."""
        return about


@lru_cache(maxsize=8)
def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which one epoch visits n samples: a permutation, a function of seed and epoch."""
    order = Keys.of(seed, [epoch]).permutation("order", n)[0].numpy()
    order.flags.writeable = False
    return order


def keys_at(positions: np.ndarray, n: int, seed: int, progress: float = 0.0) -> Keys:
    """The keys at the given positions of the endless sequence of epochs over n samples.

    Position p lies in epoch p // n. Nothing is dropped at the end of an epoch: a batch may hold
    the end of one and the beginning of the next.

    Args:
        positions: (B,) int64, counted from the start of the run.
    """
    positions = np.asarray(positions, dtype=np.int64)
    epoch, offset = np.divmod(positions, n)
    sample = np.empty_like(offset)
    for e in np.unique(epoch):
        sample[epoch == e] = epoch_order(n, seed, int(e))[offset[epoch == e]]
    return Keys(seed, epoch, sample, progress, positions)
