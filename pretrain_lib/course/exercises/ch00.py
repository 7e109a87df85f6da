"""The one exercise of chapter 00: how an answer is answered."""

from __future__ import annotations

import torch
from torch import Tensor

from . import Exercise, Mistake


def fraction_right(predicted: Tensor, labels: Tensor) -> float:
    """The fraction of samples whose label was predicted; both (N,)."""
    return (predicted == labels).float().mean().item()


def grade_accuracy(answer) -> str:
    generator = torch.Generator().manual_seed(0)
    for n in (7, 50, 1000):
        predicted, labels = torch.randint(10, (2, n), generator=generator)
        predicted = torch.where(torch.arange(n) % 3 == 0, predicted, labels)  # (N,), mostly right
        got, right = answer(predicted.clone(), labels.clone()), fraction_right(predicted, labels)
        if isinstance(got, Tensor):
            raise Mistake("that is a tensor: take the Python number out of it, with .item()")
        if abs(got - right) < 1e-6:
            continue
        if abs(got - (1 - right)) < 1e-6:
            raise Mistake("that is the fraction of wrong predictions, the error rate: count the right ones")
        if abs(got - n * right) < 1e-6 * n:
            raise Mistake(f"that is the number of right predictions: divide it by how many there are, here {n}")
        if abs(got - 100 * right) < 1e-4:
            raise Mistake("that is in per cent: this course writes accuracies as fractions of 1")
        raise Mistake(f"for {n} predictions of which {n * right:.0f} are right it gives {got:.4g}, not {right:.4g}")
    return "right on 7, 50 and 1 000 predictions"


EXERCISES = [
    Exercise(id="00.1", title="how often a prediction is right", difficulty=1, minutes=3,
             reference=fraction_right, grade=grade_accuracy),
]
