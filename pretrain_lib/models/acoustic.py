"""Encoders of sound: convolutions that hear a few steps, and LSTMs or a transformer on top.

A frame is what `stride` steps are made into, those of a spectrum or of a wave. The convolutions are
causal: a frame has heard its own steps and earlier ones, none later. Words and shapes are those of
`models.frames`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..validation import is_a, require, require_at_least, require_kinds, require_share
from .frames import FEATURES, FrameModel
from .init import drawn_with
from .layers import Attention, FeedForward, Rotation, rotation, visible

THETA = 10_000.0  # base of the rotary embeddings
WAVES = ("waves", "lengths")
Directions = Literal["joined", "apart"]


@dataclass(frozen=True)
class AcousticShape:
    """What is heard, and the convolutions that make frames of it.

    Attributes:
        num_mel_bins: numbers in a step of a spectrum, M; 0 for waves, (B, T).
        conv_dim: feature maps of each convolution.
        conv_kernel: steps that each reads, at least as many as its stride.
        conv_stride: steps from one to the next; frames are their product apart.
        dropout: share of the numbers between layers that training drops.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    num_mel_bins: int = 40
    conv_dim: tuple[int, ...] = (128,)
    conv_kernel: tuple[int, ...] = (3,)
    conv_stride: tuple[int, ...] = (2,)
    dropout: float = 0.0

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, 0, "num_mel_bins")
        require_share(self, "dropout")
        require_convolutions(self)
        fits = all(k >= s for k, s in zip(self.conv_kernel, self.conv_stride))
        require(fits, "conv_kernel", self.conv_kernel,
                f"at least conv_stride={self.conv_stride}: no step is left out")

    @property
    def stride(self) -> int:
        """Steps from one frame to the next."""
        return math.prod(self.conv_stride)


def require_convolutions(config) -> None:
    """As many kernels and strides as feature maps, whole numbers of at least 1, as tuples."""
    for field in ("conv_dim", "conv_kernel", "conv_stride"):
        sizes = getattr(config, field)
        listed = isinstance(sizes, (list, tuple)) and sizes
        require(listed and all(is_a(int, size) and size >= 1 for size in sizes), field, sizes,
                "whole numbers of at least 1, one for each convolution")
        require(len(sizes) == len(config.conv_dim), field, sizes,
                f"one for each of conv_dim={config.conv_dim}")
        object.__setattr__(config, field, tuple(sizes))


@dataclass(frozen=True)
class AcousticLSTMConfig(AcousticShape):
    """Shape of an `AcousticLSTM`: the fields of `models.acoustic.AcousticShape`, and those here.

    Attributes:
        hidden_size: units of each direction; a frame's vector has twice as many numbers.
        num_hidden_layers: layers, each reading in both directions.
        directions: "joined", each layer reads what both directions of the one before have made of a
            frame; "apart", the directions never meet, so that the first half of a frame's vector
            has heard nothing later, and the second half nothing earlier.
    """

    hidden_size: int = 128
    num_hidden_layers: int = 2
    directions: Directions = "joined"

    def __post_init__(self):
        super().__post_init__()
        require_at_least(self, 1, "hidden_size", "num_hidden_layers")


@dataclass(frozen=True)
class AcousticTransformerConfig(AcousticShape):
    """Shape of an `AcousticTransformer`: the fields of `models.acoustic.AcousticShape`, and these.

    Attributes:
        hidden_size: numbers in a frame's vector, D.
        num_hidden_layers: number of blocks.
        num_attention_heads: heads of each attention, a divisor of `hidden_size`, which leaves each
            an even number of numbers.
        intermediate_size: width of the feed-forward layers.
    """

    hidden_size: int = 128
    num_hidden_layers: int = 3
    num_attention_heads: int = 4
    intermediate_size: int = 512

    def __post_init__(self):
        super().__post_init__()
        require_at_least(self, 1, "hidden_size", "num_hidden_layers", "num_attention_heads",
                         "intermediate_size")
        require(self.hidden_size % (2 * self.num_attention_heads) == 0, "num_attention_heads",
                self.num_attention_heads,
                f"a divisor of half of hidden_size={self.hidden_size}: angles turn pairs")


# ------------------------------------------------------------------------------------------ parts


class CausalConvolution(nn.Module):
    """A convolution of steps up to the last of its stride, a normalisation of each, and GELU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int):
        super().__init__()
        self.before = kernel - stride
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(F.pad(x, (0, 0, self.before, 0)).transpose(1, 2))  # (B, C, T // stride)
        return F.gelu(self.norm(x.transpose(1, 2)))


class ConvolutionalFront(nn.Module):
    """Steps to the vectors of frames, (B, T, M) or (B, T) to (B, T // stride, C).

    Steps of hidden frames are silenced, or the frames behind them, whose convolutions reach back,
    would hear them; and a vector that is learned stands for the hidden frames themselves.
    """

    def __init__(self, config: AcousticShape):
        super().__init__()
        self.config = config
        sizes = (config.num_mel_bins or 1, *config.conv_dim)
        self.layers = nn.Sequential(*map(CausalConvolution, sizes, config.conv_dim,
                                         config.conv_kernel, config.conv_stride))
        self.mask_vector = nn.Parameter(0.1 * torch.randn(config.conv_dim[-1]))

    def forward(self, heard: Tensor, hidden: Tensor | None) -> Tensor:
        x = self.steps(heard)
        x = x[:, :x.shape[1] - x.shape[1] % self.config.stride]  # whole frames
        if hidden is None:
            return self.layers(x)
        hidden = hidden[:, :, None]  # (B, T′, 1)
        x = x.masked_fill(hidden.repeat_interleave(self.config.stride, dim=1), 0.0)
        return torch.where(hidden, self.mask_vector, self.layers(x))

    def steps(self, heard: Tensor) -> Tensor:
        """What is heard, (B, T, M); of waves M is 1.

        Raises:
            ValueError: if it is of another shape, or too short for a frame.
        """
        mels, shape = self.config.num_mel_bins, tuple(heard.shape)
        if heard.ndim != (3 if mels else 2) or (mels and shape[2] != mels):
            expected = f"(B, T, {mels}) for num_mel_bins={mels}" if mels else "waves (B, T)"
            raise ValueError(f"what is heard must be {expected}, got {shape}")
        if shape[1] < self.config.stride:
            raise ValueError(f"{shape[1]} steps are too short for a frame of {self.config.stride}")
        return heard if mels else heard[:, :, None]


class TwoDirections(nn.Module):
    """Two LSTMs: one reads from the beginning, the other from the end of the sound.

    Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 1997; both directions:
    Schuster and Paliwal, IEEE Transactions on Signal Processing 1997.
    """

    def __init__(self, inputs: int, hidden_size: int):
        super().__init__()
        self.onwards = nn.LSTM(inputs, hidden_size, batch_first=True)
        self.back = nn.LSTM(inputs, hidden_size, batch_first=True)

    def forward(self, earlier: Tensor, later: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """What each direction makes of its own input, (B, T′, I) to (B, T′, H)."""
        turned = self.back(turned_around(later, mask))[0]
        return self.onwards(earlier)[0], turned_around(turned, mask)


def turned_around(x: Tensor, mask: Tensor) -> Tensor:
    """Frames (B, T′, D) in the opposite order; the padding stays behind them."""
    place = torch.arange(x.shape[1], device=x.device)
    opposite = torch.where(mask, mask.sum(1, keepdim=True) - 1 - place, place)  # (B, T′)
    return x.gather(1, opposite[:, :, None].expand_as(x))


class TransformerLayer(nn.Module):
    """Attention, then a feed-forward layer; each reads what is normalised (pre-LN)."""

    def __init__(self, config: AcousticTransformerConfig):
        super().__init__()
        size = config.hidden_size
        self.attention_norm = nn.LayerNorm(size)
        self.attention = Attention(size, config.num_attention_heads, bias=True,
                                   dropout=config.dropout)
        self.feed_forward_norm = nn.LayerNorm(size)
        self.feed_forward = FeedForward(size, config.intermediate_size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None, by: Rotation) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x), mask, by))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))  # (B, T′, D)


# ----------------------------------------------------------------------------------------- models


class AcousticModel(FrameModel):
    """What encoders of sound share: the convolutional front.

    Args:
        config: its shape.
        seed: of the first weights.
    """

    def __init__(self, config: AcousticShape, seed: int = 0):
        super().__init__()
        self.config = config
        self.columns = FEATURES if config.num_mel_bins else WAVES
        self.stride = self.window = config.stride
        with drawn_with(seed):
            self.front = ConvolutionalFront(config)
            self.dropout = nn.Dropout(config.dropout)
            self.build(config)

    def build(self, config: AcousticShape) -> None:
        """Adds the layers on the front."""
        raise NotImplementedError


class Contexts(NamedTuple):
    """What a model has heard before and after each frame, and the frame itself.

    Attributes:
        frames: (B, T′, C) what the front makes of the frames.
        earlier: (B, T′, H) what was heard up to each frame, which is heard as well.
        later: (B, T′, H) what was heard from the end back to each frame.
        mask: (B, T′) bool, which frames are of sound.
    """

    frames: Tensor
    earlier: Tensor
    later: Tensor
    mask: Tensor


class AcousticLSTM(AcousticModel):
    """LSTMs that read the frames of a sound from both ends: a BLSTM, or two that never meet.

    Args:
        config: its shape.
        seed: of the first weights.
    """

    config_class = AcousticLSTMConfig

    def build(self, config: AcousticLSTMConfig) -> None:
        between = config.hidden_size * (2 if config.directions == "joined" else 1)
        sizes = (config.conv_dim[-1], *[between] * (config.num_hidden_layers - 1))
        self.layers = nn.ModuleList(TwoDirections(size, config.hidden_size) for size in sizes)

    @property
    def feature_size(self) -> int:
        return 2 * self.config.hidden_size

    def layers_of(self, heard: Tensor, lengths: Tensor | None = None,
                  hidden: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """See `models.frames.FrameModel.layers_of`."""
        vectors = [self.front(heard, hidden)]  # (B, T′, C)
        mask = self.frame_mask(heard, lengths)
        earlier = later = vectors[0]
        for layer in self.layers:
            earlier, later = layer(self.dropout(earlier), self.dropout(later), mask)
            vectors.append(torch.cat([earlier, later], dim=2))  # (B, T′, 2 · H)
            if self.config.directions == "joined":
                earlier = later = vectors[-1]
        return vectors, mask

    def contexts(self, heard: Tensor, lengths: Tensor | None = None) -> Contexts:
        """The frames, and what each direction has heard when it has come to them.

        Raises:
            ValueError: if the directions are joined, so each has heard everything.
        """
        require(self.config.directions == "apart", "directions", self.config.directions,
                "'apart', or what is heard before a frame has heard it all")
        vectors, mask = self.layers_of(heard, lengths)
        return Contexts(vectors[0], *vectors[-1].chunk(2, dim=2), mask)


class AcousticTransformer(AcousticModel):
    """A transformer on the frames of a sound, which rotary embeddings tell apart by their places.

    Args:
        config: its shape.
        seed: of the first weights.
    """

    config_class = AcousticTransformerConfig

    def build(self, config: AcousticTransformerConfig) -> None:
        self.projection = nn.Linear(config.conv_dim[-1], config.hidden_size)
        self.layers = nn.ModuleList(TransformerLayer(config)
                                    for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size)

    @property
    def feature_size(self) -> int:
        return self.config.hidden_size

    def layers_of(self, heard: Tensor, lengths: Tensor | None = None,
                  hidden: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """See `models.frames.FrameModel.layers_of`; the last layer's vectors are normalised."""
        x = self.dropout(self.projection(self.front(heard, hidden)))  # (B, T′, D)
        mask = self.frame_mask(heard, lengths)
        places = torch.arange(x.shape[1], device=x.device)[None]
        size = self.config.hidden_size // self.config.num_attention_heads
        by = rotation(places, size, THETA, x.dtype)
        seen = None if lengths is None else visible(mask.long(), x.shape[1])
        vectors = [x]
        for layer in self.layers:
            vectors.append(layer(vectors[-1], seen, by))
        return [*vectors[:-1], self.norm(vectors[-1])], mask
