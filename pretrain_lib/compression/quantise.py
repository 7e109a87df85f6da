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
import time
from functools import cache
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGEST = 127
EXACT = 2**24 // LARGEST**2  # so many products of two are added up exactly in float32
SIGNED, UNSIGNED = 0, 128  # zero points: what is added to activations before they are multiplied
HOPELESS, WORTH_IT = 0.1, 1.2  # times the speed of floats
ROUNDS, MOST_ROWS = 5, 256  # of timing


def rounded(x: Tensor) -> tuple[Tensor, Tensor]:
    """The whole numbers of `quantise_rows`, still of the type of x, and the scales."""
    scale = x.abs().amax(-1, keepdim=True).div_(LARGEST)
    scale.masked_fill_(scale == 0, 1.0)
    return (x / scale).round_(), scale


def quantise_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rounds each row to whole numbers of its own scale.

    Args:
        x: (…, N), finite.

    Returns:
        q (…, N) int8 from −127 to 127 and the scales (…, 1), such that q · scale is nearly x: off
        by at most half a scale. A row of zeros has scale 1.
    """
    q, scale = rounded(x)
    return q.to(torch.int8), scale


def meant(int8: Tensor, scale: Tensor) -> Tensor:
    """The numbers that whole numbers (…, N) and their scales (…, 1) stand for.

    A product of int8 and floats is several times slower than one of floats, casting included.
    """
    return int8.to(scale.dtype).mul_(scale)


class Int8Linear(nn.Module):
    """A linear layer that computes in int8, for inference: x W ᵀ + b. It passes no gradient back.

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
        return meant(self.int8, self.scale)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled(x.device.type):  # half precision cannot hold the sums
            with torch.autocast(x.device.type, enabled=False):
                return self(x)
        q, scale = rounded(x.detach())  # (…, K), (…, 1)
        y = self.product(q).mul_(scale)  # (…, N)
        return (y if self.bias is None else y.add_(self.bias)).to(x.dtype)

    def product(self, q: Tensor) -> Tensor:
        """q W ᵀ for whole q, (…, K), times the scales of W, in float32 or better."""
        q = q.to(torch.promote_types(q.dtype, torch.float32))
        scale, zero_point = self.scale[:, 0].to(q.dtype), chosen_for(q, self.out_features)
        if zero_point is None:
            return in_floats(q, self.int8, scale)
        if self.packed is None:
            self.packed = pack(self.int8)
        return kernel(q, self.packed, scale, zero_point)

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
        return meant(self.int8, self.scale)

    def forward(self, ids: Tensor) -> Tensor:
        return meant(self.int8[ids], self.scale[ids])  # (…, D)


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


# ------------------------------------------------------------------------- which product to use


def in_floats(q: Tensor, int8: Tensor, scale: Tensor) -> Tensor:
    """q W ᵀ, times one scale a column, by products of floats short enough to be exact.

    Args:
        q: (…, K) whole numbers in float32 or float64.
        int8: (N, K) whole weights.
        scale: (N,).
    """
    if q.shape[-1] <= EXACT:
        return F.linear(q, int8.to(q.dtype)).mul_(scale)
    pieces = zip(q.split(EXACT, -1), int8.split(EXACT, -1), strict=True)
    sums = sum(F.linear(a, b.to(a.dtype)).long() for a, b in pieces)
    return sums.to(q.dtype).mul_(scale)


def pack(int8: Tensor) -> Tensor:
    """Weights (N, K) in the order in which oneDNN reads them."""
    return torch.ops.onednn.qlinear_prepack(int8, None)


def kernel(q: Tensor, packed: Tensor, scale: Tensor, zero_point: int) -> Tensor:
    """The same by oneDNN's product of int8 matrices, from packed weights.

    It is told of the zero point, and takes off again what that adds.
    """
    shifted = (q + zero_point).to(torch.uint8) if zero_point else q.to(torch.int8)
    zeros = torch.zeros(len(scale), dtype=torch.int32)
    return torch.ops.onednn.qlinear_pointwise(shifted, 1.0, zero_point, packed, scale, zeros, None,
                                              1.0, 0, torch.float32, "none", [], "")


def chosen_for(q: Tensor, outputs: int) -> int | None:
    """What `fastest` says of the product of q, (…, K), with N rows of weights.

    The number of rows is rounded up to a power of two, and more than `MOST_ROWS` are as good as so
    many. A graph that is traced, to be compiled or exported, is not for this processor: it gets
    products of floats, as other devices do.
    """
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return None
    if q.device.type != "cpu" or q.dtype != torch.float32 or not q.numel():
        return None
    rows = min(MOST_ROWS, 1 << (q.numel() // q.shape[-1] - 1).bit_length())
    return fastest(rows, outputs, q.shape[-1], torch.get_num_threads())


@cache
def fastest(rows: int, outputs: int, inputs: int, threads: int) -> int | None:
    """The zero point of the kernel that is exact and clearly faster than floats at this shape.

    All give the same numbers, so what is chosen changes the time and nothing else.

    Args:
        rows: of activations.
        outputs: N.
        inputs: K.
        threads: how many torch computes with; the times depend on it.

    Returns:
        `SIGNED`, `UNSIGNED`, or None: floats.
    """
    times = {zero_point: times_as_fast(zero_point, rows, outputs, inputs)
             for zero_point in usable_kernels()}
    best = max(times, key=times.get, default=None)
    return best if times.get(best, 0) > WORTH_IT else None


@cache
def usable_kernels() -> list[int]:
    """Zero points of the kernels that are exact on this processor, and not hopelessly slow.

    That there is a kernel says neither. Not every torch has it. Older processors add pairs of
    products in 16 bits, which overflow. And where only unsigned numbers have an instruction, signed
    ones are multiplied one by one, hundreds of times slower than floats. So both are tried out, on
    a product so small that even that is over soon.
    """
    return [zero_point for zero_point in (UNSIGNED, SIGNED)
            if times_as_fast(zero_point, rows=32, outputs=256, inputs=256) > HOPELESS]


@torch.no_grad()
def times_as_fast(zero_point: int, rows: int, outputs: int, inputs: int) -> float:
    """How many times as fast as floats a kernel is, timed in turns; 0 where it is not exact."""
    q, scale = extremes(rows, inputs), torch.ones(outputs)
    int8 = extremes(outputs, inputs).to(torch.int8)
    try:
        packed = pack(int8)
        found = kernel(q, packed, scale, zero_point)
    except (AttributeError, RuntimeError):
        return 0.0
    if not torch.equal(found, in_floats(q, int8, scale)):
        return 0.0
    return median(seconds(in_floats, q, int8, scale) / seconds(kernel, q, packed, scale, zero_point)
                  for _ in range(ROUNDS))


def seconds(product, *arguments) -> float:
    start = time.perf_counter()
    product(*arguments)
    return time.perf_counter() - start


def extremes(rows: int, columns: int) -> Tensor:
    """Whole numbers of any size, the largest in the first row and the smallest in the second."""
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randint(-LARGEST, LARGEST + 1, (rows, columns), generator=generator).float()
    numbers[:1], numbers[1:2] = LARGEST, -LARGEST
    return numbers
