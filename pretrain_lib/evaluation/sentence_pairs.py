"""How well a model tells whether the second of two segments follows the first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ..data.keys import Keys
from ..data.source import Source
from ..models.precision import answering


@dataclass(frozen=True)
class PairScores:
    """Of pairs of segments; one number would hide a model that always gives the same answer.

    Attributes:
        accuracy: share of the pairs whose label was told right.
        of_true: share of the true pairs that were called true.
        of_false: share of the false pairs that were called false.
        share_false: share of the pairs that are false.
        pairs: how many there were.
    """

    accuracy: float
    of_true: float
    of_false: float
    share_false: float
    pairs: int


@torch.no_grad()
def pair_scores(model: nn.Module, source: Source, pairs: int = 1024,
                batch_size: int = 64) -> PairScores:
    """Scores a model with a next-sentence head on the first pairs of a source.

    Args:
        model: answers with `PreTrainingLogits`, as `BertForPreTraining` does.
        source: gives pairs, and `next_sentence_label`, 0 where B follows A; see `SentencePairs`.
        pairs: how many, at most.
        batch_size: pairs in one forward pass.

    Raises:
        ValueError: if all pairs are of one kind: then there is nothing to tell apart.
    """
    right, labels = [], []
    device = next(model.parameters()).device
    with answering(model):
        for start in range(0, min(pairs, len(source)), batch_size):
            keys = Keys.of(0, range(start, min(start + batch_size, pairs, len(source))))
            samples = {name: column.to(device) for name, column in source.take(keys).items()}
            label = samples.pop("next_sentence_label")
            nowhere = torch.zeros(len(label), 1, dtype=torch.int64, device=device)  # one blank a pair
            answer = model(**samples, positions=nowhere).next_sentence.argmax(-1)
            right.append((answer == label).cpu())
            labels.append(label.cpu())
    right, false = torch.cat(right).double(), torch.cat(labels) == 1
    if false.all() or not false.any():
        raise ValueError(f"all {len(false)} pairs are {'false' if false.any() else 'true'}: "
                         "telling them apart needs both kinds")
    return PairScores(right.mean().item(), right[~false].mean().item(), right[false].mean().item(),
                      false.double().mean().item(), len(false))
