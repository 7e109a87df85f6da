"""Wrong answers to the exercises of chapter 01, each with a word that its message must hold."""

import copy
import math
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from pretrain_lib.course.exercises.ch01 import beyond, excess, fine_tune, labels_needed, linear_probe, pretrain


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


def pretrained(trained=lambda network: network, loss=lambda y, x: 0.5 * (y - x).square().sum() / len(x), copied=True, forget=True,
               step=True, last=None, optimiser=torch.optim.Adam):
    """A pretraining loop with one thing changed."""

    def answer(network, batches, rate):
        made = copy.deepcopy(network) if copied else network
        optimizer = optimiser(trained(made).parameters(), lr=rate)
        for batch in list(batches)[:last]:
            if forget:
                optimizer.zero_grad()
            loss(made(batch["images"]), batch["images"]).backward()
            if step:
                optimizer.step()
        return made

    return answer


def optimiser_of_the_original(network, batches, rate):
    made = copy.deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for batch in batches:
        optimizer.zero_grad()
        (made(batch["images"]) - batch["images"]).square().sum().backward()
        optimizer.step()
    return made


def returns_losses(network, batches, rate):
    return [F.mse_loss(network(batch["images"]), batch["images"]).item() for batch in batches]


def probed(head=lambda size: nn.Linear(size, 10), steps=200, standard=True, own_statistics=False):
    """A probe with one thing changed."""

    def answer(codes, labels, new_codes):
        centre, scale = (codes.mean(0), codes.std()) if standard else (0.0, 1.0)
        made = head(codes.shape[1])
        optimizer = torch.optim.Adam(made.parameters(), lr=0.05)
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(made((codes - centre) / scale), labels).backward()
            optimizer.step()
        if own_statistics:
            centre, scale = new_codes.mean(0), new_codes.std()
        return made((new_codes - centre) / scale).argmax(1)

    return answer


def with_a_hidden_layer(size):
    return nn.Sequential(nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, 10))


def in_place(codes, labels, new_codes):
    new_codes -= codes.mean(0)
    return linear_probe(codes, labels, new_codes)


def scores(codes, labels, new_codes):
    return F.one_hot(linear_probe(codes, labels, new_codes), 10).float()


def argmax_over_codes(codes, labels, new_codes):
    return scores(codes, labels, new_codes).argmax(0)


def tuned(encoder=lambda network: copy.deepcopy(network.encoder), trained=lambda made: made, last=nn.Identity, forget=True):
    """Fine-tuning with one thing changed."""

    def answer(network, batches, rate):
        made = nn.Sequential(encoder(network), nn.Linear(network.config.code_size, 10), last())
        optimizer = torch.optim.Adam(trained(made).parameters(), lr=rate)
        for batch in batches:
            if forget:
                optimizer.zero_grad()
            F.cross_entropy(made(batch["images"]), batch["labels"]).backward()
            optimizer.step()
        return made

    return answer


def softmax():
    return nn.Softmax(dim=1)


def fresh_encoder(network):
    return type(network)(network.config).encoder


def returns_a_function(network, batches, rate):
    classifier = fine_tune(network, batches, rate)
    return lambda images: classifier(images)


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
    "01.7": [(pretrained(copied=False), "copy"), (pretrained(step=False), "no weight has moved"),
             (optimiser_of_the_original, "no weight has moved"), (pretrained(forget=False), "added"),
             (pretrained(trained=lambda network: network.encoder), "decoder"), (pretrained(last=1), "first batch"),
             (pretrained(loss=lambda y, x: y.square().sum()), "½"), (pretrained(optimiser=torch.optim.SGD), "Adam"),
             (returns_losses, "module")],
    "01.8": [(probed(own_statistics=True), "alone"), (probed(with_a_hidden_layer), "exclusive"), (probed(steps=3), "falling"),
             (probed(standard=False), "centre and scale"), (in_place, "copies"), (scores, "argmax"), (argmax_over_codes, "one class per code")],
    "01.9": [(tuned(lambda network: network.encoder), "copy"), (tuned(trained=lambda made: made[1]), "probe"),
             (tuned(fresh_encoder), "start from"), (tuned(forget=False), "zero"), (tuned(last=softmax), "softmax"),
             (returns_a_function, "module")],
}

