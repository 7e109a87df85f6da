"""Exercises of chapter 06: the transformer encoder."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from . import Exercise, Mistake, grade_letters


def numbers(*shape: int, seed: int) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(ours: Tensor, theirs: Tensor) -> bool:
    """Whether two tensors have one shape and agree to 1e-9."""
    return ours.shape == theirs.shape and bool(((ours - theirs).abs() <= 1e-9).all())


def as_tensor(value, shape: tuple[int, ...], what: str) -> Tensor:
    """The answer as a tensor of the shape wanted."""
    if not isinstance(value, Tensor):
        raise Mistake(f"return one tensor, {what}, not {type(value).__name__}")
    if tuple(value.shape) != shape:
        raise Mistake(f"the shape should be {what} = {shape}, yours is {tuple(value.shape)}")
    return value


# 06.1


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q kᵀ / √E) v for one head: q (…, T, E), k (…, S, E), v (…, S, F) to (…, T, F)."""
    scores = q @ k.transpose(-1, -2) / k.shape[-1] ** 0.5  # (…, T, S)
    return scores.softmax(-1) @ v


def grade_attend(answer) -> str:
    for seed, (queries, keys, size, width) in enumerate([(3, 5, 4, 4), (1, 7, 16, 16), (6, 6, 9, 2)]):
        q, k, v = numbers(queries, size, seed=seed), numbers(keys, size, seed=seed + 50), numbers(keys, width, seed=seed + 90)
        ours = as_tensor(answer(q.clone(), k.clone(), v.clone()), (queries, width), "(T, size of a value)")
        if close(ours, attend(q, k, v)):
            continue
        raw = q @ k.T
        likely = {
            "the scores are not divided by √E": raw.softmax(1) @ v,
            "divide by √E, the square root, not by E": (raw / size).softmax(1) @ v,
            "divide by √E, the size of a key, not by √T": (raw / keys**0.5).softmax(1) @ v,
            "the softmax runs over the wrong axis: the weights of *one query* over all keys sum to 1": (raw / size**0.5).softmax(0) @ v,
            "the softmax is missing: weights are positive and sum to 1": raw / size**0.5 @ v,
            "multiply by 1/√E before the softmax, not after it": raw.softmax(1) / size**0.5 @ v,
        }
        for hint, wrong in likely.items():
            if close(ours, wrong):
                raise Mistake(hint)
        raise Mistake(f"with {queries} queries and {keys} keys it differs from softmax(q kᵀ / √E) v by {(ours - attend(q, k, v)).abs().max():.2g}")
    return "three cases, one of them with values of another size than the keys"


# 06.2


def visible_pairs(lengths: Tensor, length: int) -> Tensor:
    """(B, T, T) bool: True where both positions hold a token, or both padding."""
    real = torch.arange(length) < lengths[:, None]  # (B, T)
    return real[:, :, None] == real[:, None, :]


def grade_visible_pairs(answer) -> str:
    for lengths, length in [([4, 2, 1], 4), ([3, 5], 6), ([1], 1), ([2, 2], 2)]:
        lengths = torch.tensor(lengths)
        shape, right = (len(lengths), length, length), visible_pairs(lengths, length)
        ours = as_tensor(answer(lengths.clone(), length), shape, "(B, T, T)")
        if ours.dtype != torch.bool:
            raise Mistake(f"a mask of True and False is wanted, not numbers of {ours.dtype}: compare, do not multiply")
        if torch.equal(ours, right):
            continue
        real = torch.arange(length) < lengths[:, None]
        late = torch.arange(length) <= lengths[:, None]
        if torch.equal(ours, ~right):
            raise Mistake("it is inverted: True where a position *may* look")
        if torch.equal(ours, real[:, :, None] & real[:, None, :]):
            raise Mistake("rows of padding are all False: nothing to look at, and the softmax of such a row is NaN. Let "
                          "padding look at padding")
        if torch.equal(ours, late[:, :, None] == late[:, None, :]):
            raise Mistake("one token too many: a sequence of n tokens holds positions 0 to n − 1")
        if torch.equal(ours, real[:, None, :].expand(shape)):
            raise Mistake("padding looks at real tokens: no harm to the real ones, but here padding is to look at padding only")
        if torch.equal(ours, real[:, :, None].expand(shape)):
            raise Mistake("the wrong axis: rows are who looks, columns whom they see. Real tokens look at padding here")
        if torch.equal(ours, right & torch.ones(length, length, dtype=torch.bool).tril()):
            raise Mistake("that is causal: an encoder's tokens look in both directions")
        raise Mistake(f"for lengths {lengths.tolist()} and T = {length} it differs in {int((ours != right).sum())} of {ours.numel()} places")
    return "no real token sees padding, no row is empty, also without any padding"


# 06.3


def multi_head(q: Tensor, k: Tensor, v: Tensor, num_heads: int) -> Tensor:
    """Attention in each of `num_heads` slices of the last axis: (B, T, D) each, to (B, T, D)."""
    batch, length, hidden = q.shape
    q, k, v = (x.view(batch, length, num_heads, -1).transpose(1, 2) for x in (q, k, v))  # (B, H, T, E)
    return attend(q, k, v).transpose(1, 2).reshape(batch, length, hidden)


def grade_multi_head(answer) -> str:
    for seed, (batch, length, hidden, heads) in enumerate([(2, 5, 12, 3), (1, 4, 4, 4), (3, 6, 8, 1), (2, 4, 16, 4)]):
        q, k, v = (numbers(batch, length, hidden, seed=10 * seed + i) for i in range(3))
        ours = as_tensor(answer(q.clone(), k.clone(), v.clone(), heads), (batch, length, hidden), "(B, T, D)")
        if close(ours, multi_head(q, k, v, heads)):
            continue
        size = hidden // heads
        split = [x.view(batch, length, heads, size).transpose(1, 2) for x in (q, k, v)]
        straight = [x.reshape(batch, heads, length, size) for x in (q, k, v)]
        strided = [x.view(batch, length, size, heads).permute(0, 3, 1, 2) for x in (q, k, v)]
        whole = (split[0] @ split[1].transpose(-1, -2) / hidden**0.5).softmax(-1) @ split[2]
        likely = {
            "the heads come back in the wrong order: move T before H again (transpose) before joining them":
                attend(*split).reshape(batch, length, hidden),
            "view(B, H, T, E) mixes positions: cut the last axis into (H, E) first, then move H before T":
                attend(*straight).transpose(1, 2).reshape(batch, length, hidden),
            "view(B, H, T, E) mixes positions, on the way in and on the way out: cut the last axis into (H, E) first":
                attend(*straight).reshape(batch, length, hidden),
            "a head is a run of E neighbouring numbers, so the last axis is cut into (H, E), not (E, H)":
                attend(*strided).permute(0, 2, 3, 1).reshape(batch, length, hidden),
            "the scores are divided by √D: a head's keys have E = D/H numbers": whole.transpose(1, 2).reshape(batch, length, hidden),
            "that is one head of size D: cut the last axis into heads first": attend(q, k, v),
        }  # fmt: skip
        for hint, wrong in likely.items():
            if close(ours, wrong):
                raise Mistake(hint)
        if close(ours, attend(*[x.transpose(1, 2) for x in split]).reshape(batch, length, hidden)):
            raise Mistake("the heads of one position look at each other: move H before T, so that positions do")
        raise Mistake(f"with {heads} heads of {size} it differs from attention head by head")
    return "1, 3 and 4 heads, and heads of a single number"


# 06.4


def turn(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    """(T, E) with every pair (x_j, x_{j+E/2}) turned by the angle position · theta^(−2j/E)."""
    half = x.shape[-1] // 2
    speed = theta ** (-2 * torch.arange(half, dtype=x.dtype) / x.shape[-1])  # radians a position, (E/2,)
    angle = positions[:, None].to(x.dtype) * speed  # (T, E/2)
    first, second = x[:, :half], x[:, half:]
    return torch.cat([first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()], dim=1)


def interleaved(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    """Wrong here: the pairs are neighbours, as in the paper's own layout."""
    order = torch.cat([torch.arange(0, x.shape[1], 2), torch.arange(1, x.shape[1], 2)])
    return turn(x[:, order], positions, theta)[:, order.argsort()]


def grade_turn(answer) -> str:
    for seed, (length, size, theta) in enumerate([(5, 4, 100.0), (7, 8, 10_000.0), (3, 2, 10.0)]):
        x, positions = numbers(length, size, seed=seed), torch.arange(length) + 2
        ours = as_tensor(answer(x.clone(), positions.clone(), theta), (length, size), "(T, E)")
        right = turn(x, positions, theta)
        if close(ours, right):
            continue
        slower = theta ** (-torch.arange(size // 2, dtype=x.dtype) / size)
        half = size // 2
        angle = positions[:, None] * slower
        a, b = x[:, :half], x[:, half:]
        likely = {
            "the sense of rotation is reversed: (a, b) becomes (a cos − b sin, b cos + a sin)": turn(x, -positions, theta),
            "the pairs are j and j + E/2 here, not the neighbours 2j and 2j + 1": interleaved(x, positions, theta),
            "the exponent is −2j/E, the 2 is missing": torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], 1),
            "use the positions that are given: they need not begin at 0": turn(x, positions - 2, theta),
            "all pairs turn at one speed; pair j turns by position · theta^(−2j/E)":
                torch.cat([a * positions[:, None].cos() - b * positions[:, None].sin(), b * positions[:, None].cos() + a * positions[:, None].sin()], 1),
        }  # fmt: skip
        for hint, wrong in likely.items():
            if close(ours, wrong):
                raise Mistake(hint)
        if not torch.allclose(ours.norm(dim=1), x.norm(dim=1)):
            raise Mistake("a rotation keeps lengths, yours does not: check the signs, and that both lines use the old pair")
        raise Mistake(f"for theta = {theta:g} and positions {positions.tolist()} it differs by {(ours - right).abs().max():.2g}")
    return "three sizes and bases, positions that begin at 2"


# 06.5


def post_ln_block(x, attention, feed_forward, norm1, norm2):
    """A block of BERT: each branch is added to its own input, and the sum is normalised."""
    y = norm1(x + attention(x))
    return norm2(y + feed_forward(y))


def grade_post_ln_block(answer) -> str:
    x = numbers(2, 3, 8, seed=5)
    A, B = numbers(8, 8, seed=6) / 3, numbers(8, 8, seed=7) / 3
    attention, feed_forward = (lambda t: (t + t.mean(1, keepdim=True)) @ A), (lambda t: F.gelu(t @ B))
    scales = [numbers(8, seed=8), numbers(8, seed=9)]
    norm1, norm2 = ((lambda t, s=s: F.layer_norm(t, (8,), s)) for s in scales)
    y = norm1(x + attention(x))
    ours = as_tensor(answer(x.clone(), attention, feed_forward, norm1, norm2), (2, 3, 8), "(B, T, D)")
    if close(ours, post_ln_block(x, attention, feed_forward, norm1, norm2)):
        return "each branch is added to its own input, each sum normalised by its own norm"
    z = x + attention(norm1(x))
    likely = {
        "the second sum still adds x: the feed-forward branch goes out from y, and is added to y": norm2(x + feed_forward(y)),
        "the second branch reads x: it should read y, what the first half made": norm2(y + feed_forward(x)),
        "that is pre-LN, the normalisation at the beginning of each branch: here it comes after the sum": z + feed_forward(norm2(z)),
        "the second residual is missing: y + feed_forward(y)": norm2(feed_forward(y)),
        "the residuals are missing: a branch is *added* to its input": norm2(feed_forward(norm1(attention(x)))),
        "the branch is normalised and then added; post-LN adds first, and normalises the sum": y + norm2(feed_forward(y)),
        "the last normalisation is missing": y + feed_forward(y),
        "the two norms have weights of their own: norm1 after the attention, norm2 after the feed-forward layer":
            norm1(y + feed_forward(y)),
    }  # fmt: skip
    for hint, wrong in likely.items():
        if close(ours, wrong):
            raise Mistake(hint)
    raise Mistake("it is neither the broken block nor the right one: write y = norm1(…) first, then use y alone")


# 06.6

CHOICES = {
    "a": "start both from the same weights, of the same random seed",
    "b": "measure the same matrix of every layer, such as the second of the feed-forward part",
    "c": "measure after training each model for 1 000 steps, so that the numbers have settled",
    "d": "average the norms over all layers into one number a model",
    "e": "repeat with several seeds, and show the spread",
    "f": "repeat at several numbers of layers",
    "g": "divide every curve by its own last value, and show only that",
    "h": "give both the same sentences and the same masked tokens",
}
NEEDED = {
    "a": "(a) is needed: otherwise the two differ in their weights as well",
    "b": "(b) is needed: matrices of different shapes and places have gradients of different sizes, whatever the norm does",
    "e": "(e) is needed: one random start may be luck",
    "f": "(f) is needed: the claim is about what happens as layers are added",
    "h": "(h) is needed: other sentences, other gradients",
}
HARMFUL = {
    "c": "(c) answers another question: the claim is about initialisation, and training changes both models differently",
    "d": "(d) averages away just what is asked: how the norm changes from layer to layer",
    "g": "(g) hides half of the claim: that the *last* layer's gradient stays in one and falls with depth in the other",
}
grade_design = grade_letters(CHOICES, NEEDED, HARMFUL,
                             "same weights, same data, same matrix; several depths, several seeds, the norms as they are")


EXERCISES = [
    Exercise("06.1", "attention for one head", 1, 10, attend, grade_attend),
    Exercise("06.2", "who may look at whom", 2, 10, visible_pairs, grade_visible_pairs),
    Exercise("06.3", "several heads", 2, 15, multi_head, grade_multi_head),
    Exercise("06.4", "turn queries and keys", 2, 15, turn, grade_turn),
    Exercise("06.5", "repair a block", 2, 10, post_ln_block, grade_post_ln_block),
    Exercise("06.6", "design the experiment", 2, 10, {"a", "b", "e", "f", "h"}, grade_design),
]
