"""Supervised learning is one more objective: nothing is corrupted, the label is predicted."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.source import UNSCORED, Samples
from .base import Batch, Objective, take_column


class Classification(Objective):
    """Cross-entropy between the model's logits and the labels, averaged over labelled samples.

    The label -100 says that a sample has none: it is not scored, and does not count.

    Args:
        *columns: the columns of the source that the model reads, in this order, each (B, ...).
        num_classes: where it is given, labels must be 0 to num_classes - 1.
        labels: the column that holds them, (B,).
    """

    def __init__(self, *columns: str, num_classes: int | None = None, labels: str = "labels"):
        super().__init__()
        self.columns = columns or ("images",)
        self.num_classes = num_classes
        self.labels = labels

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        labels = take_column(samples, self.labels).long()
        self.check(labels)
        inputs = {name: take_column(samples, name) for name in self.columns}
        labelled = int((labels != UNSCORED).sum())
        return Batch(inputs, {"labels": labels}, {"cross_entropy": labelled})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        logits = model(*(batch.inputs[name] for name in self.columns))  # (B, classes)
        if logits.ndim != 2 or logits.shape[1] != (self.num_classes or logits.shape[1]):
            raise ValueError(f"{type(model).__name__} answers with {tuple(logits.shape)}, not with "
                             f"{self.num_classes or 'some'} scores a sample: put a head on it, with "
                             "with_classifier")
        return {"cross_entropy": F.cross_entropy(logits, batch.targets["labels"], reduction="sum",
                                                 ignore_index=UNSCORED)}

    def check(self, labels: Tensor) -> None:
        """Raises where a label is none of the classes."""
        if self.num_classes is None:
            return
        strange = labels[(labels != UNSCORED) & ((labels < 0) | (labels >= self.num_classes))]
        if len(strange):
            raise ValueError(f"labels must be 0 to {self.num_classes - 1}, one for each of the "
                             f"{self.num_classes} classes, got {strange[0].item()}")
