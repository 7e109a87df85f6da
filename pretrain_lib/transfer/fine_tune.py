"""Fine-tuning: a new head on an encoder, and all weights or adapters trained on the labels."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import Columns, Source
from ..data.splits import stratified_hold_out
from ..objectives.classification import Classification
from ..training.config import TrainConfig
from ..training.trainer import Trainer
from .encoders import columns_of, text_classifier, text_encoder
from .features import logits
from .lora import LoraConfig, add_lora

EARLY_STOPPING = 0.2  # share of the labelled samples that tells when to stop


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


def new_classifier(model: nn.Module, labelled: Source, num_classes: int,
                   seed: int = 0) -> nn.Module:
    """A copy of the model under a head that starts at zero."""
    if text_encoder(model) is not None:
        return text_classifier(model, num_classes, seed)
    sample = labelled.take(Keys.of(0, 1))["images"]
    with torch.no_grad():
        feature_size = model.encode(sample.to(next(model.parameters()).device)).shape[1]
    return Classifier(copy.deepcopy(model), feature_size, num_classes)


def fine_tune(model: nn.Module, labelled: Source, num_classes: int, config: TrainConfig,
              held_out: Source | None = None, lora: LoraConfig | None = None) -> nn.Module:
    """A copy of the model with a head, trained on labelled samples; the model stays as it is.

    Args:
        model: a module with `encode`, or a BERT or ModernBERT with or without a head.
        labelled: samples with the column "labels" and what the model reads: "images", or a text's
            "input_ids" and "attention_mask".
        num_classes: number of classes; labels are 0 to num_classes - 1.
        config: how to train.
        held_out: samples for early stopping, if the config asks for it.
        lora: adapters to train, with the head, in place of all weights; for texts only.

    Returns:
        A `Classifier`; of a BERT or ModernBERT its `ForSequenceClassification`, which
        `save_pretrained` writes as `transformers` reads it. With `lora` it has adapters, which
        `save_lora` writes and `merge_lora` adds to the weights.

    Raises:
        ValueError: if a label is none of the classes.
    """
    classifier = new_classifier(model, labelled, num_classes, config.seed)
    if lora is not None:
        add_lora(classifier, lora, config.seed)
    objective = Classification(*columns_of(classifier), num_classes=num_classes)
    Trainer(classifier, objective, labelled, config, held_out).fit()
    return classifier


class FineTuning:
    """Fine-tuning as a way to learn from few labels; the learning rate is what is tuned.

    Where the config has a patience, a part of the labelled samples is held out for early stopping.

    Args:
        model: the encoder to start from, pretrained or not; called with a seed if it is a
            function, so that training from scratch starts anew every time.
        num_classes: number of classes.
        config: how to train, or a function from the number of labelled samples to that; learning
            rate and seed are replaced.
        grid: learning rates; the first one is the default.
        view: what training sees of the labelled samples, such as an augmented view of them.
        lora: adapters to train in place of all weights.
    """

    def __init__(self, model: nn.Module | Callable[[int], nn.Module], num_classes: int,
                 config: TrainConfig | Callable[[int], TrainConfig],
                 grid: tuple[float, ...] = (1e-3, 1e-4, 3e-4, 3e-3),
                 view: Callable[[Columns], Source] = lambda labelled: labelled,
                 lora: LoraConfig | None = None):
        self.model = model
        self.num_classes = num_classes
        self.config = config
        self.grid = grid
        self.view = view
        self.lora = lora

    def classifier(self, labelled: Columns, setting: float, seed: int = 0) -> nn.Module:
        """The model fine-tuned with learning rate `setting`."""
        start = self.model if isinstance(self.model, nn.Module) else self.model(seed)
        config = self.config if isinstance(self.config, TrainConfig) else self.config(len(labelled))
        config = replace(config, learning_rate=setting, seed=seed)
        held_out = None
        if config.patience:
            labelled, held_out = stratified_hold_out(labelled, EARLY_STOPPING)
        return fine_tune(start, self.view(labelled), self.num_classes, config, held_out, self.lora)

    def fit(self, labelled: Columns, setting: float, seed: int = 0) -> Callable[[Columns], Tensor]:
        """Fine-tunes with learning rate `setting`; returns a function from samples to labels."""
        classifier = self.classifier(labelled, setting, seed)
        return lambda samples: logits(classifier, samples).argmax(1)
