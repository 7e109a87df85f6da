"""The one idea of the library: an objective corrupts a sample and scores the model's answer.

The trainer knows nothing of text, images or sound. It asks the objective for a `Batch`, which says
beforehand *how many* things each term of the loss will be summed over, and then for those sums. So
a mean can be taken once, over all micro-batches and processes, however unequal they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import Samples


@dataclass
class Batch:
    """What one forward pass needs, and how much it will be summed over.

    Attributes:
        inputs: what the model reads, each (B, ...).
        targets: what its answer is scored against, each (B, ...).
        counts: for each term of the loss, the number of things that term sums over.
        samples: (B,) int64 ids of the samples, filled in by the loader.
    """

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    counts: dict[str, float]
    samples: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def map(self, function) -> Batch:
        """The same batch with `function` applied to every tensor."""
        inputs, targets = ({name: function(tensor) for name, tensor in columns.items()}
                           for columns in (self.inputs, self.targets))
        return replace(self, inputs=inputs, targets=targets)

    def to(self, device) -> Batch:
        """The same batch on another device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory, from where copies to a GPU do not wait."""
        return self.map(lambda tensor: tensor.pin_memory())


def take_column(samples: Samples, name: str) -> Tensor:
    """The column of that name.

    Raises:
        ValueError: if the source has none, naming those it has.
    """
    if name not in samples:
        raise ValueError(f"the source has no column {name!r}; its columns are {', '.join(samples)}")
    return samples[name]


class Objective(nn.Module):
    """A pretext task: corrupt samples, let the model predict, return sums of losses.

    It is a module because it may own parameters: a projection head, a teacher, a temperature.

    Attributes:
        separable: whether the loss of a batch is the sum of the losses of its samples. Where it
            is not, as in contrastive losses, micro-batches are refused, and a held-out loss is
            taken over whole batches of `batch_size`. What an objective is made of says so itself.
        gathers: of one that is not separable, whether it works on several ranks: `forward` sums
            over the rank's own samples, against those of all ranks by `gathered`.
        weights: weight of each term in the total; 1 where nothing is said.
        config_class: a frozen dataclass, its settings in the table `[objective]` of a recipe; an
            objective without one is built in Python.
    """

    separable = True
    gathers = False
    weights: dict[str, float] = {}

    @property
    def couples_samples(self) -> bool:
        """The opposite of `separable`, as parts of a model say it."""
        return not self.separable

    @classmethod
    def from_config(cls, config, tokenizer=None) -> Objective:
        """The objective with these settings, for samples of that tokenizer, if they are of text."""
        return cls(**vars(config))

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        """Corrupts and collates. Pure: the same samples and keys give the same batch."""
        raise NotImplementedError

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Per term, the sum of the loss over what `batch.counts` counts; each a scalar."""
        raise NotImplementedError

    def after_step(self, model: nn.Module, step: int) -> None:
        """Changes what the objective owns, after an update: a teacher that follows, clusters.

        Every rank calls it, without gradients, with weights and random numbers that are the same on
        all; under FSDP what it meets are shards, of model and objective alike. An update that fp16
        leaves out has no such end. What is changed should be parameters or buffers, which
        checkpoints hold, and which `forward` reads: `batch` runs ahead, in other processes.
        Unless overridden, the objectives that this one holds are told.

        Args:
            model: the model, just updated.
            step: the number of updates done, this one included.
        """
        for part in self.children():
            if isinstance(part, Objective):
                part.after_step(model, step)


class Step(nn.Module):
    """Model and objective as one module with one forward.

    This is what is wrapped for several processes or compiled, so that no hook of the wrapper is
    bypassed and parameters of both are seen.
    """

    def __init__(self, model: nn.Module, objective: Objective):
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.objective(self.model, batch)


def total_counts(batches: list[Batch]) -> dict[str, float]:
    """The count of each term over all micro-batches."""
    return totals([batch.counts for batch in batches])


def totals(parts: list[dict[str, float]]) -> dict[str, float]:
    """The sum of each entry over dictionaries of numbers."""
    names = {name: None for part in parts for name in part}
    return {name: sum(part.get(name, 0) for part in parts) for name in names}


def weighted_mean(sums: dict, counts: dict[str, float], weights: dict[str, float]):
    """Σ over terms of weight · sum / count; a term that counts nothing weighs nothing."""
    return sum(weights.get(name, 1.0) / (counts[name] or 1) * sums[name] for name in counts)
