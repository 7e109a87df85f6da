"""Wrong answers to the exercises of chapter 06, each with a word that its message must hold."""

from functools import partial

import torch

from pretrain_lib.course.exercises.ch06 import ENCODER_FAULTS, bert_encoder


def unscaled(q, k, v):
    return (q @ k.T).softmax(1) @ v


def by_size(q, k, v):
    return (q @ k.T / k.shape[1]).softmax(1) @ v


def wrong_axis(q, k, v):
    return (q @ k.T / k.shape[1] ** 0.5).softmax(0) @ v


def no_softmax(q, k, v):
    return q @ k.T / k.shape[1] ** 0.5 @ v


def by_queries(q, k, v):
    return (q @ k.T / len(q) ** 0.5).softmax(1) @ v


def for_matrices_only(q, k, v):
    return (q @ k.T / k.shape[1] ** 0.5).softmax(1) @ v


def real(lengths, length):
    return torch.arange(length) < lengths[:, None]


def both_real(lengths, length):
    return real(lengths, length)[:, :, None] & real(lengths, length)[:, None]


def one_too_many(lengths, length):
    return (r := torch.arange(length) <= lengths[:, None])[:, :, None] == r[:, None]


def inverted(lengths, length):
    return real(lengths, length)[:, :, None] != real(lengths, length)[:, None]


def as_numbers(lengths, length):
    return (real(lengths, length)[:, :, None] == real(lengths, length)[:, None]).long()


def keys_only(lengths, length):
    return real(lengths, length)[:, None].expand(-1, length, -1)


def only_tokens(lengths, length):
    return real(lengths, length)


def attention(q, k, v, size):
    return (q @ k.transpose(-1, -2) / size**0.5).softmax(-1) @ v


def split(x, heads):
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def straight_view(q, k, v, heads):
    B, T, D = q.shape
    q, k, v = (x.reshape(B, heads, T, D // heads) for x in (q, k, v))
    return attention(q, k, v, D // heads).transpose(1, 2).reshape(B, T, D)


def not_merged(q, k, v, heads):
    return attention(*(split(x, heads) for x in (q, k, v)), q.shape[2] // heads).reshape(q.shape)


def by_hidden_size(q, k, v, heads):
    y = attention(*(split(x, heads) for x in (q, k, v)), q.shape[2])
    return y.transpose(1, 2).reshape(q.shape)


def one_head(q, k, v, heads):
    return attention(q, k, v, q.shape[2])


def not_joined(q, k, v, heads):
    return attention(*(split(x, heads) for x in (q, k, v)), q.shape[2] // heads)


def turned(x, positions, theta, sign=1, two=2):
    half = x.shape[1] // 2
    angle = positions[:, None] * theta ** (-two * torch.arange(half, dtype=x.dtype) / x.shape[1])
    a, b = x[:, :half], x[:, half:]
    return torch.cat([a * angle.cos() - sign * b * angle.sin(), b * angle.cos() + sign * a * angle.sin()], 1)


def backwards(x, positions, theta):
    return turned(x, positions, theta, sign=-1)


def too_slow(x, positions, theta):
    return turned(x, positions, theta, two=1)


def neighbours(x, positions, theta):
    y = turned(torch.cat([x[:, ::2], x[:, 1::2]], 1), positions, theta)
    return torch.stack(y.chunk(2, 1), 2).flatten(1)


def in_float32(x, positions, theta):
    return turned(x.float(), positions, theta).double()


def neighbours_in_float32(x, positions, theta):
    return neighbours(x.float(), positions, theta).double()


def neighbours_as_halves(x, positions, theta):
    return turned(torch.cat([x[:, ::2], x[:, 1::2]], 1), positions, theta)


def from_zero(x, positions, theta):
    return turned(x, torch.arange(len(x)), theta)


def stretched(x, positions, theta):
    return turned(x, positions, theta) * 1.1


def still_broken(x, attention, feed_forward, norm1, norm2):
    y = norm1(x + attention(x))
    return norm2(x + feed_forward(y))


def pre_ln(x, attention, feed_forward, norm1, norm2):
    x = x + attention(norm1(x))
    return x + feed_forward(norm2(x))


def no_residual(x, attention, feed_forward, norm1, norm2):
    return norm2(feed_forward(norm1(attention(x))))


def one_norm(x, attention, feed_forward, norm1, norm2):
    y = norm1(x + attention(x))
    return norm1(y + feed_forward(y))


def masked(q, k, v, mask=None, fault=""):
    """Attention behind a mask, with a fault."""
    scores = q @ k.transpose(-1, -2) / k.shape[-1] ** 0.5
    if mask is None or fault == "ignored":
        return scores.softmax(-1) @ v
    if fault == "after":
        return scores.softmax(-1) * mask @ v
    if fault == "times infinity":
        return (scores + (~mask).double() * -torch.inf).softmax(-1) @ v
    return scores.masked_fill(mask if fault == "inverted" else ~mask, 0.0 if fault == "zeros" else -torch.inf).softmax(-1) @ v


def masked_heads(q, k, v, heads, mask=None, fault=""):
    shared = mask if mask is None or fault == "no axis" else mask[:, None]
    y = masked(*(split(x, heads) for x in (q, k, v)), None if fault == "not handed on" else ~shared if fault == "inverted" and mask is not None else shared)
    return y.transpose(1, 2).reshape(q.shape)


def masked_per_head(q, k, v, heads, mask=None):
    """Where there are as many heads as sequences, their masks are mixed up, and nothing complains."""
    return masked_heads(q, k, v, heads, mask, "no axis" if len(q) == heads else "")


WRONG = {
    "06.1": [(unscaled, "not divided"), (by_size, "square root"), (wrong_axis, "axis"), (no_softmax, "softmax is missing"),
             (by_queries, "number of queries"), (for_matrices_only, "leading axes")],
    "06.2": [
        (both_real, "NaN"),
        (one_too_many, "too many"),
        (inverted, "inverted"),
        (as_numbers, "True and False"),
        (keys_only, "padding looks"),
        (only_tokens, "shape"),
    ],
    "06.3": [
        (straight_view, "mixes positions"),
        (not_merged, "wrong order"),
        (by_hidden_size, "√D"),
        (one_head, "one head"),
        (not_joined, "shape"),
    ],
    "06.4": [
        (backwards, "reversed"),
        (too_slow, "2 is missing"),
        (neighbours, "neighbours"),
        (neighbours_as_halves, "neighbours"),
        (neighbours_in_float32, "neighbours"),
        (in_float32, "dtype"),
        (from_zero, "given"),
        (stretched, "keeps lengths"),
    ],
    "06.5": [(still_broken, "still adds x"), (pre_ln, "pre-LN"), (no_residual, "residuals are missing"), (one_norm, "norm2")],
    "06.6": [
        ({"a", "b", "c", "e", "f", "h"}, "initialisation"),
        ({"a", "b", "e", "h"}, "layers are added"),
        ({"a", "b", "e", "f", "g", "h"}, "hides half"),
        (3, "set of letters"),
    ],
    "06.7": [
        (partial(masked, fault="ignored"), "not used"),
        (partial(masked, fault="after"), "no longer sum to 1"),
        (partial(masked, fault="inverted"), "inverted"),
        (partial(masked, fault="zeros"), "score like any other"),
        (partial(masked, fault="times infinity"), "0 · ∞"),
    ],
    "06.8": [
        (partial(masked_heads, fault="not handed on"), "not handed on"),
        (partial(masked_heads, fault="no axis"), "axis for the heads"),
        (masked_per_head, "without an error"),
        (partial(masked_heads, fault="inverted"), "inverted"),
    ],
    "06.9": [(partial(bert_encoder, fault=fault), hint[:40]) for fault, hint in ENCODER_FAULTS.items()],
}
