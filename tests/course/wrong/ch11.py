"""Wrong answers to the exercises of chapter 11, each with a word that its message must hold."""

import itertools
import math

import numpy as np
import torch

from pretrain_lib.course.exercises.ch11 import MASK, RIGHT_REPORTS, chance_exposure, control_labels, split_by_speech


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


def in_order_of_appearance(sources, share, seed):
    speeches = list(dict.fromkeys(sources))
    order = np.random.default_rng(seed).permutation(len(speeches))
    test = {speeches[i] for i in order[: round(share * len(speeches))]}
    return [i for i in range(len(sources)) if sources[i] not in test], [i for i in range(len(sources)) if sources[i] in test]


def ties_are_ahead(scores, secret):
    return math.log2(len(scores)) - math.log2(1 + int((scores > scores[secret]).sum()))


def by_id_without_the_inverse(tokens, labels, seed):
    types = tokens.unique()
    return labels[torch.randint(len(labels), (len(types),), generator=torch.Generator().manual_seed(seed))][tokens]


def left_closed(confidence, right, bins):
    number = (confidence * bins).floor().long()
    inside = [number == m for m in range(bins) if (number == m).any()]
    return sum(float(i.double().mean() * abs(right[i].double().mean() - confidence[i].mean())) for i in inside)


def left_closed_and_clamped(confidence, right, bins):
    return left_closed(confidence.clamp(max=1 - 1e-9), right, bins)


def drawn_from(a, b, groups, resamples, seed, size=None, replace=True):
    """Bootstrap whose size and kind of draw are to be spoiled."""
    a, b, (names, number) = np.asarray(a), np.asarray(b), np.unique(groups, return_inverse=True)
    draw, members = np.random.default_rng(seed), [np.flatnonzero(number == k) for k in range(len(names))]
    for _ in range(resamples):
        chosen = np.concatenate([members[k] for k in draw.choice(len(names), size or len(names), replace=replace)])
        yield a[chosen].mean() - b[chosen].mean()


def looped(*samples):
    return list(drawn_from(*samples))


def single_sentences(a, b, groups, resamples, seed):
    return list(drawn_from(a, b, range(len(a)), resamples, seed))


def unpaired(a, b, groups, resamples, seed):
    nothing = torch.zeros(len(a))
    return np.array(list(drawn_from(a, nothing, groups, resamples, seed))) - np.array(list(drawn_from(b, nothing, groups, resamples, seed + 1000)))


def without_replacement(*samples):
    return list(drawn_from(*samples, replace=False))


def as_many_as_sentences(a, *rest):
    return list(drawn_from(a, *rest, size=len(a)))


def speeches_alike(a, b, groups, resamples, seed):
    number = np.unique(groups, return_inverse=True)[1]
    means = np.bincount(number, np.asarray(a - b)) / np.bincount(number)
    return means[np.random.default_rng(seed).integers(len(means), size=(resamples, len(means)))].mean(1)


def who_is_who(a, b, groups, resamples, seed):
    number = np.unique(groups, return_inverse=True)[1]
    signs = np.random.default_rng(seed).choice([-1, 1], size=(resamples, number.max() + 1))
    return (signs[:, number] * np.asarray(a - b)).mean(1)


WRONG = {
    "11.1": [(by_sentence, "leak"), (first_speeches, "at random"), (until_enough_sentences, "count speeches"), (forgets_some, "every sentence"),
             (in_order_of_appearance, "another order")],
    "11.2": [(nothing_hidden, "nothing is hidden"), (all_at_once, "at once"), (with_specials, "[CLS]"), (mean_of_tokens, "mean"),
             (no_softmax, "log-softmax"), (in_place, "changes the ids")],
    "11.3": [(in_nats, "bits"), (from_zero, "begin with 1"), (upside_down, "upside down"), (only_rank, "logarithm of the rank"),
             (ties_are_ahead, "among equals")],
    "11.4": [(each_token, "two different labels"), (uniform, "one label in ten"), (no_seed, "random"), (the_task_itself, "label it has in the task"),
             (changes_each_time, "same seed"), (by_id_without_the_inverse, "do not occur")],
    "11.5": [(unweighted, "weigh"), (cancelled, "cancel"), (largest, "maximum"), (squares, "squares"), (empty_bins, "empty bin"), (left_closed, "holds 1 itself"),
             (left_closed_and_clamped, "edge")],
    "11.6": [(RIGHT_REPORTS | {"A": "best of many"}, "attention"), (RIGHT_REPORTS | {"E": "sources on both sides"}, "object"),
             (RIGHT_REPORTS | {"B": "sound"}, "tokens stand")],
    "11.7": [(single_sentences, "one by one"), (unpaired, "drawn apart"), (without_replacement, "with* replacement"), (as_many_as_sentences, "as many speeches"),
             (speeches_alike, "counts alike"), (who_is_who, "centred on 0"), (lambda a, b, *rest: looped(b, a, *rest), "sign")],
    "11.8": [(lambda R, n: (np.log2(np.e), chance_exposure(R, n)[1]), "tends to"), (lambda R, n: (chance_exposure(R, n)[0], chance_exposure(R, 1)[1]), "of one secret"),
             (lambda R, n: (chance_exposure(R, n)[0] * np.log(2), chance_exposure(R, n)[1]), "nats"), (lambda R, n: (chance_exposure(R, n)[0], chance_exposure(R, 1)[1] / n), "root of n")],
}
