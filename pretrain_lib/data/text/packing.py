"""Packing: blocks full of tokens instead of padding, with the boundaries of documents kept.

A document that does not fit is cut where the block is full, and goes on in the next; what is left
of a block behind a document's end goes to the next document. Each piece of a block is a text of
its own, `[CLS] tokens [SEP]`, which sees itself alone (Krell et al., "Efficient sequence packing
without cross-contamination", 2021): so packing changes nothing but the number of blocks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ..keys import Keys
from ..source import Samples
from .token_dataset import TokenDataset
from .tokenizer import SpecialIds

AROUND = 2  # [CLS] and [SEP]


class PackedBlocks:
    """A source of blocks that hold all tokens of a data set once, in order.

    Args:
        dataset: the documents. Empty ones make no piece; nothing else is left out.
        length: T, the number of places in a block.
        special: the ids of [CLS], [SEP] and [PAD].

    Attributes:
        pieces: the number of pieces in all blocks.

    Raises:
        ValueError: if a block has no place for a token beside [CLS] and [SEP], or the documents do
            not fill a single one.
    """

    def __init__(self, dataset: TokenDataset, length: int, special: SpecialIds):
        if length <= AROUND:
            raise ValueError(f"length must be at least {AROUND + 1}, a token between [CLS] and "
                             f"[SEP], got {length}")
        self.dataset = dataset
        self.length = length
        self.special = special
        self.starts, self.pieces = plan(dataset.document_lengths, length)
        used = dataset.tokens + AROUND * self.pieces
        if used <= length - AROUND - 1:
            raise ValueError(f"the corpus is smaller than one block: its {dataset.tokens} tokens "
                             f"fill {used} of {length} places, [CLS] and [SEP] included. Choose a "
                             "shorter length, or a larger corpus")

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def fullness(self) -> float:
        """The fraction of all places that are not padding."""
        return (self.dataset.tokens + AROUND * self.pieces) / (len(self) * self.length)

    def take(self, keys: Keys) -> Samples:
        """The blocks that the keys name.

        Returns:
            `input_ids`, `attention_mask` and `position_ids`, each (B, T) int64. The mask is k at
            the k-th piece of a block and 0 at padding; tokens see each other where it is equal.
            Positions begin with 0 in each piece.
        """
        shape = len(keys), self.length
        input_ids = np.full(shape, self.special.pad, dtype=np.int64)
        attention_mask, position_ids = np.zeros((2, *shape), dtype=np.int64)
        for row, block in enumerate(keys.sample):
            end = 0
            for number, tokens in enumerate(self._pieces(block), start=1):
                start, end = end, end + len(tokens) + AROUND
                input_ids[row, start] = self.special.cls
                input_ids[row, start + 1 : end - 1] = tokens
                input_ids[row, end - 1] = self.special.sep
                attention_mask[row, start:end] = number
                position_ids[row, start:end] = np.arange(end - start)
        columns = {"input_ids": input_ids, "attention_mask": attention_mask,
                   "position_ids": position_ids}
        return {name: torch.from_numpy(column) for name, column in columns.items()}

    def _pieces(self, block: int) -> Iterator[np.ndarray]:
        """The token ids of each piece of a block."""
        document, offset = self.starts[block].tolist()
        room = self.length
        while room > AROUND and document < self.dataset.num_documents:
            tokens = self.dataset.document(document)[offset : offset + room - AROUND]
            if len(tokens):
                yield tokens
                room -= len(tokens) + AROUND
            document, offset = document + 1, 0


def plan(lengths: np.ndarray, length: int) -> tuple[np.ndarray, int]:
    """Where each block begins: two numbers a block, however many pieces it has.

    Args:
        lengths: (N,) the number of tokens of each document.
        length: T, the number of places in a block.

    Returns:
        (blocks, 2) uint32, a document and the token of it that comes first; the number of pieces.
    """
    most = length - AROUND
    filled = np.flatnonzero(lengths)
    first, begun = np.zeros((2, len(filled)), np.int64)  # where blocks begin in it, and how many
    pieces = room = 0
    for i, tokens in enumerate(lengths[filled].tolist()):
        continued = min(tokens, max(room - AROUND, 0))  # so many go into what is left of the block
        first[i], begun[i] = continued, -(-(tokens - continued) // most)
        pieces += (continued > 0) + int(begun[i])
        if begun[i]:
            room = most - (tokens - continued - 1) % most - 1
        else:
            room -= continued + AROUND
    starts = np.empty((begun.sum(), 2), np.uint32)  # 32 bits: they grow with the text
    starts[:, 0] = np.repeat(filled, begun)
    token = np.arange(len(starts))
    token -= np.repeat(begun.cumsum() - begun, begun)  # which of its document's blocks each is
    token *= most
    token += np.repeat(first, begun)
    starts[:, 1] = token
    return starts, pieces
