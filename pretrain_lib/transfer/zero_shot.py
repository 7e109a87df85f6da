"""Classes without labelled samples: each is the text that would stand beside an image of it.

Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021,
section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.source import Source
from ..models.two_towers import tower_of
from .features import features


class ZeroShot:
    """A classifier whose classes are texts: the class whose vector an image's vector is nearest to.

    A class may have several prompts, such as "a three" and "a red three": its vector is the mean of
    theirs, each of length 1, brought to length 1 again (Radford et al., section 3.1.4).

    Args:
        model: with `towers` "image" and "text", such as a `TwoTowers`; it stays as it is.
        prompts: by the name of each class its encoded prompts, such as `encode_texts` gives.

    Attributes:
        classes: their names, in the order of the scores.
        vectors: (classes, D), each of length 1.

    Raises:
        ValueError: if there is no class, a class has no prompt, or the model lacks a tower.
    """

    def __init__(self, model: nn.Module, prompts: Mapping[str, Source]):
        if not prompts:
            raise ValueError("prompts must hold at least one class, got none")
        for name, encoded in prompts.items():
            if not len(encoded):
                raise ValueError(f"class {name!r} has no prompt: give it at least one text")
        self.images, texts = tower_of(model, "image"), tower_of(model, "text")
        self.classes = list(prompts)
        self.vectors = torch.stack([mean_direction(features(texts, encoded))
                                    for encoded in prompts.values()])

    def scores(self, source: Source) -> Tensor:
        """The cosine of every image with every class, (N, classes).

        Args:
            source: N images, in the columns that the tower of images reads.
        """
        return F.normalize(features(self.images, source), dim=1) @ self.vectors.T

    def __call__(self, source: Source) -> Tensor:
        """The number of each image's class, (N,)."""
        return self.scores(source).argmax(1)


def mean_direction(vectors: Tensor) -> Tensor:
    """The mean of vectors (N, D), each of length 1, brought to length 1: (D,)."""
    return F.normalize(F.normalize(vectors, dim=1).mean(0), dim=0)
