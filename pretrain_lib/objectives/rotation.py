"""Which way up? A network that can say it has to know what it sees."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.source import Samples
from ..models.base import start_at_zero
from ..validation import require_at_least
from .base import Batch, Objective, take_column

TURNS = 4


@dataclass(frozen=True)
class RotationConfig:
    """Settings of `RotationPrediction`.

    Attributes:
        feature_size: numbers in the model's features, at least 1.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    feature_size: int

    def __post_init__(self):
        require_at_least(self, 1, "feature_size")


class RotationPrediction(Objective):
    """Turns each image by none to three quarters of a circle and asks by how many.

    A linear layer on the model's features, which belongs to the objective and starts at zero,
    answers; at random it loses log 4 nats. The paper shows each image in all four positions at
    once; here the sample's key draws one, anew in each epoch.

    Args:
        feature_size: numbers in the model's features.

    Raises:
        ValueError: for a size below 1.

    Source: Gidaris, Singh and Komodakis, "Unsupervised representation learning by predicting image
    rotations", ICLR 2018, section 2.
    """

    config_class = RotationConfig

    def __init__(self, feature_size: int):
        RotationConfig(feature_size)  # which refuses what is not allowed
        super().__init__()
        self.head = nn.Linear(feature_size, TURNS)
        start_at_zero(self.head)

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        images = take_column(samples, "images")  # (B, C, H, W)
        if images.ndim != 4 or images.shape[2] != images.shape[3]:
            raise ValueError("images must be square, (B, C, S, S), to be turned by quarters, got "
                             f"{tuple(images.shape)}")
        turns = (TURNS * keys.uniform("rotation")).long()  # (B,)
        return Batch({"images": turned(images, turns)}, {"turns": turns}, {"rotation": len(turns)})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        features = model.encode(batch.inputs["images"])  # (B, F)
        if features.shape[1] != self.head.in_features:
            raise ValueError(f"feature_size must be {features.shape[1]}, as many as the model's "
                             f"features, got {self.head.in_features}")
        loss = F.cross_entropy(self.head(features), batch.targets["turns"], reduction="sum")
        return {"rotation": loss}


def turned(images: Tensor, turns: Tensor) -> Tensor:
    """Square images (B, C, S, S), each turned counter-clockwise by so many quarters of a circle."""
    every = torch.stack([images.rot90(turn, (2, 3)) for turn in range(TURNS)])
    return every[turns, torch.arange(len(images))]
