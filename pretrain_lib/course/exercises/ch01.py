"""Exercises of chapter 01: what pretraining is, and how a claim about it is tested."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from . import Exercise, Mistake


def as_number(value) -> float:
    """The answer as a float."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Mistake(f"a single number is wanted, not {type(value).__name__}") from None


def close(a: float, b: float, tolerance: float = 1e-6) -> bool:
    return math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)


# ---------------------------------------------------------------- 01.1 labels saved


def labels_needed(per_class: Sequence[float], accuracy: Sequence[float], target: float) -> float:
    """Labels a class at which a rising curve reaches `target`, straight between points over log labels."""
    points = [(math.log(n), a) for n, a in zip(per_class, accuracy, strict=True)]
    if target <= points[0][1]:
        return float(per_class[0])
    for (x0, a0), (x1, a1) in pairwise(points):
        if a0 <= target <= a1:
            return math.exp(x0 + (target - a0) / (a1 - a0) * (x1 - x0))
    return math.inf


def grade_labels_needed(answer) -> str:
    curve = [1, 5, 10, 50], [0.40, 0.60, 0.70, 0.85]
    for target in (0.65, 0.50, 0.80):
        got, right = as_number(answer(*map(list, curve), target)), labels_needed(*curve, target)
        if close(got, right, 1e-4):
            continue
        row = next(i for i, a in enumerate(curve[1]) if a > target)
        (n0, n1), (a0, a1) = curve[0][row - 1 : row + 1], curve[1][row - 1 : row + 1]
        share = (target - a0) / (a1 - a0)
        if close(got, n0 + share * (n1 - n0), 1e-4):
            raise Mistake("you went along a straight line in the labels; the axis is logarithmic, so go in log labels")
        if close(got, math.log(right), 1e-4):
            raise Mistake("that is the logarithm of the number of labels: take it back with exp")
        if close(got, n0) or close(got, n1):
            raise Mistake("that is the nearest point that was measured: interpolate between the two around the target")
        raise Mistake(f"accuracies {curve[1]} at {curve[0]} labels reach {target} at {right:.3f} labels, not {got:.3f}")
    if as_number(answer(*map(list, curve), 0.30)) != curve[0][0]:
        raise Mistake("a target below the first point is reached there already: return the first number of labels")
    if as_number(answer(*map(list, curve), 0.95)) != math.inf:
        raise Mistake("a curve that never reaches the target was not measured far enough: return math.inf, don't guess")
    return "three crossings, one target below the curve and one above it"


# ---------------------------------------------------------------- 01.2 baselines


CONTROLS = set("bde")


def as_letters(value, allowed: str) -> set[str]:
    """The answer as a set of letters."""
    try:
        letters = {str(letter).strip().lower() for letter in value}
    except TypeError:
        raise Mistake('give letters, such as {"a", "b"}') from None
    letters -= {"", ","}
    if not letters <= set(allowed):
        raise Mistake(f"the letters run from a to {allowed[-1]}, got {', '.join(sorted(letters))}")
    return letters


def grade_controls(answer) -> str:
    letters = as_letters(answer, "abcdef")
    missing = {
        "b": "one rival explanation is left: that the task is easy, and a linear classifier on the raw pixels does as well",
        "d": "one rival explanation is left: that the architecture alone, before any training, makes good features",
        "e": "one rival explanation is left: that the other side was tuned less",
    }
    useless = {
        "a": "a larger pretrained network (a) may raise the 0.80, but explains nothing away: nothing is compared with it",
        "c": "longer pretraining (c) may raise the 0.80, but explains nothing away: nothing is compared with it",
        "f": "accuracy on the labelled images themselves (f) shows that they were learned by heart, for either side",
    }
    for letter, hint in useless.items():
        if letter in letters:
            raise Mistake(hint)
    for letter, hint in missing.items():
        if letter not in letters:
            raise Mistake(hint)
    return "raw input, frozen random features, and equal tuning: what is left after these is due to pretraining"


# ---------------------------------------------------------------- 01.3 a suspicious table


def grade_leak(answer) -> str:
    letters = as_letters(answer, "abcd")
    if len(letters) != 1:
        raise Mistake("one letter is wanted: which of the four explains the whole table?")
    hints = {
        "a": "a learning rate that is too high gives low accuracies, not perfect ones",
        "c": "unlabelled test images in the pretraining cannot give 1.00 with one label a class: who said which digit is which?",
        "d": "features that are too good would not get worse with more labels",
    }
    (letter,) = letters
    if letter in hints:
        raise Mistake(hints[letter])
    return "ten images are learned by heart more easily than five hundred: that is why it falls"


# ---------------------------------------------------------------- 01.4 independent targets


def lowest_loss(mean: float, std: float) -> float:
    """Lowest expected (t − y)² of any y that is independent of t, for t ~ N(mean, std²)."""
    return std**2


def grade_lowest_loss(answer) -> str:
    for mean, std in [(0.0, 1.0), (2.0, 3.0), (-1.0, 0.5)]:
        got = as_number(answer(mean, std))
        if close(got, std**2):
            continue
        if close(got, 0):
            raise Mistake("a loss of 0 needs a y that follows t, and y knows nothing of t")
        if close(got, std**2 + mean**2):
            raise Mistake("that is the loss of always predicting 0: the constant may be chosen, and the mean is better")
        if close(got, std):
            raise Mistake("that is the standard deviation: a squared error is measured in squares")
        if close(got, std**2 / 2):
            raise Mistake("mse_loss has no ½")
        if close(got, 2 * std**2):
            raise Mistake("that is the loss of predicting with a second draw: its own noise comes on top; use no noise")
        raise Mistake(f"for mean {mean} and standard deviation {std} it gives {got:.4g}, not {std**2:.4g}")
    return "the variance, wherever the mean lies"


# ---------------------------------------------------------------- 01.5 a memoriser with bounded output


def density(c: float) -> float:
    """φ(c), the density of the standard normal distribution."""
    return math.exp(-c * c / 2) / math.sqrt(2 * math.pi)


def beyond(c: float) -> float:
    """1 − Φ(c), the probability that a standard normal number is above c."""
    return 0.5 * math.erfc(c / math.sqrt(2))


def excess(c: float) -> float:
    """E[(t − c)²; t > c] for standard normal t."""
    return (1 + c * c) * beyond(c) - c * density(c)


def memoriser_loss(low: float, high: float) -> float:
    """Lowest E[(t − y)²] for standard normal t and any y in [low, high], even one that knows t."""
    return excess(high) + excess(-low)


def grade_memoriser_loss(answer) -> str:
    for low, high in [(0.0, 1.0), (-1.0, 1.0), (-2.0, 0.5), (-8.0, 8.0)]:
        got, right = as_number(answer(low, high)), memoriser_loss(low, high)
        if close(got, right, 1e-7):
            continue
        where = f"for outputs from {low:g} to {high:g}"
        if close(got, excess(high), 1e-7) or close(got, excess(-low), 1e-7):
            raise Mistake(f"{where} one side is missing: targets lie below the range and above it")
        if close(got, beyond(high) + beyond(-low), 1e-7):
            raise Mistake("that is the probability of a target outside the range: weigh it with the squared distance")
        if close(got, excess(high) + excess(low), 1e-7):
            raise Mistake(f"{where} mind the sign of the lower end: t < low means −t > −low")
        if abs(got - right) < 0.01:
            raise Mistake(f"{where} it is close to {right:.7f}, not equal: a simulation can check it, a formula is wanted")
        raise Mistake(f"{where} it gives {got:.6f}, not {right:.6f}")
    return "equals the integral for four ranges"


# ---------------------------------------------------------------- 01.6 parameters


def count_parameters(sizes: Sequence[int]) -> int:
    """Weights and biases of fully connected layers of these sizes."""
    return sum(inputs * outputs + outputs for inputs, outputs in pairwise(sizes))


def grade_count(answer) -> str:
    for sizes in ([128, 64, 32, 64, 128], [784, 30, 784], [3, 2]):
        got, right = as_number(answer(list(sizes))), count_parameters(sizes)
        if got == right:
            continue
        weights = sum(a * b for a, b in pairwise(sizes))
        if got == weights:
            raise Mistake("the biases are missing: nn.Linear has one for each of its outputs")
        if got == weights + sum(sizes[:-1]):
            raise Mistake("a layer has one bias for each of its outputs, not of its inputs")
        if got == weights + sum(sizes):
            raise Mistake("the input has no bias: only the sizes after the first have one each")
        half = sizes[: len(sizes) // 2 + 1]
        if len(sizes) > 2 and got == count_parameters(half):
            raise Mistake("that is the encoder alone: the decoder has weights too")
        raise Mistake(f"for the sizes {sizes} it gives {got:g}, not {right}")
    return "the article's network, a wide one and a tiny one"


EXERCISES = [
    Exercise(id="01.1", title="reading a few-label curve sideways", difficulty=2, minutes=10,
             reference=labels_needed, grade=grade_labels_needed),
    Exercise(id="01.2", title="what could explain the claim away?", difficulty=2, minutes=5,
             reference=CONTROLS, grade=grade_controls),
    Exercise(id="01.3", title="what is wrong with this table?", difficulty=2, minutes=5,
             reference="b", grade=grade_leak),
    Exercise(id="01.4", title="targets that the input says nothing about", difficulty=1, minutes=5,
             reference=lowest_loss, grade=grade_lowest_loss),
    Exercise(id="01.5", title="a memoriser with a sigmoid", difficulty=3, minutes=15,
             reference=memoriser_loss, grade=grade_memoriser_loss),
    Exercise(id="01.6", title="counting parameters", difficulty=1, minutes=5,
             reference=count_parameters, grade=grade_count),
]
