"""Contrastive learning: two views of one sample are found again among those of many.

Van den Oord, Li and Vinyals, "Representation learning with contrastive predictive coding", 2018
(InfoNCE, equation 4); for images and their captions Radford et al., "Learning transferable visual
models from natural language supervision", ICML 2021, Figure 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.source import Samples
from ..models.coupled import first_row, gathered
from .base import Batch, Objective, take_column

LARGEST = 100.0  # scale of the cosines


@dataclass(frozen=True)
class ContrastiveConfig:
    """Settings of `Contrastive`.

    Attributes:
        views: the two views, by name, each with the columns that the model reads of it.
        temperature: one over the scale that training begins with, at least 0.01.

    Raises:
        ValueError: for another number of views than two, or a temperature below 0.01.
    """

    views: dict[str, tuple[str, ...]]
    temperature: float = 0.07

    def __post_init__(self):
        views = {name: tuple(columns) for name, columns in dict(self.views).items()}
        object.__setattr__(self, "views", views)
        if len(views) != 2:
            raise ValueError(f"there must be two views, got {len(views)}: {', '.join(views)}")
        if not 1 / LARGEST <= self.temperature < math.inf:
            raise ValueError(f"temperature must be at least {1 / LARGEST}, got {self.temperature}")


class Contrastive(Objective):
    """Each view of a sample should be nearest to the sample's other view, among a whole batch.

    The model answers a view with one vector a sample, (B, D); where it is an `nn.ModuleDict`, each
    view has its own. Vectors are compared by their cosine, times a scale that is learned,
    and 100 at most, as in CLIP (Radford et al.). On several ranks each sample is compared with
    those of all ranks.

    Args:
        views: the two views, by name, each with the columns that the model reads of it, in their
            order, (B, ...): {"image": ["images"], "caption": ["input_ids", "attention_mask"]}. Two
            views of the same columns differ by what dropout leaves of them (Gao et al., "SimCSE",
            EMNLP 2021, section 3).
        temperature: one over the scale that training begins with, at least 0.01.

    Raises:
        ValueError: for another number of views than two, or a temperature below 0.01.
    """

    config_class = ContrastiveConfig
    separable = False
    gathers = True

    def __init__(self, views: Mapping[str, Sequence[str]], temperature: float = 0.07):
        super().__init__()
        self.views = ContrastiveConfig(views, temperature).views
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        columns = dict.fromkeys(name for view in self.views.values() for name in view)
        inputs = {name: take_column(samples, name) for name in columns}
        return Batch(inputs, {}, {"contrastive": len(keys)})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        first, second = (self.directions(model, view, batch) for view in self.views)  # (B, D)
        return {"contrastive": info_nce(first, second, self.log_scale.exp())}

    def after_step(self, model: nn.Module, step: int) -> None:
        self.log_scale.clamp_(max=math.log(LARGEST))

    def directions(self, model: nn.Module, view: str, batch: Batch) -> Tensor:
        """What the model says of one view, as vectors of length 1, (B, D) in float32 or better."""
        answers = model[view] if isinstance(model, nn.ModuleDict) else model
        vectors = answers(*(batch.inputs[name] for name in self.views[view]))
        return F.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=-1)


def info_nce(first: Tensor, second: Tensor, scale: Tensor | float) -> Tensor:
    """−½ Σᵢ (log softmaxⱼ s aᵢ·bⱼ + log softmaxⱼ s bᵢ·aⱼ) at j = i, summed over this rank's rows i.

    Args:
        first: a, (B, D), this rank's rows; j runs over the rows of all ranks.
        second: b, (B, D), the other views of the same samples.
        scale: s, one over the temperature.

    Returns:
        A scalar, in nats.
    """
    places = first_row(len(first)) + torch.arange(len(first), device=first.device)  # (B,)
    with torch.autocast(first.device.type, enabled=False):
        return 0.5 * sum(F.cross_entropy(scale * (ours @ gathered(theirs).T), places,
                                         reduction="sum")  # of (B, ranks · B)
                         for ours, theirs in ((first, second), (second, first)))
