"""Convolutional autoencoders: one with a single code for the image, one that sees only part of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..validation import require
from .autoencoder import (
    ACTIVATIONS,
    AutoencoderBase,
    Output,
    require_code_size,
    require_sizes,
)
from .init import drawn_with


def downsample(channels: tuple[int, ...]) -> nn.Sequential:
    """Convolutions that halve the sides of a map, one for each step from channels to channels."""
    stages = [(nn.Conv2d(*pair, 3, stride=2, padding=1), nn.GELU()) for pair in pairwise(channels)]
    return nn.Sequential(*(module for stage in stages for module in stage))


def upsample(channels: tuple[int, ...]) -> nn.Sequential:
    """Convolutions that double the sides of a map; none follows the last one.

    Each computes the four pixels that a position becomes, so that none is covered more often than
    another (sub-pixel convolution: Shi et al., CVPR 2016, section 3.2).
    """
    stages = [
        (nn.GELU(), nn.Conv2d(a, 4 * b, 3, padding=1), nn.PixelShuffle(2))
        for a, b in pairwise(channels)
    ]
    return nn.Sequential(*(module for stage in stages for module in stage))


def require_image_shape(input_shape: tuple[int, ...], stages: int):
    """Checks that images are (C, H, W) and that their sides can be halved `stages` times."""
    require_sizes("input_shape", input_shape, least=1)
    require(len(input_shape) == 3, "input_shape", input_shape, "(channels, height, width)")
    factor = 2**stages
    fits = input_shape[1] % factor == 0 and input_shape[2] % factor == 0
    require(
        fits,
        "input_shape",
        input_shape,
        f"of sides divisible by {factor}, one halving for each of channels",
    )


@dataclass(frozen=True)
class ConvAutoencoderConfig:
    """Configuration of a `ConvAutoencoder`.

    Attributes:
        input_shape: (channels, height, width) of an image; each of `channels` halves its sides.
        code_size: numbers in a code, from 1 to the image's.
        channels: feature maps after each halving.
        hidden_size: size of the fully connected layers on both sides of the code.
        output: what follows the last layer; "sigmoid" keeps reconstructions in (0, 1).
    """

    input_shape: tuple[int, int, int] = (1, 28, 28)
    code_size: int = 30
    channels: tuple[int, ...] = (16, 32)
    hidden_size: int = 256
    output: Output = "linear"

    def __post_init__(self):
        object.__setattr__(self, "input_shape", tuple(self.input_shape))
        object.__setattr__(self, "channels", tuple(self.channels))
        require_sizes("channels", self.channels, least=1)
        require_image_shape(self.input_shape, len(self.channels))
        require_code_size(self.code_size, math.prod(self.input_shape))
        require_sizes("hidden_size", (self.hidden_size,))
        require(
            self.output in get_args(Output),
            "output",
            self.output,
            "one of " + ", ".join(get_args(Output)),
        )


class ConvAutoencoder(AutoencoderBase):
    """An autoencoder that shares its weights over the image, with one code for the whole of it.

    It has no batch normalisation: the loss of a sample must not depend on its batch.

    Args:
        config: its sizes.
        seed: of the first weights; None draws them with torch's random state.
    """

    config_class = ConvAutoencoderConfig

    def __init__(self, config: ConvAutoencoderConfig, seed: int | None = None):
        super().__init__()
        self.config = config
        channels = (config.input_shape[0], *config.channels)
        height, width = (side // 2 ** len(config.channels) for side in config.input_shape[1:])
        self.map_shape = (config.channels[-1], height, width)
        map_size = math.prod(self.map_shape)
        with drawn_with(seed):
            self.encoder = nn.Sequential(
                downsample(channels),
                nn.Flatten(),
                nn.Linear(map_size, config.hidden_size),
                nn.GELU(),
                nn.Linear(config.hidden_size, config.code_size),
            )
            self.decoder = nn.Sequential(
                nn.Linear(config.code_size, config.hidden_size),
                nn.GELU(),
                nn.Linear(config.hidden_size, map_size),
                nn.Unflatten(1, self.map_shape),
                upsample(channels[::-1]),
                ACTIVATIONS[config.output](),
            )

    def encode(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to codes (B, code_size)."""
        self.check_input(x)
        return self.encoder(x)

    def decode(self, code: Tensor) -> Tensor:
        """Codes (B, code_size) to reconstructions (B, C, H, W)."""
        return self.decoder(code)


class ResidualBlock(nn.Module):
    """x + f(x) with two convolutions in f, so that a deep stack starts near the identity.

    Args:
        channels: feature maps in and out.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.gelu(self.first(self.norm(x))))  # (B, C, H, W)


@dataclass(frozen=True)
class MaskedAutoencoderConfig:
    """Configuration of a `MaskedAutoencoder`.

    Attributes:
        input_shape: (channels, height, width) of an image; each of `channels` halves its sides.
        channels: feature maps after each halving.
        num_blocks: residual blocks of the encoder after the last halving.
        num_decoder_blocks: residual blocks of the decoder.
        pool_size: side of the grid that the feature map is averaged to by
            `MaskedAutoencoder.encode`.
    """

    input_shape: tuple[int, int, int] = (1, 28, 28)
    channels: tuple[int, ...] = (32, 64)
    num_blocks: int = 2
    num_decoder_blocks: int = 1
    pool_size: int = 3

    def __post_init__(self):
        object.__setattr__(self, "input_shape", tuple(self.input_shape))
        object.__setattr__(self, "channels", tuple(self.channels))
        require_sizes("channels", self.channels, least=1)
        require_image_shape(self.input_shape, len(self.channels))
        for field in ("num_blocks", "num_decoder_blocks"):
            require(getattr(self, field) >= 0, field, getattr(self, field), "at least 0")
        smallest = min(self.input_shape[1:]) // 2 ** len(self.channels)
        require(
            1 <= self.pool_size <= smallest,
            "pool_size",
            self.pool_size,
            f"from 1 to the map's side, {smallest}",
        )


class MaskedAutoencoder(AutoencoderBase):
    """Sees an image with patches hidden and predicts all of it (after He et al., CVPR 2022).

    Theirs is a transformer that skips hidden patches. This one is convolutional: hidden pixels
    are 0 and the mask is one more channel, so that black and hidden differ. What is decoded is
    the feature map; what `encode` returns is that map averaged over a small grid, for probes.

    Args:
        config: its sizes.
        seed: of the first weights; None draws them with torch's random state.
    """

    config_class = MaskedAutoencoderConfig

    def __init__(self, config: MaskedAutoencoderConfig, seed: int | None = None):
        super().__init__()
        self.config = config
        colours, features = config.input_shape[0], config.channels[-1]
        with drawn_with(seed):
            self.encoder = nn.Sequential(
                downsample((colours + 1, *config.channels)),
                *(ResidualBlock(features) for _ in range(config.num_blocks)),
            )
            self.decoder = nn.Sequential(
                *(ResidualBlock(features) for _ in range(config.num_decoder_blocks)),
                upsample((*config.channels[::-1], colours)),
            )

    @property
    def feature_size(self) -> int:
        return self.config.channels[-1] * self.config.pool_size**2

    def feature_map(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) and their mask, as `encode` takes them, to a map (B, F, h, w)."""
        self.check_input(images)
        mask = torch.zeros_like(images[:, :1]) if mask is None else mask.to(images.dtype)
        return self.encoder(torch.cat([images * (1 - mask), mask], dim=1))

    def encode(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features of images.

        Args:
            images: (B, C, H, W).
            mask: (B, 1, H, W), 1 where a pixel is hidden; None hides nothing.

        Returns:
            (B, channels[-1] · pool_size²).
        """
        return F.adaptive_avg_pool2d(self.feature_map(images, mask), self.config.pool_size).flatten(
            1
        )

    def decode(self, feature_map: Tensor) -> Tensor:
        """Feature maps (B, F, h, w) to images (B, C, H, W)."""
        return self.decoder(feature_map)

    def forward(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.decode(self.feature_map(images, mask))
