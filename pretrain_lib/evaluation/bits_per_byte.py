"""Bits per byte: how well a language model knows a text, whatever its tokenizer makes of it.

A loss a token does not compare across tokenizers: longer tokens are harder to guess, and [UNK] is
easy. What compares is how many bits a text takes, if model and tokenizer are to give it back, by
the bytes that it has. `text_cost` says what the tokens cost: exactly of a causal model, at most of
a masked one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import nn

from ..data.text.tokenizer import special_ids
from ..models.protocol import TextEncoder
from .text_cost import ORDERS, is_causal, per_unit, text_costs

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHARACTERS = 256  # of a span
SPANS = 200


class BitsPerByte(NamedTuple):
    """What a text costs.

    Attributes:
        value: bits by bytes; at most so many with a masked model.
        standard_error: of the value, from span to span.
        lost: share of the bytes that the tokenizer does not give back, of 8 bits each.
        spans: how many pieces of text were scored.
        orders: how many draws of hidden tokens each; 0 of a causal model, which needs none.
    """

    value: float
    standard_error: float
    lost: float
    spans: int
    orders: int


def text_spans(texts: Iterable[str], number: int = SPANS, characters: int = CHARACTERS,
               seed: int = 0) -> list[str]:
    """Pieces of texts, cut in characters, so that they are the same for every tokenizer.

    The last piece of a text may be shorter, and blank ones do not count. All are read once, and any
    of them is as likely to be kept as any other.

    Args:
        texts: the documents.
        number: how many to keep, at most.
        characters: of a piece.
        seed: which random choice.

    Raises:
        ValueError: if there is none.
    """
    generator = np.random.default_rng(seed)
    kept, seen = [], 0
    for text in texts:
        for start in range(0, len(text), characters):
            span = text[start:start + characters]
            if span.isspace():
                continue
            place = seen if seen < number else int(generator.integers(seen + 1))
            seen += 1
            if place < number:
                kept[place:place + 1] = [span]
    if not kept:
        raise ValueError("there is no text to score: it is empty, or holds white space only")
    return kept


def bits_per_byte(model: nn.Module, tokenizer: Tokenizer, spans: Sequence[str],
                  orders: int = ORDERS, length: int | None = None, seed: int = 0) -> BitsPerByte:
    """How many bits a byte of the text costs, at most, with a model and its tokenizer.

    Each span is encoded by itself. A byte that is not there when the tokens are decoded again, as
    of a word that became [UNK], or of a capital that became small, costs 8 bits.

    Args:
        model: called as `model(input_ids, attention_mask, positions=…)`; answers with logits
            (B, S, V).
        tokenizer: the model's.
        spans: pieces of text, such as those of `text_spans`.
        orders: draws of hidden tokens for each; more of them make the estimate surer.
        length: tokens that the model reads at once, [CLS] and [SEP] included; what has more is
            read in parts. None: as many as the model has positions.
        seed: which tokens are hidden.

    Raises:
        ValueError: if there is no span.
    """
    if not spans:
        raise ValueError("there is no text to score: give at least one span")
    if length is None and isinstance(model, TextEncoder):
        length = model.encoder.config.max_position_embeddings
    ids = [encoding.ids for encoding in tokenizer.encode_batch(spans, add_special_tokens=False)]
    parts = [(i, part) for i, row in enumerate(ids) for part in in_parts(row, length)]
    nats = torch.zeros(len(spans), dtype=torch.float64)
    if parts:
        costs = text_costs(model, [part for _, part in parts], special_ids(tokenizer), orders,
                           seed)  # (parts,)
        nats.index_add_(0, torch.tensor([i for i, _ in parts]), costs)
    size = torch.tensor([len(span.encode()) for span in spans], dtype=torch.float64)
    lost = torch.tensor([lost_bytes(span, again) for span, again in
                         zip(spans, tokenizer.decode_batch(ids), strict=True)])
    value, error = per_unit(nats / math.log(2) + 8 * lost, size)
    return BitsPerByte(value, error, (lost.sum() / size.sum()).item(), len(spans),
                       0 if is_causal(model) else orders)


def in_parts(ids: Sequence[int], length: int | None) -> list[Sequence[int]]:
    """Token ids in as few parts of about one size as fit, each between a [CLS] and a [SEP]."""
    if not len(ids):
        return []
    count = 1 if length is None else math.ceil(len(ids) / (length - 2))
    size = math.ceil(len(ids) / count)
    return [ids[start:start + size] for start in range(0, len(ids), size)]


def lost_bytes(text: str, again: str) -> int:
    """How many bytes of a text are not there, in their order, in what was decoded again."""
    kept = SequenceMatcher(None, text, again, autojunk=False).get_matching_blocks()
    return len(text.encode()) - sum(len(text[at:at + size].encode()) for at, _, size in kept)
