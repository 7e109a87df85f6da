"""Losses of vectors in pairs: each should be nearest to its own partner, among all of a batch.

Van den Oord, Li and Vinyals, "Representation learning with contrastive predictive coding", 2018
(InfoNCE, equation 4); Zhai, Mustafa, Kolesnikov and Beyer, "Sigmoid loss for language image
pre-training" (SigLIP), ICCV 2023, equation 1.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ..models.coupled import first_row, gathered
from .views import require_several

Negatives = Literal["other view", "both views"]


def info_nce(first: Tensor, second: Tensor, scale: Tensor | float,
             negatives: Negatives = "other view", same: Tensor | None = None) -> Tensor:
    """−½ Σᵢ (log softmaxⱼ s aᵢ·bⱼ + log softmaxⱼ s bᵢ·aⱼ) at j = i, summed over this rank's rows i.

    With negatives of both views each softmax has besides the s aᵢ·aⱼ, or s bᵢ·bⱼ, for all j ≠ i:
    that is the loss NT-Xent of Chen et al., equation 1, times the number of samples. Samples j ≠ i
    that belong with i are in none of row i's sums.

    Args:
        first: a, (B, D), this rank's rows; j runs over the N rows of all ranks.
        second: b, (B, D), the other views of the same samples.
        scale: s, one over the temperature.
        negatives: "other view" or "both views".
        same: (B,) integers: samples with the same number belong together. None: none do.

    Returns:
        A scalar, in nats. Vectors that are all the same cost log N a sample, or log(2N − 1); of n
        samples that belong together each costs log(N − n + 1), or log(2(N − n) + 1).

    Raises:
        ValueError: if there is one sample only.
    """
    require_several(len(first), "a contrastive loss")
    views = (first, gathered(first)), (second, gathered(second))
    places, together = places_and_partners(first, len(views[0][1]), same)
    left_out = together & ~F.one_hot(places, together.shape[1]).bool()  # (B, N)
    if negatives == "both views":
        left_out = torch.cat([left_out, together], 1)  # (B, 2N)
    with torch.autocast(first.device.type, enabled=False):
        losses = []
        for (ours, our_kind), (_, others) in (views, reversed(views)):
            logits = scale * (ours @ others.T)  # (B, N)
            if negatives == "both views":
                logits = torch.cat([logits, scale * (ours @ our_kind.T)], 1)  # (B, 2N)
            logits = logits.masked_fill(left_out, -math.inf)
            losses.append(F.cross_entropy(logits, places, reduction="sum"))
        return 0.5 * sum(losses)


def sigmoid_loss(first: Tensor, second: Tensor, scale: Tensor | float, bias: Tensor | float,
                 same: Tensor | None = None) -> Tensor:
    """−Σᵢⱼ log σ(zᵢⱼ (s aᵢ·bⱼ + c)): for every pair, whether it belongs together.

    zᵢⱼ is 1 where a row i of this rank and a row j of all ranks belong together, −1 elsewhere.

    Args:
        first: a, (B, D), this rank's rows; j runs over the N rows of all ranks.
        second: b, (B, D), the other views of the same samples.
        scale: s, one over the temperature.
        bias: c, added to every pair.
        same: (B,) integers: samples with the same number belong together. None: each to itself.

    Returns:
        A scalar, in nats. Vectors that are all the same cost
        log(1 + exp(−s − c)) + (N − 1) log(1 + exp(s + c)) a sample.

    Raises:
        ValueError: if there is one sample only.
    """
    require_several(len(first), "a contrastive loss")
    others = gathered(second)
    _, together = places_and_partners(first, len(others), same)
    with torch.autocast(first.device.type, enabled=False):
        logits = scale * (first @ others.T) + bias  # (B, N)
        return F.binary_cross_entropy_with_logits(logits, together.to(logits.dtype),
                                                  reduction="sum")


def places_and_partners(rows: Tensor, total: int, same: Tensor | None) -> tuple[Tensor, Tensor]:
    """Where this rank's rows stand among those of all ranks, and which of these belong with each.

    Args:
        rows: (B, D), this rank's.
        total: N, the rows of all ranks.
        same: (B,) integers that are equal where samples belong together; None: each to itself.

    Returns:
        (B,) places from 0 to N − 1, and (B, N) bool.
    """
    places = first_row(len(rows)) + torch.arange(len(rows), device=rows.device)
    if same is None:
        return places, F.one_hot(places, total).bool()
    return places, same[:, None] == gathered(same)
