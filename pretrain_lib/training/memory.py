"""Memory for time: activations that are forgotten and computed again."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from .distributed import blocks


def checkpoint_activations(module: nn.Module) -> None:
    """Lets each block keep nothing but its input for the backward pass, and compute the rest anew.

    A block is a member of an `nn.ModuleList`. Gradients are the same to the bit: dropout draws the
    same numbers again (Chen et al., "Training deep nets with sublinear memory cost", 2016).
    """
    for block in blocks(module):
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
