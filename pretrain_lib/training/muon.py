"""Muon: updates of matrices whose singular values are all made equal.

A gradient of a matrix is mostly a few strong directions; the rare ones, along which a language
model has much to learn, hardly move. Muon keeps the directions of the averaged gradient and forgets
how strong each was (Jordan et al., "Muon: An optimizer for hidden layers in neural networks",
2024). Everything that is not a matrix between layers is trained by AdamW. Where weights are sharded,
each rank puts together the whole matrix, and keeps its rows of the update.
"""

from __future__ import annotations

import math
from collections import defaultdict

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from .distributed import sharded_like, unsharded

MOMENTUM = 0.95
ITERATIONS = 5
# x ← a x + b x³ + c x⁵ takes every singular value in (0, 1] to about 1 (ibid.).
A, B, C = 3.4445, -4.7750, 2.0315
LIKE_ADAMW = 0.2


def orthogonalise(matrices: Tensor) -> Tensor:
    """Matrices with the same singular vectors and all singular values near 1, by Newton–Schulz.

    Args:
        matrices: (N, n, m); the work is in their own precision. bfloat16 does as well where it is
            fast, and is a hundred times slower than float32 where it is not.

    Returns:
        (N, n, m); each about U Vᵀ where the argument was U S Vᵀ. Five iterations bring singular
        values that are not tiny to between 0.7 and 1.2, which is as good as 1 for an update.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)  # singular values in [0, 1]
    for _ in range(ITERATIONS):
        square = x @ x.transpose(1, 2)  # (N, n, n)
        x = A * x + (B * square + C * square @ square) @ x
    return x.transpose(1, 2) if tall else x


class Muon(torch.optim.Optimizer):
    """Muon for the matrices between layers, AdamW for embeddings, gains and biases.

    The update of an n × m matrix is scaled by 0.2 √max(n, m), which gives its entries the size that
    AdamW's have, so both kinds share one learning rate (Liu et al., "Muon is scalable for LLM
    training", 2025, section 2.2). A weight that holds several matrices, as those of queries, keys
    and values, is taken apart first: its module says how many in `stacked`.

    Args:
        module: what is trained.
        lr: learning rate.
        betas: AdamW's decay rates.
        eps: AdamW's term against division by zero.
        weight_decay: decoupled decay of everything with two axes.

    Attributes:
        low_precision: whether to make singular values equal in bfloat16; off at first.
    """

    def __init__(self, module: nn.Module, lr: float, betas: tuple[float, float], eps: float,
                 weight_decay: float):
        self.low_precision = False
        between = {layer.weight: getattr(layer, "stacked", 1) for layer in module.modules()
                   if isinstance(layer, nn.Linear) and layer.weight.requires_grad}
        others = [p for p in module.parameters() if p.requires_grad and p not in between]
        adamw = {"betas": tuple(betas), "eps": eps}
        groups = [{"params": [w for w in between if between[w] == stacked], "stacked": stacked,
                   "weight_decay": weight_decay} for stacked in sorted(set(between.values()))]
        groups += [{"params": [p for p in others if p.ndim >= 2], "weight_decay": weight_decay,
                    **adamw},
                   {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0, **adamw}]
        fused = all(p.device.type in ("cpu", "cuda") for p in module.parameters())
        groups = [group for group in groups if group["params"]]
        super().__init__(groups, {"lr": lr, "fused": fused})

    @torch.no_grad()
    def step(self) -> None:
        """One update from the gradients at hand."""
        for group in self.param_groups:
            trained = [p for p in group["params"] if p.grad is not None]
            if "stacked" in group:
                self._muon(trained, group)
            elif trained:
                self._adamw(trained, group)

    def _muon(self, weights: list[Tensor], group: dict) -> None:
        by_shape = defaultdict(list)  # matrices of one shape are worked on together
        for weight in weights:
            state = self.state[weight]
            if not state:
                state["momentum"] = torch.zeros_like(weight)
            state["momentum"].mul_(MOMENTUM).add_(weight.grad)
            ahead = weight.grad + MOMENTUM * state["momentum"]  # Nesterov's
            by_shape[weight.shape].append((weight, unsharded(ahead)))
        for (rows, columns), same in by_shape.items():
            n = rows // group["stacked"]
            matrices = torch.stack([ahead for _, ahead in same]).view(-1, n, columns)
            if self.low_precision:
                matrices = matrices.bfloat16()
            updates = orthogonalise(matrices).view(len(same), rows, columns)
            size = LIKE_ADAMW * math.sqrt(max(n, columns))
            for (weight, _), update in zip(same, updates, strict=True):
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                update = sharded_like(update.to(weight.dtype), weight)
                weight.add_(update, alpha=-group["lr"] * size)

    def _adamw(self, parameters: list[Tensor], group: dict) -> None:
        for p in parameters:
            if not self.state[p]:
                self.state[p].update(step=torch.zeros((), dtype=torch.float32, device=p.device),
                                     exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p))
        states = [self.state[p] for p in parameters]
        adamw(parameters, [p.grad for p in parameters], [s["exp_avg"] for s in states],
              [s["exp_avg_sq"] for s in states], [], [s["step"] for s in states],
              fused=group["fused"], amsgrad=False,
              beta1=group["betas"][0], beta2=group["betas"][1], lr=group["lr"],
              weight_decay=group["weight_decay"], eps=group["eps"], maximize=False)
