"""Whether a source and an objective keep their contract, found out before the first update.

One that breaks it may train all the same, and learn something else: a mean in place of a sum is
divided by the number of samples once more, and a batch that is no function of its keys is another
one after a resume. So a few samples are taken, corrupted and scored, each of it twice.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..data.keys import Keys
from ..data.source import Samples, Source, keys_at
from ..models.mode import evaluation_mode
from ..models.precision import autocast, products_in
from ..objectives.base import Batch, Objective, Step
from .config import TrainConfig
from .held_out import check_terms
from .passes import buffers_kept
from .random_state import random_state_kept

FEW = 5  # samples


def is_source(thing) -> bool:
    """Whether something has a length and takes keys; tensors and arrays take other things."""
    return (hasattr(thing, "take") and hasattr(thing, "__len__")
            and not isinstance(thing, (Tensor, np.ndarray)))


def require_source(source) -> None:
    """Raises where something else is given, such as a list, a tensor or a `Dataset` of torch."""
    if not is_source(source):
        raise ValueError(f"a source of samples has a length and take(keys), got a "
                         f"{type(source).__name__}: put its tensors into Columns(name=tensor)")


@torch.no_grad()
def check_first_batch(module: Step, source: Source, config: TrainConfig, step: int,
                      device: torch.device, precision: str) -> None:
    """Takes, corrupts and scores the first few samples twice; everything stays as it was.

    Ranks all take the same ones, so that they find the same.

    Args:
        module: model and objective, on their device.
        source: the samples.
        config: how to train.
        step: the number of updates done.
        device: where to compute.
        precision: what the run computes in.

    Raises:
        ValueError: saying what the source or the objective does, and what it should do.
    """
    objective = module.objective
    keys = keys_at(step * config.batch_size + np.arange(FEW), len(source), config.seed,
                   step / config.steps)
    with (random_state_kept(device), buffers_kept(module), evaluation_mode(module),
          products_in(precision, device), autocast(precision, device),
          torch.compiler.set_stance("force_eager")):
        first, second = (taken(source, keys) for _ in range(2))
        require_same(first, second, f"{type(source).__name__}.take")
        batch, again = (corrupted(objective, samples, keys) for samples in (first, second))
        for name in ("inputs", "targets"):
            require_same(getattr(batch, name), getattr(again, name),
                         f"{type(objective).__name__}.batch")
        if batch.counts != again.counts:
            raise ValueError(f"{type(objective).__name__}.batch must count the same for the same "
                             f"keys, and counts {batch.counts}, then {again.counts}")
        terms = scored(module, batch.to(device))
        if objective.separable and by_sample(batch, len(keys)):
            require_sums(objective, terms, scored(module, twice(batch).to(device)), batch, keys)


def taken(source: Source, keys: Keys) -> Samples:
    """What a source gives for some keys."""
    samples, name = source.take(keys), f"{type(source).__name__}.take"
    if not isinstance(samples, dict):
        raise ValueError(f"{name} must return a dictionary of columns, such as "
                         f"{{'images': tensor}}, got a {type(samples).__name__}")
    for column, values in samples.items():
        if not isinstance(values, Tensor):
            raise ValueError(f"{name} must return tensors, and {column!r} is a "
                             f"{type(values).__name__}")
        if values.ndim == 0 or not len(values) or len(values) % len(keys):
            raise ValueError(f"{name} must return one row for each of {len(keys)} keys, and "
                             f"{column!r} has the shape {tuple(values.shape)}")
    return samples


def corrupted(objective: Objective, samples: Samples, keys: Keys) -> Batch:
    """What an objective makes of samples."""
    batch, name = objective.batch(samples, keys), f"{type(objective).__name__}.batch"
    if not isinstance(batch, Batch):
        raise ValueError(f"{name} must return a Batch, got a {type(batch).__name__}")
    for column, values in (batch.inputs | batch.targets).items():
        if not isinstance(values, Tensor):
            raise ValueError(f"inputs and targets of {name} must be tensors, and {column!r} is a "
                             f"{type(values).__name__}")
    return replace(batch, samples=keys.sample)


def require_same(first: dict[str, Tensor], second: dict[str, Tensor], name: str) -> None:
    """Raises where the same keys give something else a second time."""
    for column in first | second:
        a, b = first.get(column), second.get(column)
        if a is None or b is None or not same(a, b):
            raise ValueError(f"{name} must give the same for the same keys, and {column!r} is "
                             "another one each time: draw random numbers from keys, such as "
                             "keys.uniform('noise', shape)")


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors hold the same, NaN included."""
    return torch.equal(a, b) or (a.shape == b.shape and a.dtype == b.dtype and
                                 torch.equal(a.isnan(), b.isnan()) and
                                 torch.equal(a.nan_to_num(), b.nan_to_num()))


def scored(module: Step, batch: Batch) -> dict[str, Tensor]:
    """The terms of a batch: single numbers, one for each count."""
    terms, name = module(batch), f"{type(module.objective).__name__}.forward"
    if not isinstance(terms, dict):
        raise ValueError(f"{name} must return a dictionary of terms, such as {{'loss': tensor}}, "
                         f"got a {type(terms).__name__}")
    check_terms(terms, batch.counts, module)
    for term, value in terms.items():
        if not isinstance(value, Tensor) or value.ndim:
            got = (f"the shape {tuple(value.shape)}" if isinstance(value, Tensor)
                   else f"the type {type(value).__name__}")
            raise ValueError(f"{name} must return one number a term, the sum over what the batch "
                             f"counts, as a tensor, and {term!r} has {got}")
    return terms


def by_sample(batch: Batch, samples: int) -> bool:
    """Whether each tensor of a batch has rows of every sample."""
    return all(values.ndim and len(values) % samples == 0
               for values in (*batch.inputs.values(), *batch.targets.values()))


def twice(batch: Batch) -> Batch:
    """A batch whose samples are all there twice."""
    return replace(batch.map(lambda values: torch.cat([values, values])),
                   counts={name: 2 * count for name, count in batch.counts.items()},
                   samples=np.tile(batch.samples, 2))


def require_sums(objective: Objective, once: dict[str, Tensor], both: dict[str, Tensor],
                 batch: Batch, keys: Keys) -> None:
    """Raises where samples that are there twice cost no more than once: a mean, not a sum."""
    for term, value in once.items():
        a, b = value.item(), both[term].item()
        if batch.counts[term] >= len(keys) and math.isfinite(a) and a and abs(b / a - 1) < 0.1:
            raise ValueError(
                f"{type(objective).__name__}.forward must return sums, and {term!r} is a mean: it "
                "does not grow with the number of samples. Sum the losses (reduction='sum'); they "
                "are divided by batch.counts once, over all that an update sees")
