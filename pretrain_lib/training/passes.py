"""What an update calls for its forward pass: the module itself, copies on several ranks, compiled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..models.coupled import coupled_parts
from ..models.mode import mode_kept
from ..models.precision import autocast, products_in
from ..objectives.base import Batch, Step
from .distributed import World, blocks, is_sharded, replicate


def make_passes(module: Step, batch: Batch, precision: str, world: World, sharded: bool,
                compiled: bool) -> nn.Module:
    """The module as an update calls it, ready to run.

    It is called once for nothing, and the gradients thrown away: DDP finds out in which order
    gradients come, and adds them up in that order from then on, so a run that is resumed does what
    one does that was never stopped.

    Args:
        module: model and objective, on their device; already sharded, and its blocks compiled,
            where they are to be.
        batch: a micro-batch of this rank.
        precision: what the run computes in.
        world: the ranks.
        sharded: whether FSDP keeps the ranks together, so that DDP need not.
        compiled: whether to compile.
    """
    passes = module
    if world.size > 1 and not sharded:
        throw_away_a_pass(passes, batch, module, precision)
        unused = any(p.grad is None for p in module.parameters() if p.requires_grad)
        module.zero_grad(set_to_none=True)
        passes = replicate(module, unused)
    if compiled and not sharded:
        passes.compile()  # a second width makes torch compile once more, for any width
    if world.size > 1 or compiled:
        throw_away_a_pass(passes, batch, module, precision)
        module.zero_grad(set_to_none=True)
    return passes


@contextmanager
def borrowed(module: Step, device: torch.device, recomputed: bool = False):
    """Model and objective on a device, to work with; afterwards they are as they were given.

    Each goes back to the device that it was on, each part to its mode, each block to its `forward`.
    What is sharded meanwhile stays so.

    Args:
        module: model and objective.
        device: where to work.
        recomputed: whether blocks keep nothing but their input, see `activations_recomputed`.
    """
    homes = [(part, tensor.device) for part in module.children()
             for tensor in [*part.parameters(), *part.buffers()][:1]]
    for part, _ in homes:
        part.to(device)
    try:
        with mode_kept(module), activations_recomputed(module) if recomputed else nullcontext():
            yield
    finally:
        for part, home in homes:
            if not any(map(is_sharded, part.parameters())):
                part.to(home)


@contextmanager
def activations_recomputed(module: nn.Module):
    """Within it, a block keeps only its input for the backward pass, and computes the rest anew.

    A block is a member of an `nn.ModuleList`. Gradients are the same to the bit: dropout draws the
    same numbers again (Chen et al., "Training deep nets with sublinear memory cost", 2016). Batch
    normalisation averages over batches, and takes note of each once.
    """
    own = {block: vars(block).get("forward") for block in blocks(module)}
    for block in own:
        block.forward = computed_twice(block)
    try:
        yield
    finally:
        for block, forward in own.items():
            del block.forward
            if forward is not None:
                block.forward = forward


def computed_twice(block: nn.Module) -> Callable:
    """The forward pass of a block that keeps its input alone, and runs once more going back."""
    with mode_kept(block):
        noting = coupled_parts(block.train())
    if not noting:
        return partial(checkpoint, block.forward, use_reentrant=False)
    return partial(checkpoint, block.forward, use_reentrant=False,
                   context_fn=lambda: (nullcontext(), buffers_kept(*noting)))


def throw_away_a_pass(passes: nn.Module, batch: Batch, module: Step, precision: str) -> None:
    """One forward and backward pass that leaves nothing but gradients."""
    device = next(module.parameters()).device
    module.train()
    with buffers_kept(module), products_in(precision, device), autocast(precision, device):
        sum(passes(batch.to(device)).values()).backward()


@contextmanager
def buffers_kept(*modules: nn.Module):
    """Leaves the modules' buffers, such as running averages, as they were before."""
    before = [(buffer, buffer.clone()) for module in modules for buffer in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, was in before:
                buffer.copy_(was)
