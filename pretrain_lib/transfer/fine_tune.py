"""Fine-tuning: a new head on an encoder, and all weights trained on the labels."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import Columns, Source
from ..objectives.classification import Classification
from ..training.config import TrainConfig
from ..training.trainer import Trainer
from .features import features


class Classifier(nn.Module):
    """An encoder with a linear head: samples (B, ...) to logits (B, classes).

    The head starts at zero, so the first prediction is the uniform one whatever the encoder says.

    Args:
        encoder: a module with `encode`.
        feature_size: numbers in a sample's features.
        num_classes: number of classes.
    """

    def __init__(self, encoder: nn.Module, feature_size: int, num_classes: int):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(feature_size, num_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def encode(self, x: Tensor) -> Tensor:
        """The logits, as features of their own: (B, classes)."""
        return self(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder.encode(x))


def fine_tune(model: nn.Module, labelled: Source, num_classes: int, config: TrainConfig,
              held_out: Source | None = None) -> Classifier:
    """A copy of the model with a head, trained on labelled samples; the model stays as it is.

    Args:
        model: a module with `encode`.
        labelled: samples with the columns "images" and "labels".
        num_classes: number of classes; labels are 0 to num_classes - 1.
        config: how to train.
        held_out: samples for early stopping, if the config asks for it.
    """
    sample = labelled.take(Keys.of(0, 1))["images"]
    with torch.no_grad():
        feature_size = model.encode(sample.to(next(model.parameters()).device)).shape[1]
    classifier = Classifier(copy.deepcopy(model), feature_size, num_classes)
    Trainer(classifier, Classification(), labelled, config, held_out).fit()
    return classifier


class FineTuning:
    """Fine-tuning as a way to learn from few labels; the learning rate is what is tuned.

    Args:
        model: the encoder to start from, pretrained or not; called with a seed if it is a
            function, so that training from scratch starts anew every time.
        num_classes: number of classes.
        config: how to train; its learning rate and seed are replaced.
        grid: learning rates; the first one is the default.
        view: what training sees of the labelled samples, such as an augmented view of them.
    """

    def __init__(self, model: nn.Module | Callable[[int], nn.Module], num_classes: int,
                 config: TrainConfig, grid: tuple[float, ...] = (1e-3, 1e-4, 3e-4, 3e-3),
                 view: Callable[[Columns], Source] = lambda labelled: labelled):
        self.model = model
        self.num_classes = num_classes
        self.config = config
        self.grid = grid
        self.view = view

    def fit(self, labelled: Columns, setting: float, seed: int = 0) -> Callable[[Columns], Tensor]:
        """Fine-tunes with learning rate `setting`; returns a function from samples to labels."""
        start = self.model if isinstance(self.model, nn.Module) else self.model(seed)
        config = replace(self.config, learning_rate=setting, seed=seed)
        classifier = fine_tune(start, self.view(labelled), self.num_classes, config)
        return lambda samples: features(classifier, samples).argmax(1)
