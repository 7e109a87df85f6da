"""Contrastive learning: two views of one sample are found again among those of many.

For images and their captions Radford et al., "Learning transferable visual models from natural
language supervision" (CLIP), ICML 2021, Figure 3, and Zhai et al., "Sigmoid loss for language image
pre-training" (SigLIP), ICCV 2023; for two views of an image Chen et al., "A simple framework for
contrastive learning of visual representations" (SimCLR), ICML 2020, equation 1.
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
from ..models.projection import Norm, ProjectionHead, projection_sizes
from ..models.two_towers import tower_of
from ..validation import require, require_kinds
from .base import Batch, Objective, take_column
from .pairwise import Negatives, info_nce, sigmoid_loss
from .views import both_views, projected, vectors_of

LARGEST = 100.0  # scale of the cosines in a softmax
BIAS = -10.0  # of the sigmoid loss, to begin with: most pairs do not belong together
Loss = Literal["softmax", "sigmoid"]


@dataclass(frozen=True)
class ContrastiveConfig:
    """Settings of `Contrastive`.

    Attributes:
        views: the two views, by name, each with the columns that the model reads of it.
        temperature: one over the scale that training begins with, at least 0.01.
        projection: sizes of a head on the model's features: features, hidden layers, numbers to
            compare; without any, what the model answers is compared.
        learned: whether the temperature is, and the bias of the sigmoid loss.
        negatives: what a view has to be told from, "other view" or "both views".
        norm: how the head normalises, "batch" or "layer".
        seed: of the head's first weights.
        loss: "softmax" or "sigmoid".
        same: the column whose equal numbers say which samples belong together; None: none do.
        features: whether the model's features are compared, not what it answers.

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
    loss: Loss = "softmax"
    same: str | None = None
    features: bool = False

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
        require(self.loss == "softmax" or self.negatives == "other view", "negatives",
                self.negatives, "'other view' with the sigmoid loss, which compares two views only")
        require(not (self.features and self.projection), "projection", self.projection,
                "empty where the features are compared themselves")


class Contrastive(Objective):
    """Each view of a sample should be nearest to the sample's other view, among a whole batch.

    The model answers a view with one vector a sample, (B, D); where it has `towers`, as `TwoTowers`
    has, each view has its own. Vectors are compared by their cosine, times a scale that is learned,
    unless told otherwise. On several ranks each sample is compared with those of all ranks. Views
    that are alike in shape go through one model together.

    * "softmax": in each direction, which of the N is the other view? The scale is 100 at most, as
      in CLIP (Radford et al., section 2.5). Samples that belong together are not told apart: of
      such others none is in the sum.
    * "sigmoid": of every pair, does it belong together? To the scaled cosine a bias is added, which
      begins with −10 and is learned with the scale, as in SigLIP (Zhai et al., section 3.2), whose
      temperature begins with 0.1. Pairs of samples that belong together do.

    Args:
        views: the two views, by name, each with the columns that the model reads of it, in their
            order, (B, ...): {"image": ["images"], "text": ["input_ids", "attention_mask"]}, or
            of `TwoViews` {"first": ["images"], "second": ["other_images"]}. Two views of the same
            columns differ by what dropout leaves of them (Gao et al., "SimCSE", EMNLP 2021,
            section 3).
        temperature: one over the scale that training begins with, at least 0.01. A model with a
            scale of its own, the exponential of its `logit_scale`, is trained with that, and this
            is passed over: so `CLIPModel` is saved with what it has learned.
        projection: sizes of a `ProjectionHead` on the model's features: features, hidden layers,
            numbers to compare; without any, what the model answers is compared. SimCLR's has one
            hidden layer.
        learned: whether the temperature is, and the bias of the sigmoid loss.
        negatives: what a view has to be told from: "other view", the other views of other samples,
            of N samples in N − 1 places (CLIP); "both views", both views of other samples, in
            2N − 2 places (SimCLR).
        norm: how the head normalises, "batch" or "layer".
        seed: of the head's first weights.
        loss: "softmax" or "sigmoid".
        same: the column, (B,) integers, whose equal numbers say which samples belong together, such
            as "caption" where several images have one caption; None: none do.
        features: whether the model's features are compared, by which it is searched afterwards: of
            a text encoder the mean over the tokens.

    Raises:
        ValueError: for another number of views than two, a temperature below 0.01, or another value
            that is not allowed, naming the field.
    """

    config_class = ContrastiveConfig
    separable = False
    gathers = True

    def __init__(self, views: Mapping[str, Sequence[str]], temperature: float = 0.07,
                 projection: Sequence[int] = (), learned: bool = True,
                 negatives: Negatives = "other view", norm: Norm = "batch", seed: int = 0,
                 loss: Loss = "softmax", same: str | None = None, features: bool = False):
        super().__init__()
        config = ContrastiveConfig(views, temperature, projection, learned, negatives, norm, seed,
                                   loss, same, features)
        self.views = config.views
        self.projection = config.projection
        self.learned = learned
        self.negatives = negatives
        self.norm = norm
        self.loss = loss
        self.same = same
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)), requires_grad=learned)
        self.bias = (nn.Parameter(torch.tensor(BIAS), requires_grad=learned)
                     if loss == "sigmoid" else None)
        self.features = features
        self.head = ProjectionHead(self.projection, norm, seed) if self.projection else None

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        columns = dict.fromkeys(name for view in self.views.values() for name in view)
        inputs = {name: take_column(samples, name) for name in columns}
        targets = {} if self.same is None else {"same": numbers(samples, self.same)}
        return Batch(inputs, targets, {"contrastive": len(keys)})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        first, second = (F.normalize(vectors, dim=-1) for vectors in self.compared(model, batch))
        scale, same = self.log_scale_of(model).exp(), batch.targets.get("same")
        if self.loss == "sigmoid":
            return {"contrastive": sigmoid_loss(first, second, scale, self.bias, same)}
        return {"contrastive": info_nce(first, second, scale, self.negatives, same)}

    def after_step(self, model: nn.Module, step: int) -> None:
        if self.loss == "softmax":
            self.log_scale_of(model).clamp_(max=math.log(LARGEST))

    def log_scale_of(self, model: nn.Module) -> Tensor:
        """The logarithm of the scale: the model's own, if it has one, or the objective's."""
        own = getattr(model, "logit_scale", self.log_scale)
        return own if self.learned else own.detach()

    def compared(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """What is compared of both views, (B, D) each."""
        first, second = ([batch.inputs[name] for name in view] for view in self.views.values())
        if hasattr(model, "towers"):
            require(self.head is None, "projection", self.projection,
                    f"empty, as the towers of {type(model).__name__} have projections of their own")
            require(not self.features, "features", True,
                    f"False, as the towers of {type(model).__name__} answer what is compared")
            ours, theirs = (tower_of(model, view) for view in self.views)
            return vectors_of(ours, first), vectors_of(theirs, second)
        if self.head is not None:
            model = projected(model, self.head)
        elif self.features:
            model = projected(model, nn.Identity())
        return both_views(model, first, second)


def numbers(samples: Samples, name: str) -> Tensor:
    """A column of one whole number a sample, (B,).

    Raises:
        ValueError: if it holds something else.
    """
    column = take_column(samples, name)
    if column.ndim != 1 or column.is_floating_point():
        raise ValueError(f"same must name a column of one whole number a sample, (B,), and "
                         f"{name!r} is {tuple(column.shape)} of {column.dtype}")
    return column
