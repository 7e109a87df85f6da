"""Tasks whose gradients point against each other: what each would undo of the others is left out.

Yu, Kumar, Gupta, Levine, Hausman and Finn, "Gradient surgery for multi-task learning", NeurIPS
2020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import Samples
from .base import Batch, Objective, weighted_mean
from .multitask import MultiTask

TERM, ORDER = "surgery", "order"  # no task's term or column is called so: theirs have a slash


class GradientSurgery(MultiTask):
    """Several tasks, each of whose gradients loses the part that points against another's (PCGrad).

    The gradient of each task's mean loss is taken while the loss is computed, one backward pass a
    task. What the update then follows is the sum of the projected ones: a further term, "surgery",
    has the value 0 and this gradient, and the terms of the tasks are there to be read. Gradients
    are projected where two tasks meet; what one alone has, such as its head, moves as it likes.

    Projecting needs gradients of whole means, so a batch is not cut into micro-batches, nor shared
    out to ranks.

    Args:
        objectives: the objective of each task.
        weights: of terms, as of `MultiTask`.

    Raises:
        ValueError: for fewer than two objectives, or a name with a slash.
    """

    def __init__(self, objectives: dict[str, Objective], weights: dict[str, float] | None = None):
        super().__init__(objectives, weights)
        if len(objectives) < 2:
            raise ValueError("gradients of two tasks or more can be in each other's way, got "
                             f"{len(objectives)}: give another, or use MultiTask")
        self.separable = False

    @property
    def couples_samples(self) -> bool:
        """In training the projection looks at all samples at once."""
        return self.training

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        whole = super().batch(samples, keys)
        first = Keys(keys.seed, keys.epoch[:1], keys.sample[:1])
        orders = [first.permutation(f"{TERM} {task}", len(self.objectives))
                  for task in self.objectives]
        whole.targets[ORDER] = torch.cat(orders)  # (K, K)
        whole.counts[TERM] = 1.0
        return whole

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        terms = super().forward(model, batch)
        told = {name: term.detach() for name, term in terms.items()}
        if not torch.is_grad_enabled():
            return told | {TERM: next(iter(told.values())).new_zeros(())}
        found = gradients_of(task_means(self, terms, batch), trainable(model, self))
        shared, projected = found.shared(), project_conflicts(found.flat(), batch.targets[ORDER])
        pieces = projected.sum(0).split([p.numel() for p in shared])
        aim = sum((p * g.view_as(p)).sum() for p, g in zip(shared, pieces, strict=True))
        aim = aim + sum((p * g).sum() for p, g in found.private())
        return told | {TERM: aim - aim.detach()}


class TaskGradients:
    """The gradients of several tasks.

    Args:
        parameters: what they are gradients of.
        gradients: for each task that of each parameter, None where the task does not use it.
    """

    def __init__(self, parameters: list[nn.Parameter], gradients: list[tuple[Tensor | None, ...]]):
        self.by_parameter = list(zip(parameters, zip(*gradients, strict=True), strict=True))

    def shared(self) -> list[nn.Parameter]:
        """The parameters that several tasks use."""
        return [p for p, found in self.by_parameter if in_use(found) > 1]

    def private(self) -> list[tuple[nn.Parameter, Tensor]]:
        """The parameters that one task uses, with its gradient."""
        return [(p, next(g for g in found if g is not None)) for p, found in self.by_parameter
                if in_use(found) == 1]

    def flat(self) -> Tensor:
        """(K, P) the gradients of K tasks on the P numbers of what is shared.

        Raises:
            ValueError: if nothing is.
        """
        rows = [torch.stack([torch.zeros_like(p) if g is None else g for g in found]).flatten(1)
                for p, found in self.by_parameter if in_use(found) > 1]
        if not rows:
            raise ValueError("the tasks share no parameter, so none is in another's way: give them "
                             "one encoder, or use MultiTask")
        return torch.cat(rows, dim=1)


def in_use(gradients: tuple[Tensor | None, ...]) -> int:
    """How many tasks use a parameter."""
    return sum(g is not None for g in gradients)


def trainable(model: nn.Module, objective: Objective) -> list[nn.Parameter]:
    """What training changes of a model and an objective, each once."""
    both = [*model.parameters(), *objective.parameters()]
    return list(dict.fromkeys(p for p in both if p.requires_grad))


def task_means(objective: MultiTask, terms: dict[str, Tensor], batch: Batch) -> list[Tensor]:
    """The loss of each task: the weighted sum of the means of its terms, K scalars."""
    means = []
    for task in objective.objectives:
        counts = {name: count for name, count in batch.counts.items()
                  if name.startswith(f"{task}/")}
        means.append(weighted_mean(terms, counts, objective.weights))
    return means


def gradients_of(losses: list[Tensor], parameters: list[nn.Parameter]) -> TaskGradients:
    """The gradient of each of several losses; `.grad` of the parameters stays as it is."""
    found = [torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
             for loss in losses]
    return TaskGradients(parameters, found)


def project_conflicts(gradients: Tensor, order: Tensor) -> Tensor:
    """Takes from each gradient what points against another: algorithm 1 of Yu et al. 2020.

    Where gᵢ · gⱼ < 0, gᵢ loses (gᵢ · gⱼ / ‖gⱼ‖²) gⱼ, and goes on without it to the next j.

    Args:
        gradients: (K, P) of K tasks.
        order: (K, K) in which order each meets the others; itself is passed over.

    Returns:
        (K, P), whose sum is the update.
    """
    projected = gradients.clone()
    for i, others in enumerate(order.tolist()):
        for j in others:
            overlap = projected[i] @ gradients[j]
            if i != j and overlap < 0:
                projected[i] -= overlap / gradients[j].square().sum() * gradients[j]
    return projected
