"""What the heads of a transformer look at, and what is lost without each.

Clark, Khandelwal, Levy and Manning, "What Does BERT Look At? An Analysis of BERT's Attention",
BlackboxNLP 2019, sections 3 and 4. Where a head looks says little about what it is for: that takes
its removal (`without_heads`), and a map of a model that was told where to look first shows what it
was told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from ..models.outputs import input_changed


@contextmanager
def attention_probabilities(model: nn.Module) -> Iterator[list[Tensor]]:
    """A list of each layer's attention probabilities, (B, H, T, T), filled in while the model runs.

    The fast path of attention never writes them out. Here each layer computes them once more, from
    the queries and keys of the same call; what the model answers stays as it is. Row i holds what
    position i looks at, and sums to 1; dropout is left out. Where the last layer is asked for some
    positions only, it has these rows alone.

    Args:
        model: a BERT, ModernBERT or ViT, with or without a head.
    """
    attentions = [layer.attention for layer in model.encoder.layers]
    found: list[Tensor] = [torch.empty(0)] * len(attentions)

    def remember(place: int):
        def before(part, inputs, named):
            found[place] = part.probabilities(*inputs, **named)

        return before

    hooks = [part.register_forward_pre_hook(remember(place), with_kwargs=True)
             for place, part in enumerate(attentions)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def head_patterns(probabilities: Tensor, attention_mask: Tensor | None = None) -> dict[str, Tensor]:
    """Where each head looks, relative to the position that looks.

    Args:
        probabilities: (B, H, T, T), of one layer.
        attention_mask: (B, T), 0 for padding, whose rows count nowhere; None: no padding.

    Returns:
        (H,) each, means over positions: "previous", "same", "next" and "first", the weight on that
        position, of those that have it; "distance", the mean distance looked over, in tokens;
        "entropy", −Σ p log p in nats (Clark et al., sections 3.1 and 3.3).

    Raises:
        ValueError: for shapes that do not fit, or if a pattern has no position to be seen at.
    """
    rows = real_rows(probabilities, attention_mask)  # (B, T)
    length = probabilities.shape[-1]
    both = rows[:, 1:] & rows[:, :-1]  # neighbours that are both there
    place = torch.arange(length, device=probabilities.device)
    distance = (place[:, None] - place[None, :]).abs().to(probabilities.dtype)  # (T, T)
    return {
        "previous": mean_where(probabilities.diagonal(-1, 2, 3), both),
        "same": mean_where(probabilities.diagonal(0, 2, 3), rows),
        "next": mean_where(probabilities.diagonal(1, 2, 3), both),
        "first": mean_where(probabilities[..., 0], rows),
        "distance": mean_where((probabilities * distance).sum(-1), rows),
        "entropy": mean_where(-torch.special.xlogy(probabilities, probabilities).sum(-1), rows),
    }


def weight_on(probabilities: Tensor, chosen: Tensor,
              attention_mask: Tensor | None = None) -> Tensor:
    """The share of each head's attention that goes to chosen tokens, such as separators.

    Beside it stands the share that these tokens have of all: a head without a preference has that.

    Args:
        probabilities: (B, H, T, T), of one layer.
        chosen: (B, T) bool, such as `input_ids == sep_id`.
        attention_mask: (B, T), 0 for padding, whose rows count nowhere; None: no padding.

    Returns:
        (H,) between 0 and 1.
    """
    weight = (probabilities * chosen[:, None, None, :]).sum(-1)  # (B, H, T)
    return mean_where(weight, real_rows(probabilities, attention_mask))


def induction_score(probabilities: Tensor, start: Tensor, period: Tensor) -> Tensor:
    """How much each head looks at what came next the last time: 1 is a perfect induction head.

    In a text that repeats itself after `period` tokens, a head at position i whose token stood at
    i − period too looks at i − period + 1, whose token will come next (Elhage et al., "A
    Mathematical Framework for Transformer Circuits", 2021; Olsson et al., "In-context Learning and
    Induction Heads", 2022). If all texts have one period, a head that has learned that distance
    scores as well and induces nothing: draw the periods (`data.text.repeats`).

    Args:
        probabilities: (B, H, T, T), of one layer.
        start: (B,) where the first copy begins.
        period: (B,) tokens from one copy to the next, at least 2.

    Returns:
        (H,) between 0 and 1, the mean over all positions from the second copy on.

    Raises:
        ValueError: for a period below 2, or if no text comes to its second copy.
    """
    if (period < 2).any():
        raise ValueError(f"a period must be at least 2: what comes next is then not the token "
                         f"itself; got {int(period.min())}")
    place = torch.arange(probabilities.shape[-1], device=probabilities.device)
    target = place - period[:, None] + 1  # (B, T)
    index = target.clamp(min=0)[:, None, :, None].expand(-1, probabilities.shape[1], -1, 1)
    weight = probabilities.gather(3, index)[..., 0]  # (B, H, T)
    return mean_where(weight, place >= (start + period)[:, None])


def real_rows(probabilities: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Which positions are no padding, (B, T) bool."""
    batch, _, length, others = probabilities.shape
    if length != others:
        raise ValueError("attention of all positions is needed, (B, H, T, T), got "
                         f"{tuple(probabilities.shape)}: call the model without `positions`")
    if attention_mask is None:
        return torch.ones(batch, length, dtype=torch.bool, device=probabilities.device)
    if attention_mask.shape != (batch, length) or attention_mask.max() > 1:
        raise ValueError(f"attention_mask must be 0 or 1, of shape {(batch, length)}, one text a "
                         f"row, got {tuple(attention_mask.shape)} up to {attention_mask.max()}")
    return attention_mask > 0


def mean_where(values: Tensor, where: Tensor) -> Tensor:
    """The mean of (B, H, T) over the positions (B, T) that count, for each head."""
    if not where.any():
        raise ValueError("no position has what is asked for: give longer texts")
    return (values * where[:, None]).sum((0, 2)) / where.sum()


@contextmanager
def without_heads(model: nn.Module, heads: Mapping[int, Sequence[int]]) -> Iterator[None]:
    """While this runs, some heads of a model answer 0.

    Args:
        model: a BERT, ModernBERT or ViT, with or without a head.
        heads: for each layer named, the numbers of its heads, from 0.

    Raises:
        ValueError: if the model has no such layer or head.
    """
    layers = model.encoder.layers
    with ExitStack() as stack:
        for number, out in heads.items():
            count = layers[number].attention.num_heads if 0 <= number < len(layers) else 0
            if not set(out) <= set(range(count)):
                raise ValueError(f"there are layers 0 to {len(layers) - 1} with heads 0 to "
                                 f"{layers[0].attention.num_heads - 1}, got heads {list(out)} of "
                                 f"layer {number}")
            stack.enter_context(input_changed(layers[number].attention.output,
                                              silenced(out, count)))
        yield


def silenced(out: Sequence[int], heads: int) -> Callable[[Tensor], Tensor]:
    """Sets what some heads hand on, (B, T, D), to 0."""
    def change(x: Tensor) -> Tensor:
        kept = torch.ones(heads, 1, dtype=x.dtype, device=x.device)
        kept[list(out)] = 0
        return (x.unflatten(-1, (heads, -1)) * kept).flatten(-2)  # each head's E numbers

    return change


def scores_without_each(model: nn.Module, score: Callable[[], float]) -> Tensor:
    """What a model scores without each of its heads, one by one.

    Args:
        model: a BERT, ModernBERT or ViT, with or without a head.
        score: called once for each head, to run the model and tell a number, such as a loss.

    Returns:
        (layers, H) float64; where a layer has fewer heads than others, NaN.
    """
    counts = [layer.attention.num_heads for layer in model.encoder.layers]
    found = torch.full((len(counts), max(counts)), torch.nan, dtype=torch.float64)
    for layer, count in enumerate(counts):
        for head in range(count):
            with without_heads(model, {layer: [head]}):
                found[layer, head] = score()
    return found
