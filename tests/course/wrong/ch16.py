"""Wrong answers to the exercises of chapter 16, each with a word that its message must hold."""

import math
from collections import Counter, defaultdict
from functools import partial

import torch
from torch.nn import functional as F

from pretrain_lib.course.exercises.ch16 import best_accuracy, clip_loss, hold_out, preferred, scale_slope, zero_shot, zero_shot_with

# 16.1


def row_by_row(samples, order, wanted):
    """The first samples of the wanted combinations only."""
    wanted_ones, out = set(order[:wanted]), []
    for sample in samples:
        out.append(sample in wanted_ones)
        wanted_ones.discard(sample)
    return out


def without_care(samples, order, wanted):
    return [sample in order[:wanted] for sample in samples]


def given_up(samples, order, wanted):
    """Looks at the first `wanted` of the order only."""
    left, out = set(order), set()
    for pair in order[:wanted]:
        rest = left - {pair}
        if all(any(other[half] == pair[half] for other in rest) for half in (0, 1)):
            left, out = rest, out | {pair}
    return [sample in out for sample in samples]


def letters_only(samples, order, wanted):
    """Looks after the letters, not after the marks."""
    left, out = set(order), set()
    for pair in order:
        rest = left - {pair}
        if len(out) < wanted and any(other[0] == pair[0] for other in rest):
            left, out = rest, out | {pair}
    return [sample in out for sample in samples]


def one_too_many(samples, order, wanted):
    return hold_out(samples, order, wanted + 1)


def from_the_end(samples, order, wanted):
    return hold_out(samples, order[::-1], wanted)


# 16.2


def clip_with(images, texts, scale, caption, length=True, alike=True, fill=-math.inf, own=True, sides=(1, 1), weight=0.5, total=False):
    """The symmetric loss, with mistakes if wanted."""
    a, b = (F.normalize(images, dim=1), F.normalize(texts, dim=1)) if length else (images, texts)
    logits, eye = scale * a @ b.T, torch.eye(len(a), dtype=torch.bool)
    same = caption[:, None] == caption
    hidden = (same & ~eye if own else same) if alike else torch.zeros_like(same)
    logits = logits.masked_fill(hidden, fill)
    places = torch.arange(len(a))
    loss = weight * sum(side * F.cross_entropy(turned, places) for side, turned in zip(sides, (logits, logits.T)))
    return loss * len(a) if total else loss


def all_alike(images, texts, scale, caption):
    a, b = F.normalize(images, dim=1), F.normalize(texts, dim=1)
    logits, same = scale * a @ b.T, caption[:, None] == caption
    return -((logits.log_softmax(1) + logits.log_softmax(0)) * same).sum() / same.sum() / 2


# 16.3


def slope_with(cosines, scale, axis=1, inside=None, shares=True, own=True, factor=1):
    weights = ((scale if inside is None else inside) * cosines).softmax(axis) if shares else torch.full_like(cosines, 1 / len(cosines))
    return factor * scale * ((weights * cosines).sum(axis) - own * cosines.diagonal()).mean()


# 16.6


def by_sight(seen, labels):
    counts = defaultdict(Counter)
    for sight, label in zip(seen, labels):
        counts[sight][label] += 1
    return list(counts.values())


WRONG = {
    "16.1": [(row_by_row, "in both parts"), (without_care, "never seen in training"), (given_up, "made up for by the next"), (letters_only, "the mark"),
             (one_too_many, "are wanted"), (from_the_end, "of the order"), (lambda s, o, w: [not one for one in hold_out(s, o, w)], "turned round"),
             (lambda s, o, w: sum(hold_out(s, o, w)), "in a list"), (lambda s, o, w: hold_out(o, o, w), "a sample is wanted")],
    "16.2": [(partial(clip_with, sides=(1, 0), weight=1), "only the pictures"), (partial(clip_with, sides=(0, 1), weight=1), "only the texts"),
             (partial(clip_with, alike=False), "told from each other"), (partial(clip_with, length=False), "length 1"),
             (lambda i, t, s, c: clip_loss(i, t, 1.0, c), "scale is missing"), (lambda i, t, s, c: clip_loss(i, t, 1 / s, c), "divided by the scale"),
             (lambda i, t, s, c: clip_loss(i, t, math.exp(s), c), "exponential"), (partial(clip_with, weight=1), "added up"), (partial(clip_with, total=True), "that is the sum"),
             (partial(clip_with, fill=0.0), "e⁰ is 1"), (all_alike, "right answers at once"), (partial(clip_with, own=False), "own partner"),
             (lambda i, t, s, c: -clip_loss(i, t, s, c), "sign"), (lambda i, t, s, c: clip_loss(i, t, s, c) + torch.zeros(6), "one number")],
    "16.3": [(lambda c, s: -scale_slope(c, s), "sign"), (lambda c, s: scale_slope(c, s) / s, "in its logarithm"), (lambda c, s: s * scale_slope(c, s), "twice"),
             (lambda c, s: len(c) * scale_slope(c, s), "that is the sum"), (partial(slope_with, shares=False), "count alike"), (partial(slope_with, inside=1.0), "without the scale"),
             (partial(slope_with, axis=0), "wrong axis"), (partial(slope_with, own=0), "right ones are missing"),
             (lambda c, s: F.cross_entropy(s * c, torch.arange(len(c))), "that is the loss")],
    "16.4": [(partial(zero_shot_with, long_prompts=True), "before they are brought"), (partial(zero_shot_with, long_means=True), "shorter than 1"),
             (partial(zero_shot_with, summed=True), "longer sum"), (partial(zero_shot_with, long_prompts=True, long_means=True), "both lengths"),
             (partial(zero_shot_with, best=True), "nearest prompt"), (partial(zero_shot_with, first=True), "first prompt"), (partial(zero_shot_with, lowest=True), "farthest"),
             (lambda i, p: i @ torch.stack([each.mean(0) for each in p]).T, "those are the scores"), (lambda i, p: torch.zeros(4), "wrong axis"),
             (lambda i, p: zero_shot(i, p).tolist(), "a tensor (60,)")],
    "16.5": [(lambda t, w, e: (t > w + e).double().mean(), "count as wrong"), (lambda t, w, e: (t >= w - e).double().mean(), "count as right"),
             (lambda t, w, e: preferred(t, w, 0.0), "tolerance is not used:"), (lambda t, w, e: (t > w).double().mean(), "do not count half"),
             (lambda t, w, e: (t > w)[(t - w).abs() > e].double().mean(), "left out"), (lambda t, w, e: preferred(w, t, e), "wrong one is preferred"),
             (lambda t, w, e: len(t) * preferred(t, w, e), "number of them")],
    "16.6": [(lambda s, y: sum(max(c.values()) / sum(c.values()) for c in by_sight(s, y)) / len(by_sight(s, y)), "counts alike"),
             (lambda s, y: max(Counter(y).values()) / len(y), "commonest label of all"),
             (lambda s, y: sum(n * n / sum(c.values()) for c in by_sight(s, y) for n in c.values()) / len(y), "by chance"),
             (lambda s, y: sum(sum(c.values()) for c in by_sight(s, y) if len(c) == 1) / len(y), "one label only"),
             (lambda s, y: best_accuracy(s, y) * len(y), "number of right guesses"), (lambda s, y: [best_accuracy(s, y)], "one number")],
    "16.7": [(set("acefhij") - {"a"}, "another font"), (set("acefhij") - {"c"}, "683"), (set("acefhij") - {"e"}, "captions were needed"), (set("acefhij") - {"f"}, "nearest picture"),
             (set("acefhij") - {"h"}, "tuning"), (set("acefhij") - {"i"}, "lucky"), (set("acefhij") - {"j"}, "bag of words"),
             (set("abcefhij"), "other fonts"), (set("acdefhij"), "looks good"), (set("acefghij"), "ln N")],
}
