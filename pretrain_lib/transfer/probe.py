"""Linear probes: what a linear classifier can read off features that stay as they are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..data.source import Columns
from .features import features


class LinearProbe:
    """Logistic regression on frozen features (Alain and Bengio, 2016, section 3).

    Features are divided by the root of their mean variance, one factor for all, so that the same
    grid of regularisation strengths suits every model.

    Args:
        model: as `models.protocol.Model` says, or None to read the raw column.
        column: the column of the source to read, (B, ...); None is what the model reads, which is
            "images" where there is none.
        grid: inverse strengths C of the L2 penalty; the first one is the default.
    """

    def __init__(self, model: nn.Module | None = None, column: str | None = None,
                 grid: tuple[float, ...] = (1.0, 0.01, 0.1, 10.0)):
        self.model = model
        self.column = column
        self.grid = grid

    def features(self, samples: Columns) -> Tensor:
        """(N, features): what the probe reads."""
        if self.model is None:
            return getattr(samples, self.column or "images").flatten(1).float()
        return features(self.model, samples, self.column)

    def fit(self, labelled: Columns, setting: float, seed: int = 0) -> Callable[[Columns], Tensor]:
        """Fits the probe with C = `setting`; returns a function from samples to predicted labels."""
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        x = self.features(labelled)
        centre = x.mean(0)
        scale = (x - centre).square().mean().sqrt().clamp(min=1e-12)
        classifier = LogisticRegression(C=setting, max_iter=1000)
        with threadpool_limits(1, "blas"):  # small products: on busy cores threads wait for each other
            classifier.fit(((x - centre) / scale).numpy(), labelled.labels.numpy())

        def predict(samples: Columns) -> Tensor:
            standard = (self.features(samples) - centre) / scale
            return torch.from_numpy(classifier.predict(standard.numpy()))

        return predict
