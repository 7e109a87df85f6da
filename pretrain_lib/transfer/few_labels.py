"""The question behind pre-training: how many labels does it save?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..data.images import labelled_subset
from ..data.keys import Keys
from ..data.source import Columns
from ..evaluation.classification import accuracy
from .tuning import Learner, fit_tuned


def few_label_curve(learners: dict[str, Learner], train: Columns, test: Columns,
                    per_class: Sequence[int] = (1, 5, 10, 50),
                    seeds: Iterable[int] = range(5)) -> dict[str, Tensor]:
    """Test accuracy against the number of labels, for several ways to learn.

    For a number of labels and a seed, every learner gets the very same labelled samples, and
    tunes its setting on those samples alone.

    Args:
        learners: the ways to learn, by name.
        train: samples with labels, of which only a few are shown.
        test: the samples that accuracy is measured on.
        per_class: numbers of labelled samples a class.
        seeds: each draws other labelled samples.

    Returns:
        For each learner, accuracies (len(per_class), number of seeds).
    """
    seeds = list(seeds)
    curves = {name: torch.zeros(len(per_class), len(seeds)) for name in learners}
    for row, count in enumerate(per_class):
        for column, seed in enumerate(seeds):
            labelled = labelled_subset(train, count, seed)
            for name, learner in learners.items():
                predict = fit_tuned(learner, labelled, seed)
                curves[name][row, column] = accuracy(predict(test), test.labels)
    return curves


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
