"""Choosing a setting fairly, on the few labels there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from ..data.source import Columns
from ..data.splits import stratified_folds
from ..evaluation.classification import accuracy

FOLDS = 3


class Learner(Protocol):
    """One way to learn a classifier from labelled samples, with one setting to tune."""

    grid: Sequence[float]

    def fit(self, labelled: Columns, setting: float, seed: int) -> Callable[[Columns], Tensor]:
        """Returns a function from N samples to N predicted labels."""


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
