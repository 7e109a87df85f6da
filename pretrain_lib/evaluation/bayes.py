"""The best that a predictor can be, of masked tokens or of the next, in a language that is known.

In a language of `data.text.hidden_markov` the forward–backward algorithm (Rabiner, "A tutorial on
hidden Markov models and selected applications in speech recognition", Proceedings of the IEEE 1989,
section III) computes P(token | everything visible). Its mean surprise is a loss that no model can
beat.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.source import UNSCORED
from ..data.text.hidden_markov import SPECIAL, HiddenMarkovLanguage, HiddenMarkovModel
from .counting import ids_at, own_evidence


def state_posterior(model: HiddenMarkovModel, likelihood: Tensor) -> Tensor:
    """P(state at t | the evidence at all other positions), by forward–backward.

    Both passes are normalised at every step, so that no length of sentence underflows.

    Args:
        model: the hidden Markov model.
        likelihood: (B, T, K) float64, P(what is seen at t | state), up to a factor for each t.

    Returns:
        (B, T, K) float64.
    """
    before, after = torch.empty_like(likelihood), torch.empty_like(likelihood)
    belief = model.initial.expand(len(likelihood), -1)  # (B, K)
    for t in range(likelihood.shape[1]):
        before[:, t] = belief  # P(state at t | evidence before t)
        belief = as_distributions(belief * likelihood[:, t]) @ model.transition
    belief = torch.ones_like(belief)
    for t in reversed(range(likelihood.shape[1])):
        after[:, t] = belief  # P(evidence after t | state at t), up to a factor
        belief = as_distributions((belief * likelihood[:, t]) @ model.transition.T)
    return as_distributions(before * after)


class Filtered(NamedTuple):
    """What is known of a text while it is read, from its beginning on.

    Attributes:
        beliefs: (B, T, K) float64, P(state at t | tokens up to and with t).
        surprise: (B, T) float64, −log P(token t | tokens before t), in nats: its mean over texts of
            the language is what no causal model can get below. From where on a text is
            impossible, it is infinite, and the beliefs are NaN.
    """

    beliefs: Tensor
    surprise: Tensor


def filtered(model: HiddenMarkovModel, input_ids: Tensor) -> Filtered:
    """The belief after each prefix, by the forward algorithm, and the surprise of each token.

    For masked models, which see both sides, `BayesOptimal.states` has P(state | all other tokens).

    Args:
        model: the hidden Markov model.
        input_ids: (B, T) texts, from their beginning.
    """
    likelihood = model.emission.T[input_ids]  # (B, T, K)
    before = model.initial.expand(len(input_ids), -1)  # P(state at t | tokens before t), (B, K)
    beliefs, shares = [], []
    for likelihood_now in likelihood.unbind(1):
        joint = before * likelihood_now
        share = joint.sum(-1, keepdim=True)  # P(token t | tokens before t)
        before = joint / share.clamp(min=torch.finfo(joint.dtype).tiny) @ model.transition
        beliefs.append(joint / share)
        shares.append(share[:, 0])
    return Filtered(torch.stack(beliefs, 1), -torch.stack(shares, 1).log())


def as_distributions(weights: Tensor) -> Tensor:
    """Weights (..., K) as distributions.

    Raises:
        ValueError: if all the weights of one are 0.
    """
    total = weights.sum(-1, keepdim=True)
    if not (total > 0).all():
        raise ValueError("a sentence has probability 0 in this language: it was drawn from "
                         "another, or corrupted otherwise than the predictor was told")
    return weights / total


class BayesOptimal(nn.Module):
    """The best that any predictor of masked tokens can be: P(token | all that is visible).

    Which token a blank hides is inferred from every visible token; the hidden ones are summed out.
    Under a corruption that also shows random tokens, what is visible may be wrong. Assumed is that
    each token was chosen with probability `rate`, independently of all others, and that a chosen
    one became [MASK], one of all V tokens at random, or stayed, with the shares m, r, k of
    `replace`. The scored position is known to be chosen: there, P(sees v | token w) = r/V + k[v=w]
    for v other than [MASK]. Of another position it is not known, only what it shows: there,

        P(sees v | token w) = (1 − rate) [v=w] + rate (r/V + k [v=w]),

    and [MASK] or any other special token says nothing about w. With `replace` (1, 0, 0) what is
    visible is right, nothing needs assuming, and the rate does not matter. A scheme that chooses
    exactly rate · T tokens is a little more predictable than this. A position that was not chosen
    and shows its token is predicted, when all chosen ones show [MASK], from the others alone.

    Special tokens around a sentence are harmless: the chain is stationary, so a longer stretch
    without evidence before or after it changes nothing. Several pieces in a block are not: the
    model would read across their borders.

    Args:
        language: the language.
        rate: probability that a token is chosen.
        replace: shares of the chosen tokens that become [MASK], become random, and stay.

    Raises:
        ValueError: if the rate lies outside [0, 1) or the shares do not sum to 1.
    """

    def __init__(self, language: HiddenMarkovLanguage, rate: float = 0.15,
                 replace: tuple[float, float, float] = (1.0, 0.0, 0.0)):
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"rate must be at least 0 and below 1, got {rate}")
        if min(replace) < 0 or len(replace) != 3 or not math.isclose(sum(replace), 1):
            raise ValueError("replace must be three shares that sum to 1 (masked, random, kept), "
                             f"got {replace}")
        _, random, kept = replace
        emission = language.model.emission
        true, noise = 1 - rate + rate * kept, rate * random / language.vocab_size
        likelihood = (true * emission + noise).T.clone()  # (V, K): P(sees v | state)
        likelihood[list(SPECIAL)] = 1.0
        self.replace = tuple(replace)
        self.register_buffer("initial", language.model.initial)
        self.register_buffer("transition", language.model.transition)
        self.register_buffer("emission", emission)
        self.register_buffer("likelihood", likelihood)

    def states(self, input_ids: Tensor) -> Tensor:
        """P(state at t | what all other positions show), (B, T, K) float64."""
        model = HiddenMarkovModel(self.initial, self.transition, self.emission)
        return state_posterior(model, self.likelihood[input_ids])

    def forward(self, input_ids: Tensor, attention_mask=None, token_type_ids=None,
                position_ids=None, positions: Tensor | None = None) -> Tensor:
        """Log-probabilities (B, S, V), float64, at the positions (B, S), or everywhere."""
        states = self.states(input_ids)
        if positions is not None:
            states = states.gather(1, positions[..., None].expand(-1, -1, states.shape[-1]))
        logits = (states @ self.emission).log()  # (B, S, V)
        seen = ids_at(input_ids, positions)
        return own_evidence(logits, seen, SPECIAL.mask, self.replace).log_softmax(-1)


def bayes_loss(language: HiddenMarkovLanguage, input_ids: Tensor, positions: Tensor, labels: Tensor,
               rate: float = 0.15, replace: tuple[float, float, float] = (1.0, 0.0, 0.0)) -> float:
    """The mean loss, in nats, of the optimal predictor: no other can expect less.

    Args:
        language: the language.
        input_ids: (B, T) corrupted sentences.
        positions: (B, S) the positions chosen.
        labels: (B, S) the tokens that stood there; -100 in slots that are not used.
        rate: probability that a token was chosen; matters only if `replace` is not (1, 0, 0).
        replace: shares of the chosen tokens that became [MASK], became random, and stayed.

    Raises:
        ValueError: if a blank shows a token that `replace` rules out, or nothing was chosen.
    """
    used = labels != UNSCORED
    if not used.any():
        raise ValueError("no position was chosen: there is no loss to bound")
    shown = input_ids.gather(1, positions)[used]
    if replace[0] == 1 and (shown != SPECIAL.mask).any():
        raise ValueError("not every chosen token shows [MASK], as replace=(1, 0, 0) would have "
                         "it: give the rate and the shares that masked these sentences")
    logits = BayesOptimal(language, rate, replace)(input_ids, positions=positions)
    return F.cross_entropy(logits[used], labels[used]).item()
