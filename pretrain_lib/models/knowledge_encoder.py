"""A text encoder that is told what is known of the entities that a text names."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import TEXT, ModelBase, TextModel, start_at_zero
from .init import drawn_with
from .knowledge import require_numbers
from .layers import mean_over_tokens


class KnowledgeEncoder(ModelBase):
    """Hidden states into which, where a token names an entity, the entity's vector is worked.

    There h becomes h + W_o gelu(W_t h + W_e e + b). W_o starts at zero, so at first the encoder
    answers as it would alone. Vectors of entities stay as they are given: those of a `TransE`, or
    random ones, to see what any would do.

    Source: Zhang, Han, Liu, Jiang, Sun and Liu, "ERNIE: Enhanced language representation with
    informative entities", ACL 2019, section 3.3, whose aggregator mixes the same two and hands the
    mixture on to tokens and entities. Theirs is repeated over layers, changes tokens without an
    entity too, has attention among entities, and adds no h; this is one of it, on top.

    Args:
        encoder: a BERT, a ModernBERT or another encoder of texts; it becomes a part of this one.
        vectors: (N, K) of the entities.
        seed: of the first weights.

    Raises:
        ValueError: if the encoder reads no text, or the vectors are no matrix.
    """

    columns = (*TEXT, "entities")
    hugging_face = None

    def __init__(self, encoder: TextModel, vectors: Tensor, seed: int = 0):
        super().__init__()
        if not isinstance(encoder, TextModel):
            raise ValueError(f"{type(encoder).__name__} is no encoder of texts: give a BertModel "
                             "or a ModernBertModel")
        if vectors.ndim != 2:
            raise ValueError("vectors must be a matrix with a row for each entity, got the shape "
                             f"{tuple(vectors.shape)}")
        self.encoder = encoder
        size, first = encoder.feature_size, next(encoder.parameters())
        with drawn_with(seed):
            self.of_token = nn.Linear(size, size)
            self.of_entity = nn.Linear(vectors.shape[1], size, bias=False)
            self.fused = nn.Linear(size, size)
        start_at_zero(self.fused)
        self.register_buffer("vectors", vectors.detach().clone())
        self.to(first.device, first.dtype)

    @property
    def feature_size(self) -> int:
        return self.encoder.feature_size

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor | None = None,
                      entities: Tensor | None = None) -> Tensor:
        """One vector a token, (B, T, D).

        Args:
            input_ids: (B, T).
            attention_mask: (B, T); None where there is no padding.
            entities: (B, T) the number of what a token names, -1 for nothing; None: nothing at all.

        Raises:
            ValueError: for an entity that has no vector.
        """
        hidden = self.encoder.hidden_states(input_ids, attention_mask)
        if entities is None:
            return hidden
        named = entities >= 0
        known = entities.clamp(min=0)
        require_numbers("entities", known, len(self.vectors))
        mixed = F.gelu(self.of_token(hidden) + self.of_entity(self.vectors[known]))  # (B, T, D)
        return hidden + self.fused(mixed) * named[:, :, None]

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None,
               entities: Tensor | None = None) -> Tensor:
        """Features (B, D): the mean of the hidden states over the tokens."""
        return mean_over_tokens(self.hidden_states(input_ids, attention_mask, entities),
                                attention_mask)

    def with_tagger(self, num_labels: int, seed: int = 0) -> nn.Module:
        raise ValueError("KnowledgeEncoder has no head for tags: give a BERT or a ModernBERT")

    def to_config(self) -> dict:
        return {"encoder": self.encoder, "num_entities": len(self.vectors),
                "entity_size": self.vectors.shape[1]}

    @classmethod
    def from_config(cls, fields: dict) -> KnowledgeEncoder:
        return cls(fields["encoder"], torch.zeros(fields["num_entities"], fields["entity_size"]))
