"""A saved model as one that makes vectors of texts: what `embed`, `search` and `evaluate` share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.tasks.encoded import encode_batch
from ..data.text.tokenizer import load_tokenizer
from ..models.base import TextModel
from ..models.embedder import Pooling, SentenceEmbedder
from ..pretrained import find, load_pretrained
from ..transfer.embed import embed_encoded
from ..transfer.lexical import Terms
from ..validation import require
from .predict import read_length

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Kind = Literal["query", "document", "text"]
PROMPTS = {"query": ("query",), "document": ("document", "passage", "corpus"), "text": ()}


@dataclass(frozen=True)
class Comparing:
    """How texts are compared: as vectors, and by their words.

    Attributes:
        pooling: what stands for a text, the mean of its tokens or the first one; left out, what the
            model's folder says, and the mean where it says nothing.
        length: tokens of a text that are read; 0 reads as many as the model's folder says.
        terms: what BM25 and TF-IDF count; "characters" is for what is written without spaces.
    """

    pooling: Pooling | None = None
    length: int = 0
    terms: Terms = "words"


class Embedded(NamedTuple):
    """What became of N texts.

    Attributes:
        vectors: (N, D) float32, of length 1; zeros where a text has no word.
        cut_off: (N,) whether the end of the text was not read.
    """

    vectors: Tensor
    cut_off: Tensor


@dataclass(frozen=True)
class Embedder:
    """A saved model that makes a vector of length 1 of each text.

    Attributes:
        model: one whose hidden states are pooled.
        tokenizer: its own.
        length: tokens of a text that are read; the rest is cut off.
    """

    model: nn.Module
    tokenizer: Tokenizer
    length: int

    @classmethod
    def of(cls, name: str | Path, pooling: Pooling | None = None, length: int = 0) -> Embedder:
        """The embedder that a folder holds, or that is made of the encoder in it.

        Args:
            name: a folder, also of `sentence-transformers`, a run's folder, or a name of the zoo.
            pooling: what stands for a text, the mean of its tokens or the first one; None is what
                the folder says, and the mean where it says nothing.
            length: tokens of a text that are read; 0 is as many as the folder says.

        Raises:
            FileNotFoundError: if there is no such model, or no tokenizer with it.
            ValueError: if it does not pool the hidden states of a text, or has fewer positions.
        """
        require(not length or length >= 3, "length", length,
                "0, or at least 3, for [CLS], a token and [SEP]")
        model, folder = load_pretrained(name), find(name)
        pools = isinstance(model, SentenceEmbedder)
        if not pools and getattr(type(model), "encode", None) is not TextModel.encode:
            raise ValueError(f"{name} holds {type(model).__name__}, which makes no vector of a "
                             "text alone: give a BERT, a ModernBERT or a folder of "
                             "sentence-transformers")
        if pools:
            model.pooling = pooling or model.pooling
        elif pooling == "cls":
            model = SentenceEmbedder(model, pooling).eval()
        own = model.max_seq_length if pools else 0
        return cls(model, load_tokenizer(folder), read_length(length or own, model, folder))

    @property
    def pooling(self) -> Pooling:
        """What stands for a text."""
        return getattr(self.model, "pooling", "mean")

    def prompt(self, kind: Kind) -> str:
        """What the folder says to put before texts of a kind, as `sentence-transformers` has it."""
        said = getattr(self.model, "prompts", {})
        return next((said[name] for name in PROMPTS[kind] if name in said), "")

    def __call__(self, texts: Sequence[str], kind: Kind = "text",
                 batch_size: int = 64) -> Embedded:
        """The vectors of texts.

        Args:
            texts: N texts, some of which may have no word.
            kind: which prompt goes before each: "query", "document", or "text" for none.
            batch_size: texts in one forward pass.
        """
        prompt = self.prompt(kind)
        encodings = encode_batch([prompt + text for text in texts], self.tokenizer, self.length)
        read = [i for i, encoding in enumerate(encodings)
                if texts[i].strip() and not all(encoding.special_tokens_mask)]
        vectors = torch.zeros(len(texts), self.model.feature_size)
        if read:
            found = embed_encoded(self.model, self.tokenizer, [encodings[i] for i in read],
                                  batch_size)
            vectors[read] = F.normalize(found, dim=1)
        return Embedded(vectors, torch.tensor([bool(e.overflowing) for e in encodings]))


def told_cut_off(number: int) -> str:
    """Of how many texts the end was not read, for people."""
    return f"texts longer than what is read: {number}; --length N reads N tokens"
