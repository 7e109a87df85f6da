"""What a model makes of samples before any label is seen."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import Source
from ..models.mode import evaluation_mode
from ..objectives.base import take_column


@torch.no_grad()
def features(model: nn.Module, source: Source, column: str = "images", batch_size: int = 512) -> Tensor:
    """The codes of all samples of a source, by a model that stays as it is.

    Args:
        model: a module with `encode`; its dropout is off while this runs.
        source: N samples.
        column: the column that the model reads, (B, ...).
        batch_size: samples in one forward pass.

    Returns:
        (N, features) float32, on the CPU.
    """
    device = next(model.parameters()).device
    codes = []
    with evaluation_mode(model):
        for start in range(0, len(source), batch_size):
            keys = Keys.of(0, range(start, min(start + batch_size, len(source))))
            x = take_column(source.take(keys), column).to(device)
            codes.append(model.encode(x).float().cpu())
    return torch.cat(codes)
