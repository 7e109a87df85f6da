"""What the parts of a model answer in the middle of a forward pass: seen, or changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def outputs_of(parts: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """A list of what each of the parts answered last, filled in while the model runs."""
    outputs: list[Tensor] = [torch.empty(0)] * len(parts)

    def remember(place: int):
        return lambda part, inputs, output: outputs.__setitem__(place, output)

    hooks = [part.register_forward_hook(remember(place)) for place, part in enumerate(parts)]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def output_changed(part: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While this runs, a part answers `change` of what it would have answered."""
    hook = part.register_forward_hook(lambda part, inputs, output: change(output))
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def input_changed(part: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While this runs, a part reads `change` of the one tensor that it would have read."""
    hook = part.register_forward_pre_hook(lambda part, inputs: change(inputs[0]))
    try:
        yield
    finally:
        hook.remove()
