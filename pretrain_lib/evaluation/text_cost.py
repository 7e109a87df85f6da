"""What a text costs a language model: −log p(x), in nats.

A causal model says it exactly, by the chain rule from left to right. A masked language model says a
text in any order: the first token with all hidden, the next one with all others hidden, and so on.
On average over orders, a text x of T tokens costs

    −log p(x) ≤ mean over orders = T · mean over k of (mean loss of k hidden tokens),

where k is uniform in 1 to T and the k tokens are drawn at random, as `objectives.masked_diffusion`
derives. The mean over all masks is exact for short texts; for others it is estimated from a few.

Neither says when a text ends: the causal model's [SEP] costs nothing here, and the masked one is
told the length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.source import UNSCORED
from ..data.tasks.encoded import padded_rows
from ..data.text.tokenizer import SpecialIds
from ..models.bert import token_logits
from ..models.precision import answering
from ..models.state import device_of

ORDERS = 4
LONGEST = 16  # tokens of a text whose masks are all tried: 65 535 of them


class Estimate(NamedTuple):
    """A mean and how sure it is.

    Attributes:
        value: the mean.
        standard_error: of it, from text to text.
    """

    value: float
    standard_error: float


def per_unit(costs: Tensor, sizes: Tensor) -> Estimate:
    """What texts cost by token or by byte: the ratio of two sums, and its standard error.

    Args:
        costs: (N,) float64, of each text; an estimate's own noise goes into the error.
        sizes: (N,) how many tokens or bytes each has.
    """
    value = costs.sum() / sizes.sum()
    error = (costs - value * sizes).std() * math.sqrt(len(costs)) / sizes.sum()
    return Estimate(value.item(), error.item())


def is_causal(model: nn.Module) -> bool:
    """Whether a model says that it answers from the tokens before alone."""
    return getattr(model, "causal", False)


def text_costs(model: nn.Module, texts: Sequence[Sequence[int]], special: SpecialIds,
               orders: int = ORDERS, seed: int = 0, batch_size: int = 16) -> Tensor:
    """What each text costs: exactly with a causal model, else an unbiased estimate of the bound.

    Args:
        model: called as `model(input_ids, attention_mask, positions=…)`; answers with logits
            (B, S, V).
        texts: N rows of token ids without [CLS] and [SEP], none of them empty.
        special: ids of [PAD], [UNK], [CLS], [SEP], [MASK].
        orders: draws of hidden tokens for each text.
        seed: which tokens are hidden.
        batch_size: texts in one forward pass.

    Returns:
        (N,) float64, in nats.
    """
    if is_causal(model):
        return causal_costs(model, texts, special, batch_size)
    return random_order_bound(model, texts, special, orders, seed, batch_size).mean(1)


def around(texts: Sequence[Sequence[int]], special: SpecialIds) -> tuple[Tensor, Tensor, Tensor]:
    """Texts between [CLS] and [SEP], padded; which places are no padding, and which are text.

    Returns:
        Three tensors (B, W): ids, int64 and bool.
    """
    ids = padded_rows([[special.cls, *text, special.sep] for text in texts], special.pad)
    length = torch.tensor([[len(text)] for text in texts])  # (B, 1)
    place = torch.arange(ids.shape[1])
    return ids, (place <= length + 1).long(), (place > 0) & (place <= length)


@torch.no_grad()
def causal_costs(model: nn.Module, texts: Sequence[Sequence[int]], special: SpecialIds,
                 batch_size: int = 16) -> Tensor:
    """−log p of each text after a [CLS], with a model that answers from the tokens before alone.

    Args, Returns:
        As of `text_costs`.
    """
    device = device_of(model)
    by_length = torch.tensor([len(text) for text in texts]).argsort(stable=True)
    found = torch.zeros(len(texts), dtype=torch.float64)
    with answering(model):
        for rows in by_length.split(batch_size):
            ids, mask, is_text = around([texts[i] for i in rows], special)
            logits = model(ids.to(device), mask.to(device))  # (B, W, V)
            labels = ids.masked_fill(~is_text, UNSCORED).to(device)
            found[rows] = losses(logits, labels).sum(1)
    return found


@torch.no_grad()
def random_order_bound(model: nn.Module, texts: Sequence[Sequence[int]], special: SpecialIds,
                       orders: int = ORDERS, seed: int = 0, batch_size: int = 16) -> Tensor:
    """Estimates what each text costs on average over all orders; their mean is unbiased.

    Of n draws, the first hides up to an n-th of the tokens, the last all but up to an n-th, so that
    together they hide few and many, as k uniform in 1 to T does.

    Args:
        model, texts, special, orders, seed, batch_size: as of `text_costs`.

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
    ids, mask, is_text = around(texts, special)  # (B, W)
    share = least + (most - least) * keys.uniform("share hidden").double()
    hidden_count = (share * length).long().clamp(max=length - 1) + 1  # k, (B,), from 1 to T
    noise = keys.uniform("hidden tokens", (ids.shape[1],)).masked_fill(~is_text, 2)
    places = noise.argsort(1)[:, : int(hidden_count.max())]  # (B, S), the first k are hidden
    used = torch.arange(places.shape[1]) < hidden_count[:, None]
    hidden = torch.zeros_like(is_text).scatter(1, places, used)
    shown = ids.masked_fill(hidden, special.mask)
    mask = None if mask.all() else mask.to(device)
    logits = token_logits(model(shown.to(device), mask, positions=places.to(device)))  # (B, S, V)
    labels = ids.gather(1, places).masked_fill(~used, UNSCORED)
    return losses(logits, labels.to(device)).sum(1) / hidden_count * length


@torch.no_grad()
def every_order_bound(model: nn.Module, text: Sequence[int], special: SpecialIds,
                      batch_size: int = 512) -> float:
    """What a short text costs on average over all orders, exactly: every mask of it is tried.

    A mask of k tokens is one of C(T, k), and k one of T: so the losses of what it hides weigh
    1 / (k C(T, k)) each.

    Args:
        model, special: as of `text_costs`.
        text: T token ids without [CLS] and [SEP], from 1 to 16.
        batch_size: masks in one forward pass.

    Returns:
        The bound on −log p(text), in nats.

    Raises:
        ValueError: for an empty or a longer text.
    """
    size = len(text)
    if not 1 <= size <= LONGEST:
        raise ValueError(f"a text must have 1 to {LONGEST} tokens for all its masks to be tried, "
                         f"got {size}: random_order_bound estimates the same")
    ids = torch.tensor([special.cls, *text, special.sep])  # (W,)
    masks = (torch.arange(1, 2**size)[:, None] >> torch.arange(size)) & 1 == 1  # (2^T - 1, T)
    total = 0.0
    with answering(model):
        for hidden in F.pad(masks, (1, 1)).split(batch_size):  # (B, W)
            shown = torch.where(hidden, special.mask, ids).to(device_of(model))
            labels = torch.where(hidden, ids, UNSCORED).to(device_of(model))
            weights = torch.tensor([1 / (k * math.comb(size, k)) for k in hidden.sum(1).tolist()],
                                   dtype=torch.float64)
            cost = losses(token_logits(model(shown, None)), labels).sum(1)  # (B,)
            total += (cost * weights).sum().item()
    return total


def losses(logits: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of logits (B, S, V) and labels (B, S), 0 at -100, as (B, S) float64."""
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    found = F.cross_entropy(precise.transpose(1, 2), labels, reduction="none",
                            ignore_index=UNSCORED)
    return found.double().cpu()
