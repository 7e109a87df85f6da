"""What a model has by heart: texts it has seen against others, and secrets planted for the purpose.

Carlini, Liu, Erlingsson, Kos and Song, "The Secret Sharer: Evaluating and Testing Unintended
Memorization in Neural Networks", USENIX Security 2019, for language models; here for masked ones.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..models.bert import token_logits
from ..models.precision import answering
from ..models.state import device_of
from .masked import MaskedSet, masked_scores


class LossGap(NamedTuple):
    """Mean masked losses, in nats.

    Attributes:
        seen: on texts that the model was trained on.
        unseen: on texts of the same kind that it was not.
    """

    seen: float
    unseen: float

    @property
    def gap(self) -> float:
        """How much better it does on what it has seen; over-fitting makes it grow."""
        return self.unseen - self.seen


def loss_gap(model: nn.Module, seen: MaskedSet, unseen: MaskedSet) -> LossGap:
    """The masked loss on texts trained on and on others, masked alike.

    Args:
        model: as in `masked_scores`.
        seen: blanks in texts that the model was trained on.
        unseen: blanks in texts that it was not.
    """
    return LossGap(masked_scores(model, seen).loss, masked_scores(model, unseen).loss)


@torch.no_grad()
def secret_scores(model: nn.Module, input_ids: Tensor, slots: tuple[int, int], words: Tensor,
                  mask: int) -> Tensor:
    """The score of every pair of words that could fill two slots of a text.

    A masked model has no probability of a text. As in the pseudo-log-likelihood, each of the two is
    hidden in turn: log P(a | b, rest) + log P(b | a, rest). One pass with b in place and the first
    slot hidden scores all a at once, so W² pairs take 2 W rows.

    Args:
        model: called as `model(input_ids, positions=…)`; answers with logits (B, 1, V).
        input_ids: (T,) a text; what stands in the slots does not matter.
        slots: the two places.
        words: (W,) the token ids that a slot may hold: the secret is one of W² pairs.
        mask: id of [MASK].

    Returns:
        (W, W) in nats, for the word in the first slot (rows) and in the second (columns).

    Raises:
        ValueError: if the two places are one.
    """
    if slots[0] == slots[1]:
        raise ValueError(f"a secret has two slots, got the place {slots[0]} twice")
    first, second = (given_other(model, input_ids, own, other, words, mask)
                     for own, other in (slots, slots[::-1]))
    return first.T + second


def given_other(model: nn.Module, input_ids: Tensor, own: int, other: int, words: Tensor,
                mask: int) -> Tensor:
    """log P(word in `own` | word in `other`, rest): (W, W), one row a word in `other`."""
    rows = input_ids.repeat(len(words), 1)  # (W, T)
    rows[:, own], rows[:, other] = mask, words.to(rows.device)
    device = device_of(model)
    with answering(model):
        logits = model(rows.to(device), positions=torch.full((len(words), 1), own, device=device))
    logits = token_logits(logits)[:, 0]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits.log_softmax(-1)[:, words.to(device)]


def exposure(scores: Tensor, secret: int | tuple[int, ...]) -> float:
    """log₂ of the number of candidates minus log₂ of the secret's rank among them, in bits.

    By so much does knowing the model shorten the search for the secret. The likeliest candidate has
    log₂ of their number, the least likely 0, and one that the model knows nothing of, whose rank is
    a matter of chance, log₂ e ≈ 1.44 on average. Among equals the secret counts as the last.

    Args:
        scores: of all candidates, in any shape; the larger, the likelier.
        secret: index of the one that was planted.

    Raises:
        ValueError: if a score is NaN.
    """
    if scores.isnan().any():
        raise ValueError("a score is NaN: candidates cannot be ranked")
    rank = int((scores >= scores[secret]).sum())
    return math.log2(scores.numel()) - math.log2(rank)
