"""Which heads, feed-forward units and layers of an encoder matter: the gradient of a gate.

Put a gate ξ = 1 before each part. How much the loss would change if the gate closed is, to first
order, |∂L/∂ξ| (Michel, Levy and Neubig, "Are sixteen heads really better than one?", NeurIPS 2019,
section 4.1; Molchanov et al., "Pruning convolutional neural networks for resource efficient
inference", ICLR 2017, section 2.2). The absolute value is taken of each sample alone, or samples
that pull in two directions would cancel. So each sample gets gates of its own, and one backward
pass of the summed loss yields all their gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import Source
from ..models.layers import at_positions
from ..models.mode import evaluation_mode
from ..objectives.base import Objective


@dataclass
class Importance:
    """How much the loss depends on each part, in nats a sample.

    Attributes:
        heads: for each layer, (H,).
        units: for each layer, (I,).
        layers: (L,), attention and feed-forward layer together.
    """

    heads: list[Tensor]
    units: list[Tensor]
    layers: Tensor


@dataclass
class Gates:
    """The gates of a forward pass: a one for each sample and part.

    Attributes:
        heads: for each layer, (B, H).
        units: for each layer, (B, I).
        layers: for each layer, (B, 1).
    """

    heads: dict[int, Tensor] = field(default_factory=dict)
    units: dict[int, Tensor] = field(default_factory=dict)
    layers: dict[int, Tensor] = field(default_factory=dict)


@contextmanager
def gated(encoder: nn.Module, closed: Gates | None = None) -> Iterator[Gates]:
    """Puts a gate before every head, unit and layer of an encoder while this runs.

    A closed layer hands on what it was given.

    Args:
        encoder: a BERT or ModernBERT without a head.
        closed: gates to use, (1, …) each, for the layers that they name; others are open.
    """
    gates, hooks, closed = Gates(), [], closed or Gates()

    def opened(kind: str, number: int, x: Tensor, parts: int) -> Tensor:
        fixed = getattr(closed, kind).get(number)
        gate = torch.ones(len(x), parts, dtype=x.dtype, device=x.device, requires_grad=True)
        getattr(gates, kind)[number] = gate
        return gate if fixed is None else gate * fixed.to(gate)

    for number, layer in enumerate(encoder.layers):
        heads = layer.attention.num_heads

        def before_output(part, read, number=number, heads=heads):
            y = read[0].unflatten(-1, (heads, -1))  # (B, T, H, E)
            return (y * opened("heads", number, y, heads)[:, None, :, None]).flatten(2)

        def before_down(part, read, number=number):
            y = read[0]  # (B, T, I)
            return y * opened("units", number, y, y.shape[-1])[:, None]

        def after_layer(part, read, y, number=number):
            at = [a for a in read[1:] if isinstance(a, Tensor) and a.dtype == torch.int64]
            x = at_positions(read[0], at[0] if at else None)
            return x + (y - x) * opened("layers", number, y, 1)[:, None]

        hooks += [layer.attention.output.register_forward_pre_hook(before_output),
                  layer.feed_forward.down.register_forward_pre_hook(before_down),
                  layer.register_forward_hook(after_layer)]
    try:
        yield gates
    finally:
        for hook in hooks:
            hook.remove()


def importance(model: nn.Module, objective: Objective, source: Source,
               batch_size: int = 64) -> Importance:
    """The mean of |∂L/∂ξ| over samples, for every head, unit and layer.

    Args:
        model: a BERT or ModernBERT, trained; it stays as it is.
        objective: what it was trained on: `Classification`, `MaskedLM`, …
        source: the samples to look at; a few hundred do.
        batch_size: samples in one pass.
    """
    encoder = model.encoder
    sums: dict[str, dict[int, Tensor]] = {"heads": {}, "units": {}, "layers": {}}
    with evaluation_mode(model):
        for start in range(0, len(source), batch_size):
            keys = Keys.of(0, range(start, min(start + batch_size, len(source))))
            batch = objective.batch(source.take(keys), keys)
            batch = batch.to(next(model.parameters()).device)
            with gated(encoder) as gates:
                loss = sum(objective(model, batch).values())
            found = {kind: getattr(gates, kind) for kind in sums}
            flat = [gate for by_layer in found.values() for gate in by_layer.values()]
            slopes = iter(torch.autograd.grad(loss, flat))  # (B, parts) each
            for kind, by_layer in found.items():
                for number in by_layer:
                    size = next(slopes).abs().sum(0)
                    sums[kind][number] = sums[kind].get(number, 0) + size
    means = {kind: [total / len(source) for total in by_layer.values()]
             for kind, by_layer in sums.items()}
    return Importance(means["heads"], means["units"], torch.cat(means["layers"]))
