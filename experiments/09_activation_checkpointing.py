"""What the backward pass keeps, with and without activation checkpoints: 512 numbers wide, against depth and against segments."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable
from itertools import pairwise
from statistics import mean, median

import torch
from torch import Tensor, nn

from pretrain_lib import ModernBertConfig
from pretrain_lib.models.layers import rotation
from pretrain_lib.models.modern import ModernBertLayer

TITLE = "Bytes kept for the backward pass, and seconds, by depth and by number of segments (after Chen et al. 2016)"

PREDICTION = """(Written before anything of it was measured.) A stack of L transformer blocks, 512 wide, is cut into k segments; each keeps its
input alone, and computes the rest again when the backward pass comes to it. What is kept at most, at any time, is then k inputs (of b
bytes each) and the inside of one segment, L/k blocks of a bytes each: m(k) = k b + (L/k) a, smallest at k* = √(L a/b); for blocks that
keep nothing but their input, a = b, that is √L (Chen et al. 2016, section 4). 1. A block keeps more than 10 times the bytes of its
input. 2. Without checkpoints the bytes grow by the same amount with every block: the line through the first and the last depth
meets the others within 2 %. 3. With one segment a block they grow too, but less than a tenth as fast. 4. At 12 blocks, m(k) with the a and b
of a single block meets the measured peak within 10 %, for every number of segments. 5. As a/b is larger than L, k* is larger than L: at
12 blocks the most segments keep least, and not √12. 6. A step takes 1.2 to 1.5 times as long: one more forward pass, a third of the
arithmetic. 7. The gradients are the same, bit for bit."""

SEEDS = (70, 71, 72)
DEPTHS = (2, 4, 8, 12)
SEGMENTS = (1, 2, 3, 4, 6, 12)
SHAPE = {"hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8}
BATCH, LENGTH = 4, 128


class Kept:
    """Counts the bytes that autograd keeps: now, and at most. A tensor kept twice counts once, weights not at all.

    Attributes:
        now: bytes that are kept at this moment.
        peak: the most there were.
    """

    def __init__(self, weights: list[Tensor]):
        self.weights = {weight.untyped_storage().data_ptr() for weight in weights}
        self.users: dict[int, int] = {}
        self.now = self.peak = 0

    def __enter__(self) -> Kept:
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.keep, lambda kept: kept.tensor)
        self.hooks.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self.hooks.__exit__(*error)

    def keep(self, tensor: Tensor) -> Handle:
        handle, storage = Handle(tensor.detach()), tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place not in self.weights:
            if not self.users.get(place):
                self.now += size
                self.peak = max(self.peak, self.now)
            self.users[place] = self.users.get(place, 0) + 1
            weakref.finalize(handle, self.forget, place, size)
        return handle

    def forget(self, place: int, size: int) -> None:
        self.users[place] -= 1
        if not self.users[place]:
            self.now -= size


class Handle:
    """What autograd holds in place of a tensor; it is gone when the tensor is no longer needed."""

    def __init__(self, tensor: Tensor):
        self.tensor = tensor


class Checkpoint(torch.autograd.Function):
    """Calls a function, keeps its input alone, and calls it again going back."""

    @staticmethod
    def forward(context, x: Tensor, segment: Callable[[Tensor], Tensor]) -> Tensor:
        context.segment = segment
        context.save_for_backward(x)
        return segment(x)

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, None]:
        x = context.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            context.segment(x).backward(gradient)
        return x.grad, None


class Stack(nn.Module):
    """Transformer blocks, in `segments` pieces that are computed twice; none is with 0."""

    def __init__(self, depth: int, segments: int, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        config = ModernBertConfig(vocab_size=8, num_hidden_layers=depth, max_position_embeddings=LENGTH, **SHAPE)
        self.layers = nn.ModuleList(ModernBertLayer(config, 1) for _ in range(depth))
        head_size = SHAPE["hidden_size"] // SHAPE["num_attention_heads"]
        self.turned = rotation(torch.arange(LENGTH)[None], head_size, 10_000.0, torch.float32)
        self.segments = segments

    def piece(self, first: int, last: int) -> Callable[[Tensor], Tensor]:
        def run(x: Tensor) -> Tensor:
            for layer in self.layers[first:last]:
                x = layer(x, None, self.turned)
            return x

        return run

    def forward(self, x: Tensor) -> Tensor:
        depth = len(self.layers)
        if not self.segments:
            return self.piece(0, depth)(x)
        bounds = [round(depth * i / self.segments) for i in range(self.segments + 1)]
        for first, last in pairwise(bounds):
            x = Checkpoint.apply(x, self.piece(first, last))
        return x


def step(stack: Stack, seed: int) -> float:
    """Seconds of a forward and backward pass; gradients are left in the weights."""
    x = torch.randn(BATCH, LENGTH, SHAPE["hidden_size"], generator=torch.Generator().manual_seed(seed)).requires_grad_()
    stack.zero_grad(set_to_none=True)
    start = time.perf_counter()
    stack(x).square().mean().backward()
    return time.perf_counter() - start


def kept_bytes(depth: int, segments: int, seed: int) -> int:
    """The most bytes that are kept at any time of a step."""
    stack = Stack(depth, segments, seed)
    constant = [*stack.parameters(), *stack.turned]
    with Kept(constant) as kept:
        step(stack, seed)
    return kept.peak


def compare(depth: int, seed: int, rounds: int) -> tuple[float, bool]:
    """How many times longer a step takes with a segment for each block, and whether its gradients are the same bits."""
    plain, twice = Stack(depth, 0, seed), Stack(depth, depth, seed)
    ratios = []
    for _ in range(rounds + 1):
        seconds = step(plain, seed)
        ratios.append(step(twice, seed) / seconds)
    same = all(torch.equal(a.grad, b.grad) for a, b in zip(plain.parameters(), twice.parameters()))
    return median(ratios[1:]), same


def run(scale: str) -> dict:
    """Bytes [depth] without and with checkpoints, bytes [segments] at the largest depth; times and equality [seed]."""
    small = scale == "smoke"
    depths, seeds, rounds = (DEPTHS[:2], SEEDS[:1], 1) if small else (DEPTHS, SEEDS, 5)
    deepest = depths[-1]
    segments = [k for k in SEGMENTS if k <= deepest and deepest % k == 0]
    compared = [compare(deepest, seed, rounds) for seed in seeds]
    return {
        "shape": SHAPE, "batch": BATCH, "length": LENGTH, "depths": list(depths), "segments": segments,
        "input": BATCH * LENGTH * SHAPE["hidden_size"] * 4,
        "block": kept_bytes(1, 0, seeds[0]),
        "plain": [kept_bytes(depth, 0, seeds[0]) for depth in depths],
        "each block": [kept_bytes(depth, depth, seeds[0]) for depth in depths],
        "by segments": [kept_bytes(deepest, k, seeds[0]) for k in segments],
        "time ratio": [ratio for ratio, _ in compared], "same bits": [same for _, same in compared],
    }


def predicted_peak(measured: dict, segments: int) -> float:
    """m(k) = k b + (L/k) a, in bytes."""
    return segments * measured["input"] + measured["depths"][-1] / segments * measured["block"]


def verdict(measured: dict) -> str:
    """What came out, in a sentence or two."""
    depths, plain, each = measured["depths"], measured["plain"], measured["each block"]
    inside = measured["block"] / measured["input"]
    slope = (plain[-1] - plain[0]) / (depths[-1] - depths[0])
    off = max(abs(bytes_ / (plain[0] + slope * (depth - depths[0])) - 1) for depth, bytes_ in zip(depths, plain))
    slower = slope * (depths[-1] - depths[0]) / (each[-1] - each[0])
    peaks = dict(zip(measured["segments"], measured["by segments"]))
    worst = max(abs(predicted_peak(measured, k) / peak - 1) for k, peak in peaks.items())
    best = min(peaks, key=peaks.get)
    ratio = mean(measured["time ratio"])

    def says(held: bool) -> str:
        return "held" if held else "failed"

    return (
        f"1. A block keeps {inside:.1f} times its input, {says(inside > 10)}. 2. Off the line by at most {off:.1%}, {says(off < 0.02)}. "
        f"3. With checkpoints bytes grow {slower:.0f} times slower, {says(slower > 10)}. 4. m(k) is off by at most {worst:.0%}, "
        f"{says(worst < 0.1)}. 5. k* = {math.sqrt(depths[-1] * inside):.0f} at {depths[-1]} blocks; {best} segments keep least, "
        f"{says(best == depths[-1])}. 6. A step takes {ratio:.2f} times as long, {says(1.2 <= ratio <= 1.5)}. "
        f"7. The same bits: {says(all(measured['same bits']))}."
    )
