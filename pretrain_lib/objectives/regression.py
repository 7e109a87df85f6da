"""Regression: a number is predicted in place of a class."""

from __future__ import annotations

from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import Samples
from .base import Batch, Objective, take_column
from .text import take_text


class Regression(Objective):
    """Squared error of the model's one answer, averaged over samples.

    The source has the columns `input_ids` and `attention_mask`, (B, T), and `labels`, (B,) numbers.
    """

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        labels = take_column(samples, "labels").float()
        return Batch(take_text(samples), {"labels": labels}, {"squared_error": len(labels)})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        answers = model(**batch.inputs)[:, 0]  # (B,)
        return {"squared_error": (answers - batch.targets["labels"]).square().sum()}
