"""What contrast owes to its projection head, its temperature, its batch and its normalisation, on MNIST."""

from __future__ import annotations

from dataclasses import replace
from math import log
from statistics import mean

import torch

from pretrain_lib import RandomResizedCrop, RandomRotate, ResNetModel, TwoViews, effective_rank, features
from pretrain_lib.course.results import load_experiment
from pretrain_lib.evaluation.uncertainty import lead

shared = load_experiment("14-augmentations")

TITLE = "Contrast on MNIST: projection head, temperature, batch size at equal samples, and group for batch normalisation"

PREDICTION = """(Known from a prototype with another program, one seed, 22,000 samples, 10 labels per class: 84.0 % with a hidden layer in the head, 61.6
without a head; 83.2 at a temperature of 0.05, 66.2 at 1; 86.3 with batches of 32 and 78.3 with 512 at equal time; 74.5 without batch normalisation.) 1. A
head with a hidden layer is better than a linear one, and that better than none, which is 10 points or more behind the first, clearly (Chen et al. 2020,
Figure 8). 2. What goes into the head probes better than what comes out, clearly (ibid., Table 3). 3. A temperature of 1 is 5 points or more behind 0.2,
clearly; 0.05 is within 3 points of it. 4. At equal samples batches of 512 are not better than 128, nor 128 than 32 by more than 1 point: larger batches are
not what lacks here (against ibid., Figure 9). 5. Group normalisation, which leaves samples alone, costs 5 points or more, clearly."""

SEEDS = (143, 144, 145)
SAMPLES, PER_CLASS = 300 * 128, 10
RATES = (1e-3, 3e-3, 1e-2)
VIEWS = (RandomResizedCrop(0.4), RandomRotate(15))
SHAPE = replace(shared.SHAPE, num_channels=1)
BASE = {"head": shared.HEAD, "temperature": 0.2, "batch": 128, "norm": "batch"}
CHANGES = {"base": {}, "no head": {"head": shared.HEAD[:1]}, "linear head": {"head": shared.HEAD[::2]},
           "temperature 0.05": {"temperature": 0.05}, "temperature 1": {"temperature": 1.0},
           "batch 32": {"batch": 32}, "batch 512": {"batch": 512}, "group normalisation": {"norm": "group"}}  # fmt: skip
ARMS = (*CHANGES, "frozen random", "raw pixels")


def contrasted(arm: str, rate: float, seed: int, images, samples: int):
    """A network after contrast with one thing changed, what it learned by, and its last loss."""
    setting = BASE | CHANGES[arm]
    model = ResNetModel(replace(SHAPE, norm=setting["norm"]), seed)
    norm = "batch" if setting["norm"] == "batch" else "layer"  # no layer of the head couples samples either
    objective = shared.contrast(setting["head"], setting["temperature"], norm, seed)
    config = shared.recipe(max(2, samples // setting["batch"]), setting["batch"], rate, seed)
    return model, objective, shared.trained(model, objective, TwoViews(images, VIEWS), config)


def right(encode, train, test, seed: int, count: int) -> torch.Tensor:
    """(N,) how often a probe of each test image comes out right, over draws of the labels."""
    return shared.probed(encode, train, test, seed, (count,))[count]


def measure(arm: str, small: bool = False) -> dict:
    """All of one arm: the rate that was chosen with a seed set apart, and each seed's run."""
    count, samples, seeds = (2, 64, SEEDS[:2]) if small else (PER_CLASS, SAMPLES, SEEDS)
    train, apart, test = shared.mnist(small)
    if arm == "raw pixels":
        return {"runs": [{"h": right(lambda images: images.images.flatten(1), train, test, seed, count)} for seed in seeds]}
    if arm == "frozen random":
        return {"runs": [{"h": right(lambda images, seed=seed: features(ResNetModel(SHAPE, seed), images), train, test, seed, count)} for seed in seeds]}

    def score(rate: float) -> float:
        model, *_ = contrasted(arm, rate, shared.APART, train, samples)
        return right(lambda images: features(model, images), train, apart, shared.APART, count).mean().item()

    scores = {rate: score(rate) for rate in RATES}
    rate, runs = max(scores, key=scores.get), []
    for seed in seeds:
        model, objective, loss = contrasted(arm, rate, seed, train, samples)
        runs.append({"h": right(lambda images: features(model, images), train, test, seed, count),
                     "z": right(lambda images: shared.projected(model, objective, images), train, test, seed, count),
                     "loss": loss, "rank": effective_rank(features(model, test))})  # fmt: skip
    return {"rate": rate, "scores": scores, "runs": runs}


def finish(parts: dict, small: bool = False) -> dict:
    """Accuracies, losses and ranks of each seed, and the leads."""
    answers = {arm: {side: torch.stack([run[side] for run in part["runs"]], 1) for side in ("h", "z") if side in part["runs"][0]}
               for arm, part in parts.items()}  # fmt: skip
    base = answers["base"]["h"]
    leads = {f"base over {arm}": lead(base, found["h"]) for arm, found in answers.items() if arm != "base"}
    leads["linear head over no head"] = lead(answers["linear head"]["h"], answers["no head"]["h"])
    leads["before the head over after it"] = lead(base, answers["base"]["z"])
    return {"device": "cpu", "samples": SAMPLES, "labels_per_class": PER_CLASS,
            "accuracy": {arm: {side: each.mean(0).tolist() for side, each in found.items()} for arm, found in answers.items()},
            **{what: {arm: [run[what] for run in parts[arm]["runs"]] for arm in CHANGES} for what in ("loss", "rank")},
            "chance_loss": {arm: log(2 * (BASE | change)["batch"] - 1) for arm, change in CHANGES.items()},
            "rate": {arm: parts[arm]["rate"] for arm in CHANGES}, "scores": {arm: parts[arm]["scores"] for arm in CHANGES},
            "leads": {name: [list(each) for each in found] for name, found in leads.items()}}  # fmt: skip


def run(scale: str) -> dict:
    """What `finish` makes of all arms."""
    small = scale == "smoke"
    return finish({arm: measure(arm, small) for arm in ARMS}, small)


def verdict(measured: dict) -> str:
    """Each prediction against what was measured."""
    said, leads = {True: "held", False: "failed"}, measured["leads"]
    points, is_clear = shared.points, shared.is_clear
    none, linear, below = leads["base over no head"], leads["base over linear head"], leads["linear head over no head"]
    hot, cold, before = leads["base over temperature 1"], leads["base over temperature 0.05"], leads["before the head over after it"]
    few, many, group = leads["base over batch 32"], leads["base over batch 512"], leads["base over group normalisation"]
    told = ", ".join(f"{arm} {mean(found['h']):.3f}" + (f" (loss {mean(measured['loss'][arm]):.2f} of {measured['chance_loss'][arm]:.2f}, rank "
                     f"{mean(measured['rank'][arm]):.1f})" if arm in CHANGES else "") for arm, found in measured["accuracy"].items())  # fmt: skip
    heads = none[0][0] >= 0.1 and is_clear(none) and linear[0][0] > 0 and below[0][0] > 0
    heat = hot[0][0] >= 0.05 and is_clear(hot) and abs(cold[0][0]) <= 0.03
    return (f"Accuracy with {measured['labels_per_class']} labels per class: {told}. 1. The head with a hidden layer over a linear one {points(linear)}, "
            f"over none {points(none)}, linear over none {points(below)}: {said[heads]}. "
            f"2. Before the head over after it {points(before)}: {said[is_clear(before)]}. "
            f"3. Temperature 0.2 over 1 {points(hot)}, over 0.05 {points(cold)}: {said[heat]}. "
            f"4. Batches of 128 over 32 {points(few)}, over 512 {points(many)}: {said[few[0][0] <= 0.01 and many[0][0] >= 0]}. "
            f"5. Batch over group normalisation {points(group)}: {said[group[0][0] >= 0.05 and is_clear(group)]}.")  # fmt: skip
