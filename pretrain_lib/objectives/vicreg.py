"""VICReg: two views agree, no number is the same for all samples, and no two say the same.

Bardes, Ponce and LeCun, "VICReg: variance-invariance-covariance regularization for self-supervised
learning", ICLR 2022. There are no negatives: what would collapse is held apart number by number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import Samples
from ..models.coupled import first_row, gathered
from ..models.projection import Norm, ProjectionHead, projection_sizes
from ..validation import require, require_kinds
from .base import Batch, Objective
from .views import TWO, batch_of_two_views, both_views, projected, require_several

TERMS = ("invariance", "variance", "covariance")
EPSILON = 1e-4  # keeps the root's slope finite where all samples are the same


@dataclass(frozen=True)
class VICRegConfig:
    """Settings of `VICReg`.

    Attributes:
        projection: sizes of the head: the model's features, hidden layers, numbers to compare.
        invariance: weight of the views' agreement, at least 0.
        variance: weight of every number's standard deviation, at least 0.
        covariance: weight of the numbers' covariances, at least 0.
        norm: how the head normalises, "batch" or "layer".
        seed: of the head's first weights.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    projection: tuple[int, ...]
    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0
    norm: Norm = "batch"
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "projection", projection_sizes(self.projection))
        require_kinds(self)
        require(len(self.projection) > 0, "projection", self.projection, "at least one size")
        for term in TERMS:
            weight = getattr(self, term)
            require(weight >= 0, term, weight, "at least 0")


class VICReg(Objective):
    """Two views should be embedded alike, and a batch's embeddings should fill their space.

    Three terms of embeddings z and z′ of D numbers, each weighed: *invariance*, the mean squared
    difference of z and z′; *variance*, by how much each number's standard deviation over the batch
    falls short of 1, averaged over numbers; *covariance*, the squared covariances of different
    numbers, their sum divided by D. The last two are of z and of z′, added up, over all ranks.

    Args:
        projection: sizes of the head: the model's features, hidden layers, numbers to compare, D.
            The paper's has two hidden layers, and all three of 8,192.
        invariance: weight of the first term, at least 0.
        variance: weight of the second.
        covariance: weight of the third.
        norm: how the head normalises, "batch" or "layer".
        seed: of the head's first weights.

    Raises:
        ValueError: naming the argument, its value and what is allowed.

    Source: Bardes et al. 2022, algorithm 1.
    """

    config_class = VICRegConfig
    separable = False
    gathers = True

    def __init__(self, projection: Sequence[int], invariance: float = 25.0, variance: float = 25.0,
                 covariance: float = 1.0, norm: Norm = "batch", seed: int = 0):
        super().__init__()
        config = VICRegConfig(projection, invariance, variance, covariance, norm, seed)
        self.projection = config.projection
        self.norm = norm
        self.weights = {term: getattr(config, term) for term in TERMS}
        self.head = ProjectionHead(self.projection, norm, seed)

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        return batch_of_two_views(samples, *TERMS)

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        views = ([batch.inputs[name]] for name in TWO)
        first, second = both_views(projected(model, self.head), *views)  # (B, D)
        rows = len(first)
        require_several(rows, "VICReg")
        first_row(rows)  # which refuses ranks with unequal numbers
        with torch.autocast(first.device.type, enabled=False):
            everyone = [gathered(first), gathered(second)]  # (ranks · B, D)
            return {"invariance": (first - second).square().mean(1).sum(),
                    "variance": rows * sum(map(lack_of_spread, everyone)),
                    "covariance": rows * sum(map(redundancy, everyone))}


def lack_of_spread(z: Tensor) -> Tensor:
    """By how much the standard deviations of numbers, over samples, fall short of 1; their mean.

    Args:
        z: (N, D), at least two samples.
    """
    return (1 - (z.var(0) + EPSILON).sqrt()).clamp(min=0).mean()


def redundancy(z: Tensor) -> Tensor:
    """The squared covariances of different numbers: their sum, divided by how many numbers.

    Args:
        z: (N, D), at least two samples.
    """
    centred = z - z.mean(0)
    covariance = centred.T @ centred / (len(z) - 1)  # (D, D)
    alone = torch.eye(z.shape[1], dtype=torch.bool, device=z.device)
    return covariance.masked_fill(alone, 0).square().sum() / z.shape[1]
