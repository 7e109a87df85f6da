"""Wrong answers to the exercises of chapter 13, each with a word that its message must hold."""

from functools import partial

import torch
from torch.nn import functional as F

from pretrain_lib.course.exercises.ch13 import (
    RIGHT_REPORTS,
    choose_bits,
    head_importance,
    int8_product,
    quantise_rows,
    scan,
    soft_gradient,
    soft_loss,
    without_head,
)


def hard_targets(student, teacher, T):
    return F.cross_entropy(student, teacher.argmax(-1), reduction="none")


def log_of_softmax(student, teacher, T):
    p, q = ((x / T).softmax(-1) for x in (teacher, student))
    return T**2 * (p * (p.log() - q.log())).sum(-1)


def every_number(y, gradient, heads):
    return (y * gradient).abs().unflatten(-1, (heads, -1)).sum((1, 3)).mean(0)


def samples_cancel(y, gradient, heads):
    return (y * gradient).unflatten(-1, (heads, -1)).sum((1, 3)).mean(0).abs()


def tokens_as_samples(y, gradient, heads):
    return (y * gradient).unflatten(-1, (heads, -1)).sum(-1).abs().mean((0, 1))


def kept(output, head, heads):
    size = output.shape[1] // heads
    return [i for i in range(output.shape[1]) if i // size != head]


def queries_only(qkv, output, head, heads):
    size = output.shape[1] // heads
    return qkv[[i for i in range(len(qkv)) if i // size != head]], output[:, kept(output, head, heads)]


def a_whole_third(qkv, output, head, heads):
    third = len(qkv) // 3
    return qkv[[i for i in range(len(qkv)) if i // third != head]], output[:, kept(output, head, heads)]


def rows_of_output(qkv, output, head, heads):
    return without_head(qkv, output, head, heads)[0], output[kept(output, head, heads)]


def next_head(qkv, output, head, heads):
    return without_head(qkv, output, (head + 1) % heads, heads)


def with_scale(w, scale):
    return (w / scale).round().to(torch.int8), scale, scale / 2


def not_rounded(w):
    _, scale, bound = quantise_rows(w)
    return (w / scale).to(torch.int8), scale, bound


def loose_bound(w):
    q, scale, _ = quantise_rows(w)
    return q, scale, scale


def measured_error(w):
    q, scale, _ = quantise_rows(w)
    return q, scale, (q * scale - w).abs().amax(1, keepdim=True)


@torch.no_grad()
def scanned(parts, damages, measure, before=False, restore_parts=True, restore_ways=True, matrices=None, at_once=False):
    """A scan with something left out."""
    whole, table = [[m.clone() for m in part] for part in parts], torch.empty(len(parts), len(damages))
    for i, part in enumerate(parts):
        for j, damage in enumerate(damages):
            if before:
                table[i, j] = measure()
            for k in range(len(parts)) if at_once else [i]:
                for m, old in list(zip(parts[k], whole[k], strict=True))[:matrices]:
                    m.copy_(damage(old if restore_ways else m))
            if not before:
                table[i, j] = measure()
        if restore_parts:
            for m, old in [pair for each, olds in zip(parts, whole, strict=True) for pair in zip(each, olds, strict=True)]:
                m.copy_(old)
    return table


def scan_that_leaves_the_last(parts, damages, measure):
    table = scan(parts, damages, measure)
    with torch.no_grad():
        parts[-1][0].copy_(damages[-1](parts[-1][0]))
    return table


def same_width(harm, sizes, bits, budget):
    return [next(width for width in bits if width * sum(sizes) <= budget)] * len(sizes)


def down(harm, sizes, bits, budget, next_part, steps_over=0):
    """Narrows the part that is named next until the budget is kept."""
    at = [0] * len(sizes)
    while sum(s * bits[k] for s, k in zip(sizes, at, strict=True)) > budget:
        at[min((p for p in range(len(at)) if at[p] + 1 < len(bits)), key=lambda p: next_part(p, at))] += 1
    return [bits[k] for k in at]


def largest_part_first(harm, sizes, bits, budget):
    return down(harm, sizes, bits, budget, lambda p, at: -sizes[p])


def harm_alone(harm, sizes, bits, budget):
    return down(harm, sizes, bits, budget, lambda p, at: float(harm[p, at[p] + 1]))


def stops_early(harm, sizes, bits, budget):
    return choose_bits(harm, sizes, bits, budget + 4 * min(sizes))


def columns(harm, sizes, bits, budget):
    return [bits.index(width) for width in choose_bits(harm, sizes, bits, budget)]


def narrowest(harm, sizes, bits, budget):
    return [bits[-1]] * len(sizes)


WRONG = {
    "13.1": [(lambda s, t, T: soft_loss(s, t, T) / T**2, "T² is missing"), (hard_targets, "hard targets"), (log_of_softmax, "NaN"),
             (lambda s, t, T: soft_loss(t, s, T), "changed places"), (lambda s, t, T: soft_loss(s, t, T).mean(), "one number per row")],
    "13.2": [(lambda s, t, T: -soft_gradient(s, t, T), "sign"), (lambda s, t, T: soft_gradient(s, t, T) / T**2, "without the factor"),
             (lambda s, t, T: soft_gradient(s, t, T) * T, "chain rule"), (lambda s, t, T: soft_gradient(s, t, T) / T, "one T")],
    "13.3": [(every_number, "every number"), (samples_cancel, "cancel"), (tokens_as_samples, "token is taken"),
             (lambda y, g, heads: head_importance(y, g, heads) * len(y), "not the sum")],
    "13.4": [(queries_only, "only one of the three"), (a_whole_third, "all queries"), (rows_of_output, "columns"), (next_head, "without head 1")],
    "13.5": [(lambda w: with_scale(w, w.abs().max() / 127), "whole matrix"), (lambda w: with_scale(w, w.abs().amax(1, keepdim=True) / 128), "128"),
             (not_rounded, "round first"), (loose_bound, "not tight"), (measured_error, "happen to be"),
             (lambda w: with_scale(w, w.abs().amax(0, keepdim=True) / 127), "columns")],
    "13.6": [(lambda q, s, w, t: (q @ w.T) * s * t.T, "overflowed"), (lambda q, s, w, t: (q.short() @ w.short().T) * s * t.T, "16 bits"),
             (lambda q, s, w, t: int8_product(q, s, w, torch.ones_like(t)), "weights' scales"),
             (lambda q, s, w, t: int8_product(q, torch.ones_like(s), w, t), "activations' scales")],
    "13.7": [(RIGHT_REPORTS | {"A": "healthy"}, "has not changed"), (RIGHT_REPORTS | {"C": "one scale for all"}, "labels do not say")],
    "13.8": [(partial(scanned, restore_parts=False), "parts before"), (partial(scanned, restore_ways=False), "damaged already"),
             (partial(scanned, before=True), "not before"), (partial(scanned, matrices=1), "first matrix"), (partial(scanned, at_once=True), "at once"),
             (scan_that_leaves_the_last, "still damaged"),
             (lambda *three: scanned(*three).T, "changed places")],
    "13.9": [(same_width, "same width"), (largest_part_first, "does most of it"), (harm_alone, "bits that it saves"),
             (stops_early, "the budget is"), (columns, "numbers of columns"), (narrowest, "the sensitive one")],
}
