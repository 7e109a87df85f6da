"""Choosing a setting fairly, on the few labels there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..data.source import Columns
from ..evaluation.classification import accuracy

FOLDS = 3


class Learner(Protocol):
    """One way to learn a classifier from labelled samples, with one setting to tune."""

    grid: Sequence[float]

    def fit(self, labelled: Columns, setting: float, seed: int) -> Callable[[Columns], Tensor]:
        """Returns a function from N samples to N predicted labels."""


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


def hold_out(labelled: Columns, share: float) -> tuple[Columns, Columns]:
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


def choose_setting(learner: Learner, labelled: Columns, seed: int, folds: int = FOLDS,
                   rounds: int | None = None, groups: Sequence | None = None) -> float:
    """The setting of the learner's grid with the best accuracy in cross-validation.

    Uses nothing but the labelled samples given. With one sample a class there is nothing to
    validate on, and the first setting of the grid is taken: put the default there. So it is
    when settings tie.

    Args:
        learner: what is tuned.
        labelled: the labelled samples.
        seed: passed on to the learner.
        folds: parts that the samples are cut into, each of which holds every class.
        rounds: how many of the parts are predicted in turn from the others; None is all of them.
        groups: (N,) which samples belong together, such as sentences of one speech, and stay in
            one part, so that no setting is chosen for what it knows of a speech; None: none do.
    """
    groups = np.arange(len(labelled)) if groups is None else np.unique(groups, return_inverse=True)[1]
    first = np.unique(groups, return_index=True)[1]
    fewest = int(np.unique(labelled.labels.numpy()[first], return_counts=True)[1].min())
    if fewest < 2 or len(learner.grid) == 1:
        return learner.grid[0]
    parts = stratified_folds(labelled.labels, min(folds, fewest), groups)[:rounds]
    scores = []
    for setting in learner.grid:
        score = 0.0
        for part in parts:
            kept = labelled.subset(np.setdiff1d(np.arange(len(labelled)), part))
            validation = labelled.subset(part)
            score += accuracy(learner.fit(kept, setting, seed)(validation), validation.labels)
        scores.append(score)
    return learner.grid[int(np.argmax(scores))]


def fit_tuned(learner: Learner, labelled: Columns, seed: int, folds: int = FOLDS,
              rounds: int | None = None) -> Callable[[Columns], Tensor]:
    """Chooses the learner's setting on the labelled samples, then fits it on all of them."""
    return learner.fit(labelled, choose_setting(learner, labelled, seed, folds, rounds), seed)
