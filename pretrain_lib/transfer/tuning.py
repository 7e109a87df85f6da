"""Choosing a setting fairly, on the few labels there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..data.source import Columns

FOLDS = 3


class Learner(Protocol):
    """One way to learn a classifier from labelled samples, with one setting to tune."""

    grid: Sequence[float]

    def fit(self, labelled: Columns, setting: float, seed: int) -> Callable[[Columns], Tensor]:
        """Returns a function from N samples to N predicted labels."""


def stratified_folds(labels: Tensor, folds: int) -> list[np.ndarray]:
    """Splits the positions 0 … N-1 into folds that hold every class about equally often."""
    by_class = np.argsort(labels.numpy(), kind="stable")
    return [by_class[fold::folds] for fold in range(folds)]


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """The fraction of labels that are predicted."""
    return (predicted == labels).float().mean().item()


def choose_setting(learner: Learner, labelled: Columns, seed: int) -> float:
    """The setting of the learner's grid with the best accuracy in cross-validation.

    Uses nothing but the labelled samples given. With one sample a class there is nothing to
    validate on, and the first setting of the grid is taken: put the default there. So it is
    when settings tie.
    """
    fewest = int(torch.unique(labelled.labels, return_counts=True)[1].min())
    if fewest < 2 or len(learner.grid) == 1:
        return learner.grid[0]
    folds = stratified_folds(labelled.labels, min(FOLDS, fewest))
    scores = []
    for setting in learner.grid:
        score = 0.0
        for fold in folds:
            kept = labelled.subset(np.setdiff1d(np.arange(len(labelled)), fold))
            validation = labelled.subset(fold)
            score += accuracy(learner.fit(kept, setting, seed)(validation), validation.labels)
        scores.append(score)
    return learner.grid[int(np.argmax(scores))]


def fit_tuned(learner: Learner, labelled: Columns, seed: int) -> Callable[[Columns], Tensor]:
    """Chooses the learner's setting on the labelled samples, then fits it on all of them."""
    return learner.fit(labelled, choose_setting(learner, labelled, seed), seed)
