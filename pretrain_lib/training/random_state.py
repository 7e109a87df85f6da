"""torch's own random numbers, which dropout draws from: seeded anew for every forward pass."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import torch

from ..data.keys import philox


def seed_torch(seed: int, device: torch.device) -> None:
    """Seeds the CPU and one device; `torch.manual_seed` formats a stack trace for each other."""
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def seed_dropout(seed: int, step: int, micro: int, rank: int, device: torch.device) -> None:
    """Seeds the forward pass of a rank's micro-batch: a function of the arguments."""
    high, low = philox(np.array([step, micro, rank, 0], dtype=np.uint64), (seed, 0))[:2]
    seed_torch(int(high) << 31 ^ int(low), device)


@contextmanager
def random_state_kept(device: torch.device):
    """Leaves torch's global random state as it was found."""
    mps = torch.mps if device.type == "mps" else None  # fork_rng does not know its state
    before = mps and mps.get_rng_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        if mps:
            mps.set_rng_state(before)
