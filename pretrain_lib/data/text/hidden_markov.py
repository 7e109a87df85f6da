"""A language with a known optimum: a hidden Markov model, whose masked loss has an exact limit.

In a text of the world nobody knows how well a masked token could be predicted. In a language that
we made it can be computed: `evaluation.bayes` does.
"""

from __future__ import annotations

import math
from copy import copy
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..keys import Keys
from ..source import Samples
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
        states[:, 0] = draw_outcomes(self.model.initial[None], start, u[:, 0])
        for t in range(1, self.length):
            states[:, t] = draw_outcomes(self.model.transition, states[:, t - 1], u[:, t])
        return states

    def take(self, keys: Keys) -> Samples:
        """The sentences that the keys name, as {"input_ids": (B, T) int64}."""
        u = keys.uniform(f"{self.stream} tokens", (self.length,)).double()
        return {"input_ids": draw_outcomes(self.model.emission, self.hidden_states(keys), u)}



def draw_outcomes(probability: Tensor, row: Tensor, u: Tensor) -> Tensor:
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
