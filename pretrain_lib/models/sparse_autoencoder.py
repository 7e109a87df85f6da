"""A sparse autoencoder: activations as sums of few directions out of many.

A model may hold more features than it has numbers, each as a direction, if few are there at a time.
A code with more numbers than the activation, of which few are not 0, can tell them apart (Bricken
et al., "Towards Monosemanticity: Decomposing Language Models With Dictionary Learning", 2023). It
is trained as any autoencoder is, on activations as the column of a source.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..validation import require, require_at_least
from .autoencoder import AutoencoderBase
from .init import drawn_with


@dataclass(frozen=True)
class SparseAutoencoderConfig:
    """Configuration of a `SparseAutoencoder`.

    Attributes:
        input_size: numbers in an activation, D.
        code_size: features, F; more than `input_size` as a rule.
        top_k: how many features a code has at most; None leaves that to the objective's penalty.
    """

    input_size: int
    code_size: int
    top_k: int | None = None

    def __post_init__(self):
        require_at_least(self, 1, "input_size", "code_size")
        if self.top_k is not None:
            require_at_least(self, 1, "top_k")
            require(self.top_k <= self.code_size, "top_k", self.top_k,
                    f"at most code_size={self.code_size}")

    @property
    def input_shape(self) -> tuple[int]:
        return (self.input_size,)


class SparseAutoencoder(AutoencoderBase):
    """z = relu(W₁ (x − c) + b), of which the k largest may be kept, and y = W₂ z + c.

    The columns of W₂, a feature's direction each, have length 1: else a penalty on the code would
    be met by small codes and long directions (Bricken et al.; for the k largest Gao et al.,
    "Scaling and evaluating sparse autoencoders", 2024, section 2.3). W₁ starts as W₂ transposed.

    Args:
        config: its sizes.
        seed: of the first directions; None draws them with torch's random state.
    """

    config_class = SparseAutoencoderConfig
    columns = ("activations",)

    def __init__(self, config: SparseAutoencoderConfig, seed: int | None = None):
        super().__init__()
        self.config = config
        with drawn_with(seed):
            first = F.normalize(torch.randn(config.input_size, config.code_size), dim=0)
        self.decoder = nn.Parameter(first)  # (D, F), of any length: `directions` has length 1
        self.encoder = nn.Linear(config.input_size, config.code_size)
        self.centre = nn.Parameter(torch.zeros(config.input_size))
        with torch.no_grad():
            self.encoder.weight.copy_(first.T)
            self.encoder.bias.zero_()

    @property
    def directions(self) -> Tensor:
        """(D, F), the direction of each feature, of length 1."""
        return F.normalize(self.decoder, dim=0)

    def encode(self, x: Tensor) -> Tensor:
        """Activations (B, D) to codes (B, F), none below 0."""
        self.check_input(x)
        code = F.relu(self.encoder(x - self.centre))
        if self.config.top_k is None:
            return code
        largest, places = code.topk(self.config.top_k, dim=-1)
        return torch.zeros_like(code).scatter(-1, places, largest)

    def decode(self, code: Tensor) -> Tensor:
        """Codes (B, F) to activations (B, D)."""
        return code @ self.directions.T + self.centre

    @torch.no_grad()
    def start_at(self, activations: Tensor) -> SparseAutoencoder:
        """Sets the centre to the mean of some activations, (N, D), before training."""
        self.centre.copy_(activations.mean(0))
        return self
