"""Sums and counts to means, taken once over everything that an update saw."""

from __future__ import annotations

from ..objectives.base import Batch


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
