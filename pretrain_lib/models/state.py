"""A model's tensors by name, out of it and back into it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def device_of(model: nn.Module) -> torch.device:
    """Where the model's numbers are, weights or counts."""
    return next(iter([*model.parameters(), *model.buffers()])).device


def state_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The model's parameters and buffers by name, each once: tied weights have one name."""
    named, seen = {}, set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            named[name] = tensor
        seen.add(id(tensor))
    return named


def load_state(model: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Puts `state_tensors` back into a model.

    Args:
        model: the model that receives them.
        tensors: tensors by name.
        source: where they come from, for the error.

    Raises:
        ValueError: if they belong to another architecture, naming what differs.
    """
    expected = state_tensors(model)
    found = {
        "missing": sorted(expected.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - expected.keys()),
        "of another shape": [
            f"{name} {tuple(tensors[name].shape)} against {tuple(tensor.shape)}"
            for name, tensor in expected.items()
            if name in tensors and tensors[name].shape != tensor.shape
        ],
    }
    differences = [f"{kind}: {shortened(names)}" for kind, names in found.items() if names]
    if differences:
        raise ValueError(f"{source} holds another architecture than {type(model).__name__}: "
                         + "; ".join(differences))
    model.load_state_dict(tensors, strict=False)


def shortened(names: list[str]) -> str:
    return ", ".join(names[:6]) + " …" * (len(names) > 6)
