"""Wrong answers to the exercises of chapter 12, each with a word that its message must hold."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from pretrain_lib.course.exercises.ch12 import LoraLinear, RIGHT_LOGS, greedy, layer_rates, lora_forward, lora_parameters, merge, train_adapters, tune


def alpha_alone(x, W, A, B, alpha):
    return x @ W.T + alpha * x @ A.T @ B.T


def without_scale(x, W, A, B, alpha):
    return x @ W.T + x @ A.T @ B.T


def adapter_alone(x, W, A, B, alpha):
    return alpha / len(A) * x @ A.T @ B.T


def by_the_wrong_side(x, W, A, B, alpha):
    return lora_forward(x, W, A, B, alpha * len(A) / B.shape[0])


def product_first(x, W, A, B, alpha):
    return x @ W.T + alpha / len(A) * x @ (B @ A).T


def one_matrix_only(shapes, rank):
    return rank * sum(shapes[0])


def whole_matrices(shapes, rank):
    return sum(rank * outputs * inputs for outputs, inputs in shapes)


def only_b(shapes, rank):
    return sum(rank * outputs for outputs, _ in shapes)


def square(shapes, rank):
    return sum(2 * rank * inputs for _, inputs in shapes)


def in_place(W, A, B, alpha):
    W += alpha / len(A) * B @ A
    return W


def merged_unscaled(W, A, B, alpha):
    return W + B @ A


def change_alone(W, A, B, alpha):
    return merge(W, A, B, alpha) - W


def upside_down(rate, decay, layers):
    return layer_rates(rate, decay, layers)[::-1]


def head_decays_too(rate, decay, layers):
    return [decay * value for value in layer_rates(rate, decay, layers)]


def no_embeddings(rate, decay, layers):
    return layer_rates(rate, decay, layers)[1:]


def equal_steps(rate, decay, layers):
    return list(np.linspace(rate * (1 - (1 - decay) * (layers + 1)), rate, layers + 2))


def simply_the_best(scores, n):
    return max(scores)


def simply_the_mean(scores, n):
    return sum(scores) / len(scores)


def at_most_only(scores, n):
    return sum(value * (k / len(scores)) ** n for k, value in enumerate(sorted(scores), 1))


def with_start(next_scores, start, end, longest):
    return [start, *greedy(next_scores, start, end, longest)]


def with_end(next_scores, start, end, longest):
    ids = [start]
    while len(ids) <= longest and ids[-1] != end:
        ids.append(int(next_scores(ids).argmax()))
    return ids[1:]


def without_limit(next_scores, start, end, longest):
    return greedy(next_scores, start, end, 1000)


def last_token_only(next_scores, start, end, longest):
    return greedy(lambda ids: next_scores(ids[-1:]), start, end, longest)


def one_too_few(next_scores, start, end, longest):
    return greedy(next_scores, start, end, longest - 1)


def second_best(next_scores, start, end, longest):
    return greedy(lambda ids: next_scores(ids).scatter(0, next_scores(ids).argmax(), -99.0), start, end, longest)


class LearnsEverything(LoraLinear):
    def __init__(self, linear, rank, alpha):
        super().__init__(linear, rank, alpha)
        linear.requires_grad_(True)


class StartsElsewhere(LoraLinear):
    def __init__(self, linear, rank, alpha):
        super().__init__(linear, rank, alpha)
        nn.init.normal_(self.B)


class BothAtZero(LoraLinear):
    def __init__(self, linear, rank, alpha):
        super().__init__(linear, rank, alpha)
        nn.init.zeros_(self.A)


class PlainTensors(LoraLinear):
    def __init__(self, linear, rank, alpha):
        super().__init__(linear, rank, alpha)
        for name in ("A", "B"):
            value = getattr(self, name).detach()
            delattr(self, name)
            setattr(self, name, value)


class InSinglePrecision(LoraLinear):
    def __init__(self, linear, rank, alpha):
        super().__init__(linear, rank, alpha)
        self.A, self.B = (nn.Parameter(p.detach().float()) for p in (self.A, self.B))


class Unscaled(LoraLinear):
    def forward(self, x):
        return self.linear(x) + x @ self.A.T @ self.B.T


class WithoutBias(LoraLinear):
    def forward(self, x):
        return lora_forward(x, self.linear.weight, self.A, self.B, self.alpha)


class Detached(LoraLinear):
    def forward(self, x):
        return self.linear(x) + self.alpha / len(self.A) * (x @ self.A.detach().T) @ self.B.detach().T


class MergesInPlace(LoraLinear):
    def merged(self):
        self.linear.weight.data += self.alpha / len(self.A) * self.B.detach() @ self.A.detach()
        return self.linear


class MergesUnscaled(LoraLinear):
    def merged(self):
        plain = super().merged()
        plain.weight.data = self.linear.weight + (self.B @ self.A).detach()
        return plain


def by_hand(freeze=True, freeze_head=False, optimizer_first=False, clear=True, keep=True, make=torch.optim.AdamW):
    """A training loop with a mistake."""

    def train(model, names, rank, alpha, batches, rate):
        if freeze:
            (model if freeze_head else model.encoder).requires_grad_(False)
        optimizer = make([p for p in model.parameters() if p.requires_grad], lr=rate) if optimizer_first else None
        for name in names:
            model.set_submodule(name, LoraLinear(model.get_submodule(name), rank, alpha))
        losses = []
        for ids, mask, labels in batches:
            if optimizer is None or not keep:
                optimizer = make([p for p in model.parameters() if p.requires_grad], lr=rate)
            loss = F.cross_entropy(model(ids, mask), labels)
            if clear:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    return train


def losses_afterwards(model, names, rank, alpha, batches, rate):
    train_adapters(model, names, rank, alpha, batches, rate)
    return [F.cross_entropy(model(ids, mask), labels).item() for ids, mask, labels in batches]


def without_looking_beyond(score, rates, steps):
    return max(rates[2:5], key=lambda rate: score(rate, steps))


def everything(score, rates, steps):
    return max([*rates[2:5], *rates[:2], *rates[5:]], key=lambda rate: score(rate, steps))


def in_short_runs(score, rates, steps):
    return tune(lambda rate, length: score(rate, length // 3), rates, steps)


def the_score(score, rates, steps):
    seen = {}
    tune(lambda rate, length: seen.setdefault(rate, score(rate, length)), rates, steps)
    return max(seen.values())


def from_the_bottom(score, rates, steps):
    tried = {rate: score(rate, steps) for rate in rates[:3]}
    return max(tried, key=tried.get)


def again_and_again(score, rates, steps):
    def mean_of_two(rate, length):
        return (score(rate, length) + score(rate, length)) / 2

    return tune(mean_of_two, rates, steps)


WRONG = {
    "12.1": [(alpha_alone, "not divided by r"), (without_scale, "missing"), (adapter_alone, "adapter alone"), (by_the_wrong_side, "first A"),
             (product_first, "as large as W")],
    "12.2": [(one_matrix_only, "one matrix's"), (whole_matrices, "themselves"), (only_b, "A or B alone"), (square, "square")],
    "12.3": [(in_place, "was changed"), (merged_unscaled, "missing"), (change_alone, "change alone")],
    "12.4": [(upside_down, "upside down"), (head_decays_too, "full rate"), (no_embeddings, "make 4 rates"), (equal_steps, "equal steps")],
    "12.5": [(simply_the_best, "best of all"), (simply_the_mean, "one run"), (at_most_only, "(k/N)")],
    "12.6": [(RIGHT_LOGS | {"A": "healthy"}, "ln 3"), (RIGHT_LOGS | {"D": "best of many seeds"}, "part ways"),
             (RIGHT_LOGS | {"C": "over-fitting"}, "has the adapter")],
    "12.7": [({"a", "b", "d", "e"}, "one lucky draw"), ({"a", "b", "d", "e", "g", "h"}, "part of the training set"), ({"b", "d", "e", "g"}, "longer")],
    "12.8": [(with_start, "reads first"), (with_end, "complete"), (without_limit, "may never come"), (last_token_only, "written so far"),
             (one_too_few, "do not count"), (second_best, "highest score")],
    "12.9": [(LearnsEverything, "would learn as well"), (StartsElsewhere, "B must start"), (BothAtZero, "A starts at zero as well"), (PlainTensors, "nn.Parameter"),
             (InSinglePrecision, "dtype"), (Unscaled, "scale α/r is missing"), (WithoutBias, "bias included"), (Detached, "no gradient reaches B"),
             (MergesInPlace, "changed the layer itself"), (MergesUnscaled, "merged, it answers otherwise")],
    "12.10": [(by_hand(freeze=False), "have to stay"), (by_hand(freeze_head=True), "head did not learn"),
              (by_hand(optimizer_first=True), "did not learn: give the optimiser"),
              (by_hand(clear=False), "add up"), (by_hand(keep=False), "made anew"), (by_hand(make=torch.optim.SGD), "not those of torch.optim.AdamW"),
              (losses_afterwards, "before its update")],
    "12.11": [(without_looking_beyond, "edge of what was tried"), (everything, "are enough"), (in_short_runs, "best rate than one of"), (the_score, "not its score"),
              (from_the_bottom, "middle three"), (again_and_again, "tried twice")],
}
