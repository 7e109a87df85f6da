"""Exercises of chapter 16: pictures, words and what moves."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from . import Exercise, Mistake, grade_letters


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def near(a: Tensor, b: Tensor) -> bool:
    """Alike to single precision, in which an answer may be computed."""
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-5)


def as_number(answer, what: str) -> Tensor:
    """One number, as a float or a tensor of one."""
    if isinstance(answer, Tensor) and answer.numel() != 1:
        raise Mistake(f"{what} is one number, got a tensor {tuple(answer.shape)}")
    try:
        return torch.tensor(float(answer), dtype=torch.float64)
    except (TypeError, ValueError):
        raise Mistake(f"{what} is one number, got {type(answer).__name__}") from None


def name_mistake(found: Tensor, likely: dict[str, Tensor], otherwise: str) -> None:
    """Raises the first hint whose wrong value was found."""
    for hint, value in likely.items():
        if near(found, torch.as_tensor(value).double()):
            raise Mistake(hint)
    raise Mistake(otherwise)


# 16.1


def hold_out(samples: Sequence[tuple], order: Sequence[tuple], wanted: int) -> list[bool]:
    """Whether each sample is held out: its combination is one of the `wanted` first ones that may be.

    Args:
        samples: N combinations, such as ("e", "acute"), the same one often more than once.
        order: the different combinations, in the order in which they are tried.
        wanted: how many are to be held out.
    """
    left, out = set(order), set()
    for pair in order:
        rest = left - {pair}
        seen = all(any(other[half] == pair[half] for other in rest) for half in (0, 1))
        if len(out) < wanted and seen:
            left, out = rest, out | {pair}
    return [sample in out for sample in samples]


def grade_hold_out(answer: Callable) -> str:
    grid = list(product("abc", ("acute", "grave", "none")))
    few = [("a", "acute"), ("a", "grave"), ("b", "acute"), ("b", "none"), ("c", "none"), ("c", "grave"), ("d", "tilde")]
    cases = [(grid * 2, [grid[i] for i in (0, 1, 2, 4, 3, 8, 5, 6, 7)], 4), (few * 3, few, 3), (few + few[:2], few[::-1], 2), (grid, grid, 0)]
    for samples, order, wanted in cases:
        found = answer(list(samples), list(order), wanted)
        try:
            found = [bool(one) for one in found]
        except (TypeError, RuntimeError):
            raise Mistake("return one True or False a sample, in a list") from None
        if len(found) != len(samples):
            raise Mistake(f"one True or False a sample is wanted, {len(samples)} of them, got {len(found)}")
        judge_split(found, samples, order, wanted)
    return "no combination is in both parts, and every half of one is still seen"


def judge_split(found: list[bool], samples: Sequence[tuple], order: Sequence[tuple], wanted: int) -> None:
    """Raises where a split leaks, leaves a half unseen, or is not the one that the order asks for."""
    right = hold_out(samples, order, wanted)
    if found == right:
        return
    out, rest = ({pair for pair, one in zip(samples, found) if one is held} for held in (True, False))
    if out & rest:
        raise Mistake(f"{sorted(out & rest)[0]} is in both parts: a combination that comes more than once is held out wherever it comes")
    if found == [not one for one in right]:
        raise Mistake("that is turned round: True is what is held out")
    for half, what in ((0, "letter"), (1, "mark")):
        unseen = {pair[half] for pair in out} - {pair[half] for pair in rest}
        if unseen:
            raise Mistake(f"the {what} {sorted(unseen)[0]!r} is never seen in training: nobody can put together what he has not met. Pass over a combination that "
                          "is the last with its letter, or the last with its mark, of those that are left")
    if len(out) > wanted:
        raise Mistake(f"{len(out)} combinations are held out, {wanted} are wanted")
    if len(out) < len({pair for pair, one in zip(samples, right) if one}):
        raise Mistake(f"{len(out)} combinations are held out, and {wanted} were wanted and can be had: what is passed over has to be made up for by the next in the order")
    raise Mistake(f"of the order {list(order)} the first {wanted} that may be held out are {[pair for pair in order if pair in set(zip_true(samples, right))]}")


def zip_true(samples: Sequence[tuple], held: list[bool]) -> list[tuple]:
    return [sample for sample, one in zip(samples, held) if one]


# 16.2


def clip_loss(images: Tensor, texts: Tensor, scale: float, caption: Tensor) -> Tensor:
    """The symmetric loss of N pairs, (N, D) each, a mean in nats; pairs with one caption are not told apart."""
    a, b = F.normalize(images, dim=1), F.normalize(texts, dim=1)
    logits = scale * a @ b.T  # (N, N)
    alike = (caption[:, None] == caption) & ~torch.eye(len(caption), dtype=torch.bool)
    logits = logits.masked_fill(alike, -math.inf)
    places = torch.arange(len(a))
    return (F.cross_entropy(logits, places) + F.cross_entropy(logits.T, places)) / 2


def clip_by_loops(images: Tensor, texts: Tensor, scale: float, caption: Tensor) -> float:
    """The same, as it is written down."""
    a, b = F.normalize(images, dim=1), F.normalize(texts, dim=1)
    total, count = 0.0, len(a)
    for i in range(count):
        others = [j for j in range(count) if j == i or caption[j] != caption[i]]
        for ours, theirs in ((a, b), (b, a)):
            scores = {j: math.exp(scale * float(ours[i] @ theirs[j])) for j in others}
            total -= math.log(scores[i] / sum(scores.values()))
    return total / (2 * count)


def wrong_clip(images: Tensor, texts: Tensor, scale: float, caption: Tensor) -> dict[str, Tensor]:
    """What comes of the likely mistakes."""
    a, b = F.normalize(images, dim=1), F.normalize(texts, dim=1)
    places, count = torch.arange(len(a)), len(a)
    alike = (caption[:, None] == caption) & ~torch.eye(count, dtype=torch.bool)

    def both(logits: Tensor, hidden: Tensor = alike) -> tuple[Tensor, Tensor]:
        logits = logits.masked_fill(hidden, -math.inf)
        return F.cross_entropy(logits, places), F.cross_entropy(logits.T, places)

    logits = scale * a @ b.T
    right, long, short = both(logits), both(scale * images @ texts.T), both(a @ b.T)
    all_alike = alike | torch.eye(count, dtype=torch.bool)
    of_all = -((logits.log_softmax(1) + logits.log_softmax(0)) * all_alike).sum() / all_alike.sum() / 2
    zeros = logits.masked_fill(alike, 0.0)
    return {
        "only the pictures look for their texts: each text looks for its picture, too (the other direction, in columns)": right[0],
        "only the texts look for their pictures: each picture looks for its text, too (the other direction, in rows)": right[1],
        "pairs with the same caption are told from each other: both texts are right for both pictures. Leave the others out of the sum": sum(both(logits, torch.zeros_like(alike))) / 2,
        "the vectors are not brought to length 1": sum(long) / 2,
        "the scale is missing": sum(short) / 2,
        "divide by the temperature or multiply by the scale: that is divided by the scale": sum(both(a @ b.T / scale)) / 2,
        "that is the scale's exponential: here the scale itself is given": sum(both(math.exp(scale) * a @ b.T)) / 2,
        "the two directions are added up: take their mean": sum(right),
        "that is the sum over the pairs: take the mean": sum(right) * count / 2,
        "pairs with the same caption were set to a score of 0, and e⁰ is 1: what is to be left out of the sum gets −∞": (F.cross_entropy(zeros, places) + F.cross_entropy(zeros.T, places)) / 2,
        "all pairs with the same caption are taken for right answers at once: here each has its own partner to find, and the others are left out": of_all,
        "the own partner is left out with the others of its caption": math.inf,
        "the sign is turned": -sum(right) / 2,
    }


def grade_clip_loss(answer: Callable) -> str:
    images, texts = numbers(6, 5, seed=20), numbers(6, 5, seed=21)
    for caption, scale in ((torch.tensor([0, 1, 2, 3, 4, 5]), 1.7), (torch.tensor([3, 1, 3, 0, 1, 3]), 2.5)):
        found = as_number(answer(images.clone(), texts.clone(), scale, caption.clone()), "the loss")
        right = clip_by_loops(images, texts, scale, caption)
        if not near(found, torch.tensor(right).double()):
            name_mistake(found, wrong_clip(images, texts, scale, caption), f"{right:.4f} is right for six pairs with the captions {caption.tolist()}, got {found:.4f}")
    same = torch.ones(7, 3, dtype=torch.float64)
    if not near(as_number(answer(same, same.clone(), 5.0, torch.arange(7)), "the loss"), torch.tensor(math.log(7)).double()):
        raise Mistake("where all vectors are the same the loss is ln N")
    return "agrees with loops, with equal captions and without; vectors that are all the same cost ln N"


# 16.3


def scale_slope(cosines: Tensor, scale: float) -> Tensor:
    """How the mean loss of N rows changes with ln(scale); the right column of row i is i."""
    shares = (scale * cosines).softmax(1)  # (N, N)
    return scale * ((shares * cosines).sum(1) - cosines.diagonal()).mean()


def slope_by_steps(cosines: Tensor, scale: float, step: float = 1e-5) -> float:
    """The same, from two losses close by."""
    places = torch.arange(len(cosines))
    above, below = (F.cross_entropy(scale * math.exp(sign * step) * cosines, places) for sign in (1, -1))
    return float(above - below) / (2 * step)


def grade_scale_slope(answer: Callable) -> str:
    for size, scale, seed in ((5, 2.0, 22), (8, 6.0, 23), (4, 0.5, 24)):
        cosines = numbers(size, size, seed=seed).tanh()
        found, right = as_number(answer(cosines.clone(), scale), "the slope"), torch.tensor(slope_by_steps(cosines, scale)).double()
        if not near(found, right):
            shares, own = (scale * cosines).softmax(1), cosines.diagonal()
            mean, by_scale = (shares * cosines).sum(1), scale_slope(cosines, scale) / scale
            name_mistake(found, {
                "the sign is turned: the slope is below 0 while the right one is nearer than what is expected, and the scale rises": -right,
                "that is the slope in the scale: in its logarithm, which is what is learned, it is the scale times that": by_scale,
                "the scale counts twice": scale * right,
                "that is the sum over the rows: take the mean": right * size,
                "all others count alike there: each counts by its share in the softmax": scale * (cosines.mean(1) - own).mean(),
                "the softmax is taken without the scale": scale * ((cosines.softmax(1) * cosines).sum(1) - own).mean(),
                "the softmax runs over the wrong axis: row i is asked for its column": scale * (((scale * cosines).softmax(0) * cosines).sum(0) - own).mean(),
                "the right ones are missing: what is expected, less what is right": scale * mean.mean(),
                "that is the loss": F.cross_entropy(scale * cosines, torch.arange(size)),
            }, f"from two losses close by the slope is {right:.4f}, got {found:.4f}")
    flat = torch.full((4, 4), 0.3, dtype=torch.float64)
    if not near(as_number(answer(flat, 3.0), "the slope"), torch.tensor(0.0).double()):
        raise Mistake("where all cosines are the same no scale is better than another: the slope is 0")
    return "agrees with two losses close by, at three scales"


# 16.4


def zero_shot(images: Tensor, prompts: Sequence[Tensor]) -> Tensor:
    """The class of each image (N,): its vectors (N, D); of each class the vectors of its prompts, (P, D)."""
    means = torch.stack([F.normalize(each, dim=1).mean(0) for each in prompts])  # (classes, D)
    return (F.normalize(images, dim=1) @ F.normalize(means, dim=1).T).argmax(1)


def zero_shot_with(images: Tensor, prompts: Sequence[Tensor], long_prompts=False, long_means=False, best=False, first=False, raw_images=False, lowest=False, summed=False) -> Tensor:
    """The same, with a mistake."""
    each = [own if long_prompts else F.normalize(own, dim=1) for own in prompts]
    asked = images if raw_images else F.normalize(images, dim=1)
    if best:
        return torch.stack([(asked @ own.T).max(1).values for own in each], 1).argmax(1)
    if first:
        each = [own[:1] for own in each]
    means = torch.stack([own.sum(0) if summed else own.mean(0) for own in each])
    scores = asked @ (means if long_means or summed else F.normalize(means, dim=1)).T
    return scores.argmin(1) if lowest else scores.argmax(1)


def grade_zero_shot(answer: Callable) -> str:
    directions = numbers(4, 6, seed=25)
    spread = numbers(9, 6, seed=26) * torch.tensor([0.2, 0.3, 0.4, 3.0, 2.5, 0.3, 0.2, 4.0, 1.5]).double()[:, None]
    lengths = torch.tensor([5.0, 0.3, 1.0, 0.2, 6.0, 1.0, 2.0, 0.5, 7.0]).double()[:, None]
    prompts = [part.clone() for part in ((directions.repeat_interleave(torch.tensor([1, 4, 3, 1]), 0) + spread) * lengths).split([1, 4, 3, 1])]
    images = numbers(60, 6, seed=27) * torch.linspace(0.2, 5, 60).double()[:, None]
    found = answer(images.clone(), [each.clone() for each in prompts])
    if not isinstance(found, Tensor):
        raise Mistake(f"return the number of each image's class, a tensor (60,), got {type(found).__name__}")
    if tuple(found.shape) == (60, 4):
        raise Mistake("those are the scores: return the number of the best class of each image, (60,)")
    if tuple(found.shape) == (4,):
        raise Mistake("argmax over the wrong axis: each image chooses a class, not each class an image")
    if tuple(found.shape) != (60,):
        raise Mistake(f"return the number of each image's class, a tensor (60,), got {tuple(found.shape)}")
    if (found == zero_shot(images, prompts)).all():
        return "agrees for sixty images and four classes, with one prompt and with several"
    likely = {
        "the prompts are averaged before they are brought to length 1: then a long one counts for more than the others": {"long_prompts": True},
        "the mean of a class's prompts is shorter than 1 the more they differ: bring it to length 1 again": {"long_means": True},
        "the vectors are summed up, and a class with more prompts has the longer sum: take the mean, and bring it to length 1": {"summed": True},
        "both lengths are left as they are: bring each prompt to length 1, and their mean again": {"long_prompts": True, "long_means": True},
        "each image goes to the class of its nearest prompt: here a class is one vector, the mean of its prompts": {"best": True},
        "only the first prompt of each class is used": {"first": True},
        "that is the class that is farthest away": {"lowest": True},
    }
    for hint, mistake in likely.items():
        if (found == zero_shot_with(images, prompts, **mistake)).all():
            raise Mistake(hint)
    raise Mistake("bring each prompt to length 1, take the mean of each class, bring that to length 1, and choose the class with the largest cosine")


# 16.5


def preferred(true: Tensor, wrong: Tensor, tolerance: float = 1e-6) -> float:
    """How often the true caption's score is above the wrong one's; a tie counts half."""
    gap = true - wrong
    return float(((gap > tolerance).double() + 0.5 * (gap.abs() <= tolerance).double()).mean())


def grade_preferred(answer: Callable) -> str:
    true = torch.tensor([0.9, 0.2, 0.5, 0.7, 0.1, 0.8, 0.6, 0.3, 0.3, 0.4, 0.4], dtype=torch.float64)
    wrong = torch.tensor([0.1, 0.6, 0.9, 0.2, 0.0, 0.3, 0.1, 0.3, 0.3 - 3e-8, 0.4 + 3e-8, 0.4 + 2e-8], dtype=torch.float64)
    found, right = as_number(answer(true.clone(), wrong.clone(), 1e-6), "the share"), 7 / 11
    if not near(found, torch.tensor(right).double()):
        gap, ties = true - wrong, (true - wrong).abs() <= 1e-6
        name_mistake(found, {
            "ties count as wrong there: of two captions with the same score a coin decides, so a tie counts half": (gap > 1e-6).double().mean(),
            "ties count as right there: of two captions with the same score a coin decides, so a tie counts half": (gap >= -1e-6).double().mean(),
            "the tolerance is not used: two scores that are equal on paper may differ by their last digit": ((gap > 0).double() + 0.5 * (gap == 0).double()).mean(),
            "the tolerance is not used, and ties do not count half": (gap > 0).double().mean(),
            "ties are left out: then 50 % and nothing known look alike. A tie counts half": (gap[~ties] > 0).double().mean(),
            "that is how often the wrong one is preferred": 1 - right,
            "that is the number of them: the share is wanted": right * 11,
        }, f"of eleven pairs, five are preferred, four are tied and two are not: {right:.3f}, got {found:.3f}")
    if not near(as_number(answer(true, true + 3e-8, 1e-6), "the share"), torch.tensor(0.5).double()):
        raise Mistake("scores that differ by rounding only are ties: one half")
    return "ties count half, and what differs by rounding is a tie"


# 16.6


def best_accuracy(seen: Sequence, labels: Sequence) -> float:
    """How often the best guess is right for one who is shown `seen` and knows all there is to know about it."""
    by_sight = defaultdict(Counter)
    for sight, label in zip(seen, labels, strict=True):
        by_sight[sight][label] += 1
    return sum(max(count.values()) for count in by_sight.values()) / len(labels)


def wrong_best(seen: Sequence, labels: Sequence) -> dict[str, float]:
    """What comes of the likely mistakes."""
    by_sight = defaultdict(Counter)
    for sight, label in zip(seen, labels, strict=True):
        by_sight[sight][label] += 1
    shares = [max(count.values()) / sum(count.values()) for count in by_sight.values()]
    return {
        "every sight counts alike there: one that is shown more often counts for more": sum(shares) / len(shares),
        "that is the commonest label of all, whatever is shown: the guess may depend on what is shown": max(Counter(labels).values()) / len(labels),
        "that guesses by chance, as often as each label occurs: the best guess is always the commonest": sum(
            n * n / sum(count.values()) for count in by_sight.values() for n in count.values()) / len(labels),
        "those are the sights that have one label only: of the others the best guess is right at times, too": sum(
            sum(count.values()) for count in by_sight.values() if len(count) == 1) / len(labels),
        "that is the number of right guesses: the share is wanted": float(sum(max(count.values()) for count in by_sight.values())),
        "that is one over the number of labels, whatever is shown": 1 / len(set(labels)),
    }


def grade_best_accuracy(answer: Callable) -> str:
    cases = [
        ([(0, 1), (0, 1), (0, 1), (1, 0), (2, 2), (2, 2), (3, 3)], ["right", "right", "left", "left", "up", "up", "up"]),
        ([5, 5, 5, 5, 6, 6, 7, 8, 8], [0, 1, 1, 2, 0, 1, 2, 2, 0]),
        ([frozenset("ab"), frozenset("ba"), frozenset("c")], [1, 0, 1]),
    ]
    for seen, labels in cases:
        found, right = as_number(answer(list(seen), list(labels)), "the accuracy"), best_accuracy(seen, labels)
        if not near(found, torch.tensor(right).double()):
            name_mistake(found, {hint: torch.tensor(value) for hint, value in wrong_best(seen, labels).items()},
                         f"shown {seen}, with the labels {labels}, the best guesses are right in {right:.3f} of all, got {found:.3f}")
    return "the commonest label of each sight, counted over all samples"


# 16.7

CHOICES = {
    "a": "pictures whose combination of letter and mark occurs in no training caption, in neither case and in no font",
    "b": "pictures drawn at random for the test, after all have been pooled",
    "c": "the number of captions among which the right one was found, with every number",
    "d": "the captions of the held-out pictures as the pool, for these are what is asked for",
    "e": "a classifier for each part of a caption, on the same network, with as many updates",
    "f": "the caption of the nearest training picture",
    "g": "the contrastive loss on test pictures, in batches of 256, to compare with a model that was trained in batches of 64",
    "h": "a learning rate for each arm, chosen on pictures set apart",
    "i": "several seeds, each with held-out combinations of its own, and the spread over pictures beside that over seeds",
    "j": "captions with the same words in another order, of which one is right",
}
NEEDED = {
    "a": "without (a) it may be memory: the combination was seen in another font, or as a capital",
    "c": "without (c) the number says nothing: among ten captions chance is 10 %, among 683 it is 0.15 %",
    "e": "without (e) nobody knows whether the captions were needed: classifiers of the parts put combinations together, too",
    "f": "without (f) it may be that the nearest picture gives most of it",
    "h": "without (h) it may be the tuning",
    "i": "without (i) one lucky choice of combinations, or one lucky start, may be all there is",
    "j": "without (j) nobody knows whether more than the words was heard: a bag of words would do as well",
}
HARMFUL = {
    "b": "(b) puts the same letters, in other fonts, into both parts",
    "d": "(d) leaves out the answers that are most likely to be given wrongly: a model that prefers captions which it has seen looks good",
    "g": "(g) compares two losses whose chance, ln N, differs",
}
grade_design = grade_letters(CHOICES, NEEDED, HARMFUL, "combinations that are new, a stated pool with all names in it, rivals that were tuned, all the seeds, and the order of words asked for")


EXERCISES = [
    Exercise("16.1", "hold out combinations", 2, 20, hold_out, grade_hold_out),
    Exercise("16.2", "the symmetric loss", 2, 25, clip_loss, grade_clip_loss),
    Exercise("16.3", "which way the temperature goes", 2, 20, scale_slope, grade_scale_slope),
    Exercise("16.4", "classes are texts", 2, 20, zero_shot, grade_zero_shot),
    Exercise("16.5", "which caption is preferred", 1, 10, preferred, grade_preferred),
    Exercise("16.6", "who needs to see it move?", 2, 15, best_accuracy, grade_best_accuracy),
    Exercise("16.7", "what a claim needs", 2, 10, set(NEEDED), grade_design),
]
