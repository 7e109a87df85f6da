"""A language with a known optimum: a hidden Markov model, whose masked loss has an exact limit.

In a text of the world nobody knows how well a masked token could be predicted. In a language that
we made, the forward–backward algorithm (Rabiner, "A tutorial on hidden Markov models and selected
applications in speech recognition", Proceedings of the IEEE 1989, section III) computes P(token |
everything visible), and its mean surprise is a loss that no model can beat.
"""

from __future__ import annotations

import math
from copy import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .counting import at_positions, own_evidence
from .keys import Keys
from .source import Samples
from .tokenizer import SpecialIds

SPECIAL = SpecialIds(pad=0, unk=1, cls=2, sep=3, mask=4)
UNUSED = -100

PERSISTENCE = 0.98  # probability that the next token has the same topic
SURPRISE = 0.05  # probability that function follows function, or content content
FUNCTION_SHARE = 0.2  # share of the words that are function words
LEAK = 0.03  # probability that a content word is any of them, whatever the topic


class HiddenMarkovModel(NamedTuple):
    """What generates a language of K states and V tokens.

    Attributes:
        initial: (K,) float64, P(first state), the stationary distribution.
        transition: (K, K) float64, P(next state | state), one row a state.
        emission: (K, V) float64, P(token | state), one row a state; 0 for special tokens.
    """

    initial: Tensor
    transition: Tensor
    emission: Tensor


def stationary(transition: Tensor) -> Tensor:
    """The distribution (K,) over states that a step with `transition` (K, K) leaves as it is."""
    states = len(transition)
    leaving = torch.eye(states, dtype=transition.dtype) - transition.T
    equations = torch.cat([leaving, leaving.new_ones(1, states)])  # (K + 1, K): … and sums to 1
    target = F.one_hot(torch.tensor([states]), states + 1).to(transition.dtype)[0]
    return torch.linalg.lstsq(equations, target[:, None]).solution[:, 0].clamp(min=0)


def draw_language(states: int, vocab_size: int, seed: int) -> HiddenMarkovModel:
    """Draws a language; what kind it is, `HiddenMarkovLanguage` tells."""
    topics = states // 2
    words = vocab_size - len(SPECIAL)
    function_words = round(FUNCTION_SHARE * words)
    content_words = words - function_words
    if states < 4 or states % 2:
        raise ValueError(f"states must be an even number of at least 4, two a topic, got {states}")
    if function_words < 1 or content_words < topics:
        raise ValueError(f"vocab_size must leave each of {topics} topics a content word: at least "
                         f"{len(SPECIAL) + math.ceil(1.3 * topics) + 2}, got {vocab_size}")
    keys = Keys.of(seed, topics)
    preference = keys.normal("next topic", (topics,)).double().fill_diagonal_(-math.inf)
    topic = (PERSISTENCE * torch.eye(topics, dtype=torch.double)
             + (1 - PERSISTENCE) * preference.softmax(1))
    role = torch.tensor([[SURPRISE, 1 - SURPRISE], [1 - SURPRISE, SURPRISE]], dtype=torch.double)

    topic_of_word = Keys.of(seed, 1).permutation("topic of word", content_words)[0] % topics
    own = torch.arange(topics)[:, None] == topic_of_word  # (topics, words): equal shares
    liking = keys.normal("content words", (content_words,)).double()
    content = liking.masked_fill(~own, -math.inf).softmax(1)
    content = (1 - LEAK) * content + LEAK / content_words
    function = Keys.of(seed, 1).normal("function words", (function_words,)).double().softmax(1)

    emission = torch.zeros(states, vocab_size, dtype=torch.double)
    first_content = len(SPECIAL) + function_words
    emission[0::2, len(SPECIAL):first_content] = function
    emission[1::2, first_content:] = content
    transition = torch.kron(topic, role)  # state 2 t + r: topic t, role r
    return HiddenMarkovModel(stationary(transition), transition, emission)


class HiddenMarkovLanguage:
    """Sentences of a hidden Markov model: a source that never repeats itself.

    A state is a topic with a role. Roles mostly alternate between function words, which all topics
    share, and content words, of which each topic has its own; now and then a content word is one
    of any topic's. A topic lasts for some fifty tokens. So the neighbours of a content word are
    mostly function words, which do not tell the topic. Words further away do, and better together,
    as each may be a stray. Counting neighbours therefore stays more than 1 nat above the optimum.

    The sentences are a function of their keys: other epochs, other sentences. Ids 0 to 4 are
    [PAD], [UNK], [CLS], [SEP], [MASK], which never occur in them.

    Args:
        states: K, two for each topic.
        vocab_size: V, with the five special tokens.
        seed: which language is drawn.
        length: T, tokens in a sentence.
        sentences: how many are counted as one epoch.
        model: a hidden Markov model of one's own, instead of drawing one.

    Raises:
        ValueError: for an odd number of states, or fewer words than the topics need.
    """

    special = SPECIAL

    def __init__(self, states: int = 48, vocab_size: int = 133, seed: int = 0, length: int = 64,
                 sentences: int = 100_000, model: HiddenMarkovModel | None = None):
        if length < 1 or sentences < 1:
            raise ValueError("length and sentences must be at least 1, "
                             f"got length {length} and {sentences} sentences")
        self.model = model or draw_language(states, vocab_size, seed)
        self.vocab_size = self.model.emission.shape[1]
        self.length = length
        self.sentences = sentences
        self.stream = "train"

    def __len__(self) -> int:
        return self.sentences

    def held_out(self, sentences: int) -> HiddenMarkovLanguage:
        """Other sentences of the same language, to evaluate on."""
        other = copy(self)
        other.sentences = sentences
        other.stream = "held out"
        return other

    def hidden_states(self, keys: Keys) -> Tensor:
        """The states (B, T) behind the sentences that `take` gives for the same keys."""
        u = keys.uniform(f"{self.stream} states", (self.length,)).double()  # (B, T)
        states = torch.empty(u.shape, dtype=torch.long)
        start = torch.zeros(len(keys), dtype=torch.long)
        states[:, 0] = draw(self.model.initial[None], start, u[:, 0])
        for t in range(1, self.length):
            states[:, t] = draw(self.model.transition, states[:, t - 1], u[:, t])
        return states

    def take(self, keys: Keys) -> Samples:
        """The sentences that the keys name, as {"input_ids": (B, T) int64}."""
        u = keys.uniform(f"{self.stream} tokens", (self.length,)).double()
        return {"input_ids": draw(self.model.emission, self.hidden_states(keys), u)}

    def bayes_loss(self, input_ids: Tensor, positions: Tensor, labels: Tensor, rate: float = 0.15,
                   replace: tuple[float, float, float] = (1.0, 0.0, 0.0)) -> float:
        """The mean loss, in nats, of the optimal predictor: no other can expect less.

        Args:
            input_ids: (B, T) corrupted sentences.
            positions: (B, S) the positions chosen.
            labels: (B, S) the tokens that stood there; -100 in slots that are not used.
            rate: probability that a token was chosen; matters only if `replace` is not (1, 0, 0).
            replace: shares of the chosen tokens that became [MASK], became random, and stayed.

        Raises:
            ValueError: if a blank shows a token that `replace` rules out, or nothing was chosen.
        """
        used = labels != UNUSED
        if not used.any():
            raise ValueError("no position was chosen: there is no loss to bound")
        shown = input_ids.gather(1, positions)[used]
        if replace[0] == 1 and (shown != SPECIAL.mask).any():
            raise ValueError("not every chosen token shows [MASK], as replace=(1, 0, 0) would have "
                             "it: give the rate and the shares that masked these sentences")
        logits = BayesOptimal(self, rate, replace)(input_ids, positions=positions)
        return F.cross_entropy(logits[used], labels[used]).item()


def draw(probability: Tensor, row: Tensor, u: Tensor) -> Tensor:
    """For each row number the outcome at quantile u in [0, 1) of that row; outcomes like `row`.

    Args:
        probability: (R, N) float64, one distribution a row.
        row: (...) int64.
        u: (...) float64.
    """
    cumulative = probability.cumsum(1)
    cumulative = cumulative / cumulative[:, -1:]
    stacked = cumulative + torch.arange(len(probability))[:, None]  # row r climbs from r to r + 1
    return torch.searchsorted(stacked.flatten(), row + u, right=True) - row * probability.shape[1]


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
        belief = normalised(belief * likelihood[:, t]) @ model.transition
    belief = torch.ones_like(belief)
    for t in reversed(range(likelihood.shape[1])):
        after[:, t] = belief  # P(evidence after t | state at t), up to a factor
        belief = normalised((belief * likelihood[:, t]) @ model.transition.T)
    return normalised(before * after)


def normalised(weights: Tensor) -> Tensor:
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
        seen = at_positions(input_ids, positions)
        return own_evidence(logits, seen, SPECIAL.mask, self.replace).log_softmax(-1)
