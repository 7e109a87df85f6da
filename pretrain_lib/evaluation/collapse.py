"""Whether features have collapsed: a loss can be perfect where all samples are embedded alike."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def require_features(features: Tensor) -> Tensor:
    """Features in float64; raises unless they are (N, D) finite numbers of at least two samples."""
    if features.ndim != 2 or len(features) < 2 or not features.shape[1]:
        raise ValueError("features must be (N, D) of at least two samples, got "
                         f"{tuple(features.shape)}")
    if not features.is_floating_point() or not features.isfinite().all():
        raise ValueError("features must be finite numbers with fractions, got NaN, infinity or "
                         "integers")
    return features.detach().double()


def effective_rank(features: Tensor) -> float:
    """In how many directions features vary: exp(−Σ pₖ log pₖ), of shares pₖ = σₖ / Σ σ.

    σₖ are the singular values of the centred features, the roots of their covariance's eigenvalues
    but for a factor. It is D where all directions vary alike, 1 where they lie on a line, and 0,
    for which the source has no value, where all samples are the same to the features' precision.

    Args:
        features: (N, D).

    Raises:
        ValueError: for another shape, fewer than two samples, or numbers that are not finite.

    Source: Roy and Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO
    2007, there of any matrix.
    """
    x = require_features(features)
    singular = torch.linalg.svdvals(x - x.mean(0))
    singular = singular[singular > torch.finfo(features.dtype).eps * x.norm()]  # beyond rounding
    if not len(singular):
        return 0.0
    shares = singular / singular.sum()
    return torch.special.entr(shares).sum().exp().item()


def direction_spread(features: Tensor) -> float:
    """The standard deviation of each number of features scaled to length 1, averaged over numbers.

    About 1 / √D where features point everywhere, 0 where all point the same way.

    Args:
        features: (N, D).

    Raises:
        ValueError: for another shape, fewer than two samples, or numbers that are not finite.

    Source: Chen and He, "Exploring simple siamese representation learning", CVPR 2021, section 4.1.
    """
    return F.normalize(require_features(features), dim=1).std(0, correction=0).mean().item()
