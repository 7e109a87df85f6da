"""Sums and counts to means, taken once over everything that an update saw."""

from __future__ import annotations

from ..objectives.base import Batch


def total_counts(batches: list[Batch]) -> dict[str, float]:
    """The count of each term over all micro-batches."""
    names = {name: None for batch in batches for name in batch.counts}
    return {name: sum(batch.counts.get(name, 0) for batch in batches) for name in names}


def weighted_mean(sums: dict, counts: dict[str, float], weights: dict[str, float]):
    """Σ over terms of weight · sum / count; a term that counts nothing weighs nothing."""
    return sum(weights.get(name, 1.0) / (counts[name] or 1) * sums[name] for name in counts)
