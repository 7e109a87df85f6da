"""Replaced-token detection: which tokens of a text are not the original ones?

Clark, Luong, Le and Manning, "ELECTRA: Pre-training text encoders as discriminators rather than
generators", ICLR 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.source import UNSCORED, Samples
from .base import Batch, Objective, take_column
from .masked_lm import MaskedLM
from .text import require_head, require_vocabulary, token_loss


class ReplacedTokenDetection(Objective):
    """A small generator fills blanks, and the model says of every token whether it was replaced.

    The generator is a masked language model and learns as one; it does not try to deceive, and no
    gradient goes through what it samples. Where it happens to sample the true token, that counts as
    original. The loss of the model is taken over all tokens, not over the masked ones alone, which
    is why it learns faster from the same text.

    The model is the discriminator, called with the sample's columns, and answers with one logit a
    token, (B, T, 1), as does `ModernBertForTokenClassification` with num_labels=1. The generator is
    trained along with it and thrown away in the end.

    Args:
        generator: answers like a masked language model; a quarter to half as wide as the model.
        masked_lm: how tokens are masked for it; in the paper a blank is always [MASK], which is
            replace=(1, 0, 0).
        weight: of the discriminator's mean loss against the generator's: 50 in the authors' code.

    Raises:
        ValueError: for a weight that is not above 0.
    """

    def __init__(self, generator: nn.Module, masked_lm: MaskedLM, weight: float = 50.0):
        super().__init__()
        if not weight > 0:
            raise ValueError(f"weight must be above 0, got {weight}: it is the discriminator that "
                             "is wanted")
        self.generator = generator
        self.masked_lm = masked_lm
        self.weights = {"replaced_token": weight}

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        batch = self.masked_lm.batch(samples, keys)
        original = take_column(samples, "input_ids")
        real = samples.get("attention_mask", torch.ones_like(original)) > 0  # (B, T)
        batch.targets |= {"original": original, "real": real}
        batch.counts["replaced_token"] = float(real.sum())
        return batch

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        require_head(self.generator)
        logits = self.generator(**batch.inputs)  # (B, S, V)
        require_vocabulary(logits, self.masked_lm.vocab_size)
        corrupted = self.corrupt(logits.detach(), batch)
        text = {name: column for name, column in batch.inputs.items() if name != "positions"}
        answer = model(**text | {"input_ids": corrupted})
        original, real = batch.targets["original"], batch.targets["real"]
        if answer.shape != (*original.shape, 1):
            raise ValueError("the discriminator should answer with one logit a token, "
                             f"{(*original.shape, 1)}: set num_labels=1; got {tuple(answer.shape)}")
        answer = answer.squeeze(-1).to(torch.promote_types(answer.dtype, torch.float32))  # (B, T)
        replaced, real = (corrupted != original).to(answer.dtype), real.to(answer.dtype)
        detection = F.binary_cross_entropy_with_logits(answer, replaced, real, reduction="sum")
        return {"masked_lm": token_loss(logits, batch.targets["labels"]),
                "replaced_token": detection}

    def corrupt(self, logits: Tensor, batch: Batch) -> Tensor:
        """The original tokens, (B, T), but for the blanks, which get samples of the generator.

        Sampled by torch's random state, which is seeded for every forward pass: the largest of
        logits plus Gumbel noise is a sample of their softmax.

        Args:
            logits: (B, S, V) of the generator at the blanks.
        """
        noise = -torch.empty_like(logits, dtype=torch.float32).exponential_().log()
        sampled = (logits + noise).argmax(-1)  # (B, S)
        original = batch.targets["original"]
        used = batch.targets["labels"] != UNSCORED
        at = batch.inputs["positions"].where(used, original.shape[1])  # unused: one past the end
        return F.pad(original, (0, 1)).scatter(1, at, sampled)[:, :-1].contiguous()
