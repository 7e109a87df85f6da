"""Quantisation after training: weights and activations as whole numbers from −127 to 127.

A row of weights w, the weights of one output, becomes q = round(w / s) with s = max |w| / 127, and
is read as s · q. So no weight is off by more than s / 2, and zero stays zero. Activations are
quantised alike when they come, with one scale a token, so that what a text gets does not depend on
its neighbours in a batch. A product of whole numbers is exact; both scales follow it. Jacob
et al., "Quantization and training of neural networks for efficient integer-arithmetic-only
inference", CVPR 2018, section 2.1, have one scale for a whole array, and an offset; we have none.
"""

from __future__ import annotations

import copy
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGEST = 127


def quantise_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rounds each row to whole numbers of its own scale.

    Args:
        x: (…, N), finite.

    Returns:
        q (…, N) int8 from −127 to 127 and the scales (…, 1), such that q · scale is nearly x: off
        by at most half a scale. A row of zeros has scale 1.
    """
    scale = x.abs().amax(-1, keepdim=True) / LARGEST
    scale = torch.where(scale > 0, scale, 1.0)
    return (x / scale).round_().to(torch.int8), scale


class Int8Linear(nn.Module):
    """A linear layer that computes in int8, for inference: x W ᵀ + b.

    Args:
        int8: (N, K) whole weights.
        scale: (N, 1) their scales.
        bias: (N,), or None.
    """

    def __init__(self, int8: Tensor, scale: Tensor, bias: Tensor | None):
        super().__init__()
        self.register_buffer("int8", int8)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)
        self.out_features, self.in_features = int8.shape
        self.packed = None
        self.register_load_state_dict_post_hook(forget_packed)

    @classmethod
    def of(cls, linear: nn.Linear) -> Int8Linear:
        """The layer, quantised."""
        bias = None if linear.bias is None else linear.bias.detach().clone()
        return cls(*quantise_rows(linear.weight.detach()), bias)

    @property
    def weight(self) -> Tensor:
        """(N, K) the weights that the whole numbers stand for."""
        return self.int8 * self.scale

    def forward(self, x: Tensor) -> Tensor:
        q, scale = quantise_rows(x)  # (…, K), (…, 1)
        y = self.product(q, x.dtype).mul_(scale)  # (…, N)
        return (y if self.bias is None else y.add_(self.bias)).to(x.dtype)

    def product(self, q: Tensor, dtype: torch.dtype) -> Tensor:
        """q W ᵀ for whole q, (…, K), times the scales of W: by a sound kernel for int8, if any.

        It is in float32 or better, for half precision cannot hold the sums.
        """
        if q.device.type != "cpu" or dtype != torch.float32 or not has_kernel():
            precise = torch.promote_types(dtype, torch.float32)
            exact = torch.float64 if self.in_features > 2**24 // LARGEST**2 else precise
            return F.linear(q.to(exact), self.int8.to(exact)).to(precise) * self.scale[:, 0]
        if self.packed is None:
            self.packed = torch.ops.onednn.qlinear_prepack(self.int8, None)
        return kernel(q, self.packed, self.scale[:, 0])

    def __deepcopy__(self, memo: dict) -> Int8Linear:
        return Int8Linear(*(None if t is None else t.clone()
                            for t in (self.int8, self.scale, self.bias)))


def forget_packed(layer: Int8Linear, keys) -> None:
    """Drops the packed weights once others were loaded; they are packed anew when needed."""
    layer.packed = None


class Int8Embedding(nn.Module):
    """Vectors looked up as whole numbers, each with its scale.

    Args:
        int8: (V, D).
        scale: (V, 1).
    """

    def __init__(self, int8: Tensor, scale: Tensor):
        super().__init__()
        self.register_buffer("int8", int8)
        self.register_buffer("scale", scale)

    @classmethod
    def of(cls, embedding: nn.Embedding) -> Int8Embedding:
        """The table, quantised."""
        return cls(*quantise_rows(embedding.weight.detach()))

    @property
    def weight(self) -> Tensor:
        """(V, D) the vectors that the whole numbers stand for: what a tied output multiplies by."""
        return self.int8 * self.scale

    def forward(self, ids: Tensor) -> Tensor:
        return self.int8[ids] * self.scale[ids]  # (…, D)


def quantize(model: nn.Module) -> nn.Module:
    """A copy of a model whose linear layers and embeddings are int8; the model stays as it is.

    Normalisations, biases and attention's softmax stay as they are. The copy is for inference, in
    evaluation mode. `saved.save_compressed` keeps it, in about a quarter of the bytes.

    Args:
        model: any module made of `nn.Linear` and `nn.Embedding`.
    """
    small = copy.deepcopy(model).eval()
    for name, part in list(small.named_modules()):
        kind = {nn.Linear: Int8Linear, nn.Embedding: Int8Embedding}.get(type(part))
        if kind is not None:
            small.set_submodule(name, kind.of(part))
    return small


def kernel(q: Tensor, packed: Tensor, scale: Tensor) -> Tensor:
    """oneDNN's product of int8 matrices, (…, K) and packed (N, K), times one scale a column."""
    zeros = torch.zeros(len(scale), dtype=torch.int32)
    return torch.ops.onednn.qlinear_pointwise(q, 1.0, 0, packed, scale, zeros, None, 1.0, 0,
                                              torch.float32, "none", [], "")


@cache
def has_kernel() -> bool:
    """Whether this processor multiplies int8 matrices exactly.

    Not every torch has the kernel, and older processors add pairs of products in 16 bits, which
    overflow. So it is tried out on the largest numbers there are.
    """
    q = torch.full((4, 64), LARGEST, dtype=torch.int8)
    try:
        packed = torch.ops.onednn.qlinear_prepack(q, None)
        found = kernel(q, packed, torch.ones(4))
    except (AttributeError, RuntimeError):
        return False
    return bool((found == 64 * LARGEST**2).all())
