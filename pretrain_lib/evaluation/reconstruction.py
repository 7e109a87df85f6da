"""How well a model gives back images that it was, or was not, trained on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import Source


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
    """
    module = model if isinstance(model, nn.Module) else nn.Module()
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    was_training = module.training
    module.eval()
    total = 0.0
    try:
        for start in range(0, len(source), batch_size):
            ids = range(start, min(start + batch_size, len(source)))
            x = source.take(Keys.of(0, ids))[column].to(device)
            total += 0.5 * (x.double() - model(x).double()).square().sum().item()
    finally:
        module.train(was_training)
    return total / len(source)
