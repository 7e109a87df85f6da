"""How probable a masked language model finds a text: every token hidden in turn.

Salazar, Liang, Nguyen and Kirchhoff, "Masked Language Model Scoring", ACL 2020. The sum of log
P(token | all others) is not the logarithm of any probability of the text, hence "pseudo": the
conditionals of a network need not belong to one joint distribution, and even where they do, each
token is told by its neighbours and tells them in turn.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..data.text.tokenizer import SpecialIds
from ..models.bert import token_logits
from ..models.precision import answering
from ..models.state import device_of


def scored_tokens(input_ids: Tensor, special: SpecialIds) -> Tensor:
    """Which tokens, (N, T) bool, are text: all but [PAD], [UNK], [CLS], [SEP] and [MASK]."""
    return ~torch.isin(input_ids, torch.tensor(list(special), device=input_ids.device))


@torch.no_grad()
def pseudo_log_likelihoods(model: nn.Module, input_ids: Tensor, special: SpecialIds,
                           attention_mask: Tensor | None = None,
                           position_ids: Tensor | None = None, continues: Tensor | None = None,
                           batch_size: int = 128) -> Tensor:
    """log P(token | all other tokens of its text), for each token.

    A text of n tokens is read n times, each time with another [MASK]; the vocabulary is projected
    to at that place alone. The sum over a text is its pseudo-log-likelihood.

    The piece of a rare word is easily guessed from the pieces after it, which makes such words look
    probable. With `continues` a piece is therefore hidden together with those that follow in
    its word (Kauf and Ivanova, "A Better Way to Do Masked Language Model Scoring", ACL 2023).

    Args:
        model: called as `model(input_ids, attention_mask, position_ids=…, positions=…)`; answers
            with logits (B, 1, V). A network, or a predictor that counts.
        input_ids: (N, T) token ids.
        special: ids of [PAD], [UNK], [CLS], [SEP], [MASK]; these are not scored.
        attention_mask: (N, T) number of the text each token belongs to, 0 for padding; None where
            each row is one text without padding.
        position_ids: (N, T) place of each token in its text; None counts from the row's start.
        continues: (V,) bool, which tokens continue the word before them; None hides single tokens.
        batch_size: copies in one forward pass.

    Returns:
        (N, T) in nats; 0 where nothing is scored.

    Raises:
        ValueError: if no token is to be scored.
    """
    scored = scored_tokens(input_ids, special)
    if attention_mask is not None:
        scored &= attention_mask > 0
    row, place = scored.nonzero(as_tuple=True)  # (n,)
    if not len(row):
        raise ValueError("there is no token to score: the texts hold special tokens only")
    hidden = hidden_with(input_ids, scored, continues)
    device = device_of(model)
    answers = []
    with answering(model):
        for rows, places in zip(row.split(batch_size), place.split(batch_size), strict=True):
            ids = input_ids[rows]  # (b, T)
            truth = ids.gather(1, places[:, None])  # (b, 1)
            column = torch.arange(ids.shape[1], device=ids.device)
            last = hidden[rows, places][:, None]
            ids = ids.masked_fill((column >= places[:, None]) & (column <= last), special.mask)
            answers.append(log_probability(model, ids, truth, places[:, None], rows, device,
                                           attention_mask, position_ids).cpu())
    found = torch.cat(answers)
    likelihoods = torch.zeros(input_ids.shape, dtype=found.dtype)
    likelihoods[row.cpu(), place.cpu()] = found
    return likelihoods


def hidden_with(input_ids: Tensor, scored: Tensor, continues: Tensor | None) -> Tensor:
    """The last place, (N, T), hidden together with each: its own, or where its word ends."""
    length = input_ids.shape[1]
    last = torch.arange(length, device=input_ids.device).expand_as(input_ids).clone()
    if continues is not None:
        goes_on = continues.to(input_ids.device)[input_ids] & scored
        for t in reversed(range(length - 1)):
            last[:, t] = torch.where(goes_on[:, t + 1], last[:, t + 1], last[:, t])
    return last


def log_probability(model: nn.Module, input_ids: Tensor, truth: Tensor, positions: Tensor,
                    rows: Tensor, device, attention_mask: Tensor | None,
                    position_ids: Tensor | None) -> Tensor:
    """log P of the true tokens (b, 1) at `positions` (b, 1), as (b,).

    Columns that are padding in all rows are left out; a mask that hides nothing is not passed on.
    """
    mask = None if attention_mask is None else attention_mask[rows]
    width = input_ids.shape[1] if mask is None else int((mask > 0).any(0).nonzero().max()) + 1
    if mask is not None:
        mask = None if bool((mask[:, :width] == 1).all()) else mask[:, :width].to(device)
    place = None if position_ids is None else position_ids[rows, :width].to(device)
    logits = model(input_ids[:, :width].to(device), mask, position_ids=place,
                   positions=positions.to(device))
    logits = token_logits(logits)[:, 0]  # (b, V)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits.log_softmax(-1).gather(1, truth.to(device))[:, 0]


def pseudo_perplexity(log_likelihoods: Tensor, scored: Tensor) -> float:
    """exp of the mean surprise of a token: among how many the model chooses, as it were.

    Args:
        log_likelihoods: (N, T) what `pseudo_log_likelihoods` returns.
        scored: (N, T) bool, which tokens count: `scored_tokens`.

    Raises:
        ValueError: if none counts.
    """
    if not scored.any():
        raise ValueError("no token counts: a perplexity needs at least one")
    return math.exp(-log_likelihoods[scored].double().mean().item())
