"""Plain data between a notebook that is not trusted and its grader: JSON, one message a line.

Whoever reads such a line gets numbers, texts, tensors and containers of them: nothing that runs.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from math import prod
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

LONGEST = 64 * 2**20  # bytes of a line
ONCE = (range, type({}.keys()), type({}.values()), type({}.items()))  # handed over as lists
CONTAINERS = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}


class NotPlain(TypeError):
    """A value that is no plain data."""


def encode(value: Any) -> Any:
    """A value as JSON can say it.

    Raises:
        NotPlain: if it holds anything but numbers, texts, tensors, arrays and containers of them.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value.item() if isinstance(value, np.generic) else value
    if value is Ellipsis:
        return {"kind": "blank"}
    if isinstance(value, Tensor) and value.layout == torch.strided:
        flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        data = b64encode(flat.numpy().tobytes()).decode()
        dtype = str(value.dtype).removeprefix("torch.")
        return {"kind": "tensor", "dtype": dtype, "shape": list(value.shape), "data": data}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufc":
        return {"kind": "array", "data": encode(torch.from_numpy(np.array(value)))}
    if isinstance(value, complex):
        return {"kind": "complex", "parts": [value.real, value.imag]}
    if isinstance(value, bytes):
        return {"kind": "bytes", "data": b64encode(value).decode()}
    if isinstance(value, dict):
        return {"kind": "dict", "parts": [[encode(k), encode(v)] for k, v in value.items()]}
    for kind, container in CONTAINERS.items():
        if isinstance(value, container):
            return {"kind": kind, "parts": [encode(part) for part in value]}
    if isinstance(value, ONCE) or hasattr(value, "__next__"):
        return encode(list(value))
    raise NotPlain(f"a {type(value).__name__} cannot be handed to the grader: return numbers, "
                   "tensors, texts, or lists, tuples, sets and dictionaries of them")


def decode(said: Any) -> Any:
    """The value that `encode` was given.

    Raises:
        ValueError, KeyError, TypeError: if the message is none of its kind.
    """
    if not isinstance(said, dict):
        if isinstance(said, list):
            raise ValueError("a list without its kind")
        return said
    kind = said["kind"]
    if kind == "blank":
        return ...
    if kind == "tensor":
        return decode_tensor(said["dtype"], said["shape"], b64decode(said["data"], validate=True))
    if kind == "array":
        return decode(said["data"]).numpy()
    if kind == "complex":
        return complex(*map(float, said["parts"]))
    if kind == "bytes":
        return b64decode(said["data"], validate=True)
    if kind == "dict":
        return {decode(key): decode(value) for key, value in said["parts"]}
    return CONTAINERS[kind](decode(part) for part in said["parts"])


def decode_tensor(dtype: str, shape: list[int], data: bytes) -> Tensor:
    """A tensor from its bytes, which must be as many as its shape takes."""
    kind = getattr(torch, dtype, None)
    sizes = all(type(size) is int and size >= 0 for size in shape)
    if not isinstance(kind, torch.dtype) or not sizes or prod(shape) * kind.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes are no {dtype} tensor of shape {shape}")
    if not data:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(bytearray(data), dtype=kind).reshape(shape)


def send(line: BinaryIO, message: dict) -> None:
    line.write(json.dumps(message).encode() + b"\n")
    line.flush()


def receive(line: BinaryIO) -> dict:
    """The next message.

    Raises:
        EOFError: if the other side has ended.
        ValueError: if what came is no message.
    """
    text = line.readline(LONGEST)
    if not text:
        raise EOFError
    message = json.loads(text)  # a line that was cut short is no JSON
    if not isinstance(message, dict):
        raise ValueError("a message is a dictionary")
    return message
