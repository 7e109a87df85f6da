"""How well a model gives back images that it was, or was not, trained on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import Source
from ..models.precision import answering
from ..objectives.base import take_column
from ..objectives.reconstruction import half_squared_error


@torch.no_grad()
def reconstruction_error(
    model: nn.Module | Callable[[Tensor], Tensor],
    source: Source,
    column: str = "images",
    batch_size: int = 512,
) -> float:
    """The mean over samples of ½ Σᵢ (xᵢ − yᵢ)², summed over the numbers of a sample.

    Args:
        model: a module, run in evaluation mode, or any function from (B, ...) to (B, ...).
        source: what to reconstruct.
        column: the column that holds it.
        batch_size: samples in one forward pass; the result does not depend on it.

    Raises:
        ValueError: if the source has no such column, or the model's answer another shape.
    """
    module = model if isinstance(model, nn.Module) else nn.Module()
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    total = 0.0
    with answering(module):
        for start in range(0, len(source), batch_size):
            ids = range(start, min(start + batch_size, len(source)))
            x = take_column(source.take(Keys.of(0, ids)), column).to(device)
            total += half_squared_error(model(x).double(), x.double()).item()
    return total / len(source)
