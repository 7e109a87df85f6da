"""Samples of a batch that see each other, in a loss or in a layer, and over several processes.

A contrastive loss compares each sample with all others; batch normalisation takes a mean over them.
A batch in parts is then not what it is as a whole. Ranks, which have a part each, exchange what one
sample needs of the others; a batch that is too large for a memory has no such way out.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def coupled_parts(module: nn.Module) -> list[nn.Module]:
    """The parts of a module, in the mode they are in, by which samples of a batch see each other.

    These are torch's batch normalisations, and what says so of itself by `couples_samples = True`.
    """
    return [part for part in module.modules() if couples_samples(part)]


def couples_samples(part: nn.Module) -> bool:
    """Whether this part itself, whatever is in it, lets the samples of a batch see each other."""
    if isinstance(part, _BatchNorm):
        return part.training or part.running_mean is None
    return getattr(part, "couples_samples", False)


def gathers(part: nn.Module) -> bool:
    """Whether a part that couples samples does so over all ranks, by `gathered`; it says so."""
    return getattr(part, "gathers", isinstance(part, nn.SyncBatchNorm))


def number_of_ranks() -> int:
    """How many processes train together; 1 where there is no other."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def first_row(rows: int) -> int:
    """Where this rank's rows begin among those that `gathered` returns. All ranks must call it.

    Args:
        rows: how many this rank has.

    Raises:
        ValueError: if another rank has more or fewer, as of one task in a mixture of several.
    """
    if number_of_ranks() == 1:
        return 0
    everyone = [torch.zeros(1, dtype=torch.int64) for _ in range(number_of_ranks())]
    dist.all_gather(everyone, torch.tensor([rows]))
    numbers = torch.cat(everyone).tolist()
    if len(set(numbers)) > 1:
        raise ValueError("every rank must have the same number of samples to compare with those of "
                         f"the others, got {numbers}: train in one process")
    return rows * dist.get_rank()


def gathered(rows: Tensor) -> Tensor:
    """The rows of all ranks, in their order, as one process would have them. All must call it.

    The gradient goes back to the rank that a row is from, as the sum over what all ranks' losses
    ask of it. So each rank's loss may be that of its own rows against all, and the gradients of the
    ranks add up to that of one process.

    Args:
        rows: (B, …), of the same shape on every rank; `first_row` refuses others.

    Returns:
        (ranks · B, …); in one process `rows` itself.
    """
    return Gathered.apply(rows) if number_of_ranks() > 1 else rows


class Gathered(torch.autograd.Function):
    """See `gathered`."""

    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        rows = rows.contiguous()
        everyone = [torch.empty_like(rows) for _ in range(number_of_ranks())]
        dist.all_gather(everyone, rows)
        return torch.cat(everyone)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        parts = list(gradient.contiguous().chunk(number_of_ranks()))
        mine = torch.empty_like(parts[0])
        dist.reduce_scatter(mine, parts)
        return mine
