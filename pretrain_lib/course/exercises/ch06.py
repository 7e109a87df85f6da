"""Exercises of chapter 06: the transformer encoder."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from ...hf import to_hugging_face
from ...models.bert import BertConfig, BertForMaskedLM, BertModel
from . import Exercise, Mistake, grade_letters


def numbers(*shape: int, seed: int) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(ours: Tensor, theirs: Tensor) -> bool:
    """Whether two tensors have one shape and agree to 1e-9."""
    return ours.shape == theirs.shape and bool(((ours - theirs).abs() <= 1e-9).all())


def alike(ours: Tensor, theirs: Tensor) -> bool:
    """Whether they agree to the digits of float32."""
    return ours.shape == theirs.shape and torch.allclose(ours, theirs.to(ours.dtype), atol=1e-5)


def as_tensor(value, shape: tuple[int, ...], what: str) -> Tensor:
    """The answer as a tensor of the shape wanted."""
    if not isinstance(value, Tensor):
        raise Mistake(f"return one tensor, {what}, not {type(value).__name__}")
    if tuple(value.shape) != shape:
        raise Mistake(f"the shape should be {what} = {shape}, yours is {tuple(value.shape)}")
    return value


# 06.1


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ / √E) v: q (…, T, E), k (…, S, E), v (…, S, C) to (…, T, C); only where `mask` (…, T, S) is True."""
    scores = q @ k.transpose(-1, -2) / k.shape[-1] ** 0.5  # (…, T, S)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(-1) @ v


def grade_attend(answer) -> str:
    for seed, (queries, keys, size, width) in enumerate([(3, 5, 4, 2), (1, 7, 16, 16), (6, 6, 9, 2)]):
        q, k, v = numbers(queries, size, seed=seed), numbers(keys, size, seed=seed + 50), numbers(keys, width, seed=seed + 90)
        ours = as_tensor(answer(q.clone(), k.clone(), v.clone()), (queries, width), "(T, size of a value)")
        if close(ours, attend(q, k, v)):
            continue
        raw = q @ k.T
        likely = {
            "the scores are not divided by √E": raw.softmax(1) @ v,
            "divide by √E, the square root, not by E": (raw / size).softmax(1) @ v,
            "divide by √E, the size of a key, not by the root of the number of keys": (raw / keys**0.5).softmax(1) @ v,
            "divide by √E, the size of a key, not by the root of the number of queries": (raw / queries**0.5).softmax(1) @ v,
            "divide by √E, the size of a key, not by the root of the size of a value": (raw / width**0.5).softmax(1) @ v,
            "the softmax runs over the wrong axis: the weights of *one query* over all keys sum to 1": (raw / size**0.5).softmax(0) @ v,
            "the softmax is missing: weights are positive and sum to 1": raw / size**0.5 @ v,
            "multiply by 1/√E before the softmax, not after it": raw.softmax(1) / size**0.5 @ v,
        }
        for hint, wrong in likely.items():
            if close(ours, wrong):
                raise Mistake(hint)
        raise Mistake(f"with {queries} queries and {keys} keys it differs from softmax(q kᵀ / √E) v by {(ours - attend(q, k, v)).abs().max():.2g}")
    q, k, v = numbers(2, 3, 5, 4, seed=7), numbers(2, 3, 5, 4, seed=8), numbers(2, 3, 5, 4, seed=9)
    hint = "it is right for matrices, and not behind leading axes such as (B, H): swap the last two axes with .transpose(-1, -2), since .T " \
           "turns all of them around; and the softmax and E belong to the last axis, -1"
    try:
        ours = answer(q.clone(), k.clone(), v.clone())
    except (RuntimeError, IndexError):
        raise Mistake(hint) from None
    if not close(as_tensor(ours, (2, 3, 5, 4), "(B, H, T, E)"), attend(q, k, v)):
        raise Mistake(hint)
    return "matrices, values of another size than the keys, and leading axes"


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


def multi_head(q: Tensor, k: Tensor, v: Tensor, num_heads: int, mask: Tensor | None = None) -> Tensor:
    """Attention in each of `num_heads` slices of the last axis: (B, T, D) each, and a mask (B, T, T), to (B, T, D)."""
    batch, length, hidden = q.shape
    q, k, v = (x.view(batch, length, num_heads, -1).transpose(1, 2) for x in (q, k, v))  # (B, H, T, E)
    shared = None if mask is None else mask[:, None]  # (B, 1, T, T)
    return attend(q, k, v, shared).transpose(1, 2).reshape(batch, length, hidden)


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


def neighbours(x: Tensor, positions: Tensor, theta: float) -> list[Tensor]:
    """Wrong here: the pairs are neighbours, as in the paper; put back where they were, and left as two halves."""
    order = torch.cat([torch.arange(0, x.shape[1], 2), torch.arange(1, x.shape[1], 2)])
    halves = turn(x[:, order], positions, theta)
    return [halves[:, order.argsort()], halves]


def grade_turn(answer) -> str:
    for seed, (length, size, theta) in enumerate([(5, 4, 100.0), (7, 8, 10_000.0), (3, 2, 10.0)]):
        x, positions = numbers(length, size, seed=seed), torch.arange(length) + 2
        ours = as_tensor(answer(x.clone(), positions.clone(), theta), (length, size), "(T, E)")
        right = turn(x, positions, theta)
        if close(ours, right):
            continue
        if alike(ours, right):
            raise Mistake("it is right, to the seven digits of float32: give torch.arange the dtype of x, so that angles are float64, too")
        slower = theta ** (-torch.arange(size // 2, dtype=x.dtype) / size)
        half = size // 2
        angle = positions[:, None] * slower
        a, b = x[:, :half], x[:, half:]
        likely = {
            "the sense of rotation is reversed: (a, b) becomes (a cos − b sin, b cos + a sin)": turn(x, -positions, theta),
            "the exponent is −2j/E, the 2 is missing": torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], 1),
            "use the positions that are given: they need not begin at 0": turn(x, positions - 2, theta),
            "all pairs turn at one speed; pair j turns by position · theta^(−2j/E)":
                torch.cat([a * positions[:, None].cos() - b * positions[:, None].sin(), b * positions[:, None].cos() + a * positions[:, None].sin()], 1),
        }  # fmt: skip
        for hint, wrong in likely.items():
            if alike(ours, wrong):
                raise Mistake(hint)
        if any(alike(ours, wrong) for way in (positions, -positions) for wrong in neighbours(x, way, theta)):
            raise Mistake("the pairs are j and j + E/2 here, not the neighbours 2j and 2j + 1: the first of all pairs are x[:, :E/2], the "
                          "second x[:, E/2:]")
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
    "c": "measure after training each model for 1,000 steps, so that the numbers have settled",
    "d": "average the norms over all layers into one number per model",
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


# 06.7


def grade_masked_attend(answer) -> str:
    grade_attend(answer)
    for seed, (batch, length) in enumerate([(2, 4), (3, 3), (1, 6)]):
        q, k, v = (numbers(batch, length, 4, seed=30 * seed + i) for i in range(3))
        mask = torch.eye(length, dtype=torch.bool) | (numbers(batch, length, length, seed=30 * seed + 3) > 0.3)
        scores, kept = q @ k.transpose(-1, -2) / 2, mask.double()
        ours = as_tensor(answer(q.clone(), k.clone(), v.clone(), mask.clone()), (batch, length, 4), "(…, T, C)")
        if close(ours, attend(q, k, v, mask)):
            continue
        likely = {
            "the mask is not used": scores.softmax(-1) @ v,
            "the mask is inverted: True is where a query *may* look, so −∞ goes where it is False": attend(q, k, v, ~mask),
            "weights are set to 0 after the softmax, and no longer sum to 1: set scores to −∞ before it": (scores.softmax(-1) * kept) @ v,
            "scores are set to 0, which is a score like any other: e⁰ = 1. Set them to −∞": (scores * kept).softmax(-1) @ v,
            "the mask is added as numbers: a score that is not allowed should be −∞": (scores + kept).softmax(-1) @ v,
            "the axes of the mask are swapped: its rows are queries, its columns keys": attend(q, k, v, mask.mT),
        }  # fmt: skip
        for hint, wrong in likely.items():
            if torch.allclose(ours, wrong.nan_to_num(), atol=1e-9, equal_nan=True) or close(ours, wrong):
                raise Mistake(hint)
        if ours.isnan().any():
            raise Mistake("NaN, although every query has something to look at: fill with −∞, do not multiply by it (0 · ∞ is NaN)")
        raise Mistake(f"it differs by {(ours - attend(q, k, v, mask)).abs().max():.2g}: scores where the mask is False become −∞ before the softmax")
    return "without a mask as before; with one, what is hidden has weight 0 and the rest sums to 1"


# 06.8


def grade_masked_heads(answer) -> str:
    grade_multi_head(answer)
    for seed, (batch, length, heads) in enumerate([(2, 4, 3), (3, 5, 3), (4, 4, 4)]):
        q, k, v = (numbers(batch, length, 4 * heads, seed=60 * seed + i) for i in range(3))
        mask = visible_pairs(torch.arange(batch) % length + 1, length)
        try:
            ours = answer(q.clone(), k.clone(), v.clone(), heads, mask.clone())
        except RuntimeError as error:
            if "match" in str(error) or "broadcast" in str(error):
                raise Mistake(f"a mask (B, T, T) does not fit scores (B, H, T, T): give it an axis for the heads, mask[:, None] ({error})") from None
            raise
        ours, right = as_tensor(ours, (batch, length, 4 * heads), "(B, T, D)"), multi_head(q, k, v, heads, mask)
        if close(ours, right):
            continue
        if close(ours, multi_head(q, k, v, heads)):
            raise Mistake("the mask is not handed on to attend")
        if batch == heads:
            split = [x.view(batch, length, heads, 4).transpose(1, 2) for x in (q, k, v)]
            if close(ours, attend(*split, mask).transpose(1, 2).reshape(q.shape)):
                raise Mistake("with as many heads as sequences it goes wrong without an error: a mask (B, T, T) beside (B, H, T, T) is taken for "
                              "one mask per *head*. Give it an axis for the heads, mask[:, None]")
        if close(ours, multi_head(q, k, v, heads, ~mask)):
            raise Mistake("the mask is inverted: True is where a position *may* look")
        raise Mistake(f"with a mask and {heads} heads it differs from attention head by head, by {(ours - right).abs().max():.2g}")
    return "one mask per sequence, for all its heads, also with as many heads as sequences"


# 06.9


def linear(x: Tensor, w: dict, name: str) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def norm(x: Tensor, w: dict, name: str) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-12)


def bert_encoder(w: dict, input_ids: Tensor, token_type_ids: Tensor, mask: Tensor, num_layers: int, num_heads: int,
                 fault: str = "") -> Tensor:
    """BERT's encoder: (B, T) ids to (B, T, D), with the weights `w` under Hugging Face's names; wrong if a `fault` is named."""
    word, position, kind = (w[f"bert.embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type"))
    x = word[input_ids]
    x = x if fault == "no positions" else x + position[: input_ids.shape[1]]
    x = x if fault == "no types" else x + kind[token_type_ids]
    x = x if fault == "no first norm" else norm(x, w, "bert.embeddings.LayerNorm")
    mask = torch.ones_like(mask) if fault == "no mask" else mask
    for i in range(num_layers):
        name = f"bert.encoder.layer.{0 if fault == 'one layer' else i}"

        def attention(x, name=name):
            q, k, v = (linear(x, w, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
            q, k = (k, q) if fault == "swapped" else (q, k)
            y = multi_head(q, k, v, num_heads, mask)
            return y if fault == "no output" else linear(y, w, f"{name}.attention.output.dense")

        def feed_forward(x, name=name):
            inner = linear(x, w, f"{name}.intermediate.dense")
            gelu = {"relu": F.relu, "tanh": partial(F.gelu, approximate="tanh")}.get(fault, F.gelu)
            return linear(gelu(inner), w, f"{name}.output.dense")

        norms = [partial(norm, w=w, name=f"{name}.{part}") for part in ("attention.output.LayerNorm", "output.LayerNorm")]
        norms = norms[::-1] if fault == "swapped norms" else norms
        if fault == "pre-LN":
            x = x + attention(norms[0](x))
            x = x + feed_forward(norms[1](x))
        else:
            x = post_ln_block(x, attention, feed_forward, *norms)
    return x


ENCODER_FAULTS = {
    "no positions": "the position's vector is missing in the embeddings: word + position + type",
    "no types": "the token type's vector is missing in the embeddings: word + position + type",
    "no first norm": "the sum of the three embeddings is normalised before the first block, by bert.embeddings.LayerNorm",
    "no mask": "the mask is not handed on to multi_head: the shorter text of the batch sees its padding",
    "one layer": "every block uses the weights of layer 0: put the layer's number into the name",
    "swapped": "queries and keys are swapped",
    "no output": "the heads' answers are mixed by one more matrix, attention.output.dense, before they are added to x",
    "relu": "BERT's non-linearity is the gelu, not the ReLU",
    "tanh": "this gelu is the approximation by tanh: BERT has the one with erf, as in section 6",
    "swapped norms": "the two norms of a block are swapped: attention.output.LayerNorm comes first",
    "pre-LN": "that is pre-LN: BERT normalises after each sum",
}


def tiny_bert(num_layers: int, seed: int) -> tuple[dict, BertModel]:
    """The library's encoder, every parameter drawn, and its weights under Hugging Face's names, in float64."""
    model = BertForMaskedLM(BertConfig(vocab_size=23, hidden_size=12, num_hidden_layers=num_layers, num_attention_heads=3, intermediate_size=20,
                                       max_position_embeddings=16)).double().eval()
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            parameter.copy_(0.6 * numbers(*parameter.shape, seed=seed + i))
    return to_hugging_face(model)[1], model.encoder


def grade_bert_encoder(answer) -> str:
    lengths, types = torch.tensor([7, 4]), torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 0, 0, 0]])
    real = torch.arange(7) < lengths[:, None]
    input_ids, mask = (23 * torch.rand(2, 7, generator=torch.Generator().manual_seed(3))).long(), visible_pairs(lengths, 7)
    for num_layers, part in enumerate(["the embeddings (an encoder of 0 layers)", "an encoder of one layer", "an encoder of two layers"]):
        w, model = tiny_bert(max(num_layers, 1), seed=100)
        with torch.no_grad():
            right = model(input_ids, real.long(), types) if num_layers else model.embeddings(input_ids, types, None)
            ours = as_tensor(answer(dict(w), input_ids.clone(), types.clone(), mask.clone(), num_layers, 3), (2, 7, 12), "(B, T, D)")
            if close(ours[real], right[real]):
                continue
            for fault, hint in ENCODER_FAULTS.items():
                wrong = bert_encoder(w, input_ids, types, mask, num_layers, 3, fault)
                if close(ours[real], wrong[real]) and not close(wrong[real], right[real]):
                    raise Mistake(f"{hint} (seen in {part})")
        raise Mistake(f"{part} differs by {(ours - right)[real].abs().max():.2g}, all smaller ones are right: print the shapes, and compare each "
                      "step with its line in the table of weights")
    return "0, 1 and 2 layers equal the library's BERT in float64, with two segments and padding"


EXERCISES = [
    Exercise("06.1", "attention for one head", 1, 10, attend, grade_attend),
    Exercise("06.2", "who may look at whom", 2, 10, visible_pairs, grade_visible_pairs),
    Exercise("06.3", "several heads", 2, 15, multi_head, grade_multi_head),
    Exercise("06.4", "turn queries and keys", 2, 15, turn, grade_turn),
    Exercise("06.5", "repair a block", 2, 10, post_ln_block, grade_post_ln_block),
    Exercise("06.6", "design the experiment", 2, 10, {"a", "b", "e", "f", "h"}, grade_design),
    Exercise("06.7", "attention behind a mask", 2, 10, attend, grade_masked_attend),
    Exercise("06.8", "heads behind a mask", 1, 5, multi_head, grade_masked_heads),
    Exercise("06.9", "BERT's encoder from your own parts", 3, 40, bert_encoder, grade_bert_encoder),
]
