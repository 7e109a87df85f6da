"""Columns that somebody adds to a source: labels or clusters of every frame of a sound."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .keys import Keys
from .source import UNSCORED, Samples, Source


class Sequences:
    """A source of one column, whose samples are sequences of integers of unequal length.

    Batches pad them to the longest with −100, which no loss counts.

    Args:
        name: of the column.
        rows: N tensors, (L,) each.
    """

    def __init__(self, name: str, rows: Sequence[Tensor]):
        self.name = name
        self.rows = list(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, keys: Keys) -> Samples:
        """The rows that the keys name, (B, L)."""
        chosen = [self.rows[i] for i in keys.sample]
        return {self.name: pad_sequence(chosen, batch_first=True, padding_value=UNSCORED)}


class Beside:
    """A view of a source with the columns of another one beside its own.

    Args:
        source: N samples; what else it is asked for, it is asked for through this view.
        other: what is known besides of the same samples, such as `Sequences`.

    Raises:
        ValueError: if they have not the same number of samples.
    """

    def __init__(self, source: Source, other: Source):
        if len(source) != len(other):
            raise ValueError(f"columns of {len(other)} samples cannot stand beside those of "
                             f"{len(source)}")
        self.source, self.other = source, other

    def __len__(self) -> int:
        return len(self.source)

    def __getattr__(self, name: str):
        if name in ("source", "other"):  # not there yet, as in a copy
            raise AttributeError(name)
        return getattr(self.source, name)

    def take(self, keys: Keys) -> Samples:
        """The source's samples that the keys name, each with its columns of the other."""
        return self.source.take(keys) | self.other.take(keys)
