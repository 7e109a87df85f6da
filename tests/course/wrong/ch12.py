"""Wrong answers to the exercises of chapter 12, each with a word that its message must hold."""

import numpy as np

from pretrain_lib.course.exercises.ch12 import RIGHT_LOGS, greedy, layer_rates, lora_forward, lora_parameters, merge


def alpha_alone(x, W, A, B, alpha):
    return x @ W.T + alpha * x @ A.T @ B.T


def without_scale(x, W, A, B, alpha):
    return x @ W.T + x @ A.T @ B.T


def adapter_alone(x, W, A, B, alpha):
    return alpha / len(A) * x @ A.T @ B.T


def by_the_wrong_side(x, W, A, B, alpha):
    return lora_forward(x, W, A, B, alpha * len(A) / B.shape[0])


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


WRONG = {
    "12.1": [(alpha_alone, "not divided by r"), (without_scale, "missing"), (adapter_alone, "adapter alone"), (by_the_wrong_side, "first A")],
    "12.2": [(one_matrix_only, "one matrix's"), (whole_matrices, "themselves"), (only_b, "A or B alone"), (square, "square")],
    "12.3": [(in_place, "was changed"), (merged_unscaled, "missing"), (change_alone, "change alone")],
    "12.4": [(upside_down, "upside down"), (head_decays_too, "full rate"), (no_embeddings, "make 4 rates"), (equal_steps, "equal steps")],
    "12.5": [(simply_the_best, "best of all"), (simply_the_mean, "one run"), (at_most_only, "(k/N)")],
    "12.6": [(RIGHT_LOGS | {"A": "healthy"}, "ln 3"), (RIGHT_LOGS | {"D": "best of many seeds"}, "part ways"),
             (RIGHT_LOGS | {"C": "over-fitting"}, "has the adapter")],
    "12.7": [({"a", "b", "d", "e"}, "one lucky draw"), ({"a", "b", "d", "e", "g", "h"}, "part of the training set"), ({"b", "d", "e", "g"}, "longer")],
    "12.8": [(with_start, "reads first"), (with_end, "complete"), (without_limit, "may never come"), (last_token_only, "written so far"),
             (one_too_few, "do not count"), (second_best, "highest score")],
}
