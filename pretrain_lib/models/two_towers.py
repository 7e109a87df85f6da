"""Two towers: an encoder of images and one of texts, whose vectors lie in one space.

Radford et al., "Learning transferable visual models from natural language supervision" (CLIP), ICML
2021, section 2.3 and Figure 3.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ..validation import require_at_least
from .base import ModelBase
from .init import initialise

IMAGE, TEXT = TOWERS = ("image", "text")


class Tower(ModelBase):
    """An encoder under a linear projection without a bias: its columns to vectors (B, D).

    Its features are these vectors. An encoder that is frozen, none of whose weights asks for a
    gradient, stays in evaluation mode while the rest trains (Zhai et al., "LiT: zero-shot transfer
    with locked-image text tuning", CVPR 2022).

    Args:
        encoder: a model that follows `models.protocol.Model`; it becomes a part of this one.
        projection_size: D.
        seed: of the projection's first weights, whose variance is one over the features.
    """

    def __init__(self, encoder: nn.Module, projection_size: int, seed: int = 0):
        super().__init__()
        self.encoder, self.projection_size = encoder, projection_size
        require_at_least(self, 1, "projection_size")
        self.columns, self.feature_size = encoder.columns, projection_size
        first = next(encoder.parameters())
        self.projection = nn.Linear(encoder.feature_size, projection_size, bias=False)
        initialise(self.projection, "normal", seed, std=encoder.feature_size ** -0.5)
        self.projection.to(first.device, first.dtype)

    def forward(self, *columns: Tensor) -> Tensor:
        """Columns, (B, ...) each, to vectors (B, D)."""
        return self.projection(self.encoder.encode(*columns))

    def encode(self, *columns: Tensor) -> Tensor:
        """The same as the answer."""
        return self(*columns)

    def train(self, mode: bool = True) -> Tower:
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.encoder.parameters()):
            self.encoder.eval()
        return self

    def to_config(self) -> dict:
        return {"encoder": self.encoder, "projection_size": self.projection_size}

    @classmethod
    def from_config(cls, fields: dict) -> Tower:
        return cls(**fields)


class TwoTowers(ModelBase):
    """An encoder of images and one of texts, each under a projection to the same D numbers.

    What it reads by itself, its features and its classifier are those of the encoder of images,
    below the projection, where Radford et al. probe as well (appendix A.3). `features` of one of
    its `towers` are that tower's vectors.

    Args:
        image: a model of images that follows `models.protocol.Model`; it becomes a part of this.
        text: a model of texts, alike.
        projection_size: D.
        seed: of the projections' first weights.

    Attributes:
        towers: by the names "image" and "text", a `Tower` each.
    """

    def __init__(self, image: nn.Module, text: nn.Module, projection_size: int, seed: int = 0):
        super().__init__()
        self.projection_size = projection_size
        self.towers = nn.ModuleDict({IMAGE: Tower(image, projection_size, seed),
                                     TEXT: Tower(text, projection_size, seed + 1)})

    @property
    def columns(self) -> tuple[str, ...]:
        return self.towers[IMAGE].encoder.columns

    @property
    def feature_size(self) -> int:
        return self.towers[IMAGE].encoder.feature_size

    def encode(self, *columns: Tensor) -> Tensor:
        """Images (B, C, H, W) to the features of their encoder, (B, F)."""
        return self.towers[IMAGE].encoder.encode(*columns)

    def with_classifier(self, num_labels: int, seed: int = 0) -> nn.Module:
        return self.towers[IMAGE].encoder.with_classifier(num_labels, seed)

    def encode_image(self, *columns: Tensor) -> Tensor:
        """Images (B, C, H, W) to vectors of length 1, (B, D)."""
        return F.normalize(self.towers[IMAGE](*columns), dim=-1)

    def encode_text(self, *columns: Tensor) -> Tensor:
        """Texts, as their encoder reads them, (B, T), to vectors of length 1, (B, D)."""
        return F.normalize(self.towers[TEXT](*columns), dim=-1)

    def to_config(self) -> dict:
        return {name: tower.encoder for name, tower in self.towers.items()} | {
            "projection_size": self.projection_size}

    @classmethod
    def from_config(cls, fields: dict) -> TwoTowers:
        return cls(**fields)


def tower_of(model: nn.Module, name: str) -> nn.Module:
    """The tower that a model has for a view.

    Raises:
        ValueError: if it has none of that name.
    """
    if name not in getattr(model, "towers", ()):
        known = ", ".join(getattr(model, "towers", ())) or "none"
        raise ValueError(f"{type(model).__name__} has no tower {name!r}: its towers are {known}")
    return model.towers[name]
