"""What models share: most of `protocol.Model`, written once."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType

import torch
from torch import Tensor, nn

from .layers import mean_over_tokens
from .protocol import HuggingFaceFormat
from .state import load_state, state_tensors

TEXT = ("input_ids", "attention_mask")


class ModelBase(nn.Module):
    """A model whose shape is a dataclass, its `config`, and which makes features with `encode`.

    A subclass has `config_class` and `encode`, says its `feature_size`, and what it reads if that
    is no image. A recipe can name it if a configuration and a seed are all that it is built from.
    """

    config_class: type
    columns = ("images",)

    def to_config(self) -> dict:
        return asdict(self.config)

    @classmethod
    def from_config(cls, fields: dict) -> ModelBase:
        return cls(cls.config_class(**fields))

    def with_classifier(self, num_labels: int, seed: int = 0) -> nn.Module:
        return Classifier(copy.deepcopy(self), num_labels)


class Classifier(ModelBase):
    """A model with a linear head on its features: samples (B, ...) to logits (B, num_labels).

    The head starts at zero, so the first prediction is the uniform one whatever the encoder says.

    Args:
        encoder: a model that follows `protocol.Model`; it becomes a part of this one.
        num_labels: number of classes.

    Attributes:
        label_names: the names of the classes, if they are known.
    """

    def __init__(self, encoder: nn.Module, num_labels: int):
        super().__init__()
        self.encoder = encoder
        self.num_labels = self.feature_size = num_labels
        self.columns = encoder.columns
        self.label_names: list[str] | None = None
        first = next(encoder.parameters())
        self.head = nn.Linear(encoder.feature_size, num_labels).to(first.device, first.dtype)
        start_at_zero(self.head)

    def encode(self, *columns: Tensor) -> Tensor:
        """The logits, as features of their own: (B, num_labels)."""
        return self(*columns)

    def forward(self, *columns: Tensor) -> Tensor:
        return self.head(self.encoder.encode(*columns))

    def to_config(self) -> dict:
        return {"encoder": self.encoder, "num_labels": self.num_labels,
                "label_names": self.label_names}

    @classmethod
    def from_config(cls, fields: dict) -> Classifier:
        model = cls(fields["encoder"], fields["num_labels"])
        model.label_names = fields["label_names"]
        return model


class EncoderModel(ModelBase):
    """An encoder, or one with a head, which `transformers` may have under the same name.

    A subclass has an `encoder`, which is itself where no head is on it.

    Attributes:
        num_labels: number of classes of a classifier or tagger.
        label_names: their names, if they are known.
        other_fields: what its folder's `config.json` said besides, which `transformers` reads.
    """

    hugging_face: HuggingFaceFormat | None = None
    takes_labels = False
    num_labels: int | None = None
    label_names: list[str] | None = None
    other_fields: Mapping = MappingProxyType({})

    def to_config(self) -> dict:
        labels = {"num_labels": self.num_labels, "label_names": self.label_names}
        return super().to_config() | (labels if self.takes_labels else {})

    @classmethod
    def from_config(cls, fields: dict) -> EncoderModel:
        fields = dict(fields)
        if not cls.takes_labels:
            return super().from_config(fields)
        number, names = fields.pop("num_labels"), fields.pop("label_names", None)
        model = cls(cls.config_class(**fields), number)
        model.label_names = names
        return model

    def without_head(self) -> nn.Module:
        """The encoder alone."""
        return self.encoder


class TextModel(EncoderModel):
    """A model of texts: its features are the mean of its hidden states over the tokens.

    Attributes:
        causal: whether it answers at a position from the tokens before alone.
    """

    columns = TEXT
    causal = False

    @property
    def feature_size(self) -> int:
        return self.encoder.config.hidden_size

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Token ids (B, T) to one vector a token, (B, T, D)."""
        return self.encoder(input_ids, attention_mask)

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Token ids (B, T) to features (B, D)."""
        return mean_over_tokens(self.hidden_states(input_ids, attention_mask), attention_mask)

    def with_tagger(self, num_labels: int, seed: int = 0) -> nn.Module:
        raise ValueError(f"{type(self).__name__} has no head for tags: give a BERT or a ModernBERT")

    def with_masked_lm(self, seed: int = 0) -> nn.Module:
        """A copy under a head that predicts tokens; this model itself if it can have no other."""
        return self


def under_a_new_layer(model: EncoderModel, headed: EncoderModel, between: str) -> EncoderModel:
    """A freshly drawn classifier or tagger with a model's weights, its last layer at zero.

    Arguments and errors are those of `with_weights_of`.
    """
    headed = with_weights_of(model, headed, between)
    start_at_zero(headed.classifier)
    return headed


@torch.no_grad()
def with_weights_of(model: EncoderModel, headed: EncoderModel, *beside: str) -> EncoderModel:
    """A freshly drawn model with the weights of another one of its family.

    Args:
        model: with or without a head of its own; it stays as it is.
        headed: what gets its encoder's weights, device and number format.
        beside: parts beside the encoder, which are taken over where both have one.

    Raises:
        ValueError: if adapters or compression gave the encoder other tensors than its
            configuration says.
    """
    first = next(model.encoder.parameters())
    headed.to(first.device, first.dtype)
    tensors = {name: tensor for name, tensor in state_tensors(model.encoder).items()
               if name.split(".")[0] not in beside}
    load_state(headed.encoder, tensors, type(model).__name__)
    for part in beside:
        theirs, ours = getattr(model, part, None), getattr(headed, part, None)
        if theirs is None or ours is None:
            continue
        if isinstance(ours, nn.Module):
            ours.load_state_dict(theirs.state_dict())
        else:
            ours.copy_(theirs)
    return headed


def start_at_zero(linear: nn.Linear) -> None:
    """Sets the weight and bias to zero."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
