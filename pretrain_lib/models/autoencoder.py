"""Autoencoders: a network that gives back what it was shown, through a code in between.

Here are the linear one and the multi-layer perceptron; those for images are in `convolutional`.
Each encodes with `encode`, decodes with `decode`, and its forward does both; each is saved by
`pretrained`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..validation import require
from .base import ModelBase
from .init import drawn_with

Activation = Literal["relu", "gelu", "tanh", "sigmoid", "linear"]
Output = Literal["linear", "sigmoid"]

ACTIVATIONS = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "linear": nn.Identity,
}


def require_sizes(field: str, sizes: tuple[int, ...], least: int = 0):
    valid = len(sizes) >= least and all(isinstance(size, int) and size >= 1 for size in sizes)
    require(valid, field, sizes, f"{least} or more integers of at least 1")


def require_code_size(code_size: int, largest: float, unless: str = ""):
    require(
        isinstance(code_size, int) and code_size >= 1,
        "code_size",
        code_size,
        "an integer of at least 1",
    )
    require(
        code_size <= largest, "code_size", code_size, f"at most the input's size, {largest}{unless}"
    )


class AutoencoderBase(ModelBase):
    """What all autoencoders share: the forward pass is encode, then decode."""

    @property
    def feature_size(self) -> int:
        return self.config.code_size

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    def check_input(self, x: Tensor):
        expected = tuple(self.config.input_shape)
        if tuple(x.shape[1:]) != expected:
            raise ValueError(f"expected samples of shape {expected}, got {tuple(x.shape[1:])}")


class Transposed(nn.Module):
    """A linear layer whose weight is the transpose of another's: tied weights, stored once.

    Args:
        layer: the layer whose weight, (out, in), is used as (in, out).
        bias: whether this layer adds a bias of its own.
    """

    def __init__(self, layer: nn.Linear, bias: bool = True):
        super().__init__()
        self.layer = (layer,)  # in a tuple, so that its weight is not registered a second time
        self.bias = nn.Parameter(torch.zeros(layer.in_features)) if bias else None

    @property
    def weight(self) -> Tensor:
        return self.layer[0].weight.T

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True)
class LinearAutoencoderConfig:
    """Configuration of a `LinearAutoencoder`.

    Attributes:
        input_size: numbers in a sample, D.
        code_size: numbers in its code, K, from 1 to D.
        tied: whether the decoder's weight is the transpose of the encoder's.
    """

    input_size: int
    code_size: int
    tied: bool = False

    def __post_init__(self):
        require_sizes("input_size", (self.input_size,))
        require_code_size(self.code_size, self.input_size)


class LinearAutoencoder(AutoencoderBase):
    """y = W₂ W₁ x: two matrices, no bias, no activation.

    Trained on centred data it reaches the subspace of the first K principal components, and no
    local minimum is worse than that (Baldi and Hornik, Neural Networks 1989).
    `encoder.weight` is W₁, (K, D), and `decoder.weight` is W₂, (D, K).

    Args:
        input_size: numbers in a sample, D.
        code_size: numbers in its code, K, from 1 to D.
        tied: whether W₂ is the transpose of W₁.

    Raises:
        ValueError: for a code of size 0 or larger than the input.
    """

    def __init__(self, input_size: int, code_size: int, tied: bool = False):
        super().__init__()
        self.config = LinearAutoencoderConfig(input_size, code_size, tied)
        self.encoder = nn.Linear(input_size, code_size, bias=False)
        self.decoder = (
            Transposed(self.encoder, bias=False)
            if tied
            else nn.Linear(code_size, input_size, bias=False)
        )

    @classmethod
    def from_config(cls, fields: dict) -> LinearAutoencoder:
        return cls(**fields)

    def encode(self, x: Tensor) -> Tensor:
        """Samples (B, ...) with D numbers each to codes (B, K)."""
        x = x.flatten(1)  # (B, D)
        if x.shape[1] != self.config.input_size:
            raise ValueError(
                f"expected samples of {self.config.input_size} numbers, got {x.shape[1]}"
            )
        return self.encoder(x)

    def decode(self, code: Tensor) -> Tensor:
        """Codes (B, K) to flat reconstructions (B, D)."""
        return self.decoder(code)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).reshape(x.shape)


@dataclass(frozen=True)
class AutoencoderConfig:
    """Configuration of an `Autoencoder`.

    Attributes:
        input_shape: shape of a sample, such as (1, 28, 28) or (784,).
        hidden_sizes: sizes of the encoder's hidden layers; the decoder's are the same, reversed.
        code_size: numbers in a code, from 1 to the sample's.
        activation: what follows each hidden layer.
        code_activation: what follows the code's layer; "linear" is nothing.
        output: what follows the last layer; "sigmoid" keeps reconstructions in (0, 1).
        dropout: rate at which hidden units are dropped in training, 0 to below 1.
        tied_weights: whether each decoder weight is the transpose of its encoder weight.
        overcomplete: allows a code larger than the sample, which can copy its input: it learns
            something only where the input is corrupted.
    """

    input_shape: tuple[int, ...] = (1, 28, 28)
    hidden_sizes: tuple[int, ...] = (512, 256)
    code_size: int = 30
    activation: Activation = "gelu"
    code_activation: Activation = "linear"
    output: Output = "linear"
    dropout: float = 0.0
    tied_weights: bool = False
    overcomplete: bool = False

    def __post_init__(self):
        object.__setattr__(self, "input_shape", tuple(self.input_shape))
        object.__setattr__(self, "hidden_sizes", tuple(self.hidden_sizes))
        require_sizes("input_shape", self.input_shape, least=1)
        require_sizes("hidden_sizes", self.hidden_sizes)
        largest = math.inf if self.overcomplete else math.prod(self.input_shape)
        require_code_size(self.code_size, largest, unless=" (or any with overcomplete=True)")
        for field, choices in [
            ("activation", Activation),
            ("code_activation", Activation),
            ("output", Output),
        ]:
            value = getattr(self, field)
            require(
                value in get_args(choices), field, value, "one of " + ", ".join(get_args(choices))
            )
        require(0 <= self.dropout < 1, "dropout", self.dropout, "at least 0 and below 1")


class Autoencoder(AutoencoderBase):
    """A deep autoencoder of fully connected layers (Hinton and Salakhutdinov, Science 2006).

    Args:
        config: its sizes, activations and regularisation.
        seed: of the first weights; None draws them with torch's random state.
    """

    config_class = AutoencoderConfig

    def __init__(self, config: AutoencoderConfig, seed: int | None = None):
        super().__init__()
        self.config = config
        sizes = (math.prod(config.input_shape), *config.hidden_sizes, config.code_size)
        with drawn_with(seed):
            down = [nn.Linear(*pair) for pair in pairwise(sizes)]
            up = (
                [Transposed(layer) for layer in reversed(down)]
                if config.tied_weights
                else [nn.Linear(*pair) for pair in pairwise(reversed(sizes))]
            )
        self.encoder = self.stack(down, config.code_activation)
        self.decoder = self.stack(up, config.output)

    def stack(self, layers: list[nn.Module], last: Activation) -> nn.Sequential:
        """The layers, with activation and dropout between them and `last` at the end."""
        modules: list[nn.Module] = []
        for layer in layers[:-1]:
            modules += [
                layer,
                ACTIVATIONS[self.config.activation](),
                nn.Dropout(self.config.dropout),
            ]
        return nn.Sequential(*modules, layers[-1], ACTIVATIONS[last]())

    def encode(self, x: Tensor) -> Tensor:
        """Samples (B, *input_shape) to codes (B, code_size)."""
        self.check_input(x)
        return self.encoder(x.flatten(1))

    def decode(self, code: Tensor) -> Tensor:
        """Codes (B, code_size) to reconstructions (B, *input_shape)."""
        return self.decoder(code).unflatten(1, self.config.input_shape)
