"""Rows of unequal length, kept one after the other and padded when they are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass
class Ragged:
    """N rows in one tensor.

    Attributes:
        flat: (S, ...), all rows.
        lengths: (N,) int64, the length of each.
        fill: what a row is padded with.
    """

    flat: Tensor
    lengths: Tensor
    fill: float = 0.0

    def __post_init__(self):
        self.ends = self.lengths.cumsum(0)

    @classmethod
    def of(cls, rows: Sequence[Tensor], fill: float = 0.0) -> Ragged:
        return cls(torch.cat(list(rows)), torch.tensor([len(row) for row in rows]), fill)

    def row(self, i: int) -> Tensor:
        """(lengths[i], ...)."""
        end = int(self.ends[i])
        return self.flat[end - int(self.lengths[i]):end]

    def padded(self, ids: Tensor) -> Tensor:
        """The rows `ids`, as long as the longest of them: (B, L, ...)."""
        return pad_sequence([self.row(i) for i in ids.tolist()], batch_first=True,
                            padding_value=self.fill)

    def subset(self, ids: Tensor) -> Ragged:
        """The rows `ids`, by themselves."""
        return Ragged.of([self.row(i) for i in ids.tolist()], self.fill)
