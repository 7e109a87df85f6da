"""The matrix products of a step, alone: what no implementation of the same model can do without."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")


class Products(TorchDispatchMode):
    """Notes the factors' shapes of every matrix product that runs inside it, forwards and back.

    Attention kernels are noted as the products they stand for: scores and values going forwards;
    going back the scores once more, and the gradients of values, weights, queries and keys.

    Attributes:
        shapes: pairs of shapes, (n, k) by (k, m), with a leading batch where there is one.
    """

    def __init__(self):
        super().__init__()
        self.shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        name = function.overloadpacket.__name__
        if name in PRODUCTS:
            left, right = [a for a in arguments if isinstance(a, Tensor)][-2:]
            self.shapes.append((tuple(left.shape), tuple(right.shape)))
        elif "scaled_dot_product" in name:
            backward = "backward" in name
            query, key = arguments[1:3] if backward else arguments[:2]
            self.shapes += attention_products(query.shape, key.shape, backward)
        return function(*arguments, **(keywords or {}))

    @property
    def flops(self) -> int:
        """Multiplications and additions of all products."""
        return sum(2 * torch.Size(left).numel() * right[-1] for left, right in self.shapes)


def attention_products(query: torch.Size, key: torch.Size, backward: bool) -> list:
    """The products of one attention over (B, H, T, E)."""
    batch, t, s, e = query[0] * query[1], query[2], key[2], query[3]
    scores = ((batch, t, e), (batch, e, s))
    mixed = ((batch, t, s), (batch, s, e))
    if not backward:
        return [scores, mixed]
    by_keys = ((batch, s, t), (batch, t, e))
    return [scores, by_keys, scores, mixed, by_keys]


def alone(shapes: list, dtype: torch.dtype = torch.float32,
          device: torch.device | str = "cpu") -> Callable[[], None]:
    """A function that does the products of these shapes and nothing else."""
    pairs = [(torch.randn(left, dtype=dtype, device=device),
              torch.randn(right, dtype=dtype, device=device)) for left, right in shapes]

    def multiply() -> None:
        for left, right in pairs:
            left @ right

    return multiply
