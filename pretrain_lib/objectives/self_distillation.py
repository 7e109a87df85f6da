"""Self-distillation: a network learns to say of one view what its own past average says of another.

Caron et al., "Emerging properties in self-supervised vision transformers" (DINO), ICCV 2021.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from ..data.keys import Keys
from ..data.source import Samples
from ..models.coupled import gathered, number_of_ranks
from ..models.init import drawn_with
from ..models.projection import Norm, ProjectionHead, projection_sizes
from ..validation import is_a, require
from .base import Batch, Objective
from .views import TWO, batch_of_two_views, both_views, projected


class PrototypeHead(nn.Module):
    """Cosines of projected features with prototypes, which are learned: (B, F) to (B, K)."""

    def __init__(self, sizes: Sequence[int], prototypes: int, norm: Norm, seed: int):
        super().__init__()
        self.project = ProjectionHead(sizes, norm, seed)
        with drawn_with(seed + 1):
            self.prototypes = nn.Linear(sizes[-1], prototypes, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        weight, z = self.prototypes.weight, self.project(features)
        with torch.autocast(z.device.type, enabled=False):
            return F.normalize(z.to(weight.dtype), dim=1) @ F.normalize(weight, dim=1).T


class SelfDistillation(Objective):
    """The student's answer to one view should be the teacher's to the other.

    Answers are softmaxes over prototypes. The teacher has the student's architecture; its weights
    are a moving average of the student's, and nothing trains them. Two things keep all answers from
    becoming the same: the *centre*, the teacher's average answer, is subtracted, so that no
    prototype wins always; and the teacher's low temperature *sharpens* what is left, so that not
    all win alike. The loss is the cross-entropy, averaged over both ways; it is log K at chance.

    The teacher, a part of the objective that checkpoints hold, drops nothing out; its batch
    normalisation goes by its own batch, as the student's does. The centre follows the batches of
    each update, over all ranks, once the update is done. So the loss itself couples no samples.

    Args:
        model: what will be trained; the teacher begins as a copy of it.
        projection: sizes of the head: the model's features, hidden layers, size of a prototype.
        prototypes: K, at least 2.
        momentum: how much of the teacher an update keeps, at least 0 and below 1. The paper lets
            it grow from 0.996 to 1; the fewer updates, the lower it should be.
        teacher_temperature: above 0.
        student_temperature: above 0.
        centre_momentum: how much of the centre an update keeps, at least 0 and below 1.
        norm: how the head normalises, "batch" or "layer".
        seed: of the head's first weights.

    Raises:
        ValueError: naming the argument, its value and what is allowed.

    Source: Caron et al. 2021, algorithm 1 and section 3.1, with two views and no smaller crops.
    """

    def __init__(self, model: nn.Module, projection: Sequence[int], prototypes: int = 1024,
                 momentum: float = 0.996, teacher_temperature: float = 0.04,
                 student_temperature: float = 0.1, centre_momentum: float = 0.9,
                 norm: Norm = "layer", seed: int = 0):
        super().__init__()
        require(is_a(int, prototypes) and prototypes >= 2, "prototypes", prototypes,
                "an integer of at least 2")
        for name, value in (("momentum", momentum), ("centre_momentum", centre_momentum)):
            require(is_a(float, value) and 0 <= value < 1, name, value, "at least 0 and below 1")
        for name, value in (("teacher_temperature", teacher_temperature),
                            ("student_temperature", student_temperature)):
            require(is_a(float, value) and value > 0, name, value, "above 0")
        self.projection = projection_sizes(projection)
        self.momentum = momentum
        self.teacher_temperature = teacher_temperature
        self.student_temperature = student_temperature
        self.centre_momentum = centre_momentum
        self.head = PrototypeHead(self.projection, prototypes, norm, seed)
        self.teacher = copy.deepcopy(model).requires_grad_(False)
        self.teacher_head = copy.deepcopy(self.head).requires_grad_(False)
        self.register_buffer("centre", torch.zeros(prototypes))
        self.register_buffer("answered", torch.zeros(prototypes))  # since the last update, a sum
        self.register_buffer("answers", torch.zeros(()))  # of so many

    def train(self, mode: bool = True) -> SelfDistillation:
        super().train(mode)
        for part in (*self.teacher.modules(), *self.teacher_head.modules()):
            part.training = mode and isinstance(part, _BatchNorm)
        return self

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        return batch_of_two_views(samples, "self_distillation")

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        views = [[batch.inputs[name]] for name in TWO]
        with torch.no_grad():
            wanted = both_views(projected(self.teacher, self.teacher_head), *views)  # (B, K)
            if self.training:
                self.note(torch.cat(wanted))
        given = both_views(projected(model, self.head), *views)  # (B, K)
        losses = [self.cross_entropy(one, other) for one, other in zip(wanted, reversed(given))]
        return {"self_distillation": 0.5 * sum(losses)}

    def cross_entropy(self, wanted: Tensor, given: Tensor) -> Tensor:
        """−Σ p log q, summed over samples: p the teacher's softmax, q the student's.

        Args:
            wanted: what the teacher answers, (B, K).
            given: what the student answers to the other view, (B, K).
        """
        target = F.softmax((wanted - self.centre) / self.teacher_temperature, dim=1)
        return -(target * F.log_softmax(given / self.student_temperature, dim=1)).sum()

    def note(self, wanted: Tensor) -> None:
        """Adds the teacher's answers, (N, K), of all ranks to those of this update."""
        self.answered.add_(gathered(wanted.sum(0)[None]).sum(0))
        self.answers.add_(len(wanted) * number_of_ranks())

    def after_step(self, model: nn.Module, step: int) -> None:
        for teacher, student in ((self.teacher, model), (self.teacher_head, self.head)):
            for old, new in zip(teacher.parameters(), student.parameters(), strict=True):
                old.lerp_(new, 1 - self.momentum)
        average = torch.where(self.answers > 0, self.answered / self.answers, self.centre)
        self.centre.lerp_(average, 1 - self.centre_momentum)  # in a mixture there may be no answer
        self.answered.zero_()
        self.answers.zero_()
