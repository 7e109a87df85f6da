"""What a masked language model would put into the blank of a sentence, among given words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..data.tasks.encoded import encode_texts
from ..data.text.tokenizer import special_ids
from ..models.bert import token_logits
from ..models.precision import answering
from ..models.state import device_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@torch.no_grad()
def cloze_log_probabilities(model: nn.Module, tokenizer: Tokenizer, sentences: Sequence[str],
                            words: Sequence[str]) -> Tensor:
    """log P(word | the rest), for sentences with one [MASK] each.

    Args:
        model: a BERT or ModernBERT with a head for masked tokens.
        tokenizer: the one it was trained with.
        sentences: N sentences; each holds "[MASK]" once.
        words: each a single token of the vocabulary.

    Returns:
        (N, len(words)), in nats, on the model's device.

    Raises:
        ValueError: if a word is no single token, or a sentence has not exactly one blank.
    """
    unknown = [word for word in words if tokenizer.token_to_id(word) is None]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no single token of the vocabulary: choose another")
    texts = encode_texts(sentences, tokenizer)
    blank = texts.input_ids == special_ids(tokenizer).mask  # (N, T)
    for sentence, blanks in zip(sentences, blank.sum(1).tolist(), strict=True):
        if blanks != 1:
            raise ValueError(f"each sentence needs one [MASK], {sentence!r} has {blanks}")
    columns = (texts.input_ids, texts.attention_mask, blank.int().argmax(1, keepdim=True))
    input_ids, attention_mask, positions = (column.to(device_of(model)) for column in columns)
    with answering(model):
        logits = model(input_ids, attention_mask, positions=positions)
    logits = token_logits(logits)[:, 0]  # (N, V)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits.log_softmax(-1)[:, [tokenizer.token_to_id(word) for word in words]]


def log_odds(log_probabilities: Tensor) -> Tensor:
    """log P(first word) / P(second word), (N,), of `cloze_log_probabilities` (N, 2), in nats."""
    return log_probabilities[:, 0] - log_probabilities[:, 1]
