"""Which floating-point format to compute in, decided by measuring.

A 16-bit format is not fast because it is short. On a processor without instructions for it,
products in bfloat16 are emulated and run a hundred times slower than in float32. And where they are
fast, the rest of a step need not be: attention's backward pass may take back what they gain.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from statistics import median
from typing import NamedTuple

import torch
from torch import nn

from .layers import Attention, FeedForward
from .mode import evaluation_mode

DTYPES = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
GPUS = ("cuda", "mps", "xpu")
WORTH_IT = 1.2
SHAPES = {"cpu": (256, 32, 128, 4), "cuda": (1024, 64, 512, 8)}  # D, of a head, T, B



class Choice(NamedTuple):
    """A precision, and why it is this one.

    Attributes:
        name: "fp32", "tf32", "bf16" or "fp16".
        why: a few words.
    """

    name: str
    why: str


def matmul_seconds(name: str, device: torch.device, size: int) -> float:
    """Seconds that one square matrix product takes: the median of several, after a warm-up.

    The factors are random: a GPU needs less power for ones, and so runs at a higher clock.
    """
    generator = torch.Generator(device).manual_seed(0)
    a = torch.randn(size, size, device=device, generator=generator)
    a = a.to(DTYPES[name] or torch.float32)
    with products_in(name, device):
        return median_seconds(lambda: a @ a, device)


def layer_seconds(name: str, device: torch.device) -> float:
    """Seconds that both passes of one layer of an encoder take: the median of several."""
    hidden_size, head_size, length, batch = SHAPES["cuda" if device.type == "cuda" else "cpu"]
    with torch.random.fork_rng(devices=()):  # whoever asks keeps the random numbers to come
        attention = Attention(hidden_size, hidden_size // head_size, bias=True, dropout=0.0)
        layer = nn.ModuleList([attention, FeedForward(hidden_size, 4 * hidden_size)]).to(device)
        x = torch.randn(batch, length, hidden_size).to(device)
    mask = torch.ones(batch, 1, length, length, dtype=torch.bool, device=device)
    attention, feed_forward = layer

    def both_passes() -> None:
        with autocast(name, device):
            y = feed_forward(attention(x, mask))
        y.float().square().mean().backward()

    with torch.enable_grad(), products_in(name, device):
        return median_seconds(both_passes, device)


def median_seconds(call: Callable[[], object], device: torch.device) -> float:
    """Seconds that a call takes: the median of several, after a warm-up."""
    seconds = []
    for _ in range(1 + (20 if device.type == "cuda" else 5)):
        synchronise(device)
        start = time.perf_counter()
        call()
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])


def synchronise(device: torch.device) -> None:
    """Waits until a GPU has done what it was asked for; a CPU has."""
    if device.type in GPUS:
        torch.get_device_module(device).synchronize()


@lru_cache
def fastest_precision(device: torch.device) -> Choice:
    """ "bf16", else "fp16" or "tf32" on a GPU, where clearly faster than "fp32" on this device.

    Products must be, and both passes of a layer. Products are asked first: where they are emulated,
    a layer would take long. bfloat16 comes first: it has float32's range, so no loss scaling is
    needed. float16 without a GPU is never chosen.
    """
    size = 2048 if device.type == "cuda" else 256
    trials = {"products": lambda name: matmul_seconds(name, device, size),
              "layers": lambda name: layer_seconds(name, device)}
    seen = []
    for name in ("bf16", "fp16", "tf32") if device.type == "cuda" else ("bf16",):
        for what, seconds in trials.items():
            times = seconds("fp32") / seconds(name)
            seen.append(f"{name} {what} run at {times:.2g} times the speed of fp32 here")
            if times <= WORTH_IT:
                break
        else:
            return Choice(name, seen[-1])
    return Choice("fp32", "; ".join(seen))


def choose_precision(name: str | None, device: torch.device) -> Choice:
    """`name`, with "auto" replaced by what is fastest on `device`; None is "auto" on a GPU alone.

    Raises:
        ValueError: if tf32 is asked for where there is no NVIDIA GPU.
    """
    if name is None:
        name = "auto" if device.type in GPUS else "fp32"
    if name == "auto":
        return fastest_precision(device)
    if name == "tf32" and device.type != "cuda":
        raise ValueError("precision 'tf32' is a format of NVIDIA's matrix units, and the device is "
                         f"{str(device)!r}: use 'auto' or 'fp32'")
    return Choice(name, "asked for")


@contextmanager
def products_in(name: str, device: torch.device):
    """A context for both passes: whether float32 products on a GPU round their factors to tf32.

    Convolutions are products as well; torch has a setting of their own for them. Attention's are
    left to other kernels than cuDNN's, whose backward pass returns NaN for masked sequences of some
    lengths on an H100 (pytorch, issue 196678, of torch 2.13).
    """
    if device.type != "cuda":
        yield
        return
    settings = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [setting.fp32_precision for setting in settings]
    for setting in settings:
        setting.fp32_precision = "tf32" if name == "tf32" else "ieee"
    attention = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(attention)
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value


def autocast(name: str, device: torch.device):
    """A context for the forward pass: its matrix products run in the 16-bit format named."""
    dtype = DTYPES[name]
    return torch.autocast(device.type, dtype) if dtype else nullcontext()


@contextmanager
def answering(model: nn.Module):
    """A context in which a model only answers: dropout and the like are off.

    On a GPU products run in the fastest format there is, on a CPU in the model's own.
    """
    tensors = [*model.parameters(), *model.buffers()]
    there = tensors[0].device if tensors else torch.device("cpu")
    name = choose_precision(None, there).name
    with evaluation_mode(model), products_in(name, there), autocast(name, there):
        yield


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is the first GPU, also Apple's, or the CPU if there is none.

    Raises:
        ValueError: if the device is unknown or not there.
    """
    present = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if name == "auto":
        return torch.device(next((kind for kind, there in present.items() if there()), "cpu"))
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device must be auto, cpu, cuda, cuda:N or mps, got {name!r}") from None
    if not present.get(device.type, lambda: True)():
        raise ValueError(
            f"device {name!r} was asked for, but this machine has none: use 'auto' or 'cpu'")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise ValueError(f"device {name!r} was asked for, but the GPUs here, counted from 0, end "
                         f"at 'cuda:{last}': use one of these {last + 1}, or 'auto'")
    return device
