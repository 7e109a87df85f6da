"""The most memory that a step needs at any moment."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile


def peak_bytes(step: Callable[[], object], before: list[Tensor], device: torch.device) -> int:
    """Bytes of all tensors at the moment of a step at which they are most.

    A GPU's allocator knows. On the CPU every allocation and release is taken down by the profiler
    and added up; what kernels take for themselves, past torch, is not seen.

    Args:
        step: does one step.
        before: the tensors that are there already; on the CPU they are counted by their storages.
        device: where it happens.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        step()
        return torch.cuda.max_memory_allocated(device)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step()
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak + storage_bytes(before)


def storage_bytes(tensors: list[Tensor]) -> int:
    """Bytes of the tensors; what two of them share counts once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())
