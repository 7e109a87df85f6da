"""ViT: an image cut into patches, which a transformer reads as a text is read token by token.

Dosovitskiy et al., "An image is worth 16x16 words: transformers for image recognition at scale",
ICLR 2021, section 3.1; in numbers that of Hugging Face's `transformers`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Literal

import torch
from torch import Tensor, nn

from ..validation import (
    require,
    require_at_least,
    require_kinds,
    require_positive,
    require_share,
)
from .base import under_a_new_layer
from .init import initialise
from .layers import Attention, FeedForward, at_positions
from .pooler import PooledModel
from .protocol import HuggingFaceFormat

Pooling = Literal["cls", "mean"]


@dataclass(frozen=True)
class ViTShape:
    """Images, patches and the transformer that reads them; the defaults are ViT-Base's.

    Attributes:
        image_size: side of an image in pixels.
        patch_size: side of a patch in pixels, a divisor of `image_size`.
        num_channels: of an image.
        hidden_size: numbers that stand for a patch, D.
        num_hidden_layers: number of blocks.
        num_attention_heads: heads of each attention, a divisor of `hidden_size`.
        intermediate_size: width of the feed-forward layers.
        hidden_dropout_prob: share of a block's outputs that training drops.
        attention_probs_dropout_prob: share of the attention weights that training drops.
        initializer_range: standard deviation of the first weights.
        layer_norm_eps: term against division by zero in the normalisation.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    image_size: int = 224
    patch_size: int = 16
    num_channels: int = 3
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, 1, "image_size", "patch_size", "num_channels", "hidden_size",
                         "num_hidden_layers", "num_attention_heads", "intermediate_size")
        require(self.image_size % self.patch_size == 0, "patch_size", self.patch_size,
                f"a divisor of image_size={self.image_size}")
        require(self.hidden_size % self.num_attention_heads == 0, "num_attention_heads",
                self.num_attention_heads, f"a divisor of hidden_size={self.hidden_size}")
        require_share(self, "hidden_dropout_prob", "attention_probs_dropout_prob")
        require_positive(self, "initializer_range", "layer_norm_eps")

    @property
    def side(self) -> int:
        """Patches in a row, and in a column."""
        return self.image_size // self.patch_size

    def to_hugging_face(self) -> dict:
        """The fields in `transformers`' terms."""
        return asdict(self)

    @classmethod
    def from_hugging_face(cls, config: dict) -> ViTShape:
        """The configuration that fields of `transformers` describe; others are passed over."""
        return cls(**{f.name: config[f.name] for f in fields(cls)
                      if config.get(f.name) is not None})


@dataclass(frozen=True)
class ViTConfig(ViTShape):
    """Shape of a ViT: the fields of `models.vit.ViTShape`, and what an image's features are.

    Attributes:
        pooling: "cls", the vector of the token before the patches; "mean", that of the patches'
            vectors, which `transformers` does not have (ibid., appendix D.3).
    """

    pooling: Pooling = "cls"

    def to_hugging_face(self) -> dict:
        """The fields in `transformers`' terms."""
        return {name: value for name, value in asdict(self).items() if name != "pooling"}


NAMES = (
    ("encoder.embeddings.cls_token", "vit.embeddings.cls_token"),
    ("encoder.embeddings.position", "vit.embeddings.position_embeddings"),
    ("encoder.embeddings.projection.", "vit.embeddings.patch_embeddings.projection."),
    ("encoder.layers.", "vit.encoder.layer."),
    ("encoder.norm.", "vit.layernorm."),
    (".attention_norm.", ".layernorm_before."),
    (".attention.qkv.", ".attention.attention.qkv."),
    (".attention.output.", ".attention.output.dense."),
    (".feed_forward_norm.", ".layernorm_after."),
    (".feed_forward.up.", ".intermediate.dense."),
    (".feed_forward.down.", ".output.dense."),
)
FIXED = {"hidden_act": "gelu", "qkv_bias": True}
HUGGING_FACE = HuggingFaceFormat("vit", "vit.", names=(*NAMES, ("pooler.", "vit.pooler.")),
                                 fixed=FIXED, carried={"pooler": "vit.pooler."})


class ViTEmbeddings(nn.Module):
    """Of each patch a vector for its pixels plus one for its place; before them [CLS]."""

    def __init__(self, config: ViTShape):
        super().__init__()
        self.config = config
        size, patch = config.hidden_size, config.patch_size
        self.projection = nn.Conv2d(config.num_channels, size, patch, stride=patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, size))
        self.position = nn.Parameter(torch.zeros(1, 1 + config.side**2, size))
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, images: Tensor, patches: Tensor | None) -> Tensor:
        channels, side = self.config.num_channels, self.config.image_size
        if images.shape[1:] != (channels, side, side):
            raise ValueError(f"images must be (B, {channels}, {side}, {side}) for num_channels="
                             f"{channels} and image_size={side}, got {tuple(images.shape)}")
        if patches is not None and patches.ndim != 2:
            raise ValueError(f"patches must be (B, S), numbers of patches, got "
                             f"{tuple(patches.shape)}: for a mask take a ViTMAEForPreTraining")
        x = self.projection(images).flatten(2).transpose(1, 2)  # (B, N, D)
        x = at_positions(x + self.position[:, 1:], patches)  # (B, N or S, D)
        first = (self.cls_token + self.position[:, :1]).expand(len(x), -1, -1)
        return self.dropout(torch.cat([first, x], dim=1))


class ViTLayer(nn.Module):
    """Attention, then a feed-forward layer; each reads what is normalised (pre-LN)."""

    def __init__(self, config: ViTShape):
        super().__init__()
        size, eps = config.hidden_size, config.layer_norm_eps
        self.attention_norm = nn.LayerNorm(size, eps=eps)
        self.attention = Attention(size, config.num_attention_heads, bias=True,
                                   dropout=config.attention_probs_dropout_prob)
        self.feed_forward_norm = nn.LayerNorm(size, eps=eps)
        self.feed_forward = FeedForward(size, config.intermediate_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x), None))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))  # (B, T, D)


class ViTBase(PooledModel):
    """What ViTs with and without a head share."""

    config_class = ViTConfig
    hugging_face = HUGGING_FACE

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.config = config
        if config.pooling != "cls":
            self.hugging_face = None

    @property
    def feature_size(self) -> int:
        return self.config.hidden_size

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) to features (B, D), as `pooling` says."""
        hidden = self.encoder(images)
        return hidden[:, 0] if self.config.pooling == "cls" else hidden[:, 1:].mean(1)

    def with_classifier(self, num_labels: int, seed: int = 0) -> ViTForImageClassification:
        headed = ViTForImageClassification(self.config, num_labels, seed)
        return under_a_new_layer(self, headed, "pooler")


class ViTModel(ViTBase):
    """The encoder: images to one vector for [CLS] and one for each patch.

    Args:
        config: its shape.
        seed: of the first weights.
    """

    def __init__(self, config: ViTConfig, seed: int = 0):
        super().__init__(config)
        self.embeddings = ViTEmbeddings(config)
        self.layers = nn.ModuleList(ViTLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        initialise(self, "truncated_normal", seed, std=config.initializer_range)

    @property
    def encoder(self) -> ViTModel:
        return self

    @property
    def map_sizes(self) -> tuple[int, ...]:
        """Feature maps that `maps` gives."""
        return (self.config.hidden_size,)

    def forward(self, images: Tensor, patches: Tensor | None = None) -> Tensor:
        """Hidden states (B, 1 + N, D), [CLS] first, then the N patches, row by row.

        Args:
            images: (B, C, H, W) of the size that the configuration says.
            patches: (B, S) which patches the model sees, each 0 to N - 1; the others are not there
                at all, and the answer is (B, 1 + S, D). None: all of them.

        Raises:
            ValueError: if the images are of another size, or have another number of channels.
        """
        x = self.embeddings(images, patches)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def maps(self, images: Tensor) -> list[Tensor]:
        """The patches' hidden states where they lie: one map, (B, D, H / P, W / P)."""
        patches = self(images)[:, 1:].transpose(1, 2)  # (B, D, N)
        return [patches.unflatten(2, (self.config.side, -1))]


class ViTForImageClassification(ViTBase):
    """A ViT with a linear classifier on its features: images to logits (B, num_labels)."""

    takes_labels = True

    def __init__(self, config: ViTConfig, num_labels: int, seed: int = 0):
        super().__init__(config)
        self.num_labels = num_labels
        self.encoder = ViTModel(config, seed)
        self.classifier = nn.Linear(config.hidden_size, num_labels)
        initialise(self.classifier, "truncated_normal", seed + 1, std=config.initializer_range)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.encode(images))
