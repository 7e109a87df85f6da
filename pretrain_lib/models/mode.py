"""Training or evaluation: what dropout and the like go by."""

from __future__ import annotations

from contextlib import contextmanager

from torch import nn


@contextmanager
def mode_kept(module: nn.Module):
    """Leaves each part in the mode that it was in before."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def evaluation_mode(module: nn.Module):
    """Switches dropout and the like off, and back to what each part was in before."""
    with mode_kept(module):
        module.eval()
        yield
