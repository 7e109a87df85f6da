"""What transfer asks of a model: that it says what it reads, and takes a head for a task."""

from __future__ import annotations

from torch import nn

from ..models.protocol import Model, TextEncoder


def require_model(model: nn.Module) -> None:
    """Raises where a model does not say what it reads and what it makes of it.

    Raises:
        TypeError: naming what is missing.
    """
    if not isinstance(model, Model):
        needed = ("columns", "feature_size", "encode", "with_classifier", "to_config",
                  "from_config")
        missing = [name for name in needed if not hasattr(model, name)]
        raise TypeError(f"{type(model).__name__} has no {', '.join(missing)}: "
                        "pretrain_lib.models.protocol.Model says what they are")


def text_classifier(model: nn.Module, num_classes: int, seed: int = 0) -> nn.Module:
    """A copy of a model of texts under a linear layer that starts at zero.

    The layer of a BERT or ModernBERT stands where `transformers` has it: on ModernBERT's head, on
    BERT's pooler. These are the pretrained ones if the model has them, and new otherwise.

    Args:
        model: with or without a head of its own.
        num_classes: number of classes; 1 for a number in place of a class.
        seed: of what is new.

    Raises:
        ValueError: if it reads no text.
    """
    require_text(model)
    return model.with_classifier(num_classes, seed)


def text_tagger(model: nn.Module, num_tags: int, seed: int = 0) -> nn.Module:
    """A copy of a BERT or ModernBERT under a linear layer for each token, which starts at zero.

    Args:
        model: with or without a head of its own.
        num_tags: number of tags.
        seed: of what is new.

    Raises:
        ValueError: if it reads no text.
    """
    require_text(model)
    return model.with_tagger(num_tags, seed)


def require_text(model: nn.Module) -> None:
    if not isinstance(model, TextEncoder):
        raise ValueError(f"{type(model).__name__} reads no text: give a BERT or a ModernBERT")
