"""Sound in files: read as numbers from −1 to 1 in one channel, and written as 16-bit .wav.

A .wav of whole numbers is read by the standard library; .flac, .ogg and a .wav of another kind by
soundfile, where it is installed.
"""

from __future__ import annotations

import io
import sys
import wave
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

SUFFIXES = (".wav", ".flac", ".ogg")


def read_wave(path: str | Path, data: bytes | None = None) -> tuple[Tensor, int]:
    """A sound file as samples and their rate.

    Several channels become one, their mean. 8-bit samples are unsigned, as in every .wav.

    Args:
        path: of a .wav, .flac or .ogg; with `data`, what to call it in errors.
        data: the file's bytes, where they are not on the disk.

    Returns:
        (samples,) float32 between −1 and 1, and how many of them are a second.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no sound, holds none, or is cut short, naming the file.
        ModuleNotFoundError: if soundfile is needed and not installed, with what to install.
    """
    path = Path(path)
    if data is None:
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        data = path.read_bytes()
    samples, rate = read_pcm(path, data) or read_with_soundfile(path, data)  # (S, channels)
    if not len(samples):
        raise ValueError(f"{path} holds no sound: it has 0 samples")
    if not samples.isfinite().all():
        raise ValueError(f"{path} holds samples that are no finite numbers")
    return samples.mean(1), rate


def read_pcm(path: Path, data: bytes) -> tuple[Tensor, int] | None:
    """A .wav of whole numbers by the standard library; None for what it cannot read.

    Raises:
        ValueError: if there are fewer samples than the file says.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            shape, width, rate = (file.getnframes(), file.getnchannels()), *file.getparams()[1:3]
            samples = file.readframes(shape[0])
    except (wave.Error, EOFError):
        return None
    if len(samples) != shape[0] * shape[1] * width:
        raise ValueError(f"{path} is cut short: it says {shape[0]} samples and holds "
                         f"{len(samples) // (shape[1] * width)}")
    return from_bytes(samples, width).reshape(shape), rate


def from_bytes(samples: bytes, width: int) -> Tensor:
    """Little-endian whole numbers of `width` bytes as float32 between −1 and 1."""
    octets = torch.from_numpy(np.frombuffer(samples, np.uint8).reshape(-1, width).astype(np.int64))
    if width == 1:
        return ((octets[:, 0] - 128) / 128).float()
    number = sum(octets[:, i] << 8 * i for i in range(width))
    half = 1 << 8 * width - 1
    return (((number + half) % (2 * half) - half).double() / half).float()


def read_with_soundfile(path: Path, data: bytes) -> tuple[Tensor, int]:
    """Whatever libsndfile reads, as (S, channels) and its rate.

    Raises:
        ValueError: if it reads nothing.
        ModuleNotFoundError: if soundfile is not installed.
    """
    try:
        import soundfile
    except (ModuleNotFoundError, OSError):  # the second where it finds no libsndfile
        raise ModuleNotFoundError(
            f"{path} is no .wav of whole numbers and needs soundfile, which is not installed: pip "
            "install soundfile") from None
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        reason = " ".join(str(error.error_string).split())
        raise ValueError(f"{path} cannot be read as sound: {reason}") from None
    return torch.from_numpy(samples), rate


def write_wave(path: str | Path, samples: Tensor, rate: int) -> None:
    """Writes samples as a 16-bit .wav of one channel.

    Args:
        path: of the file.
        samples: (S,) between −1 and 1; what is beyond is cut off.
        rate: how many samples are a second.

    Raises:
        ValueError: if the samples are not one channel of finite numbers.
    """
    if samples.ndim != 1 or not len(samples) or not samples.isfinite().all():
        raise ValueError(f"samples must be (S,) finite numbers, at least one, to be {path}, got "
                         f"{tuple(samples.shape)}")
    numbers = to_int16(samples).numpy()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((numbers if sys.byteorder == "little" else numbers.byteswap()).tobytes())


def to_int16(samples: Tensor) -> Tensor:
    """Samples between −1 and 1 as 16-bit whole numbers."""
    return (samples * 32768).round().clamp(-32768, 32767).to(torch.int16)
