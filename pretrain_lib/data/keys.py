"""Randomness as a function: counter-based random numbers keyed by seed, epoch and sample.

A generator with a state must be saved, restored and shared among workers; a function of its key
needs none of that. The same key gives the same numbers in any worker, on any rank, after any
restart. The function is Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
easy as 1, 2, 3", SC 2011, section 3.3), the generator behind torch's CUDA random numbers.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import reduce
from operator import mul

import numpy as np
import torch
from torch import Tensor

MASK = np.uint64(0xFFFFFFFF)
SHIFT = np.uint64(32)
MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], dtype=np.uint64)
WEYL = np.array([0x9E3779B9, 0xBB67AE85], dtype=np.uint64)
ROUNDS = 10
GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)  # (√5 − 1) / 2, in units of 2^−64


def philox(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Philox4x32-10: four 32-bit counter words and two key words to four random words.

    Args:
        counter: (4, ...) uint64 holding 32-bit words.
        key: two 32-bit integers.

    Returns:
        (4, ...) uint64 holding 32-bit words.
    """
    even, odd = counter[0::2], counter[1::2]  # (2, ...) each
    shape = (2,) + (1,) * (counter.ndim - 1)
    multipliers, weyl = MULTIPLIERS.reshape(shape), WEYL.reshape(shape)
    k = np.array(key, dtype=np.uint64).reshape(shape)
    for _ in range(ROUNDS):
        product = (multipliers * even)[::-1]
        even, odd = (product >> SHIFT) ^ odd ^ k, product & MASK
        k = (k + weyl) & MASK
    return np.stack([even, odd], axis=1).reshape(counter.shape)


@dataclass(frozen=True)
class Keys:
    """The keys of a batch: which run, which epochs, which samples, and how far training has come.

    Every part has its own word of Philox's counter, so different keys never collide. `progress`
    is there for curricula (a masking rate that changes); it does not touch the random numbers.

    Attributes:
        seed: seed of the run, 0 to 2**32 - 1.
        epoch: (B,) int64, how often each sample has been seen before.
        sample: (B,) int64, index of each sample in its source.
        progress: fraction of the training that is done, 0 to 1.
        position: (B,) int64, place of each sample in the run, counted from its start: those of a
            batch are neighbours, however it is cut. None: as `sample`.

    Raises:
        ValueError: if the seed is out of range or `epoch` and `sample` differ in length.
    """

    seed: int
    epoch: np.ndarray
    sample: np.ndarray
    progress: float = 0.0
    position: np.ndarray | None = None

    def __post_init__(self):
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be between 0 and 2**32 - 1, got {self.seed}")
        if self.epoch.shape != self.sample.shape or self.sample.ndim != 1:
            raise ValueError(
                f"epoch {self.epoch.shape} and sample {self.sample.shape} must be vectors of one length"
            )

    @classmethod
    def of(cls, seed: int, samples, epoch: int = 0, progress: float = 0.0) -> Keys:
        """The keys of `samples`, a number of samples or a sequence of their ids, in one epoch."""
        ids = np.arange(samples) if isinstance(samples, int) else np.asarray(samples)
        ids = ids.astype(np.int64)
        return cls(seed, np.full_like(ids, epoch), ids, progress)

    def __len__(self) -> int:
        return len(self.sample)

    def bits(self, stream: str, n: int) -> np.ndarray:
        """n random 32-bit words for each key, as (B, n) uint64.

        Args:
            stream: name of the use, such as "mask"; different names give independent numbers.
            n: how many words each key gets.
        """
        blocks = -(-n // 4)
        sample = self.sample.astype(np.uint64)[:, None]
        counter = np.empty((4, len(self), blocks), dtype=np.uint64)
        counter[0] = np.arange(blocks)
        counter[1] = self.epoch[:, None]
        counter[2] = sample & MASK
        counter[3] = sample >> SHIFT
        words = philox(counter, (self.seed, zlib.crc32(stream.encode())))  # (4, B, blocks)
        return words.transpose(1, 2, 0).reshape(len(self), 4 * blocks)[:, :n]

    def uniform(self, stream: str, shape: tuple[int, ...] = ()) -> Tensor:
        """Uniform numbers in [0, 1) with 24 random bits, as (B, *shape) float32."""
        n = reduce(mul, shape, 1)
        values = (self.bits(stream, n) >> np.uint64(8)).astype(np.float32) * np.float32(2**-24)
        return torch.from_numpy(values).reshape(len(self), *shape)

    def spread(self, stream: str) -> Tensor:
        """One number in [0, 1) for each key, spread evenly over a batch, as (B,) float64.

        Neighbours in the run differ by the golden ratio, modulo 1: the numbers of any stretch of it
        cut [0, 1) into gaps of nearly one size (Knuth, "The Art of Computer Programming", volume 3,
        section 6.4). Each epoch begins elsewhere. A number alone is uniform; a batch holds small
        and large ones in equal parts, which independent ones need not.
        """
        place = self.sample if self.position is None else self.position
        begin = Keys(self.seed, self.epoch, np.zeros_like(self.sample)).uniform(stream).double()
        turns = (place.astype(np.uint64) * GOLDEN_RATIO >> np.uint64(11)) * 2.0**-53  # modulo 1
        return (begin + torch.from_numpy(turns)) % 1

    def normal(self, stream: str, shape: tuple[int, ...] = ()) -> Tensor:
        """Standard normal numbers by the Box-Muller transform, as (B, *shape) float32."""
        n = reduce(mul, shape, 1)
        half = -(-n // 2)
        radius, angle = self.uniform(stream, (2, half)).double().unbind(1)
        radius = torch.sqrt(-2 * torch.log1p(-radius))
        pairs = torch.cat([radius * torch.cos(2 * torch.pi * angle),
                           radius * torch.sin(2 * torch.pi * angle)], dim=1)  # (B, 2 * half)
        return pairs[:, :n].reshape(len(self), *shape).float()

    def permutation(self, stream: str, n: int) -> Tensor:
        """One random order of 0 … n-1 for each key, as (B, n) int64."""
        return torch.from_numpy(np.argsort(self.bits(stream, n), axis=1, kind="stable"))
