"""Which way up? A network that can say it has to know what it sees."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.keys import Keys
from ..data.source import Samples
from .base import Batch, take_column
from .which_change import WhichChange

TURNS = 4


class RotationPrediction(WhichChange):
    """Turns each image by none to three quarters of a circle and asks by how many.

    A linear layer on the model's features, which belongs to the objective and starts at zero,
    answers; at random it loses log 4 nats. The paper shows each image in all four positions at
    once; here the sample's key draws one, anew in each epoch.

    Args:
        feature_size: numbers in the model's features.

    Raises:
        ValueError: for a size below 1.

    Source: Gidaris, Singh and Komodakis, "Unsupervised representation learning by predicting image
    rotations", ICLR 2018, section 2.
    """

    ways = TURNS

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        images = take_column(samples, "images")  # (B, C, H, W)
        if images.ndim != 4 or images.shape[2] != images.shape[3]:
            raise ValueError("images must be square, (B, C, S, S), to be turned by quarters, got "
                             f"{tuple(images.shape)}")
        turns = (TURNS * keys.uniform("rotation")).long()  # (B,)
        return Batch({"images": turned(images, turns)}, {"turns": turns}, {"rotation": len(turns)})


def turned(images: Tensor, turns: Tensor) -> Tensor:
    """Square images (B, C, S, S), each turned counter-clockwise by so many quarters of a circle."""
    every = torch.stack([images.rot90(turn, (2, 3)) for turn in range(TURNS)])
    return every[turns, torch.arange(len(images))]
