"""Batches of clips that are about equally long, so that little of them is padding."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from torch import Tensor

from ...validation import require
from ..keys import Keys
from ..source import Samples, Source, epoch_order


class LengthBuckets:
    """A view for training, in which the samples of a batch have similar lengths.

    In each epoch every sample is seen once. Samples are put in order of length, those that are
    alike to a tenth at random; the order is cut into batches, which come in random order. All this
    is a function of seed and epoch. A key names another sample here than in the source: the one
    that stands at its place. So this view is to train on, and not to read answers of.

    Args:
        source: with a column of lengths.
        batch_size: samples in a batch, micro-batches of all ranks taken together.
        lengths: (N,) the length of each sample; None takes the source's `lengths`.

    Raises:
        ValueError: if there is not one length for each sample, or no sample in a batch.
    """

    def __init__(self, source: Source, batch_size: int, lengths: Tensor | None = None):
        lengths = source.lengths if lengths is None else lengths
        require(len(lengths) == len(source), "lengths", len(lengths),
                f"one for each of {len(source)} samples")
        require(batch_size >= 1, "batch_size", batch_size, "at least 1")
        self.source, self.batch_size = source, batch_size
        self.lengths = np.asarray(lengths)

    def __len__(self) -> int:
        return len(self.source)

    def take(self, keys: Keys) -> Samples:
        """The samples that stand where the keys are, as the source gives them."""
        sample = np.empty_like(keys.sample)
        for epoch in np.unique(keys.epoch):
            mine = keys.epoch == epoch
            sample[mine] = self.order(keys.seed, int(epoch))[keys.sample[mine]]
        return self.source.take(Keys(keys.seed, keys.epoch, sample, keys.progress))

    @lru_cache(maxsize=8)
    def order(self, seed: int, epoch: int) -> np.ndarray:
        """(N,): which sample a key that names sample i brings."""
        n = len(self)
        chance = Keys.of(seed, n, epoch).uniform("bucket").numpy()
        by_length = np.argsort(np.log(self.lengths + 1) + 0.1 * chance, kind="stable")
        edges = np.arange(-epoch * n % self.batch_size or self.batch_size, n, self.batch_size)
        sizes = np.diff(edges, prepend=0, append=n)  # of the batches that lie in this epoch
        turns = Keys.of(seed, [epoch]).permutation("buckets", len(sizes))[0].numpy()
        buckets = np.split(by_length, np.cumsum(sizes[turns])[:-1])
        placed = [buckets[i] for i in np.argsort(turns)]
        order = np.empty(n, dtype=np.int64)
        order[epoch_order(n, seed, epoch)] = np.concatenate(placed)
        return order
