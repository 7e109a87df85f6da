"""One of two processes that train one model together; started by test_processes.py."""

import json
import os
import sys

import torch
import torch.distributed as dist
from test_processes import CASES
from torch.nn.parallel import DistributedDataParallel

from pretrain_lib.objectives.base import total_counts, weighted_mean

UPDATES = 5


def optimiser(step):
    return torch.optim.AdamW(step.parameters(), lr=1e-2, eps=1e-6)


def plain(step) -> dict[str, list]:
    return {name: p.tolist() for name, p in step.named_parameters()}


def alone() -> dict[str, list]:
    """What one process makes of all micro-batches."""
    build, make_batches = CASES["sentence pairs"]
    step, batches = build(), make_batches()
    optimizer = optimiser(step)
    for _ in range(UPDATES):
        optimizer.zero_grad()
        for batch in batches:
            weighted_mean(step(batch), total_counts(batches), step.objective.weights).backward()
        optimizer.step()
    return plain(step)


def together(rank: int, size: int) -> dict[str, list]:
    """The same, with half of the micro-batches here and the counts summed over both processes."""
    build, make_batches = CASES["sentence pairs"]
    step, mine = build(), make_batches()[rank::size]
    wrapped = DistributedDataParallel(step)
    optimizer = optimiser(step)
    local = total_counts(mine)
    counts = torch.tensor([float(local[name]) for name in sorted(local)])
    dist.all_reduce(counts)
    counts = dict(zip(sorted(local), counts.tolist(), strict=True))
    for _ in range(UPDATES):
        optimizer.zero_grad()
        for i, batch in enumerate(mine):
            wrapped.require_backward_grad_sync = i == len(mine) - 1
            # DDP averages gradients over processes; the sum is wanted
            (size * weighted_mean(wrapped(batch), counts, step.objective.weights)).backward()
        optimizer.step()
    return plain(step)


if __name__ == "__main__":
    meeting, rank = sys.argv[1], int(sys.argv[2])
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    result = together(rank, 2)
    print(json.dumps(result), flush=True)
    dist.barrier()
    dist.destroy_process_group()
    os._exit(0)  # gloo's threads may still hold tensors: releasing those while the interpreter ends aborts, now and then
