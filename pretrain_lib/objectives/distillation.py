"""Distillation: a small student learns to answer as a large teacher does.

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015; for encoders of text
Sanh et al., "DistilBERT", 2019, and Jiao et al., "TinyBERT", 2020.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.source import UNSCORED, Samples
from ..models.init import initialise
from ..models.outputs import outputs_of
from ..models.state import state_tensors
from .base import Batch, Objective
from .text import take_text


def soft_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher ‖ student) of the softmaxes at temperature T, one number a row, in nats.

    A softmax at temperature T divides the logits by T, so that it tells more of how the unlikely
    classes compare. Its gradient falls as 1/T², which the factor makes up for (Hinton et al.,
    section 2). Up to the teacher's entropy, a constant, it is T² times their cross-entropy.

    Args:
        student: (…, C) logits.
        teacher: (…, C) logits.
        temperature: T, above 0.

    Returns:
        (…,) in float32 or better.
    """
    precise = torch.promote_types(student.dtype, torch.float32)
    ours, theirs = (F.log_softmax(logits.to(precise) / temperature, dim=-1)
                    for logits in (student, teacher))
    return temperature**2 * (theirs.exp() * (theirs - ours)).sum(-1)


class Distillation(Objective):
    """The teacher's soft targets, and if wanted labels and the teacher's hidden states besides.

    Without a task the samples need no labels: the student is scored on the teacher's answer to each
    text, one row of logits. A task adds its own terms, and says what is answered and counts: with
    `Classification` the label of a text, with `Tagging` the tags of its words, with `MaskedLM` the
    tokens at the blanks, where teacher and student see the same ones.

    The teacher is a copy, in evaluation mode, and no part of this module: nothing trains it, and no
    checkpoint holds it. Its weights_fingerprint stands in the run's description, so that a run is not
    resumed with another one.

    Args:
        teacher: a BERT or ModernBERT that answers with logits: (B, C), or with a task (B, S, V).
        task: what the student learns besides; None: nothing, texts are without labels. The targets
            of its batches are "labels", (B,) or (B, S), -100 where nothing is to be answered.
        temperature: T of `distillation.soft_loss`, above 0.
        soft: weight of the soft targets; the task's terms weigh what they weigh in the task.
        layers: pairs (layer of the student, layer of the teacher), counted from 0, whose hidden
            states should agree after a linear map (Jiao et al., section 3.1): the mean squared
            difference, averaged over tokens.
        widths: hidden sizes of student and teacher, for these maps.
        hidden: weight of the hidden states.
        seed: of the maps' first weights.

    Raises:
        ValueError: for a temperature or weight that is not above 0, or layers without widths.
    """

    def __init__(self, teacher: nn.Module, task: Objective | None = None, temperature: float = 2.0,
                 soft: float = 1.0, layers: Sequence[tuple[int, int]] = (),
                 widths: tuple[int, int] | None = None, hidden: float = 1.0, seed: int = 0):
        super().__init__()
        for name, value in (("temperature", temperature), ("soft", soft), ("hidden", hidden)):
            if not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        if layers and widths is None:
            raise ValueError("layers are mapped from one width to another: give "
                             "widths=(hidden size of the student, of the teacher)")
        self.task = task
        self.temperature = temperature
        self.layers = [tuple(pair) for pair in layers]
        self.weights = (task.weights if task else {}) | {"soft": soft}
        if layers:
            self.weights |= {"hidden": hidden}
            self.maps = nn.ModuleList(nn.Linear(*widths, bias=False) for _ in layers)
            initialise(self.maps, "xavier", seed)
        self.held = (copy.deepcopy(teacher).eval().requires_grad_(False),)  # in a tuple: no part
        self.teacher_is = weights_fingerprint(teacher)

    @property
    def teacher(self) -> nn.Module:
        """The teacher, which stays as it is."""
        return self.held[0]

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        if self.task is None:
            batch = Batch(take_text(samples), {}, {"soft": float(len(keys))})
        else:
            batch = self.task.batch(samples, keys)
            batch.counts["soft"] = float((batch.targets["labels"] != UNSCORED).sum())
        if self.layers:
            batch.counts["hidden"] = float(real_tokens(batch).sum())
        return batch

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        teacher = self.teacher.to(batch.inputs["input_ids"].device)
        with torch.no_grad(), states_after(teacher, [pair[1] for pair in self.layers]) as theirs:
            wanted = teacher(**batch.inputs)  # (B, C) or (B, S, V)
        asked = Remembering(model)
        with states_after(model, [pair[0] for pair in self.layers]) as ours:
            terms = self.task(asked, batch) if self.task else {}
            answer = asked.answer if self.task else model(**batch.inputs)
        if answer.shape != wanted.shape:
            raise ValueError(f"the student answers with logits {tuple(answer.shape)}, the teacher "
                             f"with {tuple(wanted.shape)}: both need the same classes")
        if wanted.shape[-1] < 2:
            raise ValueError("the teacher answers with one number, whose softmax is always 1: soft "
                             "targets need at least two classes")
        soft = soft_loss(answer, wanted, self.temperature)  # (B,) or (B, S)
        if self.task is None and soft.ndim > 1:
            raise ValueError(f"the teacher answers with logits {tuple(wanted.shape)}, several rows "
                             "a text, and nothing says which of them count: give a task that does, "
                             "such as MaskedLM.of(tokenizer)")
        if self.task:
            soft = soft.masked_fill(batch.targets["labels"] == UNSCORED, 0.0)
        terms["soft"] = soft.sum()
        if self.layers:
            terms["hidden"] = self.disagreement(ours, theirs, real_tokens(batch))
        return terms

    def disagreement(self, ours: list[Tensor], theirs: list[Tensor], real: Tensor) -> Tensor:
        """The squared difference of hidden states, averaged over their numbers, summed over tokens.

        Args:
            ours: the student's states, (B, T, D) each, one a pair of layers.
            theirs: the teacher's.
            real: (B, T) 1 at tokens, 0 at padding.
        """
        total = 0.0
        for mapped, state, target in zip(self.maps, ours, theirs, strict=True):
            if state.shape[1] != real.shape[1]:
                raise ValueError("the last layer works at the blanks alone: compare lower layers")
            difference = mapped(state) - target
            precise = difference.to(torch.promote_types(difference.dtype, torch.float32))
            total = total + (precise.square().mean(-1) * real).sum()
        return total


class Remembering:
    """A model that remembers what it answered, so that two losses need one forward pass."""

    def __init__(self, model: nn.Module):
        self.model = model

    def __call__(self, *columns: Tensor, **named: Tensor) -> Tensor:
        self.answer = self.model(*columns, **named)
        return self.answer


def states_after(model: nn.Module, layers: Sequence[int]) -> AbstractContextManager[list[Tensor]]:
    """The hidden states, (B, T, D), that a BERT or ModernBERT has after some layers, in their order."""
    return outputs_of([model.encoder.layers[number] for number in layers])


def real_tokens(batch: Batch) -> Tensor:
    """(B, T): 1 at tokens, 0 at padding."""
    ids = batch.inputs["input_ids"]
    return (batch.inputs.get("attention_mask", torch.ones_like(ids)) > 0).float()


def weights_fingerprint(model: nn.Module) -> str:
    """Twelve hexadecimal digits that differ between models of different weights."""
    digest = hashlib.sha256()
    for name, tensor in state_tensors(model).items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
