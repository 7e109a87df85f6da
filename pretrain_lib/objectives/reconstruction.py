"""Reconstruction: give back what was shown, whole or corrupted (Vincent et al., ICML 2008)."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import Samples
from ..validation import is_a, require, require_kind, require_kinds
from .base import Batch, Objective, take_column

Noise = Literal["gaussian", "masking", "salt-and-pepper"]


def half_squared_error(prediction: Tensor, target: Tensor, where: Tensor | None = None) -> Tensor:
    """½ Σ (x − y)², summed over everything, in float32 or better.

    Args:
        prediction: the model's answer, shaped like `target`.
        target: what it should be.
        where: mask of what is scored, broadcast to the target's shape; None scores everything.

    Raises:
        ValueError: if the shapes differ; broadcasting would score something else.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"the model's answer has shape {tuple(prediction.shape)}, the target has "
                         f"{tuple(target.shape)}: they must be the same")
    precision = torch.promote_types(prediction.dtype, torch.float32)
    squared = (prediction.to(precision) - target.to(precision)).square()
    return 0.5 * (squared if where is None else squared * where).sum()


@dataclass(frozen=True)
class ReconstructionConfig:
    """Settings of `Reconstruction`.

    Attributes:
        column: the column of the source to reconstruct, (B, ...).
    """

    column: str = "images"

    def __post_init__(self):
        require_kinds(self)


class Reconstruction(Objective):
    """The autoencoder's task: y should equal x. L = ½ Σᵢ (xᵢ − yᵢ)², averaged over samples.

    Args:
        column: the column of the source to reconstruct, (B, ...).
    """

    config_class = ReconstructionConfig

    def __init__(self, column: str = "images"):
        super().__init__()
        self.column = column

    def corrupt(self, clean: Tensor, keys: Keys) -> Tensor:
        """What the model is shown in place of `clean`: here, `clean` itself."""
        return clean

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        clean = take_column(samples, self.column)
        inputs = {self.column: self.corrupt(clean, keys)}
        return Batch(inputs, {self.column: clean}, {"reconstruction": len(clean)})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        prediction = model(batch.inputs[self.column])
        return {"reconstruction": half_squared_error(prediction, batch.targets[self.column])}


@dataclass(frozen=True)
class DenoisingConfig:
    """Settings of `Denoising`.

    Attributes:
        noise: what corrupts.
        level: how much: a standard deviation, or the fraction of the values that is corrupted.
        column: the column of the source to reconstruct, (B, ...).

    Raises:
        ValueError: for an unknown noise, a negative level, or a fraction above 1.
    """

    noise: Noise = "masking"
    level: float = 0.3
    column: str = "images"

    def __post_init__(self):
        require_kind("noise", self.noise, Noise)
        require_kind("column", self.column, str)
        most, allowed = ((inf, "at least 0 and finite") if self.noise == "gaussian"
                         else (1, "between 0 and 1"))
        require(is_a(float, self.level) and 0 <= self.level <= most,
                f"level of {self.noise} noise", self.level, allowed)


class Denoising(Reconstruction):
    """The denoising autoencoder's task: corrupt x, reconstruct the clean x.

    Args:
        noise: "gaussian" adds normal noise of standard deviation `level`; "masking" sets a
            fraction `level` of the values to 0; "salt-and-pepper" sets that fraction to 0 or 1,
            each as likely (Vincent et al., JMLR 2010, section 3.3).
        level: standard deviation, or fraction of the values that is corrupted.
        column: the column of the source to reconstruct, (B, ...).

    Raises:
        ValueError: for an unknown noise, a negative level, or a fraction above 1.
    """

    config_class = DenoisingConfig

    def __init__(self, noise: Noise = "masking", level: float = 0.3, column: str = "images"):
        DenoisingConfig(noise, level, column)  # which refuses what is not allowed
        super().__init__(column)
        self.noise = noise
        self.level = level

    def corrupt(self, clean: Tensor, keys: Keys) -> Tensor:
        shape = tuple(clean.shape[1:])
        if self.noise == "gaussian":
            return clean + self.level * keys.normal("noise", shape)
        chosen = keys.uniform("noise", shape) < self.level
        if self.noise == "masking":
            return clean.masked_fill(chosen, 0.0)
        return torch.where(chosen, (keys.uniform("salt", shape) < 0.5).to(clean.dtype), clean)
