"""Masked diffusion: a masked language model that can write, because its loss bounds −log p(x).

The chain rule holds in any order σ of a text's T tokens:

    −log p(x) = Σ_i −log p(x_σ(i) | x_σ(1), …, x_σ(i−1)).

A masked language model answers each of these questions: what is not said yet shows [MASK]. Its
answers in different orders need not agree. The text's probability is then that of the mixture of
all orders, and by Jensen's inequality −log p(x) is at most the mean over orders. In that mean the
token that is said next, when k are still hidden, is any of the k with the same chance. So

    −log p(x) ≤ T · mean over k of (mean loss of k hidden tokens),    k uniform in 1, …, T,

with an equality where the answers belong to one joint distribution (Uria, Murray and Larochelle, "A
Deep and Tractable Density Estimator", ICML 2014; Hoogeboom et al., "Autoregressive Diffusion
Models", ICLR 2022, section 3; Nie et al., "Large Language Diffusion Models", 2025, equation 6).

Diffusion models write the same bound as an integral: with a rate t uniform in [0, 1], each token is
hidden with probability t on its own, and the *sum* of the hidden tokens' losses weighs 1/t (Sahoo
et al., "Simple and Effective Masked Diffusion Language Models", NeurIPS 2024, equation 11 with
α_t = 1 − t). Given that k tokens are hidden, which they are is as above, and the weights agree:

    ∫ (1/t) · C(T, k) t^k (1 − t)^(T−k) dt = 1/k.

The expectation is one; a draw of k varies less than one of t, where few tokens may be hidden at a
large rate or none at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import UNSCORED, Samples
from ..data.text.tokenizer import SpecialIds, special_ids, vocabulary_size
from ..models.layers import require_known
from .base import Batch, Objective, take_column
from .masked_lm import Masked
from .text import require_head, require_vocabulary, text_inputs, token_loss


@dataclass(frozen=True)
class MaskedDiffusionConfig:
    """`MaskedDiffusion` has no settings."""


class MaskedDiffusion(Objective):
    """Hides from one to all tokens of a text, each number equally often, and scores those.

    Every hidden token shows [MASK]. The mean loss of a text's hidden tokens counts as often as the
    text has tokens, so that the loss of a batch is a bound on the nats that a token costs. How many
    are hidden is spread evenly over a batch. In a row of several texts it is the row's tokens that
    are counted: since texts do not see each other, the bound is that on all of them together.

    The model is called as `MaskedLM` calls it. There are as many slots as places in a row, since
    all may be hidden; on average half of them are used.

    Args:
        special: ids of [PAD], [UNK], [CLS], [SEP], [MASK]; none of them is ever hidden.
        vocab_size: V.
    """

    config_class = MaskedDiffusionConfig

    def __init__(self, special: SpecialIds, vocab_size: int):
        super().__init__()
        self.special = special
        self.vocab_size = vocab_size
        self.fixed = torch.tensor(list(special))

    @classmethod
    def of(cls, tokenizer) -> MaskedDiffusion:
        """The objective for texts of this tokenizer."""
        return cls(special_ids(tokenizer), vocabulary_size(tokenizer))

    @classmethod
    def from_config(cls, config: MaskedDiffusionConfig, tokenizer=None) -> MaskedDiffusion:
        return cls.of(tokenizer)

    def mask(self, input_ids: Tensor, keys: Keys) -> Masked:
        """Draws how many tokens of each row to hide, and which, and hides them."""
        allowed = ~torch.isin(input_ids, self.fixed)  # (B, T)
        tokens = allowed.sum(1)  # (B,)
        share = keys.spread("share hidden")
        number = (share * tokens).long().clamp(max=tokens - 1) + 1  # 1 to `tokens`; 0 of none
        order = keys.uniform("hidden tokens", input_ids.shape[1:]).masked_fill(~allowed, 2.0)
        places = order.argsort(dim=1, stable=True)  # (B, T), the first `number` are hidden
        used = torch.arange(input_ids.shape[1]) < number[:, None]
        hidden = torch.zeros_like(allowed).scatter(1, places, used)
        labels = input_ids.gather(1, places).masked_fill(~used, UNSCORED)
        return Masked(input_ids.masked_fill(hidden, self.special.mask), places * used, labels)

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        input_ids = take_column(samples, "input_ids")
        require_known(input_ids, self.vocab_size)
        masked = self.mask(input_ids, keys)
        tokens = (~torch.isin(input_ids, self.fixed)).sum(1)  # (B,)
        inputs = text_inputs(samples) | {"input_ids": masked.input_ids,
                                         "positions": masked.positions}
        return Batch(inputs, {"labels": masked.labels, "tokens": tokens},
                     {"masked_diffusion": float(tokens.sum())})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        require_head(model)
        logits = model(**batch.inputs)  # (B, S, V)
        require_vocabulary(logits, self.vocab_size)
        labels, tokens = batch.targets["labels"], batch.targets["tokens"]
        hidden = (labels != UNSCORED).sum(1).clamp(min=1)  # (B,)
        weights = tokens.to(torch.promote_types(logits.dtype, torch.float32)) / hidden
        return {"masked_diffusion": token_loss(logits, labels, weights[:, None])}
