"""Training or evaluation: what dropout and the like go by."""

from __future__ import annotations

from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluation_mode(module: nn.Module):
    """Switches dropout and the like off, and back to what each part was in before."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
