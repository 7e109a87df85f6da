"""Fine-tuning: a new head on an encoder, and all weights or adapters trained on the labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn

from ..data.source import Columns, Source
from ..data.splits import stratified_hold_out
from ..objectives.classification import Classification
from ..training.config import TrainConfig
from ..training.trainer import Trainer
from .encoders import require_model
from .features import logits
from .lora import LoraConfig, add_lora

EARLY_STOPPING = 0.2  # share of the labelled samples that tells when to stop


def fine_tune(model: nn.Module, labelled: Source, num_classes: int, config: TrainConfig,
              held_out: Source | None = None, lora: LoraConfig | None = None) -> nn.Module:
    """A copy of the model with a head, trained on labelled samples; the model stays as it is.

    Args:
        model: as `models.protocol.Model` says, with or without a head.
        labelled: samples with the column "labels" and what the model reads, its `columns`.
        num_classes: number of classes; labels are 0 to num_classes - 1.
        config: how to train.
        held_out: samples for early stopping, if the config asks for it.
        lora: adapters to train, with the head, in place of all weights; for texts only.

    Returns:
        What its `with_classifier` puts on, in evaluation mode, where it was trained: of a BERT or
        ModernBERT its `ForSequenceClassification`, of a ResNet or ViT its `ForImageClassification`,
        of a VideoMAE its `ForVideoClassification`, which `save_pretrained` writes as `transformers`
        reads it, with the names of the classes if `labelled` has them; else a `Classifier`. With
        `lora` the rest of its encoder is frozen, and it has adapters, which `save_lora` writes and
        `merge_lora` adds to the weights.

    Raises:
        TypeError: if the model does not follow the protocol.
        ValueError: if a label is none of the classes.
    """
    require_model(model)
    classifier = model.with_classifier(num_classes, config.seed)
    if lora is not None:
        add_lora(classifier, lora, config.seed)
    objective = Classification(*classifier.columns, num_classes=num_classes)
    return fitted(Trainer(classifier, objective, labelled, config, held_out))


def fitted(trainer: Trainer) -> nn.Module:
    """The trainer's model, trained: in evaluation mode, its classes named where samples name them."""
    trainer.fit()
    names = getattr(trainer.source, "classes", [])
    if names and len(names) == getattr(trainer.model, "num_labels", None):
        trainer.model.label_names = list(names)
    return trainer.model.to(trainer.device).eval()


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
