"""Reconstruction from a sparse code: what is not needed costs (Bricken et al., 2023)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ..validation import require, require_kinds
from .base import Batch
from .reconstruction import Reconstruction, half_squared_error


@dataclass(frozen=True)
class SparseReconstructionConfig:
    """Settings of `SparseReconstruction`.

    Attributes:
        l1: what a unit of the code costs.
        column: the column of the source to reconstruct, (B, ...).
    """

    l1: float = 0.1
    column: str = "activations"

    def __post_init__(self):
        require_kinds(self)
        require(self.l1 >= 0, "l1", self.l1, "at least 0")


class SparseReconstruction(Reconstruction):
    """L = ½ Σᵢ (xᵢ − yᵢ)² + λ Σⱼ |zⱼ|, averaged over samples, with the model's code z.

    The penalty shrinks the codes that it leaves, too. A `SparseAutoencoder` with `top_k` needs
    none: train it with `Reconstruction("activations")`.

    Args:
        l1: λ, at least 0.
        column: the column of the source to reconstruct, (B, ...).

    Raises:
        ValueError: for a negative penalty.
    """

    config_class = SparseReconstructionConfig

    def __init__(self, l1: float = 0.1, column: str = "activations"):
        SparseReconstructionConfig(l1, column)  # which refuses what is not allowed
        super().__init__(column)
        self.l1 = l1
        self.weights = {"sparsity": l1}

    def batch(self, samples, keys) -> Batch:
        batch = super().batch(samples, keys)
        batch.counts["sparsity"] = batch.counts["reconstruction"]
        return batch

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        code = model.encode(batch.inputs[self.column])
        answer = model.decode(code)
        return {"reconstruction": half_squared_error(answer, batch.targets[self.column]),
                "sparsity": code.abs().sum()}
