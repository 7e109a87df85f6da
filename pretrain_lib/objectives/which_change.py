"""What was done to a sample? Pretext tasks whose answer is one of a few changes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from ..models.base import start_at_zero
from ..validation import require_at_least
from .base import Batch, Objective


@dataclass(frozen=True)
class WhichChangeConfig:
    """Settings of an objective that asks what was done to a sample.

    Attributes:
        feature_size: numbers in the model's features, at least 1.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    feature_size: int

    def __post_init__(self):
        require_at_least(self, 1, "feature_size")


class WhichChange(Objective):
    """Changes each sample in one of a few ways and asks in which.

    A linear layer on the model's features, which belongs to the objective and starts at zero,
    answers. A subclass says in how many `ways`, and makes batches of one input, one target and one
    count.

    Args:
        feature_size: numbers in the model's features.

    Raises:
        ValueError: for a size below 1.
    """

    config_class = WhichChangeConfig
    ways: int

    def __init__(self, feature_size: int):
        WhichChangeConfig(feature_size)  # which refuses what is not allowed
        super().__init__()
        self.head = nn.Linear(feature_size, self.ways)
        start_at_zero(self.head)

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        (shown,), (change,), (term,) = batch.inputs.values(), batch.targets.values(), batch.counts
        features = model.encode(shown)  # (B, F)
        if features.shape[1] != self.head.in_features:
            raise ValueError(f"feature_size must be {features.shape[1]}, as many as the model's "
                             f"features, got {self.head.in_features}")
        return {term: F.cross_entropy(self.head(features), change, reduction="sum")}
