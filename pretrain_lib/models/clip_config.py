"""The shape of a CLIP, and what `config.json` of `transformers` says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Literal

from ..validation import (
    require,
    require_at_least,
    require_kinds,
    require_positive,
    require_share,
)

Activation = Literal["quick_gelu", "gelu"]
HIGHEST = 2  # as eos_token_id: texts end with their highest id, as in folders of before July 2023


class TowerShape:
    """What the configurations of both towers check and say alike."""

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, 1, "hidden_size", "num_hidden_layers", "num_attention_heads",
                         "intermediate_size")
        require(self.hidden_size % self.num_attention_heads == 0, "num_attention_heads",
                self.num_attention_heads, f"a divisor of hidden_size={self.hidden_size}")
        require_share(self, "attention_dropout")
        require_positive(self, "layer_norm_eps")

    def to_hugging_face(self) -> dict:
        """The fields in `transformers`' terms."""
        return asdict(self)

    @classmethod
    def from_hugging_face(cls, config: dict) -> TowerShape:
        """The configuration that fields of `transformers` describe; others are passed over."""
        return cls(**{f.name: config[f.name] for f in fields(cls)
                      if config.get(f.name) is not None})


@dataclass(frozen=True)
class CLIPTextConfig(TowerShape):
    """Shape of a `CLIPTextModel`; the defaults are those beside ViT-B/32.

    Attributes:
        vocab_size: number of tokens.
        hidden_size: numbers that stand for a token, D.
        num_hidden_layers: number of blocks.
        num_attention_heads: heads of each attention, a divisor of `hidden_size`.
        intermediate_size: width of the feed-forward layers.
        max_position_embeddings: tokens of a text at most.
        hidden_act: between the feed-forward layers, "quick_gelu" or "gelu".
        attention_dropout: share of the attention weights that training drops.
        layer_norm_eps: term against division by zero in the normalisation.
        eos_token_id: the token that ends a text, whose vector stands for it. With 2 it is the
            highest id of the text, as older folders of `transformers` have it.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    vocab_size: int = 49408
    hidden_size: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    intermediate_size: int = 2048
    max_position_embeddings: int = 77
    hidden_act: Activation = "quick_gelu"
    attention_dropout: float = 0.0
    layer_norm_eps: float = 1e-5
    eos_token_id: int = 49407

    def __post_init__(self):
        super().__post_init__()
        require_at_least(self, 1, "vocab_size", "max_position_embeddings")
        require(0 <= self.eos_token_id < self.vocab_size or self.eos_token_id == HIGHEST,
                "eos_token_id", self.eos_token_id, f"an id below vocab_size={self.vocab_size}")


@dataclass(frozen=True)
class CLIPVisionConfig(TowerShape):
    """Shape of a `CLIPVisionModel`; the defaults are ViT-B/32's.

    Attributes:
        image_size: side of an image in pixels.
        patch_size: side of a patch in pixels, a divisor of `image_size`.
        num_channels: of an image.
        hidden_size: numbers that stand for a patch, D.
        num_hidden_layers: number of blocks.
        num_attention_heads: heads of each attention, a divisor of `hidden_size`.
        intermediate_size: width of the feed-forward layers.
        hidden_act: between the feed-forward layers, "quick_gelu" or "gelu".
        attention_dropout: share of the attention weights that training drops.
        layer_norm_eps: term against division by zero in the normalisation.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    image_size: int = 224
    patch_size: int = 32
    num_channels: int = 3
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: Activation = "quick_gelu"
    attention_dropout: float = 0.0
    layer_norm_eps: float = 1e-5

    def __post_init__(self):
        super().__post_init__()
        require_at_least(self, 1, "image_size", "patch_size", "num_channels")
        require(self.image_size % self.patch_size == 0, "patch_size", self.patch_size,
                f"a divisor of image_size={self.image_size}")


@dataclass(frozen=True)
class CLIPConfig:
    """Shape of a `CLIPModel`; the defaults are those of CLIP with a ViT-B/32.

    Attributes:
        text_config: shape of the tower of texts.
        vision_config: shape of the tower of images.
        projection_dim: numbers in the vectors that are compared.
        logit_scale_init_value: logarithm of the cosines' scale to begin with, log(1 / 0.07).

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    text_config: CLIPTextConfig = field(default_factory=CLIPTextConfig)
    vision_config: CLIPVisionConfig = field(default_factory=CLIPVisionConfig)
    projection_dim: int = 512
    logit_scale_init_value: float = 2.6592

    def __post_init__(self):
        for name, kind in PARTS.items():
            if isinstance(part := getattr(self, name), Mapping):
                object.__setattr__(self, name, kind(**part))
        require_kinds(self)
        require_at_least(self, 1, "projection_dim")

    def to_hugging_face(self) -> dict:
        """The fields in `transformers`' terms."""
        size = {"projection_dim": self.projection_dim}
        parts = {name: getattr(self, name).to_hugging_face() | size for name in PARTS}
        return parts | size | {"logit_scale_init_value": self.logit_scale_init_value}

    @classmethod
    def from_hugging_face(cls, config: dict) -> CLIPConfig:
        """The configuration that fields of `transformers` describe; others are passed over.

        In older folders fields ending in "_dict" stand for those of the same name without it.
        """
        said = {name: config[name] for name in ("projection_dim", "logit_scale_init_value")
                if config.get(name) is not None}
        for name, kind in PARTS.items():
            older = config.get(f"{name}_dict")
            part = config.get(name) or {} if older is None else older
            said[name] = kind.from_hugging_face(part)
        return cls(**said)


PARTS = {"text_config": CLIPTextConfig, "vision_config": CLIPVisionConfig}
