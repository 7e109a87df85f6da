"""Wrong answers to the exercises of chapter 01, each with a word that its message must hold."""

import math
from itertools import pairwise

import torch

from pretrain_lib.course.exercises.ch01 import beyond, excess, labels_needed


def in_plain_labels(per_class, accuracy, target):
    if target <= accuracy[0]:
        return per_class[0]
    for (n0, a0), (n1, a1) in pairwise(zip(per_class, accuracy)):
        if target <= a1:
            return n0 + (target - a0) / (a1 - a0) * (n1 - n0)
    return math.inf


def first_point_above(per_class, accuracy, target):
    return next((n for n, a in zip(per_class, accuracy) if a >= target), math.inf)


def forgot_exp(per_class, accuracy, target):
    return math.log(labels_needed(per_class, accuracy, target))


def extrapolates(per_class, accuracy, target):
    needed = labels_needed(per_class, accuracy, target)
    return 100.0 if math.isinf(needed) else needed


def simulated(low, high):
    t = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (t - t.clamp(low, high)).square().mean().item()


WRONG = {
    "01.1": [(in_plain_labels, "logarithmic"), (first_point_above, "interpolate"), (forgot_exp, "exp"),
             (extrapolates, "inf")],
    "01.2": [({"b", "d"}, "tuned"), ({"d", "e"}, "raw"), ({"b", "e"}, "architecture"), ("bdec", "longer"),
             ({"b", "d", "e", "f"}, "by heart"), ({"z"}, "letters")],
    "01.3": [("a", "low"), ("c", "unlabelled"), ("d", "worse"), ("bd", "one letter")],
    "01.4": [(lambda mean, std: 0.0, "knows nothing"), (lambda mean, std: mean**2 + std**2, "predicting 0"),
             (lambda mean, std: std, "standard deviation"), (lambda mean, std: 2 * std**2, "second draw")],
    "01.5": [(lambda low, high: excess(high), "side"), (lambda low, high: beyond(high) + beyond(-low), "probability"),
             (lambda low, high: excess(high) + excess(low), "sign"), (simulated, "formula")],
    "01.6": [(lambda sizes: sum(a * b for a, b in pairwise(sizes)), "biases"),
             (lambda sizes: sum(a * b + a for a, b in pairwise(sizes)), "outputs"),
             (lambda sizes: sum(a * b for a, b in pairwise(sizes)) + sum(sizes), "input")],
}
