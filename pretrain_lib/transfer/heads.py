"""What else a pretrained encoder is fine-tuned for: tags of words, pairs of texts, numbers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import UNSCORED, Source
from ..data.tasks.encoded import EncodedText
from ..models.base import TEXT
from ..models.precision import answering
from ..objectives.classification import Classification
from ..objectives.regression import Regression
from ..objectives.tagging import Tagging
from ..training.config import TrainConfig
from ..training.trainer import Trainer
from .encoders import require_text, text_classifier, text_tagger
from .features import in_batches
from .fine_tune import fitted

PAIR = (*TEXT, "token_type_ids")


def fine_tune_tagger(model: nn.Module, tagged: Source, num_tags: int, config: TrainConfig,
                     held_out: Source | None = None) -> nn.Module:
    """A copy of a BERT or ModernBERT that tags words, trained on tagged sentences.

    Args:
        model: with or without a head of its own; it stays as it is.
        tagged: what `encode_tagged` returns.
        num_tags: number of tags.
        config: how to train.
        held_out: sentences for early stopping, if the config asks for it.

    Returns:
        In evaluation mode its `ForTokenClassification`, which `save_pretrained` writes as
        `transformers` reads it.
    """
    tagger = text_tagger(model, num_tags, config.seed)
    return fitted(Trainer(tagger, Tagging(), tagged, config, held_out))


@torch.no_grad()
def predicted_tags(tagger: nn.Module, tagged: EncodedText,
                   batch_size: int = 256) -> list[list[int]]:
    """The likeliest tag of each word, for all sentences; words beyond the length have none."""
    device = next(tagger.parameters()).device
    found: list[list[int]] = []
    with answering(tagger):
        for ids in np.array_split(np.arange(len(tagged)), -(-len(tagged) // batch_size)):
            samples = tagged.take(Keys.of(0, ids))
            logits = tagger(*(samples[name].to(device) for name in TEXT))  # (B, T, tags)
            first = samples["tags"] != UNSCORED  # (B, T)
            found += [row[mask].tolist() for row, mask in
                      zip(logits.argmax(2).cpu(), first, strict=True)]
    return found


def fine_tune_pairs(model: nn.Module, pairs: Source, num_classes: int, config: TrainConfig,
                    held_out: Source | None = None, labels: str = "labels") -> nn.Module:
    """A copy of a BERT or ModernBERT that classifies pairs of texts, trained on labelled pairs.

    Args:
        model: with or without a head of its own; it stays as it is.
        pairs: what `encode_text_pairs` returns, or `SentencePairs`.
        num_classes: number of classes.
        config: how to train.
        held_out: pairs for early stopping, if the config asks for it.
        labels: the column with the class; `SentencePairs` has "next_sentence_label".

    Returns:
        In evaluation mode its `ForSequenceClassification`.
    """
    require_text(model)
    if model.hugging_face is None:
        raise ValueError(f"{type(model).__name__} does not tell the two texts of a pair apart: "
                         "give a BERT or a ModernBERT")
    classifier = text_classifier(model, num_classes, config.seed)
    objective = Classification(*PAIR, num_classes=num_classes, labels=labels)
    return fitted(Trainer(classifier, objective, pairs, config, held_out))


def pair_logits(classifier: nn.Module, pairs: Source, batch_size: int = 256) -> Tensor:
    """What a classifier of pairs answers: (N, classes) float32, on the CPU."""
    return in_batches(classifier, classifier, pairs, PAIR, batch_size)


def fine_tune_regressor(model: nn.Module, scored: Source, config: TrainConfig,
                        held_out: Source | None = None) -> nn.Module:
    """A copy of a BERT or ModernBERT that gives a text a number, trained on texts with numbers.

    Args:
        model: with or without a head of its own; it stays as it is.
        scored: what `encode_texts` returns, with numbers as `labels`, (N,).
        config: how to train.
        held_out: texts for early stopping, if the config asks for it.

    Returns:
        In evaluation mode its `ForSequenceClassification` with one label, which `transformers`
        takes for a regression.
    """
    regressor = text_classifier(model, 1, config.seed)
    return fitted(Trainer(regressor, Regression(), scored, config, held_out))


def predicted_scores(regressor: nn.Module, texts: Source, batch_size: int = 256) -> Tensor:
    """The number of each text: (N,) float32, on the CPU."""
    return in_batches(regressor, regressor, texts, TEXT, batch_size)[:, 0]
