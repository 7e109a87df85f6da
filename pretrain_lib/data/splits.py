"""Which samples are for what: parts to train and to test on, a few labels, folds.

Every draw is a function of a seed. With one seed, few labels are the beginning of many.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from .keys import Keys
from .source import Columns


def split_ids(labels: np.ndarray | None, n: int, split: str) -> np.ndarray:
    """Ids of a split in random order: every fifth sample of each class is for testing.

    Args:
        labels: (n,) the class of each sample, or None where there are none.
        n: number of samples.
        split: "train", "test" or "all".
    """
    chance = Keys.of(0, n).uniform("split").numpy()
    by_class = np.lexsort((chance, np.zeros(n) if labels is None else labels))
    test = np.zeros(n, dtype=bool)
    test[by_class[::5]] = True
    chosen = {"train": ~test, "test": test, "all": np.ones(n, dtype=bool)}[split]
    order = np.argsort(chance, kind="stable")
    return order[chosen[order]]


def labelled_subset(dataset: Columns, per_class: int, seed: int = 0) -> Columns:
    """The few labels of a few-label experiment: equally many random samples of each class.

    A class that no sample has takes no part, and keeps its name and number.

    With one seed, the samples for fewer labels are among those for more.

    Args:
        dataset: a source with a column `labels`.
        per_class: number of samples of each class.
        seed: which random choice.

    Raises:
        ValueError: if `per_class` is below 1, or a class has fewer samples.
    """
    labels = dataset.labels.numpy()
    chance = Keys.of(seed, len(labels)).uniform("labelled subset").numpy()
    classes, counts = np.unique(labels, return_counts=True)
    if not 1 <= per_class <= counts.min():
        scarce = classes[counts.argmin()]
        raise ValueError(
            f"per_class must be between 1 and {counts.min()}, the number of samples of class "
            f"{scarce}, got {per_class}"
        )
    order = np.argsort(chance, kind="stable")
    ids = np.concatenate([order[labels[order] == label][:per_class] for label in classes])
    return dataset.subset(ids)


def balanced_ids(labels: np.ndarray, number: int, seed: int = 0) -> np.ndarray:
    """The positions of a few labelled samples, drawn at random, of each class about equally many.

    The first of them are balanced too: with one seed, fewer labels are the beginning of more.

    Args:
        labels: (N,) classes.
        number: how many samples.
        seed: which random choice.

    Raises:
        ValueError: if a class has too few samples for its share.
    """
    classes, counts = np.unique(labels, return_counts=True)
    share = -(-number // len(classes))
    if number < 1 or share > counts.min():
        scarce = classes[counts.argmin()]
        raise ValueError(f"number must be between 1 and {len(classes) * counts.min()}, of which "
                         f"class {scarce} can give its share, got {number}")
    chance = Keys.of(seed, len(labels)).uniform("balanced labels").numpy()
    order = np.argsort(chance, kind="stable")
    rounds = np.stack([order[labels[order] == label][:share] for label in classes], axis=1)
    turns = Keys.of(seed, share).permutation("balanced classes", len(classes)).numpy()
    return np.take_along_axis(rounds, turns, axis=1).flatten()[:number]  # a class in turn


def stratified_sample(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Random positions, with about each class's share and two of each if there are.

    With one seed, fewer are the beginning of more.
    """
    order = Keys.of(seed, [0]).permutation("sample", len(labels))[0].numpy()
    first = np.concatenate([order[labels[order] == label][:2] for label in np.unique(labels)])
    rest = order[~np.isin(order, first)]
    return np.concatenate([first, rest])[: max(size, len(first))]


def stratified_folds(labels: Tensor, folds: int, groups: np.ndarray) -> list[np.ndarray]:
    """Splits the positions 0 … N-1 into folds that hold every class about equally often.

    Args:
        labels: (N,).
        folds: how many.
        groups: (N,) integers from 0 on; what has the same stays in one fold, and counts for the
            class of its first.
    """
    first = np.unique(groups, return_index=True)[1]  # (G,)
    fold = np.empty(len(first), dtype=np.int64)
    fold[np.argsort(labels.numpy()[first], kind="stable")] = np.arange(len(first)) % folds
    by_class = np.argsort(labels.numpy(), kind="stable")
    return [by_class[fold[groups[by_class]] == number] for number in range(folds)]


def stratified_hold_out(labelled: Columns, share: float) -> tuple[Columns, Columns]:
    """Parts labelled samples, the second holding about `share` of every class, at least one.

    A class with one sample stays in the first part.

    Raises:
        ValueError: if every class has one sample only, so there is nothing to hold out.
    """
    labels = labelled.labels.numpy()
    second = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        number = min(max(1, round(share * len(members))), len(members) - 1)
        second.append(members[len(members) - number:])
    second = np.sort(np.concatenate(second))
    if not len(second):
        raise ValueError("every class has one sample: holding out a part needs two of some class")
    first = np.setdiff1d(np.arange(len(labelled)), second)
    return labelled.subset(first), labelled.subset(second)


def held_out_pairs(first: np.ndarray, second: np.ndarray, share: float,
                   seed: int = 0) -> np.ndarray:
    """Which samples have a combination that is held out, while each half of it is seen elsewhere.

    Of the different combinations, such as "red" and "three", a share is drawn at random. One is
    passed over where it is the last with its "red", or the last with its "three". So whoever knows
    the rest knows every half, and has to put two together.

    Args:
        first: (N,) the one half of each sample's combination, numbers or strings.
        second: (N,) the other half.
        share: of the different combinations, between 0 and 1.
        seed: which random choice.

    Returns:
        (N,) bool, the same for all samples of one combination.

    Raises:
        ValueError: if so many cannot be held out.
    """
    halves = [np.unique(half, return_inverse=True)[1] for half in (first, second)]
    pairs, pair_of = np.unique(np.stack(halves), axis=1, return_inverse=True)  # (2, P), (N,)
    rest = [np.bincount(half) for half in pairs]  # how many combinations each half is seen in
    held_out, wanted = np.zeros(pairs.shape[1], dtype=bool), round(share * pairs.shape[1])
    for pair in Keys.of(seed, [0]).permutation("held-out pairs", len(held_out))[0].tolist():
        a, b = pairs[:, pair]
        if held_out.sum() < wanted and rest[0][a] > 1 and rest[1][b] > 1:
            held_out[pair] = True
            rest[0][a] -= 1
            rest[1][b] -= 1
    if held_out.sum() < wanted:
        raise ValueError(f"share must leave every half seen: of {len(held_out)} combinations, "
                         f"{held_out.sum()} can be held out, got {share}, which asks for {wanted}")
    return held_out[pair_of.reshape(-1)]
