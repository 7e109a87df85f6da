"""wav2vec 2.0 and HuBERT: a transformer on the frames that convolutions make of a wave.

Baevski, Zhou, Mohamed and Auli, "wav2vec 2.0: a framework for self-supervised learning of speech
representations", NeurIPS 2020, section 2; Hsu et al., "HuBERT: self-supervised speech
representation learning by masked prediction of hidden units", 2021, which has the same encoder. In
numbers they are those of Hugging Face's `transformers`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from itertools import accumulate
from operator import mul
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..validation import (
    require,
    require_at_least,
    require_kinds,
    require_positive,
    require_share,
)
from .acoustic import WAVES, require_convolutions
from .base import EncoderModel
from .frames import FrameModel
from .init import drawn_with, initialise
from .layers import Attention, FeedForward, visible
from .protocol import HuggingFaceFormat

FrontNorm = Literal["group", "layer"]


@dataclass(frozen=True)
class Wav2Vec2Config:
    """Shape of a `Wav2Vec2Model`; the defaults are wav2vec 2.0 Base's.

    Attributes:
        hidden_size: numbers in a frame's vector, D.
        num_hidden_layers: number of blocks.
        num_attention_heads: heads of each attention, a divisor of `hidden_size`.
        intermediate_size: width of the feed-forward layers.
        conv_dim: feature maps of each convolution of the front.
        conv_kernel: samples, or outputs of the one before, that each reads.
        conv_stride: how far it moves on.
        conv_bias: whether these convolutions add a bias.
        feat_extract_norm: "group", the first convolution's maps are each normalised over the whole
            sound, padding included; "layer", every convolution's outputs at each place by
            themselves.
        num_conv_pos_embeddings: frames that the convolution reads which tells places apart.
        num_conv_pos_embedding_groups: groups of that convolution.
        do_stable_layer_norm: whether blocks normalise what they read and not what they give.
        hidden_dropout: share of a block's outputs that training drops.
        attention_dropout: share of the attention weights that training drops.
        masked: whether there is a vector for hidden frames.
        initializer_range: standard deviation of the transformer's first weights.
        layer_norm_eps: term against division by zero in the transformer's normalisation.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    conv_dim: tuple[int, ...] = (512,) * 7
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_bias: bool = False
    feat_extract_norm: FrontNorm = "group"
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    do_stable_layer_norm: bool = False
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    masked: bool = True
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5

    def __post_init__(self):
        require_kinds(self)
        require_convolutions(self)
        require_at_least(self, 1, "hidden_size", "num_hidden_layers", "num_attention_heads",
                         "intermediate_size", "num_conv_pos_embeddings",
                         "num_conv_pos_embedding_groups")
        for field in ("num_attention_heads", "num_conv_pos_embedding_groups"):
            require(self.hidden_size % getattr(self, field) == 0, field, getattr(self, field),
                    f"a divisor of hidden_size={self.hidden_size}")
        require_share(self, "hidden_dropout", "attention_dropout")
        require_positive(self, "initializer_range", "layer_norm_eps")

    @property
    def stride(self) -> int:
        """Samples from one frame to the next: 320 of Base, 20 ms at 16 kHz."""
        return math.prod(self.conv_stride)

    @property
    def window(self) -> int:
        """Samples that a frame hears: 400 of Base, 25 ms at 16 kHz."""
        apart = accumulate((1, *self.conv_stride), mul)  # samples from one output to the next
        return 1 + sum((kernel - 1) * step for kernel, step in zip(self.conv_kernel, apart))

    def to_hugging_face(self) -> dict:
        """The fields in `transformers`' terms."""
        found = {name: list(value) if isinstance(value, tuple) else value
                 for name, value in asdict(self).items() if name != "masked"}
        return found if self.masked else found | {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}

    @classmethod
    def from_hugging_face(cls, config: dict) -> Wav2Vec2Config:
        """The configuration that fields of `transformers` describe; others are passed over."""
        said = {f.name: config[f.name] for f in fields(cls) if config.get(f.name) is not None}
        hides = config.get("mask_time_prob", 0.05) > 0 or config.get("mask_feature_prob", 0.0) > 0
        return cls(**said | {"masked": hides})


@dataclass(frozen=True)
class HubertConfig(Wav2Vec2Config):
    """Shape of a `HubertModel`: the fields of `Wav2Vec2Config`; the defaults are HuBERT Base's."""


def hugging_face_of(model_type: str, read_as: dict[str, str], fixed: dict) -> HuggingFaceFormat:
    """What `transformers` calls the parts of both."""
    prefix = f"{model_type}."
    position = f"{prefix}encoder.pos_conv_embed.conv."
    return HuggingFaceFormat(
        model_type, prefix,
        names=(
            ("encoder.mask_vector", f"{prefix}masked_spec_embed"),
            ("encoder.front.", f"{prefix}feature_extractor.conv_layers."),
            ("encoder.projection.norm.", f"{prefix}feature_projection.layer_norm."),
            ("encoder.projection.dense.", f"{prefix}feature_projection.projection."),
            ("encoder.position.gain", f"{position}parametrizations.weight.original0"),
            ("encoder.position.direction", f"{position}parametrizations.weight.original1"),
            ("encoder.position.bias", f"{position}bias"),
            ("encoder.norm.", f"{prefix}encoder.layer_norm."),
            ("encoder.layers.", f"{prefix}encoder.layers."),
            (".attention.output.", ".attention.out_proj."),
            (".attention_norm.", ".layer_norm."),
            (".feed_forward_norm.", ".final_layer_norm."),
            (".feed_forward.up.", ".feed_forward.intermediate_dense."),
            (".feed_forward.down.", ".feed_forward.output_dense."),
        ),
        fixed={"hidden_act": "gelu", "feat_extract_activation": "gelu", **fixed},
        spellings=((".conv.weight_g", ".conv.parametrizations.weight.original0"),
                   (".conv.weight_v", ".conv.parametrizations.weight.original1")),
        thirds=("q_proj", "k_proj", "v_proj"),
        read_as=read_as,
    )


class FrontLayer(nn.Module):
    """A convolution, a normalisation if there is one, and GELU: (B, I, T) to (B, C, T′)."""

    def __init__(self, config: Wav2Vec2Config, number: int):
        super().__init__()
        outputs = config.conv_dim[number]
        inputs = config.conv_dim[number - 1] if number else 1
        self.conv = nn.Conv1d(inputs, outputs, config.conv_kernel[number],
                              config.conv_stride[number], bias=config.conv_bias)
        self.by_place = config.feat_extract_norm == "layer"
        self.layer_norm = None
        if self.by_place:
            self.layer_norm = nn.LayerNorm(outputs)
        elif number == 0:
            self.layer_norm = nn.GroupNorm(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.by_place:
            x = self.layer_norm(x.transpose(1, 2)).transpose(1, 2)
        elif self.layer_norm is not None:
            x = self.layer_norm(x)
        return F.gelu(x)


class Projection(nn.Module):
    """The front's vectors, normalised, to those of the transformer."""

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        self.norm = nn.LayerNorm(config.conv_dim[-1], eps=config.layer_norm_eps)
        self.dense = nn.Linear(config.conv_dim[-1], config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.norm(x))


class Places(nn.Module):
    """What tells places apart: a wide convolution of the frames around each, and GELU.

    Its weight is a direction times a gain for each of the frames read (Salimans and Kingma, "Weight
    normalization", NeurIPS 2016, equation 2).
    """

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        size, self.width = config.hidden_size, config.num_conv_pos_embeddings
        self.groups = config.num_conv_pos_embedding_groups
        self.direction = nn.Parameter(torch.randn(size, size // self.groups, self.width))
        length = self.direction.detach().norm(dim=(0, 1), keepdim=True)  # (1, 1, width)
        self.gain = nn.Parameter(2 * length / (self.width * size) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        length = self.direction.norm(dim=(0, 1), keepdim=True)  # (1, 1, width)
        weight = self.gain * self.direction / length
        y = F.conv1d(x.transpose(1, 2), weight, self.bias, padding=self.width // 2,
                     groups=self.groups)
        return F.gelu(y[:, :, :x.shape[1]]).transpose(1, 2)  # of an even width one is too many


class Layer(nn.Module):
    """Attention, then a feed-forward layer; normalised is what they give, or what they read."""

    def __init__(self, config: Wav2Vec2Config):
        super().__init__()
        size, eps = config.hidden_size, config.layer_norm_eps
        self.pre = config.do_stable_layer_norm
        self.attention = Attention(size, config.num_attention_heads, bias=True,
                                   dropout=config.attention_dropout)
        self.attention_norm = nn.LayerNorm(size, eps=eps)
        self.feed_forward = FeedForward(size, config.intermediate_size)
        self.feed_forward_norm = nn.LayerNorm(size, eps=eps)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if self.pre:
            x = x + self.dropout(self.attention(self.attention_norm(x), mask))
            return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        x = self.attention_norm(x + self.dropout(self.attention(x, mask)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))  # (B, T′, D)


class Wav2Vec2Model(FrameModel, EncoderModel):
    """The encoder of wav2vec 2.0: waves (B, T), mean 0 and deviation 1, to frames (B, T′, D).

    Where the front is normalised by group, as in the Base models, it is over the padding as well:
    what a sound is made into then depends on how long its neighbours are. These models were trained
    on padded waves without a mask; where it matters, give them one sound at a time.

    `transformers` hides frames of its own in training, and drops whole layers; this does neither.

    Args:
        config: its shape.
        seed: of the first weights.
    """

    config_class = Wav2Vec2Config
    columns = WAVES
    hugging_face = hugging_face_of(
        "wav2vec2", {"Wav2Vec2ForPreTraining": "Wav2Vec2Model"},
        {"add_adapter": False, "adapter_attn_dim": None})

    def __init__(self, config: Wav2Vec2Config, seed: int = 0):
        super().__init__()
        self.config = config
        self.stride, self.window = config.stride, config.window
        with drawn_with(seed):
            self.front = nn.Sequential(
                *(FrontLayer(config, number) for number in range(len(config.conv_dim))))
            self.projection = Projection(config)
            self.position = Places(config)
            vector = torch.rand(config.hidden_size)
            self.mask_vector = nn.Parameter(vector) if config.masked else None
            self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout)
        initialise(self.front, "kaiming", seed)
        initialise(self.layers, "truncated_normal", seed, std=config.initializer_range)

    @property
    def encoder(self) -> Wav2Vec2Model:
        return self

    @property
    def feature_size(self) -> int:
        return self.config.hidden_size

    def layers_of(self, heard: Tensor, lengths: Tensor | None = None,
                  hidden: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """See `models.frames.FrameModel.layers_of`; the first vectors have their places in them."""
        self.require_waves(heard)
        x = self.projection(self.front(heard[:, None]).transpose(1, 2))  # (B, T′, D)
        mask = self.frame_mask(heard, lengths)
        if hidden is not None:
            x = self.without(x, hidden)
        seen = None
        if lengths is not None:
            x, seen = x.masked_fill(~mask[:, :, None], 0.0), visible(mask.long(), x.shape[1])
        x = x + self.position(x)
        pre = self.config.do_stable_layer_norm
        vectors = [self.dropout(x if pre else self.norm(x))]
        for layer in self.layers:
            vectors.append(layer(vectors[-1], seen))
        return (([*vectors[:-1], self.norm(vectors[-1])] if pre else vectors), mask)

    def without(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Vectors (B, T′, D) with that of hidden frames, (B, T′), in their place."""
        if self.mask_vector is None:
            raise ValueError("the model has no vector for hidden frames: build it with masked=True")
        return torch.where(hidden[:, :, None], self.mask_vector.to(x.dtype), x)

    def require_waves(self, heard: Tensor) -> None:
        """Raises where these are no waves, or too short for a frame."""
        if heard.ndim != 2 or heard.shape[1] < self.window:
            raise ValueError(f"waves must be (B, T) with at least {self.window} samples, which a "
                             f"frame is made of, got {tuple(heard.shape)}")


class HubertModel(Wav2Vec2Model):
    """The encoder of HuBERT, which is wav2vec 2.0's: see `Wav2Vec2Model`."""

    config_class = HubertConfig
    hugging_face = hugging_face_of(
        "hubert", {}, {"feat_proj_layer_norm": True, "conv_pos_batch_norm": False})
