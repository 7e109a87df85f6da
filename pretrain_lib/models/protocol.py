"""What a model says of itself, where it stands, so that nobody else keeps a table of models.

A new model is a file that follows these protocols and a line in `pretrain_lib/__init__.py`: then it
can be saved, read, probed and fine-tuned. `base` has most of it ready.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class Saved(Protocol):
    """A model that can be saved, and built anew from what was saved."""

    def to_config(self) -> dict:
        """What builds the model again: fields of `config.json`, or whole models within this one."""

    @classmethod
    def from_config(cls, fields: dict) -> nn.Module:
        """The model that such fields describe, its weights still to be loaded."""


@runtime_checkable
class Model(Saved, Protocol):
    """A model that can besides be probed and fine-tuned.

    Attributes:
        columns: the columns of a sample that it reads, in the order of its arguments.
        feature_size: numbers in a sample's features, F.
    """

    columns: tuple[str, ...]
    feature_size: int

    def encode(self, *columns: Tensor) -> Tensor:
        """Columns, (B, ...) each, to features (B, F)."""

    def with_classifier(self, num_labels: int, seed: int = 0) -> nn.Module:
        """A copy under a head that starts at zero: the same columns to (B, num_labels)."""


@dataclass(frozen=True)
class HuggingFaceFormat:
    """What `transformers` calls an architecture, its tensors and its fields.

    Attributes:
        model_type: what `config.json` calls it.
        prefix: what its names of tensors begin with where a head is on the encoder.
        names: pairs of our part of a name and theirs.
        fixed: fields of `config.json` that have one value here, and what transformers assumes
            where they are left out.
        defaults: what transformers assumes for other fields that are left out, and we do not.
        earlier: fields of earlier versions, which others have replaced.
        carried: parts that a model keeps though it does not use them, and how their names begin.
        spellings: pairs of another spelling that folders have of a name's part, and theirs.
        thirds: what theirs says for our `qkv`: queries, keys and values, which they have apart.
        read_as: architectures of which only the encoder is known here, and what that is.
    """

    model_type: str
    prefix: str
    names: tuple[tuple[str, str], ...]
    fixed: dict
    defaults: dict = field(default_factory=dict)
    earlier: tuple[str, ...] = ()
    carried: dict[str, str] = field(default_factory=dict)
    spellings: tuple[tuple[str, str], ...] = ()
    thirds: tuple[str, str, str] = ("query", "key", "value")
    read_as: dict[str, str] = field(default_factory=dict)

    def theirs(self, name: str) -> str:
        """transformers' name of our tensor."""
        for ours, other in self.names:
            name = name.replace(ours, other)
        return name

    def spelt(self, name: str) -> str:
        """The name of a tensor in a folder as it is spelt in others."""
        for other, theirs in self.spellings:
            name = name.replace(other, theirs)
        return name


@runtime_checkable
class Encoder(Model, Protocol):
    """A model whose part below the head can be told from the head.

    Attributes:
        encoder: the part below the head, whose `config` says its shape; without a head, itself.
        hugging_face: its architecture in `transformers`, where a class of the same name has it;
            None where there is none.
    """

    encoder: nn.Module
    hugging_face: HuggingFaceFormat | None


@runtime_checkable
class TextEncoder(Encoder, Protocol):
    """A model of texts: it reads `input_ids`, with a `config.vocab_size` that they are below.

    Those that `transformers` has, have `embeddings` and `layers`.
    """

    def with_tagger(self, num_labels: int, seed: int = 0) -> nn.Module:
        """A copy under a head for each token that starts at zero: to (B, T, num_labels)."""


def exported_models() -> dict[str, type[nn.Module]]:
    """The models that `pretrain_lib` exports, by name: all that a folder may ask for."""
    library = sys.modules[__name__.partition(".")[0]]
    exports = {name: getattr(library, name) for name in library.__all__}
    return {name: kind for name, kind in exports.items()
            if isinstance(kind, type) and issubclass(kind, nn.Module) and issubclass(kind, Saved)}
