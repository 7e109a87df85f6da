"""The question behind pre-training: how many labels does it save?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ..data.source import Columns
from ..data.splits import labelled_subset
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
