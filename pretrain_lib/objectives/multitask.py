"""Several tasks at once: their terms are weighed and added."""

from __future__ import annotations

from torch import Tensor, nn

from ..data.keys import Keys
from ..data.mixture import check_task, of_task
from ..data.source import Samples
from .base import Batch, Objective


class MultiTask(Objective):
    """Carries out several objectives, over the same samples or each over its own of a `Mixture`.

    Every objective corrupts its samples as it would alone. What they put into a batch is named
    "task/name", and so are the terms of the loss.

    The model answers all of them; where it is an `nn.ModuleDict`, each task has its own, and these
    may share parts: one encoder with several heads.

    Args:
        objectives: the objective of each task.
        weights: of terms, as {"task/term": weight}; a term that is not named keeps the weight that
            its own objective gives it.

    Raises:
        ValueError: for no objective, or a name with a slash.
    """

    def __init__(self, objectives: dict[str, Objective], weights: dict[str, float] | None = None):
        super().__init__()
        if not objectives:
            raise ValueError("there must be at least one objective, such as {'era': objective}")
        for task in objectives:
            check_task(task)
        self.objectives = nn.ModuleDict(objectives)
        self.separable = all(objective.separable for objective in objectives.values())
        own = {f"{task}/{term}": weight for task, objective in objectives.items()
               for term, weight in objective.weights.items()}
        self.weights = own | (weights or {})

    @property
    def couples_samples(self) -> bool:
        """Its objectives say so themselves."""
        return False

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        whole = Batch({}, {}, {})
        for task, objective in self.objectives.items():
            part = objective.batch(*of_task(samples, keys, task))
            for name in ("inputs", "targets", "counts"):
                getattr(whole, name).update(
                    {f"{task}/{key}": value for key, value in getattr(part, name).items()})
        return whole

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        terms = {}
        for task, objective in self.objectives.items():
            answers = answering(model, task)
            part = Batch(*(of_prefix(columns, f"{task}/")
                           for columns in (batch.inputs, batch.targets, batch.counts)))
            terms |= {f"{task}/{term}": value for term, value in objective(answers, part).items()}
        return terms

    def after_step(self, model: nn.Module, step: int) -> None:
        for task, objective in self.objectives.items():
            objective.after_step(answering(model, task), step)


def answering(model: nn.Module, task: str) -> nn.Module:
    """The model of a task: its own, or the one of all."""
    return model[task] if isinstance(model, nn.ModuleDict) else model


def of_prefix(columns: dict, prefix: str) -> dict:
    return {name.removeprefix(prefix): value for name, value in columns.items()
            if name.startswith(prefix)}
