"""Writing: tokens drawn from a masked language model, in any order, or from a causal one.

A masked language model writes by filling blanks. With one blank filled at a time, in random order,
it draws from the very mixture over orders whose cost `objectives.masked_diffusion` bounds. What is
filled in one step is drawn as if independent, which costs quality even if every answer is exact:
two words that each fit the rest need not fit each other.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.text.tokenizer import SpecialIds
from ..evaluation.text_cost import is_causal
from ..models.bert import token_logits
from ..models.precision import answering
from ..models.state import device_of
from ..objectives.text import require_head

Order = Literal["random", "confident"]
CANDIDATES = 16


class Guide:
    """Steers what is written towards a class: p(token | label) ∝ p(token) · p(label | text).

    That is Bayes' rule. The text is the one so far with the token in its place. Other blanks stay
    blanks, of which the classifier may have seen none, so its answer is surest towards the end. It
    is asked about the most probable tokens of each place, and none but these is written.
    (Classifier-based guidance: Schiff et al., "Simple Guidance Mechanisms for Discrete Diffusion
    Models", ICLR 2025.)

    Args:
        classifier: what `fine_tune` returns, for texts of the same tokenizer.
        label: the number of the class.
        weight: exponent of p(label | text); 0 does not steer, above 1 exaggerates.
        candidates: K, how many tokens are tried at each place.
    """

    def __init__(self, classifier: nn.Module, label: int, weight: float = 1.0,
                 candidates: int = CANDIDATES):
        self.classifier = classifier
        self.label = label
        self.weight = weight
        self.candidates = candidates

    def __call__(self, logits: Tensor, input_ids: Tensor, places: Tensor,
                 attention_mask: Tensor | None) -> Tensor:
        """Steered scores.

        Args:
            logits: (B, C, V) of the tokens at `places`, (B, C).
            input_ids: (B, T) the texts so far.
            attention_mask: (B, T), 1 for tokens and 0 for padding; None: all are tokens.
        """
        scores, tokens = logits.topk(min(self.candidates, logits.shape[-1]), -1)  # (B, C, K)
        copies = input_ids[:, None, None].expand(*tokens.shape, -1)  # (B, C, K, T)
        where = places[:, :, None, None].expand(*tokens.shape, 1)
        tried = copies.scatter(3, where, tokens[..., None])
        mask = attention_mask
        if mask is not None:
            mask = mask[:, None, None].expand_as(copies).flatten(0, 2)
        device = device_of(self.classifier)
        with answering(self.classifier):
            answer = self.classifier(tried.flatten(0, 2).to(device),
                                     None if mask is None else mask.to(device))
        fits = answer.cpu().double().log_softmax(-1)[:, self.label].view(tokens.shape)
        steered = (scores + self.weight * fits).masked_fill(scores == -torch.inf, -torch.inf)
        return torch.full_like(logits, -torch.inf).scatter(2, tokens, steered)


@torch.no_grad()
def sample_masked(model: nn.Module, input_ids: Tensor, special: SpecialIds, keys: Keys,
                  steps: int | None = None, order: Order = "random", temperature: float = 1.0,
                  top_p: float = 1.0, attention_mask: Tensor | None = None,
                  guide: Guide | None = None, vocab_size: int | None = None) -> Tensor:
    """Fills every [MASK] of texts with a token drawn from a masked language model.

    Each step asks the model once and fills an equal part of the blanks. Which ones is random; or,
    if `order` is "confident", a token is drawn for every blank and those stay that the model holds
    most probable (Chang et al., "MaskGIT", CVPR 2022, section 3.2; low-confidence remasking in Nie
    et al., "Large Language Diffusion Models", 2025, algorithm 5). Only the random order draws from
    the model's own distribution: the other prefers what is easily said, and says it again. Tokens
    are drawn in float64, for in float32 the Gumbel noise of others lowers the temperature (Zheng et
    al., "Masked Diffusion Models are Secretly Time-Agnostic Masked Models", ICLR 2025).

    Args:
        model: called as `model(input_ids, attention_mask, positions=…)`; answers with logits
            (B, S, V).
        input_ids: (B, T) texts, such as [CLS] … [SEP], with [MASK] wherever one is to be written;
            all else stays as it is.
        special: ids of [PAD], [UNK], [CLS], [SEP], [MASK]; none of them is ever written.
        keys: B of them, which decide what is drawn for each text.
        steps: how often the model is asked at most; None: once for each blank.
        order: which blanks are filled first.
        temperature: logits are divided by it; 0 takes the most probable token.
        top_p: tokens are drawn from the most probable ones that make up this share.
        attention_mask: (B, T), 1 for tokens and 0 for padding; None: all are tokens.
        guide: what steers the tokens.
        vocab_size: how many tokens there are, where the model has scores for more.

    Returns:
        (B, T) int64, on the CPU, without a [MASK].

    Raises:
        ValueError: if the model is causal or has no head, or a setting is out of range.
    """
    require_masked(model)
    require_settings(temperature, top_p, order)
    if steps is not None and steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    device, ids = device_of(model), input_ids.cpu().clone()
    mask = None if attention_mask is None else attention_mask.to(device)
    blanks = (ids == special.mask).sum(1)  # (B,)
    steps = min(steps or ids.shape[1], ids.shape[1])
    rank = keys.uniform("order", ids.shape[1:])  # (B, T)
    with answering(model):
        for step in range(steps):
            hidden = ids == special.mask  # (B, T)
            now = hidden.sum(1) - blanks * (steps - 1 - step) // steps  # (B,), to fill in this step
            if not now.any():
                continue
            asked = int(now.max() if order == "random" else hidden.sum(1).max())
            places = rank.masked_fill(~hidden, 2.0).argsort(dim=1, stable=True)[:, :asked]  # (B, C)
            logits = token_logits(model(ids.to(device), mask, positions=places.to(device)))
            logits = without(special, logits, vocab_size)  # (B, C, V)
            if guide is not None:
                logits = guide(logits, ids, places, attention_mask)
            u = fine_uniform(keys, f"token {step}", ids.shape[1]).gather(1, places)
            tokens = draw(nucleus(logits, temperature, top_p), u)  # (B, C)
            first = torch.arange(asked).expand_as(places)
            if order == "confident":
                certain = logits.log_softmax(-1).gather(2, tokens[..., None])[..., 0]
                certain = certain.masked_fill(~hidden.gather(1, places), -torch.inf)
                first = certain.argsort(dim=1, descending=True, stable=True).argsort(1)
            row, slot = (first < now[:, None]).nonzero(as_tuple=True)
            ids[row, places[row, slot]] = tokens[row, slot]
    return ids


@torch.no_grad()
def sample_causal(model: nn.Module, input_ids: Tensor, number: int, special: SpecialIds, keys: Keys,
                  temperature: float = 1.0, top_p: float = 1.0,
                  vocab_size: int | None = None) -> Tensor:
    """Goes on with texts, one token after the other, drawn from a causal language model.

    A model with `next_token` computes each token once; another one reads all again for the next.

    Args:
        model: one that says it is `causal`, such as `ModernBertForCausalLM`.
        input_ids: (B, P) how the texts begin, all with as many tokens: [CLS] at least.
        number: how many tokens to write.
        special, keys, temperature, top_p, vocab_size: as of `sample_masked`.

    Returns:
        (B, P + number) int64, on the CPU.

    Raises:
        ValueError: if the model is not causal or has no head, or a setting is out of range.
    """
    require_head(model)
    if not is_causal(model):
        raise ValueError(f"{type(model).__name__} looks at both sides of a token, and cannot write "
                         "from left to right: sample_masked writes with it")
    require_settings(temperature, top_p)
    if not input_ids.shape[1]:
        raise ValueError("input_ids must hold a token to begin with, such as [CLS]")
    if number < 1:
        raise ValueError(f"number of tokens must be at least 1, got {number}")
    device, ids = device_of(model), input_ids.cpu()
    reads_on = hasattr(model, "next_token")
    past, new = model.nothing_read() if reads_on else None, ids
    u = fine_uniform(keys, "token", number)  # (B, number)
    with answering(model):
        for i in range(number):
            if reads_on:
                logits = model.next_token(new.to(device), past)  # (B, V)
            else:
                blank = torch.full((len(ids), 1), special.mask)
                logits = model(torch.cat([ids, blank], 1).to(device))[:, -1]
            logits = nucleus(without(special, logits, vocab_size), temperature, top_p)
            new = draw(logits, u[:, i])[:, None]
            ids = torch.cat([ids, new], 1)
    return ids


# ------------------------------------------------------------------------------- drawing a token


def without(special: SpecialIds, logits: Tensor, vocab_size: int | None) -> Tensor:
    """Logits (…, V) in float64 on the CPU, −∞ where no token of a text is."""
    none = torch.zeros(logits.shape[-1], dtype=torch.bool)
    none[list(special)] = True
    if vocab_size is not None:
        none[vocab_size:] = True
    return logits.cpu().double().masked_fill(none, -torch.inf)


def nucleus(logits: Tensor, temperature: float, top_p: float) -> Tensor:
    """Logits (…, V) at a temperature, −∞ but for the most probable tokens that make up `top_p`.

    The token that crosses the share belongs to them (Holtzman et al., "The Curious Case of Neural
    Text Degeneration", ICLR 2020, section 3.1). A temperature of 0 leaves the most probable one.
    """
    logits = logits - logits.amax(-1, keepdim=True)
    if temperature == 0:
        return logits.masked_fill(logits < 0, -torch.inf)
    logits = logits / temperature
    if top_p == 1:
        return logits
    probability, token = logits.softmax(-1).sort(-1, descending=True)
    beyond = probability.cumsum(-1) - probability >= top_p
    return logits.masked_fill(torch.zeros_like(beyond).scatter(-1, token, beyond), -torch.inf)


def draw(logits: Tensor, u: Tensor) -> Tensor:
    """The token at quantile u in [0, 1) of each distribution: logits (…, V) and u (…) to (…)."""
    cumulative = logits.softmax(-1).cumsum(-1)
    u = (u * cumulative[..., -1])[..., None]
    return torch.searchsorted(cumulative, u, right=True)[..., 0]


def fine_uniform(keys: Keys, stream: str, n: int) -> Tensor:
    """Uniform numbers in [0, 1) of 48 random bits, (B, n) float64: fine enough for rare tokens."""
    coarse, fine = keys.uniform(stream, (n, 2)).double().unbind(-1)
    return coarse + fine * 2.0**-24


def require_masked(model: nn.Module) -> None:
    """Raises where a model does not fill blanks."""
    require_head(model)
    if is_causal(model):
        raise ValueError(f"{type(model).__name__} writes from left to right, and cannot fill what "
                         "has text after it: sample_causal writes with it")


def require_settings(temperature: float, top_p: float, order: str = "random") -> None:
    """Raises where a setting is out of range."""
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be at least 0, got {temperature}")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {top_p}")
    if order not in get_args(Order):
        raise ValueError(f"order must be one of {', '.join(get_args(Order))}, got {order!r}")
