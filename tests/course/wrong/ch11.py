"""Wrong answers to the exercises of chapter 11, each with a word that its message must hold."""

import itertools
import math

import numpy as np
import torch

from pretrain_lib.course.exercises.ch11 import MASK, RIGHT_REPORTS, control_labels, split_by_speech


def by_sentence(sources, share, seed):
    order = np.random.default_rng(seed).permutation(len(sources)).tolist()
    cut = round(share * len(sources))
    return order[cut:], order[:cut]


def first_speeches(sources, share, seed):
    return split_by_speech(sources, share, 0)


def until_enough_sentences(sources, share, seed):
    speeches = np.random.default_rng(seed).permutation(sorted(set(sources))).tolist()
    test = []
    while len(test) < share * len(sources):
        speech = speeches.pop()
        test += [i for i, source in enumerate(sources) if source == speech]
    return [i for i in range(len(sources)) if i not in test], test


def forgets_some(sources, share, seed):
    train, test = split_by_speech(sources, share, seed)
    return train[:-1], test


def scored(predict, rows, ids, places):
    logits = predict(rows).log_softmax(-1)
    return sum(logits[k, t, ids[t]] for k, t in enumerate(places))


def nothing_hidden(predict, ids):
    places = range(1, len(ids) - 1)
    return scored(predict, ids.repeat(len(places), 1), ids, places)


def all_at_once(predict, ids):
    places = range(1, len(ids) - 1)
    rows = ids.repeat(len(places), 1)
    rows[:, 1:-1] = MASK
    return scored(predict, rows, ids, places)


def with_specials(predict, ids):
    return scored(predict, ids.repeat(len(ids), 1).fill_diagonal_(MASK), ids, range(len(ids)))


def hidden_in_turn(ids):
    rows = ids.repeat(len(ids) - 2, 1)
    rows[torch.arange(len(ids) - 2), torch.arange(1, len(ids) - 1)] = MASK
    return rows


def mean_of_tokens(predict, ids):
    places = range(1, len(ids) - 1)
    return scored(predict, hidden_in_turn(ids), ids, places) / len(places)


def no_softmax(predict, ids):
    logits = predict(hidden_in_turn(ids))
    return sum(logits[k, t, ids[t]] for k, t in enumerate(range(1, len(ids) - 1)))


def in_place(predict, ids):
    total = 0
    for t in range(1, len(ids) - 1):
        truth, ids[t] = ids[t].clone(), MASK
        total = total + predict(ids[None])[0, t].log_softmax(-1)[truth]
    return total


def in_nats(scores, secret):
    return math.log(len(scores) / int((scores >= scores[secret]).sum()))


def from_zero(scores, secret):
    return math.log2(len(scores)) - math.log2(int((scores > scores[secret]).sum()))


def upside_down(scores, secret):
    return math.log2(len(scores) / int((scores <= scores[secret]).sum()))


def only_rank(scores, secret):
    return math.log2(int((scores >= scores[secret]).sum()))


def each_token(tokens, labels, seed):
    return labels[torch.randint(len(labels), labels.shape, generator=torch.Generator().manual_seed(seed))]


def uniform(tokens, labels, seed):
    table = torch.randint(2, (int(tokens.max()) + 1,), generator=torch.Generator().manual_seed(seed))
    return table[tokens]


def no_seed(tokens, labels, seed):
    return control_labels(tokens, labels, 0)


def the_task_itself(tokens, labels, seed):
    return labels


def gaps(confidence, right, bins):
    number = ((confidence * bins).ceil().long() - 1).clamp(min=0)
    for m in range(bins):
        inside = number == m
        if inside.any():
            yield inside.double().mean().item(), (right[inside].double().mean() - confidence[inside].mean()).item()


def unweighted(*samples):
    return np.mean([abs(gap) for _, gap in gaps(*samples)])


def cancelled(*samples):
    return abs(sum(weight * gap for weight, gap in gaps(*samples)))


def largest(*samples):
    return max(abs(gap) for _, gap in gaps(*samples))


def empty_bins(confidence, right, bins):
    number = ((confidence * bins).ceil().long() - 1).clamp(min=0)
    return sum((number == m).double().mean() * abs(right[number == m].double().mean() - confidence[number == m].mean()) for m in range(bins))


CALLS = itertools.count()


def changes_each_time(tokens, labels, seed):
    return control_labels(tokens, labels, next(CALLS))


def squares(*samples):
    return sum(weight * gap * gap for weight, gap in gaps(*samples))


WRONG = {
    "11.1": [(by_sentence, "leak"), (first_speeches, "at random"), (until_enough_sentences, "count speeches"), (forgets_some, "every sentence")],
    "11.2": [(nothing_hidden, "nothing is hidden"), (all_at_once, "at once"), (with_specials, "[CLS]"), (mean_of_tokens, "mean"),
             (no_softmax, "log-softmax"), (in_place, "changes the ids")],
    "11.3": [(in_nats, "bits"), (from_zero, "begin with 1"), (upside_down, "upside down"), (only_rank, "logarithm of the rank")],
    "11.4": [(each_token, "two different labels"), (uniform, "one label in ten"), (no_seed, "random"), (the_task_itself, "label it has in the task"),
             (changes_each_time, "same seed")],
    "11.5": [(unweighted, "weigh"), (cancelled, "cancel"), (largest, "maximum"), (squares, "squares"), (empty_bins, "empty bin")],
    "11.6": [(RIGHT_REPORTS | {"A": "best of many"}, "attention"), (RIGHT_REPORTS | {"E": "sources on both sides"}, "object"),
             (RIGHT_REPORTS | {"B": "sound"}, "blanks stand")],
}
