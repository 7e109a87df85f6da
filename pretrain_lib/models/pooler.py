"""The pooler: a layer on the vector of the first token, [CLS], which BERT and ViT came with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import EncoderModel


class Pooler(nn.Module):
    """tanh(W h₀): the vector of the first token as one for the whole."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.tanh(self.dense(hidden[:, 0]))  # (B, D)


class PooledModel(EncoderModel):
    """A model that may have a pooler, whatever head it has.

    Where a model has no use for it, it is carried along, frozen, so that it is still there when a
    classifier is put on or the model is saved.

    Attributes:
        pooler: the pooler, used or carried; None where there is none.
    """

    def __init__(self):
        super().__init__()
        self.pooler: Pooler | None = None

    def to_config(self) -> dict:
        return super().to_config() | ({"pooler": True} if self.pooler is not None else {})

    def without_head(self) -> nn.Module:
        """The encoder alone, which carries the pooler from now on."""
        encoder = self.encoder
        if encoder is not self and self.pooler is not None:
            encoder.pooler = self.pooler.requires_grad_(False)
        return encoder

    @classmethod
    def from_config(cls, fields: dict) -> PooledModel:
        fields = dict(fields)
        pooler = fields.pop("pooler", False)
        model = super().from_config(fields)
        if pooler and model.pooler is None:
            model.pooler = Pooler(model.config.hidden_size).requires_grad_(False)
        return model
