"""A projection head: what is compared of two views need not be what is kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

from torch import Tensor, nn

from ..validation import is_a, require
from .batch_norm import BatchNorm
from .init import drawn_with

Norm = Literal["batch", "layer"]


def projection_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """The sizes as a tuple; raises unless they are whole numbers of at least 1."""
    listed = isinstance(sizes, (list, tuple))
    require(listed and all(is_a(int, size) and size >= 1 for size in sizes), "projection", sizes,
            "whole numbers of at least 1: the model's features, hidden layers, numbers to compare")
    return tuple(sizes)


class ProjectionHead(nn.Module):
    """A network of linear layers, with normalisation and ReLU between them: (B, F) to (B, D).

    Args:
        sizes: numbers that go in, F, sizes of the hidden layers, numbers that come out, D. Of two
            sizes it is one linear layer; of one size nothing at all.
        norm: "batch", over the samples of a batch, or "layer", over the numbers of each sample.
        seed: of the first weights.

    Raises:
        ValueError: for sizes that are none, or another normalisation.

    Source: Chen et al., "A simple framework for contrastive learning of visual representations",
    ICML 2020, section 4.2, with one hidden layer.
    """

    def __init__(self, sizes: Sequence[int], norm: Norm = "batch", seed: int = 0):
        sizes = projection_sizes(sizes)
        require(len(sizes) > 0, "projection", sizes, "at least one size")
        require(norm in get_args(Norm), "norm", norm, "one of " + ", ".join(get_args(Norm)))
        super().__init__()
        self.sizes = sizes
        normed = BatchNorm if norm == "batch" else nn.LayerNorm
        with drawn_with(seed):
            layers = [part for inputs, outputs in pairwise(self.sizes)
                      for part in (nn.Linear(inputs, outputs), normed(outputs), nn.ReLU())]
        self.layers = nn.Sequential(*layers[:-2])

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) to (B, D).

        Raises:
            ValueError: if they are not F numbers a sample.
        """
        if features.ndim != 2 or features.shape[1] != self.sizes[0]:
            raise ValueError(f"projection must begin with the model's features, got {self.sizes} "
                             f"for features of shape {tuple(features.shape)}")
        return self.layers(features)
