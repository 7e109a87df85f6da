"""Which floating-point format to compute in, decided by measuring.

A 16-bit format is not fast because it is short. On a processor without instructions for it,
products in bfloat16 are emulated and run a hundred times slower than in float32.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from functools import lru_cache

import torch

DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
WORTH_IT = 1.2


def matmul_seconds(dtype: torch.dtype, device: torch.device, size: int) -> float:
    """Seconds that one square matrix product takes: the best of three, after a warm-up."""
    a = torch.ones(size, size, device=device, dtype=dtype)
    synchronize = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    seconds = []
    for _ in range(4):
        synchronize()
        start = time.perf_counter()
        a @ a
        synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


@lru_cache
def fastest_precision(device: torch.device) -> str:
    """ "bf16", else "fp16" on a GPU, where clearly faster than "fp32" on this device.

    bfloat16 comes first: it has float32's range, so no loss scaling is needed. float16 without a
    GPU is never chosen.
    """
    size = 2048 if device.type == "cuda" else 256
    baseline = matmul_seconds(torch.float32, device, size)
    for name in ("bf16", "fp16") if device.type == "cuda" else ("bf16",):
        if baseline / matmul_seconds(DTYPES[name], device, size) > WORTH_IT:
            return name
    return "fp32"


def choose_precision(name: str, device: torch.device) -> str:
    """`name`, with "auto" replaced by what is fastest on `device`."""
    return fastest_precision(device) if name == "auto" else name


def autocast(name: str, device: torch.device):
    """A context in which matrix products run in the named precision."""
    dtype = DTYPES[name]
    return torch.autocast(device.type, dtype) if dtype else nullcontext()


def loss_scaler(name: str, device: torch.device) -> torch.amp.GradScaler:
    """Scales the loss so that float16 gradients do not vanish (Micikevicius et al., ICLR 2018,
    section 3.2); does nothing in the other precisions."""
    return torch.amp.GradScaler(device.type, enabled=name == "fp16")


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is the first GPU, or the CPU where there is none.

    Raises:
        ValueError: if the device is unknown or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device must be auto, cpu, cuda, cuda:N or mps, got {name!r}") from None
    present = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if not present.get(device.type, lambda: True)():
        raise ValueError(
            f"device {name!r} was asked for, but this machine has none: use 'auto' or 'cpu'")
    return device
