"""Teaching a small model what a large one knows, in one call."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from ..data.source import Source
from ..objectives.base import Objective
from ..objectives.distillation import Distillation
from ..training.config import TrainConfig
from ..training.trainer import Trainer


def distill(teacher: nn.Module, student: nn.Module, texts: Source, config: TrainConfig,
            temperature: float = 2.0, task: Objective | None = None, soft: float = 1.0,
            layers: Sequence[tuple[int, int]] = ()) -> nn.Module:
    """A copy of the student, taught by the teacher on texts; both stay as they are.

    Args:
        teacher: a BERT or ModernBERT that answers with logits: a classifier or a masked LM.
        student: a smaller one with the same classes or vocabulary, or one by `prune_weights`, whose
            zeros stay.
        texts: samples with "input_ids" and "attention_mask"; without a task, no labels are needed.
        config: how to train.
        temperature: of the soft targets, see `Distillation`.
        task: what the student learns besides, such as `Classification` or `MaskedLM`. A teacher that
            is a masked LM needs the latter, for it says where the blanks are.
        soft: weight of the soft targets against the task.
        layers: pairs of layers, (student's, teacher's), whose hidden states should agree.

    Returns:
        The student, in evaluation mode, where it was trained.

    Raises:
        ValueError: if teacher and student answer with different classes, or with several rows of
            logits a text and no task says which of them count.
    """
    widths = (student.config.hidden_size, teacher.config.hidden_size)
    objective = Distillation(teacher, task, temperature, soft, layers, widths, seed=config.seed)
    trainer = Trainer(copy.deepcopy(student), objective, texts, config)
    trainer.fit()
    return trainer.model.to(trainer.device).eval()


@torch.no_grad()
def inherit_words(student: nn.Module, teacher: nn.Module) -> None:
    """Gives a narrower student the teacher's word vectors, as far as they fit.

    They are projected onto the directions in which they differ most (their principal components),
    and scaled to the size of the student's own. So it starts with the words sorted, and the rest of
    it unchanged. Both need the same vocabulary.

    Args:
        student: a BERT or ModernBERT, changed in place.
        teacher: another, as wide or wider.

    Raises:
        ValueError: if the vocabularies differ in size, or the student is the wider one.
    """
    ours, theirs = (model.encoder.embeddings.word.weight
                    for model in (student, teacher))
    if len(ours) != len(theirs) or ours.shape[1] > theirs.shape[1]:
        raise ValueError(f"the student's {tuple(ours.shape)} word vectors cannot be the teacher's "
                         f"{tuple(theirs.shape)}: one vocabulary, and no more numbers a word")
    centred = theirs - theirs.mean(0)
    directions = torch.linalg.svd(centred, full_matrices=False).Vh[:ours.shape[1]]  # (d, D)
    projected = centred @ directions.T  # (V, d)
    ours.copy_(projected * ours.std() / projected.std())
