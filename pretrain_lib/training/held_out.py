"""What a model loses on samples that it is not trained on."""

from __future__ import annotations

import torch

from ..data.keys import Keys
from ..data.source import Source
from ..models.coupled import coupled_parts
from ..models.mode import evaluation_mode
from ..models.precision import autocast, products_in
from ..objectives.base import Batch, Step, totals, weighted_mean
from .config import TrainConfig
from .distributed import World
from .finite import fault_of, non_finite
from .random_state import random_state_kept, seed_torch


@torch.no_grad()
def mean_losses(module: Step, source: Source, config: TrainConfig, device: torch.device,
                precision: str, step: int, world: World) -> dict[str, float]:
    """The mean of each term over all samples of a source, and their weighted sum as "loss".

    Every evaluation corrupts a sample in the same way, so that two can be compared. It leaves the
    model and the global random state as they were. Ranks share out the samples; one that has none
    left scores a sample that does not count, because ranks put sharded weights together for each
    forward pass, all at once. A loss that couples the samples of a batch is taken over whole ones.

    Args:
        step: the number of updates done, for the error.

    Raises:
        ValueError: if a forward pass answers with other terms than its batch counts, or as
            `samples_scored`.
        NonFiniteError: if a loss is not finite.
    """
    share = config.micro_batch_size // world.size
    number = samples_scored(module, source, config)
    counts, sums, bad = [], [], None
    with (random_state_kept(device), evaluation_mode(module), products_in(precision, device),
          torch.compiler.set_stance("force_eager")):
        seed_torch(config.seed, device)
        for start in range(0, number, config.micro_batch_size):
            first = start + world.rank * share
            ids = range(first, min(first + share, number))
            batch = held_out_batch(module, source, ids or [0], config.seed)
            with autocast(precision, device):
                terms = module(batch.to(device))
            check_terms(terms, batch.counts, module)
            if not ids:
                continue
            counts.append(batch.counts)
            sums.append({name: value.item() for name, value in terms.items()})
            bad = bad or fault_of(sums[-1], [batch], "the evaluation's loss")
            if bad and world.size == 1:
                break
    counts, sums, faults = zip(*world.gather((totals(counts), totals(sums), bad)), strict=True)
    if any(faults):
        raise non_finite(faults, step)
    count, total = totals(counts), totals(sums)
    means = {name: total[name] / (count[name] or 1) for name in count}
    return {**means, "loss": weighted_mean(total, count, module.objective.weights)}


def samples_scored(module: Step, source: Source, config: TrainConfig) -> int:
    """How many samples of a source are evaluated: the first so many.

    All are, unless the loss couples the samples of a batch. Then its size depends on how many they
    are: with fewer others to be told from, each sample is told more easily. So it is taken over
    batches of the size that training has, and what does not fill one is left out.

    Raises:
        ValueError: if the loss couples samples and there is not one whole batch.
    """
    with evaluation_mode(module):
        coupled = coupled_parts(module)
    if not coupled:
        return len(source)
    if len(source) < config.batch_size:
        raise ValueError(f"{type(coupled[0]).__name__} couples the samples of a batch, so it is "
                         f"evaluated on whole batches: {len(source)} samples are less than one of "
                         f"batch_size={config.batch_size}; hold out more, or set a smaller one")
    return len(source) - len(source) % config.batch_size


def held_out_batch(module: Step, source: Source, ids, seed: int) -> Batch:
    """Samples corrupted as every evaluation corrupts them."""
    keys = Keys.of(seed, ids, progress=1.0)
    batch = module.objective.batch(source.take(keys), keys)
    batch.samples = keys.sample
    return batch


def check_terms(terms: dict, counts: dict[str, float], module: Step) -> None:
    """A forward pass answers with the terms that its batch counts.

    Raises:
        ValueError: naming the terms that differ.
    """
    name = type(module.objective).__name__
    if terms.keys() != counts.keys():
        raise ValueError(f"{name}.forward returned the terms {sorted(terms)}, "
                         f"but its batches count {sorted(counts)}: the names must be the same")
    unknown = module.objective.weights.keys() - counts.keys()
    if unknown:
        raise ValueError(f"weights are given for {sorted(unknown)}, but the terms of {name} are "
                         f"{sorted(counts)}")
