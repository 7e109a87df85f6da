"""How sparse the codes of an autoencoder are, and what is left of what they stand for."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..models.mode import evaluation_mode


class SparseScores(NamedTuple):
    """What a sparse autoencoder makes of activations.

    Attributes:
        l0: features of a code that are not 0, the mean over samples.
        explained_variance: 1 − Σ ‖x − y‖² / Σ ‖x − x̄‖²; 1 is a perfect reconstruction.
        dead: the share of the features that no sample has.
    """

    l0: float
    explained_variance: float
    dead: float


@torch.no_grad()
def sparse_scores(model: nn.Module, x: Tensor) -> SparseScores:
    """The scores of a model that encodes and decodes, on activations of its own.

    Args:
        model: an autoencoder, such as a `SparseAutoencoder`.
        x: (N, D), held out from its training.

    Raises:
        ValueError: if the activations do not vary.
    """
    spread = (x - x.mean(0)).square().sum()
    if spread == 0:
        raise ValueError("all activations are the same: there is no variance to explain")
    with evaluation_mode(model):
        code = model.encode(x)  # (N, F)
        error = (x - model.decode(code)).square().sum()
    there = code != 0
    return SparseScores(there.double().sum(1).mean().item(), 1 - (error / spread).item(),
                        (~there.any(0)).double().mean().item())
