"""Supervised learning is one more objective: nothing is corrupted, the label is predicted."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.source import Samples
from .base import Batch, Objective, take_column


class Classification(Objective):
    """Cross-entropy between the model's logits and the labels, averaged over samples.

    Args:
        column: the column of the source that the model reads, (B, ...).
    """

    def __init__(self, column: str = "images"):
        super().__init__()
        self.column = column

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        labels = take_column(samples, "labels").long()
        inputs = {self.column: take_column(samples, self.column)}
        return Batch(inputs, {"labels": labels}, {"cross_entropy": len(labels)})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        logits = model(batch.inputs[self.column])  # (B, classes)
        return {"cross_entropy": F.cross_entropy(logits, batch.targets["labels"], reduction="sum")}
