"""What objectives on two views of a sample share: both go through the model together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..data.source import Samples
from ..models.coupled import number_of_ranks
from .base import Batch

TWO = ("images", "other_images")  # as `TwoViews` calls them


def batch_of_two_views(samples: Samples, *terms: str) -> Batch:
    """Two views of each image, for a loss whose terms are sums over samples.

    Raises:
        ValueError: if there is one view only.
    """
    missing = [name for name in TWO if name not in samples]
    if missing:
        raise ValueError(f"two views of each image are needed, and the source has no column "
                         f"{missing[0]!r}: wrap it in TwoViews(source, transforms)")
    inputs = {name: samples[name] for name in TWO}
    return Batch(inputs, {}, dict.fromkeys(terms, len(inputs["images"])))


def vectors_of(answer: Callable[..., Tensor], columns: Sequence[Tensor]) -> Tensor:
    """What is answered to columns, (B, D) in float32 or better.

    Raises:
        ValueError: if it is not one vector a sample.
    """
    vectors = answer(*columns)
    if vectors.ndim != 2:
        raise ValueError("a view must be answered with one vector a sample, (B, D), got "
                         f"{tuple(vectors.shape)}: with features=True, or projection=(features, …, "
                         "numbers to compare), the model's features are taken")
    return vectors.to(torch.promote_types(vectors.dtype, torch.float32))


def both_views(answer: Callable[..., Tensor], first: Sequence[Tensor],
               second: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """What is answered to two views, (B, D) each in float32 or better.

    If they are alike in columns and shapes it is asked once, for all of them together: so batch
    normalisation takes its mean over both views, and does not tell them apart.

    Args:
        answer: columns, (N, ...) each, to (N, D).
        first: the columns of the first view, (B, ...) each.
        second: those of the second.

    Raises:
        ValueError: if the answer is not one vector a sample.
    """
    if [(c.shape, c.dtype) for c in first] == [(c.shape, c.dtype) for c in second]:
        return vectors_of(answer, [torch.cat(pair) for pair in zip(first, second)]).chunk(2)
    return vectors_of(answer, first), vectors_of(answer, second)


def projected(model: nn.Module, head: nn.Module) -> Callable[..., Tensor]:
    """The function from columns to what a head makes of a model's features, (B, D)."""
    if not hasattr(model, "encode"):
        raise ValueError(f"a projection takes the features of one model, by its `encode`, and "
                         f"{type(model).__name__} has none")
    return lambda *columns: head(model.encode(*columns))


def require_several(rows: int, what: str) -> None:
    """Raises where a batch, over all ranks, has one sample only."""
    if rows * number_of_ranks() < 2:
        raise ValueError(f"{what} compares the samples of a batch: it needs at least two, got one")
