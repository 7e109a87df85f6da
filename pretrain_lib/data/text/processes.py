"""Two small hidden Markov processes whose belief states make a picture.

Who predicts the next token of such a process as well as can be has to know, after each prefix, how
likely each hidden state is: its *belief*. Beliefs are points of a simplex. Of these two processes
Shai, Marzen, Teixeira, Oldenziel and Riechers ("Transformers Represent Belief State Geometry in
their Residual Stream", NeurIPS 2024) found the points again in transformers; `evaluation.bayes`
computes them. As in all languages of this library ids 0 to 4 are special tokens and never occur.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .hidden_markov import SPECIAL, HiddenMarkovModel, stationary


def mess3(x: float = 0.05, a: float = 0.85) -> HiddenMarkovModel:
    """Three states that mostly stay, and three tokens, each the mark of a state: fractal beliefs.

    The step from a state to a given other one has probability x. A state shows its own token with
    probability a, and either of the others with (1 − a) / 2 (Marzen and Crutchfield, "Nearly
    maximally predictive features and their dimensions", Physical Review E 2017; Shai et al.,
    appendix). In the papers a token comes with the step, and here with the state that the step leads
    to, which is the same process: T⁽ᵏ⁾ᵢⱼ = P(j | i) P(k | j).

    Args:
        x: between 0 and ½, how likely a given other state comes next.
        a: between 0 and 1, how likely a state shows its own token.

    Raises:
        ValueError: for numbers outside these ranges.
    """
    if not (0 < x < 0.5 and 0 < a < 1):
        raise ValueError(f"x must be between 0 and 0.5, and a between 0 and 1, got x={x}, a={a}")
    one = torch.eye(3, dtype=torch.double)
    transition = (1 - 3 * x) * one + x
    shown = (a - (1 - a) / 2) * one + (1 - a) / 2
    return HiddenMarkovModel(stationary(transition), transition, with_special(shown))


RRXOR_STATES = ("start", "0", "1", "true", "false")  # of the papers; `rrxor` has eight


def rrxor() -> HiddenMarkovModel:
    """Two random bits and their exclusive or, again and again: nothing tells where a triple begins.

    Of the states in the papers – at the start, after a 0, after a 1, before an XOR that is 1 or 0 –
    some show either bit, by the step that leads away. Here a state is one of these five together
    with the bit that led to it, eight in all, so that each shows one bit. `rrxor_beliefs` sums
    beliefs over them to those of the five (Shai et al., appendix).
    """
    steps = {("start", "0"): 0, ("start", "1"): 1, ("0", "false"): 0, ("0", "true"): 1,
             ("1", "true"): 0, ("1", "false"): 1, ("true", "start"): 1, ("false", "start"): 0}
    states = rrxor_states()
    transition = torch.zeros(len(states), len(states), dtype=torch.double)
    for row, (state, _) in enumerate(states):
        nexts = [(after, bit) for (before, after), bit in steps.items() if before == state]
        for step in nexts:
            transition[row, states.index(step)] = 1 / len(nexts)
    shown = torch.zeros(len(states), 2, dtype=torch.double)
    for row, (_, bit) in enumerate(states):
        shown[row, bit] = 1
    return HiddenMarkovModel(stationary(transition), transition, with_special(shown))


def rrxor_states() -> list[tuple[str, int]]:
    """The eight states of `rrxor`: one of `RRXOR_STATES`, and the bit that led to it."""
    return [("start", 0), ("start", 1), ("0", 0), ("1", 1), ("true", 0), ("true", 1), ("false", 0),
            ("false", 1)]


def rrxor_beliefs(beliefs: Tensor) -> Tensor:
    """Beliefs over the eight states of `rrxor`, (..., 8), as those over `RRXOR_STATES`, (..., 5)."""
    member = torch.zeros(8, len(RRXOR_STATES), dtype=beliefs.dtype)
    for row, (state, _) in enumerate(rrxor_states()):
        member[row, RRXOR_STATES.index(state)] = 1
    return beliefs @ member


def with_special(shown: Tensor) -> Tensor:
    """Emissions of words, (K, W), as those of a vocabulary that begins with the special tokens."""
    return torch.cat([shown.new_zeros(len(shown), len(SPECIAL)), shown], dim=1)
