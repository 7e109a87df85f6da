"""Exercises of chapter 11: evaluating pre-training."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from . import Exercise, Mistake, grade_diagnoses

CLS, SEP, MASK = 2, 3, 4
V = 12


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mystery_labels(sources) -> np.ndarray:
    """A coin is tossed for every speech; half of the speeches are heads."""
    speeches, number = np.unique(sources, return_inverse=True)
    coin = np.random.default_rng(11).permutation(len(speeches)) % 2
    return coin[number]


# 11.1


def split_by_speech(sources: list, share: float, seed: int) -> tuple[list, list]:
    """Numbers of the sentences to train and to test on; no speech has sentences in both."""
    speeches = sorted(set(sources))
    order = np.random.default_rng(seed).permutation(len(speeches))
    test = {speeches[i] for i in order[: round(share * len(speeches))]}
    return ([i for i, source in enumerate(sources) if source not in test], [i for i, source in enumerate(sources) if source in test])


def grade_split(answer) -> str:
    sources = [f"speech {i % 20 if i < 200 else 3}" for i in range(300)]  # speech 3 is very long
    first = None
    for seed in range(6):
        found = answer(list(sources), 0.25, seed)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise Mistake("return two lists of sentence numbers: for training, and for the test")
        train, test = ([int(i) for i in part] for part in found)
        if sorted(train + test) != list(range(300)):
            raise Mistake("every sentence belongs in exactly one of the two parts")
        both = {sources[i] for i in train} & {sources[i] for i in test}
        if both:
            raise Mistake(f"{len(both)} of the 20 speeches have sentences in both parts: that is the leak. Choose speeches, not sentences")
        number = len({sources[i] for i in test})
        if number != 5:
            raise Mistake(f"a share of 0.25 of 20 speeches is 5 speeches, got {number}: count speeches, not sentences")
        if sorted(map(int, answer(list(sources), 0.25, seed)[1])) != sorted(test):
            raise Mistake("the same seed must give the same split: make the generator from the seed, inside the function")
        order = torch.randperm(300, generator=torch.Generator().manual_seed(seed)).tolist()
        if {sources[i] for i in test} != {sources[order[int(i)]] for i in answer([sources[i] for i in order], 0.25, seed)[1]}:
            raise Mistake("the same sentences in another order give other speeches: sort the speeches before you draw. (A set of strings has another order in each run)")
        first = first or sorted(test)
    if all(sorted(map(int, answer(list(sources), 0.25, seed)[1])) == first for seed in range(1, 6)):
        raise Mistake("every seed gives the same speeches: draw them at random")
    return "no speech on both sides, every sentence used, another seed another split"


# 11.2


def pseudo_log_likelihood(predict, input_ids: Tensor) -> Tensor:
    """Σ log P(token | all others) over the tokens between [CLS] and [SEP]; `predict`: (n, T) to logits (n, T, V)."""
    places = torch.arange(1, len(input_ids) - 1)
    rows = input_ids.repeat(len(places), 1)
    rows[torch.arange(len(places)), places] = MASK
    logits = predict(rows)[torch.arange(len(places)), places]  # (n, V)
    return logits.log_softmax(-1).gather(1, input_ids[places][:, None]).sum()


def toy_predictor(seed: int):
    """Logits from what stands on the left, on the right, and at the place itself."""
    left, right, own = (numbers(V, V, seed=10 * seed + i) for i in range(3))

    def predict(rows: Tensor) -> Tensor:
        return left[rows.roll(1, 1)] + right[rows.roll(-1, 1)] + own[rows]  # (n, T, V)

    return predict


def grade_pseudo(answer) -> str:
    for seed, length in enumerate((7, 4, 9)):
        predict = toy_predictor(seed)
        ids = torch.tensor([CLS, *(5 + torch.arange(length) * (seed + 2) % (V - 5)).tolist(), SEP])
        given = ids.clone()
        ours = answer(predict, given)
        if not torch.equal(given, ids):
            raise Mistake("your function changes the ids that it was given: copy them first")
        if not isinstance(ours, Tensor) or ours.numel() != 1:
            raise Mistake("return one number, as a tensor")
        right = pseudo_log_likelihood(predict, ids)
        inner = range(1, len(ids) - 1)

        def summed(rows, places, log=True):
            logits = predict(rows)
            scores = logits.log_softmax(-1) if log else logits
            return sum(scores[k, t, ids[t]] for k, t in enumerate(places))

        one_hidden = ids.repeat(len(inner), 1)
        one_hidden[torch.arange(len(inner)), torch.tensor(list(inner))] = MASK
        all_hidden = ids.clone()
        all_hidden[1:-1] = MASK
        everywhere = ids.repeat(len(ids), 1).fill_diagonal_(MASK)
        likely = {
            "nothing is hidden: the model sees the token that it is to guess": summed(ids.repeat(len(inner), 1), inner),
            "all tokens are hidden at once: each is to be predicted from all the others, so hide one at a time":
                summed(all_hidden.repeat(len(inner), 1), inner),
            "[CLS] and [SEP] are scored, too: they stand in every text, and are no part of it": summed(everywhere, range(len(ids))),
            "those are sums of logits: take the log-softmax over the vocabulary first": summed(one_hidden, inner, log=False),
            "that is the mean: the pseudo-log-likelihood is the sum": right / len(inner),
            "the sign is reversed: the logarithm of a probability is negative": -right,
        }
        if torch.allclose(ours.double(), right):
            continue
        for hint, value in likely.items():
            if torch.allclose(ours.double(), value):
                raise Mistake(hint)
        raise Mistake(f"expected {right:.4f}, got {ours.item():.4f}: one copy of the text for each token, hidden in that copy alone")
    return "each token hidden once, by itself, in three texts"


# 11.3


def exposure(scores: Tensor, secret: int) -> float:
    """log₂ of the number of candidates − log₂ of the secret's rank, the likeliest first."""
    rank = int((scores >= scores[secret]).sum())
    return math.log2(len(scores)) - math.log2(rank)


def grade_exposure(answer) -> str:
    scores = numbers(64, seed=0)
    order = scores.argsort(descending=True).tolist()
    for rank in (2, 1, 5, 16, 64):
        secret = order[rank - 1]
        try:
            ours = float(answer(scores.clone(), secret))
        except (ValueError, ZeroDivisionError) as error:
            raise Mistake(f"it fails for the {rank}-th likeliest candidate ({error}): ranks begin with 1") from None
        right = math.log2(64 / rank)
        if math.isclose(ours, right, abs_tol=1e-6):
            continue
        likely = {
            "those are nats: exposure counts bits, so take log₂": math.log(64 / rank),
            "ranks begin with 1, for the likeliest": math.log2(64 / (rank - 1)) if rank > 1 else math.inf,
            "the ranking is upside down: the likeliest candidate has rank 1": math.log2(64 / (65 - rank)),
            "that is the logarithm of the rank: by how much is the search *shorter* than among all?": math.log2(rank),
        }
        for hint, value in likely.items():
            if math.isclose(ours, value, abs_tol=1e-6):
                raise Mistake(hint)
        raise Mistake(f"of 64 candidates the {rank}-th likeliest has exposure {right:.4f}, got {ours:.4f}")
    tied = float(answer(torch.zeros(64, dtype=torch.float64), 5))
    if not math.isclose(tied, 0, abs_tol=1e-6):
        raise Mistake(f"of 64 candidates with one and the same score the secret is exposed by {tied:.2f} bits: among equals it counts as the last, or a model that "
                      "tells nothing apart would give everything away")
    return "6 bits for the likeliest of 64, none for the last, none where all are equal"


# 11.4


def control_labels(tokens: Tensor, labels: Tensor, seed: int) -> Tensor:
    """Of each token (n,), the label that its type was given at random, as common as in `labels` (n,)."""
    generator = torch.Generator().manual_seed(seed)
    drawn = labels[torch.randint(len(labels), (int(tokens.max()) + 1,), generator=generator)]  # one per type
    return drawn[tokens]


def grade_control(answer) -> str:
    tokens = torch.arange(4000) * 3 + 7  # of the ids many do not occur
    tokens = torch.cat([tokens, tokens])
    labels = (torch.rand(8000, generator=torch.Generator().manual_seed(5)) < 0.1).long()  # one in ten
    try:
        first, other = (answer(tokens.clone(), labels.clone(), seed) for seed in (0, 1))
    except IndexError as error:
        raise Mistake(f"it fails where some ids do not occur ({error}): draw a label for every id up to the largest, or number the types that occur") from None
    if not isinstance(first, Tensor) or first.shape != labels.shape:
        raise Mistake("return one label for each token, (n,)")
    if torch.equal(first, other):
        hint = "each type has got the label it has in the task" if torch.equal(first, labels) else "nothing in them is random"
        raise Mistake(f"another seed gives the same labels: {hint}")
    if not torch.equal(first[:4000], first[4000:]):
        raise Mistake("one and the same word type has two different labels: draw one label for each type, then look it up. "
                      "(A task that is random for each token nobody could learn, not even by heart)")
    share = first.double().mean().item()
    if not 0.07 < share < 0.13:
        raise Mistake(f"in the task one label in ten is 1, in yours {share:.0%}: draw from the task's labels, or the control is harder or easier")
    if not torch.equal(first, answer(tokens.clone(), labels.clone(), 0)):
        raise Mistake("the same seed must give the same labels: make the generator from the seed, inside the function")
    return "one random label per type, as common as in the task"


# 11.5


def calibration_error(confidence: Tensor, right: Tensor, bins: int) -> float:
    """Σ over bins of (samples in it / N) · |share right − mean confidence|."""
    number = ((confidence * bins).ceil().long() - 1).clamp(min=0)
    error = 0.0
    for m in range(bins):
        inside = number == m
        if inside.any():
            error += inside.double().mean() * abs(right[inside].double().mean() - confidence[inside].mean())
    return float(error)


def grade_calibration(answer) -> str:
    for seed in range(3):
        confidence = numbers(200, seed=seed).sigmoid()
        right = torch.rand(200, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) < confidence.flip(0) ** 0.5
        expected = calibration_error(confidence, right, 10)
        ours = float(answer(confidence.clone(), right.clone(), 10))
        if math.isclose(ours, expected, abs_tol=1e-6):  # single precision is precise enough
            continue
        number = ((confidence * 10).ceil().long() - 1).clamp(min=0)
        gaps, weights = [], []
        for m in range(10):
            inside = number == m
            if inside.any():
                gaps.append((right[inside].double().mean() - confidence[inside].mean()).item())
                weights.append(inside.double().mean().item())
        likely = {
            "NaN: an empty bin has no mean. Leave it out": None,
            "every bin counts alike: weigh each by its share of the samples": np.mean(np.abs(gaps)),
            "too high in one bin and too low in another cancel: take the absolute value in each bin, then add up":
                abs(sum(w * g for w, g in zip(weights, gaps, strict=True))),
            "signs are left in: take the absolute value in each bin": sum(w * g for w, g in zip(weights, gaps, strict=True)),
            "that is the largest gap of a bin, the *maximum* calibration error: take the weighted mean": max(map(abs, gaps)),
            "those are squares: take the absolute value": sum(w * g * g for w, g in zip(weights, gaps, strict=True)),
        }
        for hint, value in likely.items():
            if math.isnan(ours) if value is None else math.isclose(ours, value, abs_tol=1e-6):
                raise Mistake(hint)
        raise Mistake(f"expected {expected:.5f}, got {ours:.5f}: in each bin |share right − mean confidence|, weighted by its share of the samples")
    sure, right = torch.ones(4, dtype=torch.float64), torch.tensor([True, True, False, False])
    if not math.isclose(float(answer(sure, right, 10)), 0.5, abs_tol=1e-6):
        raise Mistake("four answers of confidence 1, of which two are right, have an error of 0.5: the last bin holds 1 itself")
    edge = torch.tensor([0.25, 0.25, 0.3, 0.3], dtype=torch.float64)
    if not math.isclose(float(answer(edge, torch.tensor([True, True, False, False]), 4)), 0.525, abs_tol=1e-6):
        raise Mistake("a confidence on an edge is in the wrong bin: with four bins 0.25 belongs in (0, 0.25], and 0.3 in the next")
    if not math.isfinite(float(answer(torch.full((4,), 0.95, dtype=torch.float64), torch.tensor([True, True, False, True]), 10))):
        raise Mistake("NaN: an empty bin has no mean. Leave it out")
    return "weighted gaps of all bins, edges where they belong, empty ones left out"


# 11.6

DIAGNOSES = ("sources on both sides", "best of many", "untuned baseline", "learned by the probe", "trained on the test text", "sound")
RIGHT_REPORTS = {"A": "untuned baseline", "B": "trained on the test text", "C": "learned by the probe", "D": "best of many", "E": "sound"}
CLUES = {
    "A": "who got how much attention? Compare the two ways to choose a learning rate",
    "B": "there is no split at all. Where do the masked tokens stand, and what was the model shown?",
    "C": "read the last line: whatever was pretrained is not in there",
    "D": "how many were tried, and on what was the winner chosen and praised?",
    "E": "split, baselines, tuning, spread: what exactly would you object to?",
}
REPORTS = {
    "A": """Our model, fine-tuned        0.84   (best of 12 learning rates, on validation speeches)
the same network, scratch    0.61   (at the learning rate of the paper)
5 seeds each, spread 0.01, split by speech""",
    "B": """Masked accuracy of our model: 71.3 %
Measured on 2,000 masked tokens of the 1,900 speeches of its corpus, masked afresh
(other tokens than in training), 40 epochs""",
    "C": """Our layers know parts of speech: a probe on layer 3 is right in 93 %
(speeches for fitting and for scoring are apart, strength tuned, 5 seeds)
the same probe on an untrained network: 92 %""",
    "D": """48 settings × 3 seeds were run. The best reaches 0.713 on the 200 test sentences,
the runner-up 0.710, the mean of all 0.672. So our method gains 4 points""",
    "E": """Pretrained 0.66 (0.64 to 0.68), TF-IDF 0.58, scratch 0.55, frozen random 0.49
each tuned on the labels alone with as many tries; 5 draws of labels
1,000 sentences of 36 speeches that nothing was trained on; interval over speeches""",
}
grade_reports = grade_diagnoses(RIGHT_REPORTS, DIAGNOSES, CLUES)


# 11.7


def bootstrap(a, b, groups, resamples: int, seed: int) -> np.ndarray:
    """The mean of A minus that of B, (resamples,), on test sets whose groups are drawn anew; a, b, groups (N,)."""
    names, number = np.unique(groups, return_inverse=True)
    gains, sizes = np.bincount(number, np.asarray(a) - np.asarray(b)), np.bincount(number)  # of each group, (G,)
    drawn = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    return gains[drawn].sum(1) / sizes[drawn].sum(1)


def right_or_wrong(groups: list, seed: int) -> tuple[Tensor, Tensor]:
    """Scores 0 or 1 of A and B: easy and hard groups for both, and some in which A is better."""
    number = torch.tensor(np.unique(groups, return_inverse=True)[1])
    level, gain = numbers(int(number.max()) + 1, seed=seed).sigmoid(), 0.6 * numbers(int(number.max()) + 1, seed=seed + 1).sigmoid()
    luck = torch.rand(len(number), generator=torch.Generator().manual_seed(seed + 2), dtype=torch.float64)
    return (luck < level[number] + gain[number]).double(), (luck < level[number]).double()


def grade_bootstrap(answer) -> str:
    resamples = 2000
    even, uneven = [f"speech {i % 25}" for i in range(500)], [f"speech {k}" for k in range(30) for _ in range(1 + 39 * (k % 2))]
    for groups, seed in ((even, 20), (uneven, 40)):
        a, b = right_or_wrong(groups, seed)
        found = np.asarray(answer(a.clone(), b.clone(), list(groups), resamples, 0), dtype=float)
        if found.shape != (resamples,):
            raise Mistake(f"return one difference for each of the {resamples} test sets that are drawn, ({resamples},), got {found.shape}")
        name_bootstrap(found, a, b, groups)
        if not np.array_equal(found, np.asarray(answer(a.clone(), b.clone(), list(groups), resamples, 0))):
            raise Mistake("the same seed must give the same differences: make the generator from the seed, inside the function")
        if np.array_equal(found, np.asarray(answer(a.clone(), b.clone(), list(groups), resamples, 1))):
            raise Mistake("another seed gives the same differences: the seed must decide what is drawn")
    return "its spread is that of the formula where all speeches are equally long, and the library's where they are not"


def name_bootstrap(found: np.ndarray, a: Tensor, b: Tensor, groups: list) -> None:
    """Raises what a distribution of differences gives away."""
    names, number = np.unique(groups, return_inverse=True)
    gain, sizes = (a - b).numpy(), np.bincount(number)
    means = np.bincount(number, gain) / sizes
    draw = np.random.default_rng(1).integers(len(names), size=(4000, len(names)))
    spread = {"": (gain.mean(), (means * sizes)[draw].sum(1) / sizes[draw].sum(1)),
              "each drawn speech counts alike, however long it is: add up all of its sentences, then divide by how many there are": (means.mean(), means[draw].mean(1)),
              "centred on 0: do not shuffle who is who, or subtract the difference. Draw test sets, and subtract B from A on each": (0.0, None)}
    centre, right = spread[""]
    if np.ptp(found) < 1e-12:
        raise Mistake("all differences are the same: draw *with* replacement, so that a speech may come twice and another not at all")
    if abs(found.mean() + centre) < 0.2 * centre:
        raise Mistake("the sign is turned: A minus B")
    off = abs(found.mean() - centre) / right.std()
    rivals = {
        "sentences are drawn one by one: sentences of a speech are easy or hard together, so draw whole speeches": gain.std() / len(gain) ** 0.5,
        "A and B are drawn apart: they answer the same sentences, so draw a speech with the answers of both":
            sum((np.bincount(number, x.numpy())[draw].sum(1) / sizes[draw].sum(1)).var() for x in (a, b)) ** 0.5,
        "as many speeches are drawn as there are sentences: a new test set has as many speeches as the old one": right.std() * (len(names) / len(gain)) ** 0.5,
        "": right.std(),
    }
    for hint, (middle, drawn) in list(spread.items())[1:]:
        if off > 0.2 and abs(found.mean() - middle) < 0.15 * right.std() and (drawn is None or abs(found.std() / drawn.std() - 1) < 0.1):
            raise Mistake(hint)
    nearest = min(rivals, key=lambda hint: abs(np.log(found.std() / rivals[hint])))
    if nearest and abs(found.std() / right.std() - 1) > 0.1:
        raise Mistake(nearest)
    if off > 0.2 or abs(found.std() / right.std() - 1) > 0.1:
        raise Mistake(f"the differences have mean {found.mean():.4f} and standard deviation {found.std():.4f}, expected {centre:.4f} and {right.std():.4f}: "
                      "draw as many speeches as there are, with replacement, and take all sentences of each")


# 11.8


def chance_exposure(candidates: int, secrets: int) -> tuple[float, float]:
    """The mean exposure of a secret whose rank is drawn by lot, and the standard error of a mean over so many secrets."""
    bits = math.log2(candidates) - np.log2(np.arange(1, candidates + 1))
    return float(bits.mean()), float(bits.std() / math.sqrt(secrets))


def grade_by_lot(answer) -> str:
    for candidates, secrets in ((16, 4), (10_000, 12), (300, 1)):
        found = answer(candidates, secrets)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise Mistake("return two numbers: the mean exposure, and the standard error")
        mean, error = map(float, found)
        right = math.log2(candidates) - math.lgamma(candidates + 1) / candidates / math.log(2)  # log₂ R − log₂(R!) / R
        squares = sum(math.log2(candidates / rank) ** 2 for rank in range(1, candidates + 1)) / candidates
        one = math.sqrt(squares - right**2)
        if not math.isclose(mean, right, rel_tol=1e-6):
            likely = {"those are nats: exposure counts bits": right * math.log(2),
                      "that is the exposure of the mean rank: take the mean of the exposures of all ranks": math.log2(2 * candidates / (candidates + 1)),
                      "log₂ e is what the mean tends to as candidates get more: sum over the ranks that there are": math.log2(math.e)}
            raise Mistake(next((hint for hint, value in likely.items() if math.isclose(mean, value, rel_tol=1e-4)),
                               f"with {candidates} candidates the mean of log₂({candidates} / rank) over all ranks is {right:.4f}, got {mean:.4f}"))
        wrong = {"that is the standard deviation of one secret: the mean of n has 1/√n of it": one if secrets > 1 else math.nan,
                 "divided by n: the standard error falls with the root of n": one / secrets if secrets > 1 else math.nan,
                 "that is the variance: take the root": one**2 / secrets}
        if not math.isclose(error, one / math.sqrt(secrets), rel_tol=1e-3):
            raise Mistake(next((hint for hint, value in wrong.items() if math.isclose(error, value, rel_tol=1e-3)),
                               f"the mean over {secrets} secrets has the standard error {one / math.sqrt(secrets):.4f}, got {error:.4f}"))
    return "log₂ R − log₂(R!) / R on average, and the spread of so many draws"

EXERCISES = [
    Exercise("11.1", "a split that does not leak", 1, 10, split_by_speech, grade_split),
    Exercise("11.2", "a pseudo-log-likelihood", 2, 15, pseudo_log_likelihood, grade_pseudo),
    Exercise("11.3", "the exposure of a secret", 1, 10, exposure, grade_exposure),
    Exercise("11.4", "a control task", 2, 10, control_labels, grade_control),
    Exercise("11.5", "the calibration error", 2, 15, calibration_error, grade_calibration),
    Exercise("11.6", "read five reports", 2, 10, RIGHT_REPORTS, grade_reports),
    Exercise("11.7", "the bootstrap", 3, 30, bootstrap, grade_bootstrap),
    Exercise("11.8", "what chance exposes", 2, 15, chance_exposure, grade_by_lot),
]
