"""Bits per byte: how well a masked language model knows a text, whatever its tokenizer makes of it.

A loss a token does not compare across tokenizers: longer tokens are harder to guess, and [UNK] is
easy. What compares is how many bits a text takes, if model and tokenizer are to give it back, by
the bytes that it has. A masked language model says a text in any order: the first token with all
hidden, the next one with all others hidden, and so on. On average over orders, a text x of T tokens
costs

    −log P(x) ≤ mean over orders = T · mean over k of (mean loss of k hidden tokens),

where k is uniform in 1 to T and the k tokens are drawn at random: whichever is said next, it is one
of those that are hidden. It is a bound, by Jensen's inequality, on the cost under the mixture of all
orders, and equal to −log P(x) where the model's answers belong to one joint distribution.

Uria, Murray and Larochelle, "A Deep and Tractable Density Estimator", ICML 2014; Hoogeboom et al.,
"Autoregressive Diffusion Models", ICLR 2022.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.tasks.encoded import padded_rows
from ..data.text.tokenizer import SpecialIds, special_ids
from ..models.bert import token_logits
from ..models.precision import answering
from ..models.protocol import TextEncoder
from ..models.state import device_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHARACTERS = 256  # of a span
SPANS = 200
ORDERS = 4


class BitsPerByte(NamedTuple):
    """What a text costs.

    Attributes:
        value: bits by bytes, at most.
        standard_error: of the value, from span to span.
        lost: share of the bytes that the tokenizer does not give back, of 8 bits each.
        spans: how many pieces of text were scored.
        orders: how many draws of hidden tokens each.
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
    """How many bits a byte of the text costs at most, with a model and its tokenizer.

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
        bound = random_order_bound(model, [part for _, part in parts], special_ids(tokenizer),
                                   orders, seed).mean(1)  # (parts,)
        nats.index_add_(0, torch.tensor([i for i, _ in parts]), bound)
    size = torch.tensor([len(span.encode()) for span in spans], dtype=torch.float64)
    lost = torch.tensor([lost_bytes(span, again) for span, again in
                         zip(spans, tokenizer.decode_batch(ids), strict=True)])
    bits = nats / math.log(2) + 8 * lost
    value = bits.sum() / size.sum()
    error = (bits - value * size).std() * math.sqrt(len(spans)) / size.sum()  # of a ratio of sums
    return BitsPerByte(value.item(), error.item(), (lost.sum() / size.sum()).item(), len(spans),
                       orders)


@torch.no_grad()
def random_order_bound(model: nn.Module, texts: Sequence[Sequence[int]], special: SpecialIds,
                       orders: int = ORDERS, seed: int = 0, batch_size: int = 16) -> Tensor:
    """Estimates what each text costs on average over all orders; their mean is unbiased.

    Of n draws, the first hides up to an n-th of the tokens, the last all but up to an n-th, so that
    together they hide few and many, as k uniform in 1 to T does.

    Args:
        model: as in `bits_per_byte`.
        texts: N rows of token ids without [CLS] and [SEP], none of them empty.
        special: ids of [PAD], [UNK], [CLS], [SEP], [MASK].
        orders: draws of hidden tokens for each text.
        seed: which tokens are hidden.
        batch_size: texts in one forward pass.

    Returns:
        (N, orders) float64, in nats.
    """
    by_length = torch.tensor([len(text) for text in texts]).argsort(stable=True)
    found = torch.zeros(len(texts), orders, dtype=torch.float64)
    with answering(model):
        for rows in by_length.split(batch_size):
            chosen = [texts[i] for i in rows]
            for order in range(orders):
                keys = Keys.of(seed, rows.numpy(), epoch=order)
                found[rows, order] = one_draw(model, chosen, special, keys, order / orders,
                                              (order + 1) / orders)
    return found


def one_draw(model: nn.Module, texts: Sequence[Sequence[int]], special: SpecialIds, keys: Keys,
             least: float, most: float) -> Tensor:
    """T times the mean loss of k random tokens of each of B texts, as (B,), in nats.

    Args:
        keys: what is drawn for each text.
        least, most: between which shares of a text's tokens k is drawn.
    """
    device = device_of(model)
    length = torch.tensor([len(text) for text in texts])  # T, (B,)
    ids = padded_rows([[special.cls, *text, special.sep] for text in texts], special.pad)  # (B, W)
    column = torch.arange(ids.shape[1])
    is_token = (column > 0) & (column <= length[:, None])
    share = least + (most - least) * keys.uniform("share hidden").double()
    hidden_count = (share * length).long().clamp(max=length - 1) + 1  # k, (B,), from 1 to T
    noise = keys.uniform("hidden tokens", (ids.shape[1],)).masked_fill(~is_token, 2)
    places = noise.argsort(1)[:, : int(hidden_count.max())]  # (B, S), the first k are hidden
    used = torch.arange(places.shape[1]) < hidden_count[:, None]
    hidden = torch.zeros_like(is_token).scatter(1, places, used)
    shown = ids.masked_fill(hidden, special.mask)
    mask = (column <= length[:, None] + 1).long().to(device)
    mask = None if mask.all() else mask
    logits = token_logits(model(shown.to(device), mask, positions=places.to(device)))  # (B, S, V)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    loss = F.cross_entropy(logits.transpose(1, 2), ids.gather(1, places).to(device),
                           reduction="none").double().cpu()  # (B, S)
    return loss.masked_fill(~used, 0).sum(1) / hidden_count * length


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
