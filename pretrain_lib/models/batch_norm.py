"""Batch normalisation over all ranks: numbers are centred and scaled by those of a whole batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from .coupled import gathered, number_of_ranks


class BatchNorm(_BatchNorm):
    """y = γ (x − mean) / √(variance + ε) + β, each channel's mean and variance over a whole batch.

    In training these are taken over the samples, and all positions, of every rank; so ranks compute
    what one process does. Evaluation goes by their running averages. Tensors are named as in
    `torch.nn.BatchNorm2d`, and in one process so are its numbers.

    Args:
        num_features: C.
        eps: ε.
        momentum: weight of a new batch in the running averages, above 0 and at most 1.

    Source: Ioffe & Szegedy, "Batch normalization", ICML 2015, Algorithms 1 and 2.
    """

    gathers = True

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__(num_features, eps, momentum)

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim < 2 or x.shape[1] != self.num_features:
            raise ValueError(f"BatchNorm({self.num_features}) needs (B, {self.num_features}, …), "
                             f"got {tuple(x.shape)}")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, …) to the same."""
        if not self.training or number_of_ranks() == 1:
            return super().forward(x)
        self._check_input_dim(x)
        precise = x.to(torch.promote_types(x.dtype, torch.float32))
        mean, variance, number = self.statistics(precise)
        if self.track_running_stats:
            self.remember(mean.detach(), variance.detach() * (number / (number - 1)))
        channels = (-1, *[1] * (x.ndim - 2))  # against (B, C, …)
        scale = self.weight * (variance + self.eps).rsqrt()
        centred = precise - mean.view(channels)
        return (centred * scale.view(channels) + self.bias.view(channels)).to(x.dtype)

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and variance of each channel over all ranks, (C,) each, and of how many numbers, ().

        Ranks' variances are put together without taking a difference of large sums (Chan, Golub &
        LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979).
        """
        axes = [0, *range(2, x.ndim)]
        mean, variance = x.mean(axes), x.var(axes, correction=0)  # (C,)
        number = torch.full_like(mean, x.numel() // self.num_features)
        means, variances, numbers = gathered(torch.stack([mean, variance, number])[None]).unbind(1)
        share = numbers / numbers.sum(0)  # (ranks, C)
        mean = (share * means).sum(0)
        variance = (share * (variances + (means - mean).square())).sum(0)
        return mean, variance, numbers[:, 0].sum()

    @torch.no_grad()
    def remember(self, mean: Tensor, variance: Tensor) -> None:
        """Moves the running averages towards a batch's mean and unbiased variance, (C,)."""
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)
