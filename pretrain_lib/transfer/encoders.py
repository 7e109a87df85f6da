"""What transfer asks of a model: which columns it reads, what it makes of them, a head for a task.

A model of images has a method `encode`. A BERT or ModernBERT, whatever head it has, is an encoder
of texts: a text's features are the mean of its hidden states.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..models.bert import (
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)
from ..models.modern import (
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
    ModernBertModel,
    mean_over_tokens,
)
from ..objectives.text import TEXT

IMAGES = ("images",)
CLASSIFIERS = {
    BertModel: BertForSequenceClassification,
    ModernBertModel: ModernBertForSequenceClassification,
}
TAGGERS = {
    BertModel: BertForTokenClassification,
    ModernBertModel: ModernBertForTokenClassification,
}


def text_encoder(model: nn.Module) -> nn.Module | None:
    """The encoder within a BERT or ModernBERT with or without a head; None in other models."""
    encoder = getattr(model, "encoder", model)
    return encoder if type(encoder) in CLASSIFIERS else None


def columns_of(model: nn.Module) -> tuple[str, ...]:
    """The columns of a source that a model reads, in the order of its arguments."""
    return IMAGES if text_encoder(model) is None else TEXT


def encode_with(model: nn.Module) -> Callable[..., Tensor]:
    """The function from a model's columns, each (B, ...), to features (B, F)."""
    encoder = text_encoder(model)
    if encoder is None:
        return model.encode

    def mean_of_hidden_states(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return mean_over_tokens(encoder(input_ids, attention_mask), attention_mask)

    return mean_of_hidden_states


def text_classifier(model: nn.Module, num_classes: int, seed: int = 0) -> nn.Module:
    """A copy of a BERT or ModernBERT under a linear layer that starts at zero.

    The layer stands where `transformers` has it: on ModernBERT's head, on BERT's pooler. These are
    the pretrained ones if the model has them, and new otherwise.

    Args:
        model: with or without a head of its own.
        num_classes: number of classes; 1 for a number in place of a class.
        seed: of what is new.
    """
    return under_a_new_layer(model, CLASSIFIERS, num_classes, seed)


def text_tagger(model: nn.Module, num_tags: int, seed: int = 0) -> nn.Module:
    """A copy of a BERT or ModernBERT under a linear layer for each token, which starts at zero.

    Args:
        model: with or without a head of its own.
        num_tags: number of tags.
        seed: of what is new.
    """
    return under_a_new_layer(model, TAGGERS, num_tags, seed)


@torch.no_grad()
def under_a_new_layer(model: nn.Module, kinds: dict[type, type], size: int, seed: int) -> nn.Module:
    encoder = text_encoder(model)
    if encoder is None:
        raise ValueError(f"{type(model).__name__} reads no text: give a BERT or a ModernBERT")
    headed = kinds[type(encoder)](encoder.config, size, seed)
    headed.encoder.load_state_dict(encoder.state_dict())
    for part in ("pooler", "head"):
        if hasattr(model, part) and hasattr(headed, part):
            setattr(headed, part, copy.deepcopy(getattr(model, part)))
    nn.init.zeros_(headed.classifier.weight)
    nn.init.zeros_(headed.classifier.bias)
    return headed
