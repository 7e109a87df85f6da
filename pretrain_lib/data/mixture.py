"""Several sources at once: each key brings samples of all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from .keys import Keys
from .source import Samples, Source

KEYS = "keys"


class Mixture:
    """A source of sources: a batch holds samples of every task, in fixed shares.

    One key stands for `shares[task]` samples of each task, so a batch of B keys has B times as many
    rows of it: the same number in every batch, and never none. An epoch of the mixture is as long
    as it takes to see all samples of the task that takes longest; the others begin anew meanwhile,
    in their own next epoch, so that they are corrupted afresh. Order and shares are functions of
    the key alone.

    The columns of a task are named "task/column"; "task/keys" holds the epoch and the number of
    each sample in its own source, for `mixture.of_task`.

    Args:
        sources: the source of each task.
        shares: samples of each task that come with one key, whole numbers from 1 on: 3 and 1 are
            three quarters and a quarter. One each where nothing is said.

    Raises:
        ValueError: for no source, an empty one, a name with a slash, or wrong shares.
    """

    def __init__(self, sources: dict[str, Source], shares: dict[str, int] | None = None):
        if not sources:
            raise ValueError("a mixture needs at least one source, such as {'era': source}")
        self.sources = dict(sources)
        self.shares = dict.fromkeys(sources, 1) | (shares or {})
        for task, share in self.shares.items():
            if task not in sources:
                raise ValueError(f"there is a share for {task!r}, but the sources are "
                                 f"{', '.join(sources)}")
            if not isinstance(share, int) or isinstance(share, bool) or share < 1:
                raise ValueError(f"the share of {task!r} must be a whole number from 1 on, got "
                                 f"{share!r}: 3 and 1 are three quarters and a quarter")
            check_task(task)
            if not len(sources[task]):
                raise ValueError(f"the source of {task!r} is empty: there is nothing to mix")

    def __len__(self) -> int:
        return max(-(-len(source) // self.shares[task]) for task, source in self.sources.items())

    def take(self, keys: Keys) -> Samples:
        """The samples of each task, {"task/column": (B · share, ...)}; those of a key together."""
        samples: Samples = {}
        for task, source in self.sources.items():
            own = self.keys_of(task, keys)
            which = torch.from_numpy(np.stack([own.epoch, own.sample], axis=1))
            columns = source.take(own) | {KEYS: which}
            samples |= {f"{task}/{name}": column for name, column in columns.items()}
        return samples

    def keys_of(self, task: str, keys: Keys) -> Keys:
        """The keys of a task's own samples: it goes through its source again and again, in order.

        The order is already random: that in which the keys of the mixture come.
        """
        share, length = self.shares[task], len(self.sources[task])
        rounds = keys.epoch[:, None] * share + np.arange(share)  # (B, share)
        epoch, sample = np.divmod(rounds * len(self) + keys.sample[:, None], length)
        return Keys(keys.seed, epoch.ravel(), sample.ravel(), keys.progress)


def temperature_weights(sizes: Mapping[str, int], alpha: float) -> dict[str, float]:
    """How often to draw from sources of unequal size: p ∝ sizeᵅ, which sums to 1.

    With α = 1 every sample is seen as often as any other, with α = 0 every source. In between the
    small ones are seen more than their share, again and again. T5's temperature is 1 / α.

    In a `MultiTask` each task has its own mean, however many samples it is taken over: there these
    are the weights of the terms, and shares of a mixture only say how noisy each mean is.

    Args:
        sizes: samples, tokens or the like of each source.
        alpha: α, from 0 to 1.

    Raises:
        ValueError: for no source, an empty one, or another α.

    Source: Lample and Conneau, "Cross-lingual language model pretraining", NeurIPS 2019, section
    3.1; Raffel et al., "Exploring the limits of transfer learning with a unified text-to-text
    transformer", JMLR 21, 2020, section 3.5.2.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be between 0, all sources alike, and 1, all samples alike, "
                         f"got {alpha}")
    if not sizes:
        raise ValueError("there must be at least one source, such as {'speeches': 1000}")
    for source, size in sizes.items():
        if not size > 0:
            raise ValueError(f"the size of {source!r} must be above 0, got {size}: there is "
                             "nothing to draw")
    raised = {source: size**alpha for source, size in sizes.items()}
    return {source: value / sum(raised.values()) for source, value in raised.items()}


def whole_shares(weights: Mapping[str, float], rows: int) -> dict[str, int]:
    """Weights as shares of a `Mixture`: whole numbers, at least 1, that sum to rows.

    Each source gets what its weight is worth, rounded down, or 1; what is left goes one by one to
    those that are furthest below their worth (Hamilton's method).

    Args:
        weights: of each source, above 0.
        rows: samples that come with one key.

    Raises:
        ValueError: if there are fewer rows than sources.
    """
    if rows < len(weights):
        raise ValueError(f"rows must be at least {len(weights)}, one for each source, got {rows}")
    total = sum(weights.values())
    worth = {source: rows * weight / total for source, weight in weights.items()}
    shares = {source: max(1, math.floor(value)) for source, value in worth.items()}
    while (missing := rows - sum(shares.values())) != 0:
        gap = {source: worth[source] - share for source, share in shares.items()
               if missing > 0 or share > 1}
        chosen = max(gap, key=gap.get) if missing > 0 else min(gap, key=gap.get)
        shares[chosen] += 1 if missing > 0 else -1
    return shares


def check_task(task: str) -> None:
    """Raises where a name cannot stand before the slash of "task/column"."""
    if not task or "/" in task:
        raise ValueError(f"the name of a task must be a word without a slash, got {task!r}")


def of_task(samples: Samples, keys: Keys, task: str) -> tuple[Samples, Keys]:
    """What a batch of a mixture holds of one task; where tasks share their samples, all of it."""
    prefix = f"{task}/"
    if prefix + KEYS not in samples:
        return samples, keys
    own = {name.removeprefix(prefix): column for name, column in samples.items()
           if name.startswith(prefix)}
    epoch, sample = own.pop(KEYS).numpy().T
    return own, Keys(keys.seed, epoch, sample, keys.progress)
