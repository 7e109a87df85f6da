"""The parts that BERT (2018) and ModernBERT (2024) are built of: one attention for both.

Shapes: B sequences, T positions, D hidden numbers, H heads of size E = D / H.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Rotation = tuple[Tensor, Tensor]


def visible(attention_mask: Tensor | None, length: int, window: int | None = None,
            device: torch.device | None = None, causal: bool = False) -> Tensor | None:
    """Which position may look at which.

    Args:
        attention_mask: (B, T) integers. Positions see each other where their numbers are equal: 0
            is padding, and every other number a text of its own, so several texts in one row
            do not mix. With zeros and ones this is the ordinary padding mask. None: one text.
        length: T.
        window: how far a position sees to either side; None: as far as its text goes.
        device: where to build the result if there is no mask.
        causal: whether a position sees only itself and what stands before it.

    Returns:
        (B or 1, 1, T, T) bool; None where everything is visible. No row is all False, because every
        position sees itself: a row of padding alone gives numbers, not NaN.
    """
    mask = None
    if attention_mask is not None:
        mask = (attention_mask[:, :, None] == attention_mask[:, None, :])[:, None]  # (B, 1, T, T)
        device = attention_mask.device
    if window is not None and window < length - 1:
        place = torch.arange(length, device=device)
        near = (place[:, None] - place[None, :]).abs() <= window  # (T, T)
        mask = near[None, None] if mask is None else mask & near
    if causal:
        past = torch.ones(length, length, dtype=torch.bool, device=device).tril()
        mask = past[None, None] if mask is None else mask & past
    return mask


def rotation(position_ids: Tensor, head_size: int, theta: float, dtype: torch.dtype) -> Rotation:
    """Cosines and sines of the angles by which rotary embeddings turn queries and keys.

    Pair j of a head's numbers turns by position · theta^(−2j/E), so the product of a query and a
    key depends on the distance of their positions alone (Su et al., "RoFormer", section 3.2).
    Angles are computed in float32.

    Args:
        position_ids: (B or 1, T) integers.
        head_size: E, even.
        theta: the base; the larger it is, the slower the slowest pair turns.

    Returns:
        Two tensors (B or 1, 1, T, E).
    """
    pair = torch.arange(0, head_size, 2, dtype=torch.float, device=position_ids.device)
    speed = 1 / theta ** (pair / head_size)  # radians a position, (E/2,)
    angle = position_ids[:, None, :, None].float() * speed
    angle = torch.cat([angle, angle], dim=-1)  # pair j is numbers j and j + E/2
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x: Tensor, by: Rotation) -> Tensor:
    """Turns every pair (x_j, x_{j+E/2}) of queries or keys, (B, H, T, E), by its angle."""
    cos, sin = by
    first, second = x.chunk(2, dim=-1)
    return x * cos.to(x.dtype) + torch.cat([-second, first], dim=-1) * sin.to(x.dtype)


class KeyValues:
    """The keys and values of the tokens that a causal layer has read.

    What comes later does not change them, so that they need not be computed again. Keys are kept as
    they were turned, at their own positions.
    """

    def __init__(self):
        self.keys: Tensor | None = None  # (B, H, T, E)
        self.values: Tensor | None = None

    def __len__(self) -> int:
        return 0 if self.keys is None else self.keys.shape[2]

    def extended(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Adds those of the next tokens, (B, H, n, E), and returns all, (B, H, T + n, E)."""
        if self.keys is not None:
            keys, values = torch.cat([self.keys, keys], 2), torch.cat([self.values, values], 2)
        self.keys, self.values = keys, values
        return keys, values


class Attention(nn.Module):
    """Multi-head self-attention: softmax(Q Kᵀ / √E) V (Vaswani et al. 2017, section 3.2).

    The three projections are one matrix, `qkv`, whose rows are those of the queries, then the
    keys, then the values.

    Args:
        hidden_size: D.
        num_heads: H, a divisor of D.
        bias: whether the projections add a bias.
        dropout: share of the attention weights that training drops.
    """

    def __init__(self, hidden_size: int, num_heads: int, bias: bool, dropout: float):
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size, bias=bias)
        self.qkv.stacked = 3  # matrices in this one
        self.output = nn.Linear(hidden_size, hidden_size, bias=bias)

    def forward(self, x: Tensor, mask: Tensor | None, by: Rotation | None = None,
                at: Tensor | None = None, past: KeyValues | None = None) -> Tensor:
        """(B, T, D) to (B, T, D), with a mask of `visible` and a rotation of `rotation`.

        With positions `at`, (B, S), only these ask, and the answer is (B, S, D). With a `past` the
        tokens before are seen too, and these join them; the mask is then (B or 1, 1, T, all).
        """
        q, k, v, mask = self.parts(x, mask, by, at)
        if past is not None:
            k, v = past.extended(k, v)
        drop = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=drop)
        return self.output(y.transpose(1, 2).flatten(2))

    def probabilities(self, x: Tensor, mask: Tensor | None, by: Rotation | None = None,
                      at: Tensor | None = None, past: KeyValues | None = None) -> Tensor:
        """softmax(Q Kᵀ / √E), (B, H, T or S, all): the weights that `forward` never writes out."""
        q, k, _, mask = self.parts(x, mask, by, at)
        if past:
            k = torch.cat([past.keys, k], 2)
        scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return scores.softmax(-1)

    def parts(self, x: Tensor, mask: Tensor | None, by: Rotation | None,
              at: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Queries and keys, turned, values, and what is seen from the positions that ask."""
        q, k, v = self.queries_keys_values(x, at)  # (B, H, T or S, E)
        if by is not None:
            k = rotate(k, by)
            q = rotate(q, by if at is None else tuple(rows_at(part, at) for part in by))
        if mask is not None and at is not None:
            mask = rows_at(mask, at)  # (B, 1, S, T)
        return q, k, v, mask

    def queries_keys_values(self, x: Tensor, at: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The three projections, (B, H, T, E) each; with `at` the queries are (B, H, S, E)."""
        if at is None:
            parts = self.qkv(x).chunk(3, dim=-1)
        else:
            size, bias = self.qkv.out_features // 3, self.qkv.bias
            ask, answer = (None, None) if bias is None else (bias[:size], bias[size:])
            queries = F.linear(at_positions(x, at), self.qkv.weight[:size], ask)
            parts = queries, *F.linear(x, self.qkv.weight[size:], answer).chunk(2, dim=-1)
        return tuple(part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in parts)


class FeedForward(nn.Module):
    """W₂ gelu(W₁ x): to `intermediate_size` numbers and back, each position for itself.

    Args:
        hidden_size: D.
        intermediate_size: numbers in between.
        activation: what is in the place of gelu, number by number.
    """

    def __init__(self, hidden_size: int, intermediate_size: int,
                 activation: Callable[[Tensor], Tensor] = F.gelu):
        super().__init__()
        self.activation = activation
        self.up = nn.Linear(hidden_size, intermediate_size)
        self.down = nn.Linear(intermediate_size, hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)))  # (B, T, D)


class GatedFeedForward(nn.Module):
    """GeGLU: W₂ (gelu(W₁ x) ∘ W₃ x) (Shazeer, "GLU Variants Improve Transformer", 2020, eq. 6).

    W₁ and W₃ are one matrix, `up`, (2 · intermediate_size, D), in this order. No biases.
    """

    def __init__(self, hidden_size: int, intermediate_size: int, dropout: float):
        super().__init__()
        self.up = nn.Linear(hidden_size, 2 * intermediate_size, bias=False)
        self.up.stacked = 2  # matrices in this one
        self.down = nn.Linear(intermediate_size, hidden_size, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        signal, gate = self.up(x).chunk(2, dim=-1)  # each (B, T, intermediate_size)
        return self.down(self.dropout(F.gelu(signal) * gate))


def at_positions(hidden: Tensor, positions: Tensor | None) -> Tensor:
    """The hidden states at some positions only: (B, T, D) at (B, S) gives (B, S, D).

    The projection to the vocabulary is most of a small model's work, and the loss asks for it at
    the masked positions alone: some 15 of 100.
    """
    if positions is None:
        return hidden
    rows = torch.arange(len(hidden), device=hidden.device)[:, None] * hidden.shape[1]
    flat = (positions + rows).flatten()  # (B·S,)
    return hidden.flatten(0, 1).index_select(0, flat).unflatten(0, positions.shape)


def rows_at(table: Tensor, positions: Tensor) -> Tensor:
    """Some rows of each table: (B or 1, 1, T, N) at (B, S) gives (B, 1, S, N)."""
    batch = torch.arange(len(positions), device=positions.device)[:, None]
    return table.expand(len(positions), -1, -1, -1)[batch, 0, positions][:, None]


def one_later(hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
    """At each position, the hidden state of the one before it: what a causal model may answer from.

    Where a text begins there is nothing before, and the state is 0, never another text's.

    Args:
        hidden: (B, T, D).
        attention_mask: (B, T), see `visible`.
    """
    before = F.pad(hidden, (0, 0, 1, 0))[:, :-1]  # (B, T, D)
    if attention_mask is None:
        return before
    begins = F.pad(attention_mask[:, 1:] != attention_mask[:, :-1], (1, 0), value=True)  # (B, T)
    return before.masked_fill(begins[:, :, None], 0.0)


def mean_over_tokens(hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
    """The mean hidden state of each sequence, padding left out: (B, T, D) to (B, D)."""
    if attention_mask is None:
        return hidden.mean(1)
    real = (attention_mask > 0).to(hidden.dtype)[:, :, None]  # (B, T, 1)
    return (hidden * real).sum(1) / real.sum(1).clamp(min=1)


def require_places(length: int, longest: int) -> None:
    """Raises where a sequence is longer than a model has learned positions."""
    if length > longest:
        raise ValueError(f"a sequence of {length} tokens is longer than the model's {longest} "
                         "positions (max_position_embeddings): cut it, or build a longer model")


def require_known(input_ids: Tensor, vocab_size: int) -> None:
    """Raises where an id is none of the vocabulary; on a GPU nobody waits to look."""
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    if traced or input_ids.device.type != "cpu" or not input_ids.numel():
        return
    least, largest = input_ids.aminmax()
    if least < 0 or largest >= vocab_size:
        strange = int(largest if largest >= vocab_size else least)
        raise ValueError(f"input_ids must be 0 to {vocab_size - 1}, the ids of the vocabulary, got "
                         f"{strange}: encode the text with the model's own tokenizer")
