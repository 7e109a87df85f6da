"""Tagging: a class for each word, predicted at the word's first token."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.source import UNSCORED, Samples
from .base import Batch, Objective, take_column
from .text import take_text


class Tagging(Objective):
    """Cross-entropy between logits and tags, averaged over tagged tokens.

    As BERT was fine-tuned to find names (Devlin et al., NAACL 2019, section 5.3).
    The source has the columns `input_ids`, `attention_mask` and `tags`, each (B, T).
    """

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        tags = take_column(samples, "tags").long()
        tagged = int((tags != UNSCORED).sum())
        return Batch(take_text(samples), {"labels": tags}, {"cross_entropy": tagged})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        logits = model(**batch.inputs).flatten(0, 1)  # (B T, tags)
        tags = batch.targets["labels"].flatten()  # (B T,)
        total = F.cross_entropy(logits, tags, reduction="sum", ignore_index=UNSCORED)
        return {"cross_entropy": total}
