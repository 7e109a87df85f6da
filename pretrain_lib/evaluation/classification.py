"""How often predicted classes are right."""

from __future__ import annotations

from torch import Tensor


def accuracy(predictions: Tensor, labels: Tensor) -> float:
    """The fraction of samples whose class is predicted.

    Args:
        predictions: (N,) classes, or (N, classes) scores of which the largest counts.
        labels: (N,) classes.

    Raises:
        ValueError: if the two do not fit together or there is no sample.
    """
    if predictions.ndim == 2:
        predictions = predictions.argmax(dim=1)
    if predictions.shape != labels.shape or labels.ndim != 1 or not len(labels):
        raise ValueError(
            f"predictions {tuple(predictions.shape)} and labels {tuple(labels.shape)} "
            "must be of one length above 0"
        )
    return (predictions == labels).double().mean().item()
