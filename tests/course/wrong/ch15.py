"""Wrong answers to the exercises of chapter 15, each with a word that its message must hold."""

import math
from functools import partial

import torch
from torch.nn import functional as F

from pretrain_lib.course.exercises.ch15 import RIGHT_LOGS, collapse, cpc_loss, ctc_forward, mel_filters, span_mask, to_hertz, to_mel, triangles
from pretrain_lib.data.keys import Keys

# 15.1


def filters_with(num_bins, num_mels, rate, top=0.5, bins_top=0.5, corners=2, lower=torch.minimum, clamp=True, in_mel=False, to=to_mel, back=to_hertz):
    """Mel filters, with mistakes if wanted."""
    bins = torch.linspace(0, rate * bins_top, num_bins)
    edges = back(torch.linspace(0, to(torch.tensor(rate * top)).item(), num_mels + corners))
    bins, edges = (to(bins), to(edges)) if in_mel else (bins, edges)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    sides = lower((bins[:, None] - left) / (centre - left), (right - bins[:, None]) / (right - centre))
    sides = sides.clamp(min=0) if clamp else sides
    return F.pad(sides, (0, num_mels - sides.shape[1]))


def natural_log(hertz):
    return 2595 * (1 + hertz / 700).log()


def at_whole_bins(num_bins, num_mels, rate):
    corners = to_hertz(torch.linspace(0, to_mel(torch.tensor(rate / 2)).item(), num_mels + 2))
    whole = torch.floor(corners / (rate / 2) * (num_bins - 1))
    return triangles(torch.arange(num_bins), whole).nan_to_num()


def of_area_one(num_bins, num_mels, rate):
    corners = to_hertz(torch.linspace(0, to_mel(torch.tensor(rate / 2)).item(), num_mels + 2))
    return mel_filters(num_bins, num_mels, rate) * 2 / (corners[2:] - corners[:-2])


def of_sum_one(num_bins, num_mels, rate):
    right = mel_filters(num_bins, num_mels, rate)
    return right / right.sum(0)


# 15.2


def predicted_with(predicted, vectors, offset, temperature, asked=None, shift=None, candidates=None, cosine=False, reduction="mean"):
    """The loss, with mistakes if wanted."""
    if cosine:
        predicted, vectors = F.normalize(predicted, dim=1), F.normalize(vectors, dim=1)
    asked = predicted[:-offset] if asked is None else asked(predicted, offset)
    logits = asked @ (vectors if candidates is None else candidates(vectors, offset)).T / temperature
    return F.cross_entropy(logits, torch.arange(len(asked)) + (offset if shift is None else shift(offset)), reduction=reduction)


def rolled(predicted, vectors, offset, temperature):
    return F.cross_entropy(predicted @ vectors.T / temperature, torch.arange(len(vectors)).roll(-offset))


def only_later(predicted, vectors, offset, temperature):
    logits = predicted[:-offset] @ vectors.T / temperature
    for t, row in enumerate(logits):
        row[:t + 1] = -math.inf
    return F.cross_entropy(logits, torch.arange(offset, len(vectors)))


def without_the_true_one(predicted, vectors, offset, temperature):
    logits = predicted[:-offset] @ vectors.T / temperature
    places = torch.arange(offset, len(vectors))
    true = logits.gather(1, places[:, None])
    return (logits.scatter(1, places[:, None], -math.inf).logsumexp(1, keepdim=True) - true).mean()


def over_predictions(predicted, vectors, offset, temperature):
    shares = (predicted[:-offset] @ vectors.T / temperature).log_softmax(0)
    return -shares[torch.arange(len(shares)), torch.arange(offset, len(vectors))].mean()


# 15.4


def spans_with(keys, length, share, span, blocks=None, turned=False):
    spans = round(share * length / span) if blocks is None else blocks(length, share, span)
    mask = span_mask(keys, length, spans * span / length, span)
    return ~mask if turned else mask


def beginnings(keys, length, share, span, rate=None):
    """Each frame begins a span with some probability: spans overlap, and are cut off at the end."""
    chance = share / span if rate is None else rate(share, span)
    starts = keys.uniform("spans", (length,)) < chance
    return torch.stack([F.pad(starts, (i, 0))[:, :length] for i in range(span)]).any(0)


def so_many_beginnings(keys, length, share, span):
    """A fixed number of beginnings, whose spans may overlap."""
    order = keys.uniform("spans", (length - span + 1,)).argsort(1)[:, :round(share * length / span)]
    mask = torch.zeros(len(keys), length, dtype=torch.bool)
    for i in range(span):
        mask.scatter_(1, order + i, True)
    return mask


def single_frames(keys, length, share, span):
    return keys.uniform("spans", (length,)).argsort(1).argsort(1) < round(share * length / span) * span


def first_frames(keys, length, share, span):
    return keys.uniform("spans", (length,)).argsort(1).argsort(1) < round(share * length / span)


def one_stretch(keys, length, share, span):
    hidden = round(share * length / span) * span
    start = (keys.uniform("spans")[:, None] * (length - hidden + 1)).long()
    places = torch.arange(length)
    return (places >= start) & (places < start + hidden)


def on_a_grid(keys, length, share, span):
    cells = length // span
    chosen = keys.uniform("spans", (cells,)).argsort(1).argsort(1) < round(share * length / span)
    return F.pad(chosen.repeat_interleave(span, 1), (0, length - cells * span))


def never_the_first(keys, length, share, span):
    spans = round(share * length / span)
    return F.pad(span_mask(keys, length - 1, spans * span / (length - 1), span), (1, 0))


def the_same_for_all(keys, length, share, span):
    return span_mask(Keys.of(keys.seed, [0]), length, share, span).expand(len(keys), -1)


def with_a_state(keys, length, share, span):
    return span_mask(Keys.of(int(torch.randint(2**31, ())), len(keys)), length, share, span)


def counted_from_zero(keys, length, share, span):
    return span_mask(Keys.of(keys.seed, len(keys)), length, share, span)


def without_epoch(keys, length, share, span):
    return span_mask(Keys(keys.seed, keys.epoch * 0, keys.sample), length, share, span)


# 15.5


def recursion(log_probs, labels, blanks=True, skip=lambda states, s: states[s] != 0 and states[s] != states[s - 2], starts=2, ends=2, best=False,
              frames=slice(1, None)):
    """log P by loops, with mistakes if wanted."""
    states = [0] + [state for symbol in labels for state in (symbol, 0)] if blanks else list(labels)

    def add(ways):
        ways = torch.stack(ways)
        return ways.max() if best else ways.logsumexp(0)

    nothing = torch.tensor(-math.inf, dtype=torch.float64)
    alpha = [log_probs[0, state] if s < starts else nothing for s, state in enumerate(states)]
    for frame in log_probs[frames]:
        alpha = [add(alpha[max(0, s - 1):s + 1] + ([alpha[s - 2]] if blanks and s > 1 and skip(states, s) else [])) + frame[state]
                 for s, state in enumerate(states)]
    return add(alpha[-ends:] if ends else alpha)


def in_probabilities(log_probs, labels):
    """Right, and underflows in float32."""
    probs, states = log_probs.float().exp(), [0] + [state for symbol in labels for state in (symbol, 0)]
    alpha = torch.zeros(len(states))
    alpha[:2] = probs[0, states[:2]]
    may = torch.tensor([s > 1 and states[s] != 0 and states[s] != states[s - 2] for s in range(len(states))])
    for frame in probs[1:]:
        alpha = (alpha + F.pad(alpha, (1, 0))[:-1] + F.pad(alpha, (2, 0))[:-2] * may) * frame[states]
    return alpha[-2:].sum().log()


def finite_when_too_short(log_probs, labels):
    return ctc_forward(log_probs, labels).clamp(min=-1e9)


# 15.6


def blanks_first(path):
    return repeats_only([symbol for symbol in path if symbol])


def repeats_only(path):
    return [symbol for i, symbol in enumerate(path) if not i or symbol != path[i - 1]]


WRONG = {
    "15.1": [(partial(filters_with, to=lambda f: f, back=lambda m: m), "evenly spaced in hertz"), (lambda b, m, r: mel_filters(b, m, r).T, "changed places"),
             (partial(filters_with, clamp=False), "negative"), (partial(filters_with, lower=torch.maximum), "whichever is higher"),
             (partial(filters_with, top=1.0), "bands go up to the rate"), (partial(filters_with, bins_top=1.0), "bins go up to the rate"),
             (partial(filters_with, in_mel=True), "straight lines in mel"), (partial(filters_with, to=natural_log), "log10"),
             (of_area_one, "area 1"), (of_sum_one, "sums to 1"), (at_whole_bins, "whole bins"), (partial(filters_with, corners=1), "one corner is missing")],
    "15.2": [(partial(predicted_with, shift=lambda k: 0), "just heard"),
             (partial(predicted_with, asked=lambda p, k: p[:len(p) - k + 1], shift=lambda k: k - 1), "off by one"),
             (partial(predicted_with, asked=lambda p, k: p[k:], shift=lambda k: 0), "wrong way"), (rolled, "roll"),
             (partial(predicted_with, candidates=lambda v, k: v[k:], shift=lambda k: 0), "some prediction's target"), (only_later, "only later frames"),
             (lambda p, v, k, t: cpc_loss(p, v, k, 1.0), "temperature is missing"), (lambda p, v, k, t: cpc_loss(p, v, k, 1 / t), "divide"),
             (partial(predicted_with, cosine=True), "cosines"), (partial(predicted_with, reduction="sum"), "that is the sum"),
             (lambda p, v, k, t: cpc_loss(p, v, k, t) * (len(v) - k) / len(v), "over all T"), (lambda p, v, k, t: -cpc_loss(p, v, k, t), "sign"),
             (without_the_true_one, "below the fraction"), (over_predictions, "other question"), (partial(predicted_with, reduction="none"), "one number is wanted")],
    "15.3": [(RIGHT_LOGS | {"A": "healthy"}, "nobody can tell so well"), (RIGHT_LOGS | {"B": "healthy"}, "best single answer"),
             (RIGHT_LOGS | {"C": "healthy"}, "known in the first"), (RIGHT_LOGS | {"D": "healthy"}, "worse than by the untrained"),
             (RIGHT_LOGS | {"E": "it has heard the future"}, "not near 0"), (RIGHT_LOGS | {"E": "over-fitting"}, "none of")],
    "15.4": [(partial(beginnings, rate=lambda share, span: share), "begins a span with the probability"), (beginnings, "right on average or not"),
             (so_many_beginnings, "beginnings were drawn one by one"), (single_frames, "no multiple"), (first_frames, "only the first frame"),
             (partial(spans_with, turned=True), "changed places"), (partial(spans_with, blocks=lambda n, share, span: round(share * n / span) - 1), "are stated"),
             (one_stretch, "in one stretch"), (on_a_grid, "at multiples"),
             (never_the_first, "never hidden"), (the_same_for_all, "the same mask"), (with_a_state, "second time"), (counted_from_zero, "another batch"),
             (without_epoch, "next epoch"), (lambda k, n, share, span: span_mask(k, n, share, span).float(), "bool")],
    "15.5": [(lambda p, u: -ctc_forward(p, u), "sign"), (lambda p, u: ctc_forward(p, u).exp(), "that is P"), (lambda p, u: ctc_forward(p, u) / len(u), "divided by"),
             (partial(recursion, blanks=False, starts=1, ends=1), "no blank between the symbols"),
             (partial(recursion, skip=lambda s, i: False), "no blank may be left out"),
             (partial(recursion, skip=lambda s, i: s[i] != 0), "two symbols that are the same"),
             (partial(recursion, skip=lambda s, i: s[i] == 0 or s[i] != s[i - 2]), "a blank follows a blank"),
             (partial(recursion, starts=1), "first frame is always a blank"), (partial(recursion, ends=1), "last frame is always a blank"),
             (partial(recursion, best=True), "best path"),
             (partial(recursion, frames=slice(1, -1)), "last frame is missing"), (lambda p, u: ctc_forward(p[1:], u), "first frame is missing"),
             (partial(recursion, ends=0), "only the last two"), (in_probabilities, "underflows"), (finite_when_too_short, "three frames")],
    "15.6": [(repeats_only, "blanks are left in"), (lambda p: [s for s in p if s], "repeats are left in"), (blanks_first, "taken out first"),
             (lambda p: list(dict.fromkeys(s for s in p if s)), "only once"), (lambda p: sorted({s for s in p if s}), "order is lost"),
             (lambda p: collapse(p)[:-1], "last symbol"), (lambda p: collapse(p)[1:], "first symbol"), (lambda p: " ".join(map(str, collapse(p))), "list of symbols")],
    "15.7": [(set("abdefhi") - {"a"}, "who speaks"), (set("abdefhi") - {"b"}, "as a whole"), (set("abdefhi") - {"d"}, "patience"),
             (set("abdefhi") - {"e"}, "random network"),
             (set("abdefhi") - {"f"}, "added nothing"), (set("abdefhi") - {"h"}, "tuning"), (set("abdefhi") - {"i"}, "lucky"), (set("abdefhi") | {"c"}, "both parts"),
             (set("abdefhi") | {"g"}, "in name"), (set("abdefhi") | {"j"}, "pretext task")],
}
