"""Causal language modelling: every token is predicted from those before it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.source import UNSCORED, Samples
from .base import Batch, Objective, take_column
from .text import require_head, text_inputs, token_loss


@dataclass(frozen=True)
class CausalLMConfig:
    """`CausalLM` has no settings."""


class CausalLM(Objective):
    """Scores the prediction of every token of a text but its first: −Σ log p(x_t | x_<t).

    Nothing is corrupted. Padding is not scored, and in a row of several texts nothing crosses from
    one to the next: the first token of each is only read.

    The model is called with the sample's columns and answers with logits (B, T, V) of the tokens
    *at* the positions, which it must take from the tokens before each alone; a model that sees both
    sides, such as `ModernBertForMaskedLM`, would merely copy.
    """

    config_class = CausalLMConfig

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        input_ids = take_column(samples, "input_ids")  # (B, T)
        labels = next_tokens(input_ids, samples.get("attention_mask"))
        inputs = {"input_ids": input_ids} | text_inputs(samples)
        counts = {"causal_lm": float((labels != UNSCORED).sum())}
        return Batch(inputs, {"labels": labels}, counts)

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        require_head(model)
        return {"causal_lm": token_loss(model(**batch.inputs), batch.targets["labels"])}


def next_tokens(input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    """The token at each position that has one of its own text before it, else -100; (B, T).

    Args:
        input_ids: (B, T).
        attention_mask: (B, T) number of each token's text, 0 for padding; None: one text a row.
    """
    text = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    goes_on = F.pad((text[:, 1:] == text[:, :-1]) & (text[:, 1:] > 0), (1, 0))  # (B, T)
    return input_ids.masked_fill(~goes_on, UNSCORED)
