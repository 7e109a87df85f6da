"""What objectives on text share: the columns that an encoder reads, and the loss of a token."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.source import UNSCORED, Samples
from ..models.base import TEXT, TextModel
from .base import take_column


def take_text(samples: Samples) -> dict[str, Tensor]:
    """The columns that an encoder of texts reads, (B, T) each."""
    return {name: take_column(samples, name) for name in TEXT}


def text_inputs(samples: Samples) -> dict[str, Tensor]:
    """The columns of a text that a model reads; a mask that hides nothing is left out."""
    names = ("attention_mask", "token_type_ids", "position_ids")
    inputs = {name: samples[name] for name in names if name in samples}
    mask = inputs.get("attention_mask")
    if mask is not None and bool((mask == 1).all()):
        del inputs["attention_mask"]
        place = inputs.get("position_ids")
        if place is not None and bool((place == torch.arange(place.shape[1])).all()):
            del inputs["position_ids"]
    return inputs


def require_head(model: nn.Module) -> None:
    """Raises where a model of texts is an encoder alone: hidden states are no scores of tokens."""
    if isinstance(model, TextModel) and model.hugging_face and model.encoder is model:
        name = type(model).__name__
        raise ValueError(f"{name} has no head that predicts tokens: give a "
                         f"{name.removesuffix('Model')}ForMaskedLM, or another model with one")


def require_vocabulary(logits: Tensor, vocab_size: int) -> None:
    """Raises where a model has fewer answers than there are tokens."""
    if isinstance(logits, Tensor) and logits.shape[-1] < vocab_size:
        raise ValueError(f"the tokenizer has {vocab_size} tokens, and the model answers with "
                         f"{logits.shape[-1]} scores a blank: vocab_size of its configuration must "
                         "be at least the tokenizer's")


def token_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """The summed cross-entropy of logits (…, V) and labels (…), in nats; -100 does not count.

    Args:
        logits: (…, V) scores.
        labels: (…) the true tokens.
        weights: what each token's loss counts, of a shape that spreads to (…); None: 1.

    Raises:
        ValueError: if the logits are not one row for each label.
    """
    if not isinstance(logits, Tensor) or logits.shape[:-1] != labels.shape:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise ValueError(f"{tuple(labels.shape)} labels need logits of that shape and one more "
                         f"axis, the vocabulary; the model answered with {got}")
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    reduction = "sum" if weights is None else "none"
    loss = F.cross_entropy(precise.flatten(0, -2), labels.flatten(), reduction=reduction,
                           ignore_index=UNSCORED)
    return loss if weights is None else (loss.view(labels.shape) * weights).sum()
