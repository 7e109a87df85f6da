"""Contrastive learning: two views of one sample are found again among those of many.

Van den Oord, Li and Vinyals, "Representation learning with contrastive predictive coding", 2018
(InfoNCE, equation 4); for images and their captions Radford et al., "Learning transferable visual
models from natural language supervision", ICML 2021, Figure 3; for two views of an image Chen et
al., "A simple framework for contrastive learning of visual representations" (SimCLR), ICML 2020,
equation 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.source import Samples
from ..models.coupled import first_row, gathered
from ..models.projection import Norm, ProjectionHead, projection_sizes
from ..validation import require, require_kinds
from .base import Batch, Objective, take_column
from .views import both_views, projected, require_several, vectors_of

LARGEST = 100.0  # scale of the cosines
Negatives = Literal["other view", "both views"]


@dataclass(frozen=True)
class ContrastiveConfig:
    """Settings of `Contrastive`.

    Attributes:
        views: the two views, by name, each with the columns that the model reads of it.
        temperature: one over the scale that training begins with, at least 0.01.
        projection: sizes of a head on the model's features: features, hidden layers, numbers to
            compare; without any, what the model answers is compared.
        learned: whether the temperature is.
        negatives: what a view has to be told from, "other view" or "both views".
        norm: how the head normalises, "batch" or "layer".
        seed: of the head's first weights.

    Raises:
        ValueError: for another number of views than two, a temperature below 0.01, or another value
            that is not allowed, naming the field.
    """

    views: dict[str, tuple[str, ...]]
    temperature: float = 0.07
    projection: tuple[int, ...] = ()
    learned: bool = True
    negatives: Negatives = "other view"
    norm: Norm = "batch"
    seed: int = 0

    def __post_init__(self):
        listed = isinstance(self.views, Mapping) and all(
            isinstance(columns, (list, tuple)) and columns for columns in self.views.values())
        require(listed, "views", self.views, "two names, each with a list of columns")
        views = {name: tuple(columns) for name, columns in self.views.items()}
        object.__setattr__(self, "views", views)
        object.__setattr__(self, "projection", projection_sizes(self.projection))
        require_kinds(self)
        if len(views) != 2:
            raise ValueError(f"there must be two views, got {len(views)}: {', '.join(views)}")
        require(self.temperature >= 1 / LARGEST, "temperature", self.temperature,
                f"at least {1 / LARGEST}")


class Contrastive(Objective):
    """Each view of a sample should be nearest to the sample's other view, among a whole batch.

    The model answers a view with one vector a sample, (B, D); where it is an `nn.ModuleDict`, each
    view has its own. Vectors are compared by their cosine, times a scale that is learned, unless
    told otherwise, and 100 at most, as in CLIP (Radford et al.). On several ranks each sample is
    compared with those of all ranks. Views that are alike in shape go through one model together.

    Args:
        views: the two views, by name, each with the columns that the model reads of it, in their
            order, (B, ...): {"image": ["images"], "caption": ["input_ids", "attention_mask"]}, or
            of `TwoViews` {"first": ["images"], "second": ["other_images"]}. Two views of the same
            columns differ by what dropout leaves of them (Gao et al., "SimCSE", EMNLP 2021,
            section 3).
        temperature: one over the scale that training begins with, at least 0.01.
        projection: sizes of a `ProjectionHead` on the model's features: features, hidden layers,
            numbers to compare; without any, what the model answers is compared. SimCLR's has one
            hidden layer.
        learned: whether the temperature is.
        negatives: what a view has to be told from: "other view", the other views of other samples,
            of N samples in N − 1 places (CLIP); "both views", both views of other samples, in
            2N − 2 places (SimCLR).
        norm: how the head normalises, "batch" or "layer".
        seed: of the head's first weights.

    Raises:
        ValueError: for another number of views than two, a temperature below 0.01, or another value
            that is not allowed, naming the field.
    """

    config_class = ContrastiveConfig
    separable = False
    gathers = True

    def __init__(self, views: Mapping[str, Sequence[str]], temperature: float = 0.07,
                 projection: Sequence[int] = (), learned: bool = True,
                 negatives: Negatives = "other view", norm: Norm = "batch", seed: int = 0):
        super().__init__()
        config = ContrastiveConfig(views, temperature, projection, learned, negatives, norm, seed)
        self.views = config.views
        self.projection = config.projection
        self.learned = learned
        self.negatives = negatives
        self.norm = norm
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)), requires_grad=learned)
        self.head = ProjectionHead(self.projection, norm, seed) if self.projection else None

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        columns = dict.fromkeys(name for view in self.views.values() for name in view)
        inputs = {name: take_column(samples, name) for name in columns}
        return Batch(inputs, {}, {"contrastive": len(keys)})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        first, second = (F.normalize(vectors, dim=-1) for vectors in self.compared(model, batch))
        loss = info_nce(first, second, self.log_scale.exp(), self.negatives)
        return {"contrastive": loss}

    def after_step(self, model: nn.Module, step: int) -> None:
        self.log_scale.clamp_(max=math.log(LARGEST))

    def compared(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """What is compared of both views, (B, D) each."""
        first, second = ([batch.inputs[name] for name in view] for view in self.views.values())
        if self.head is not None:
            return both_views(projected(model, self.head), first, second)
        if isinstance(model, nn.ModuleDict):
            ours, theirs = (model[view] for view in self.views)
            return vectors_of(ours, first), vectors_of(theirs, second)
        return both_views(model, first, second)


def info_nce(first: Tensor, second: Tensor, scale: Tensor | float,
             negatives: Negatives = "other view") -> Tensor:
    """−½ Σᵢ (log softmaxⱼ s aᵢ·bⱼ + log softmaxⱼ s bᵢ·aⱼ) at j = i, summed over this rank's rows i.

    With negatives of both views each softmax has besides the s aᵢ·aⱼ, or s bᵢ·bⱼ, for all j ≠ i:
    that is the loss NT-Xent of Chen et al., equation 1, times the number of samples.

    Args:
        first: a, (B, D), this rank's rows; j runs over the N rows of all ranks.
        second: b, (B, D), the other views of the same samples.
        scale: s, one over the temperature.
        negatives: "other view" or "both views".

    Returns:
        A scalar, in nats. Vectors that are all the same cost log N a sample, or log(2N − 1).

    Raises:
        ValueError: if there is one sample only.
    """
    require_several(len(first), "a contrastive loss")
    places = first_row(len(first)) + torch.arange(len(first), device=first.device)  # (B,)
    views = (first, gathered(first)), (second, gathered(second))
    with torch.autocast(first.device.type, enabled=False):
        losses = []
        for (ours, our_kind), (_, others) in (views, reversed(views)):
            logits = scale * (ours @ others.T)  # (B, N)
            if negatives == "both views":
                alike = scale * (ours @ our_kind.T)
                itself = F.one_hot(places, len(our_kind)).bool()
                logits = torch.cat([logits, alike.masked_fill(itself, -math.inf)], 1)  # (B, 2N)
            losses.append(F.cross_entropy(logits, places, reduction="sum"))
        return 0.5 * sum(losses)
