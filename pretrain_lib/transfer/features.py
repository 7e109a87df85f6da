"""What a model makes of samples before any label is seen, and what a classifier makes of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import Source
from ..models.layers import require_known
from ..models.precision import answering
from ..models.protocol import TextEncoder
from ..objectives.base import take_column
from .encoders import require_model


def features(model: nn.Module, source: Source, column: str | None = None,
             batch_size: int = 512) -> Tensor:
    """The codes of all samples of a source, by a model that stays as it is.

    Args:
        model: as `models.protocol.Model` says; its dropout is off while this runs.
        source: N samples.
        column: the column that it should read, (B, ...); None is what it reads by itself.
        batch_size: samples in one forward pass.

    Returns:
        (N, features) float32, on the CPU.
    """
    require_model(model)
    columns = (column,) if column else model.columns
    return in_batches(model, model.encode, source, columns, batch_size)


def logits(classifier: nn.Module, source: Source, batch_size: int = 512) -> Tensor:
    """What a fine-tuned classifier answers to all samples of a source.

    Args:
        classifier: what `fine_tune` returns; its dropout is off while this runs.
        source: N samples.
        batch_size: samples in one forward pass.

    Returns:
        (N, classes) float32, on the CPU.
    """
    return in_batches(classifier, classifier, source, classifier.columns, batch_size)


@torch.no_grad()
def in_batches(model: nn.Module, function: Callable[..., Tensor], source: Source,
               columns: tuple[str, ...], batch_size: int) -> Tensor:
    """A function of columns, (B, ...) each, on all samples of a source: (N, ...) on the CPU."""
    device = next(model.parameters()).device
    answers = []
    with answering(model):
        for start in range(0, len(source), batch_size):
            samples = source.take(Keys.of(0, range(start, min(start + batch_size, len(source)))))
            inputs = [take_column(samples, name) for name in columns]
            if isinstance(model, TextEncoder):
                require_known(inputs[0], model.encoder.config.vocab_size)
            answers.append(function(*(column.to(device) for column in inputs)).float().cpu())
    return torch.cat(answers)
