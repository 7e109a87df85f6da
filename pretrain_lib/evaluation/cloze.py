"""What a masked language model would put into the blank of a sentence, among given words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..data.tasks.encoded import encode_texts
from ..data.text.tokenizer import MASK, special_ids
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


@torch.no_grad()
def phrase_log_probabilities(model: nn.Module, tokenizer: Tokenizer, sentences: Sequence[str],
                             phrases: Sequence[str], batch_size: int = 256) -> Tensor:
    """How likely phrases of any number of tokens are to fill the blank of sentences.

    A phrase of k tokens is asked for by k blanks at once, and the log-probabilities of its tokens
    are added: each is predicted with the others hidden.

    Args:
        model: a BERT or ModernBERT with a head for masked tokens.
        tokenizer: the one it was trained with.
        sentences: N sentences; each holds "[MASK]" once.
        phrases: what may stand there.
        batch_size: sentences in one forward pass.

    Returns:
        (N, len(phrases)), in nats, on the CPU.

    Raises:
        ValueError: if there is no phrase, one has no token, or a sentence has not exactly one
            blank, or too far behind.
    """
    if not phrases:
        raise ValueError("there is no phrase to fill the blank with: give at least one value")
    mask, device = special_ids(tokenizer).mask, device_of(model)
    tokens = [tokenizer.encode(phrase, add_special_tokens=False).ids for phrase in phrases]
    if not all(tokens):
        raise ValueError(f"the phrase {phrases[tokens.index([])]!r} has no token: leave it out")
    for sentence in sentences:
        if sentence.count(MASK) != 1:
            raise ValueError(f"each sentence needs one [MASK], {sentence!r} has "
                             f"{sentence.count(MASK)}")
    scores = torch.empty(len(sentences), len(phrases), dtype=torch.float64)
    for size in set(map(len, tokens)):
        these = [i for i, phrase in enumerate(tokens) if len(phrase) == size]
        ids = torch.tensor([tokens[i] for i in these])  # (P, size)
        asked = encode_texts([text.replace(MASK, " ".join([MASK] * size)) for text in sentences],
                             tokenizer)
        cut = ((asked.input_ids == mask).sum(1) != size).nonzero()
        if len(cut):
            raise ValueError(f"the blank of {sentences[int(cut[0])]!r} lies behind the "
                             f"{asked.input_ids.shape[1]} tokens that are read: shorten it")
        for start in range(0, len(sentences), batch_size):
            here = slice(start, start + batch_size)
            input_ids, attention_mask = asked.input_ids[here], asked.attention_mask[here]
            positions = (input_ids == mask).nonzero()[:, 1].unflatten(0, (-1, size))  # (B, size)
            with answering(model):
                logits = token_logits(model(input_ids.to(device), attention_mask.to(device),
                                            positions=positions.to(device)))  # (B, size, V)
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            each = logits.log_softmax(-1).cpu()[:, torch.arange(size), ids]  # (B, P, size)
            scores[here, these] = each.sum(-1).double()
    return scores


def log_odds(log_probabilities: Tensor) -> Tensor:
    """log P(first word) / P(second word), (N,), of `cloze_log_probabilities` (N, 2), in nats."""
    return log_probabilities[:, 0] - log_probabilities[:, 1]
