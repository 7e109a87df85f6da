"""Several tasks at once: their terms are weighed and added."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.mixture import check_task, of_task
from ..data.source import Samples
from .base import Batch, Objective

Kind = Literal["regression", "classification"]


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


class UncertaintyWeighted(MultiTask):
    """Several tasks whose weights are learned: the less noise in a task, the more it counts.

    Each term has a σ. A regression's mean loss L becomes L / 2σ² + log σ, as if its errors were
    normal with this variance (Kendall et al., equation 7); a classification's L / σ² + log σ, as if
    its logits were divided by σ² (equation 10, an approximation). What is learned is log σ², which
    starts at 0. A loss that stays high loses weight, whether it is noise that keeps it there or
    that the task is hard.

    Each term is there twice: as it is, to be read, and as "weighted/task/term", which trains.
    Weights that objectives give themselves are not used.

    Source: Kendall, Gal and Cipolla, "Multi-task learning using uncertainty to weigh losses for
    scene geometry and semantics", CVPR 2018, section 3.2.

    Args:
        objectives: the objective of each task.
        kinds: what each term is, as {"task/term": "regression"} or "classification".

    Attributes:
        log_variances: log σ² of each term, in the order of `kinds`.

    Raises:
        ValueError: for no objective, a name with a slash, or another kind.
    """

    def __init__(self, objectives: dict[str, Objective], kinds: dict[str, Kind]):
        super().__init__(objectives)
        for term, kind in kinds.items():
            if kind not in get_args(Kind):
                raise ValueError(f"the kind of {term!r} must be one of "
                                 f"{', '.join(get_args(Kind))}, got {kind!r}")
        self.kinds = dict(kinds)
        self.weights = dict.fromkeys(kinds, 0.0)
        self.log_variances = nn.Parameter(torch.zeros(len(kinds)))

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        whole = super().batch(samples, keys)
        if whole.counts.keys() != self.kinds.keys():
            raise ValueError(f"kinds must name each term once, {', '.join(whole.counts)}, got "
                             f"{', '.join(self.kinds) or 'none'}")
        whole.counts |= {f"weighted/{term}": count for term, count in whole.counts.items()}
        return whole

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        terms = super().forward(model, batch)
        weighted = {}
        for log_variance, (term, kind) in zip(self.log_variances, self.kinds.items(), strict=True):
            precision = torch.exp(-log_variance) * (0.5 if kind == "regression" else 1.0)
            weighted[f"weighted/{term}"] = (precision * terms[term]
                                            + batch.counts[term] * log_variance / 2)
        return {name: term.detach() for name, term in terms.items()} | weighted


def answering(model: nn.Module, task: str) -> nn.Module:
    """The model of a task: its own, or the one of all."""
    return model[task] if isinstance(model, nn.ModuleDict) else model


def of_prefix(columns: dict, prefix: str) -> dict:
    return {name.removeprefix(prefix): value for name, value in columns.items()
            if name.startswith(prefix)}
