"""Many texts as vectors: read in order of their lengths, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..data.tasks.encoded import encode_batch, padded
from ..models.layers import require_known
from ..models.precision import answering
from ..models.state import device_of
from .encoders import require_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LONGEST = 1_000_000  # tokens of a text, where a model has no positions to run out of


def embed(model: nn.Module, tokenizer: Tokenizer, texts: Sequence[str],
          batch_size: int = 64) -> Tensor:
    """The vectors of texts, in their order.

    Texts longer than the model reads are cut: a `SentenceEmbedder` at its `max_seq_length`, another
    model at its last position. Neither batches nor padding change a vector beyond rounding.

    Args:
        model: of texts; its dropout is off while this runs.
        tokenizer: the one it was trained with.
        texts: N texts.
        batch_size: texts in one forward pass.

    Returns:
        (N, D) float32, on the CPU.

    Raises:
        ValueError: if a text has no word, there is none, the tokenizer is another model's, or the
            model reads no text.
    """
    require_text(model)
    if isinstance(texts, str):
        raise ValueError("texts must be several texts, got a single string: put it in a list")
    longest = getattr(model, "max_seq_length", most_positions(model))
    encodings = encode_batch(texts, tokenizer, longest)
    for number, encoding in enumerate(encodings):
        if all(encoding.special_tokens_mask):
            raise ValueError(f"text {number} has no word to make a vector of: {texts[number]!r}")
    return embed_encoded(model, tokenizer, encodings, batch_size)


@torch.no_grad()
def embed_encoded(model: nn.Module, tokenizer: Tokenizer, encodings: list,
                  batch_size: int = 64) -> Tensor:
    """The vectors of texts that the tokenizer has encoded: (N, D) float32, on the CPU."""
    order = sorted(range(len(encodings)), key=lambda i: len(encodings[i].ids))
    vectors = []
    with answering(model):
        for start in range(0, len(order), batch_size):
            columns = padded([encodings[i] for i in order[start:start + batch_size]], tokenizer)
            require_known(columns["input_ids"], model.encoder.config.vocab_size)
            inputs = (columns[name].to(device_of(model)) for name in model.columns)
            vectors.append(model.encode(*inputs).float().cpu())  # (B, D)
    return torch.cat(vectors)[torch.tensor(order).argsort()]


def most_positions(model: nn.Module) -> int:
    """How many tokens a model of texts has places for."""
    return getattr(model.encoder.config, "max_position_embeddings", LONGEST)
