"""What each part of today's recipe is worth when it alone is taken away, beside what it was worth when it was added."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean

from pretrain_lib.course.results import load_experiment, results
from pretrain_lib.evaluation.masked import masked_scores

ladder = load_experiment("08-ladder")

TITLE = "Held-out masked loss of today's recipe with one part taken away, the learning rate chosen anew"

PREDICTION = """(Written after one run per part with one seed had been seen, so it predicts only that those runs were no accident.) The ladder
added one change after another, and what it measured depends on that order. Taken away from the whole recipe, 1. rotary positions are worth at least
0.3 nats, which on the ladder were worth less than 0.1; 2. narrow layers, Muon and 40 % hidden are still worth at least 0.3 nats each; 3. pre-LN, GeGLU and
the start at unigram are worth less than 0.1 each; 4. rotary positions, pre-LN and GeGLU together are worth no more than rotary positions alone, to 0.1."""

SEEDS = (51, 52, 53)
RATES = (3e-3, 1e-2)
WHOLE = (1e-2,)  # the rate of the whole recipe, where little is at stake
TOGETHER = "rotary positions, pre-LN, GeGLU, no biases"
PARTS = {
    "two narrow layers": ({"narrow": 0}, RATES),
    "rotary positions": ({"rotary": False}, RATES),
    "Muon": ({"optimizer": "adamw"}, RATES),
    TOGETHER: ({"rotary": False, "pre_norm": False, "gated": False}, RATES),
    "pre-LN": ({"pre_norm": False}, WHOLE),
    "GeGLU, no biases": ({"gated": False}, WHOLE),
    "output starts at unigram": ({"unigram": False}, WHOLE),
}
LAST = "40 % hidden"  # without it the recipe is the rung below, which the ladder has measured


def measure(task, rung, rates, steps: int, seeds) -> dict:
    """The loss of each seed on the common blanks, with the rate that is best for the first of them on speeches set apart."""
    first = {rate: task.train(rung, rate, seeds[0], steps) for rate in rates}
    search = {rate: masked_scores(model, task.choice).loss for rate, model in first.items()}
    best = min(search, key=search.get)
    scores = [masked_scores(model, task.blanks) for model in (first[best], *(task.train(rung, best, seed, steps) for seed in seeds[1:]))]
    return {"learning_rate": best, "search": {str(rate): loss for rate, loss in search.items()}, "losses": [s.loss for s in scores],
            "accuracies": [s.accuracy for s in scores]}


def run(scale: str) -> dict:
    """For each part: the learning rates tried without it, and the loss of each seed; and the whole recipe once more, on this machine."""
    small = scale == "smoke"
    steps, seeds = (2, SEEDS[:1]) if small else (ladder.STEPS, SEEDS)
    rungs, on_ladder = ladder.rungs(), results("08-ladder")["measured"]["rungs"]
    with tempfile.TemporaryDirectory() as folder:
        task, measured = ladder.Task.open(Path(folder), small), {}
        for name, (change, rates) in PARTS.items():
            measured[name] = measure(task, replace(rungs[LAST], **change), rates, steps, seeds)
            print(name, measured[name], flush=True)
        again = masked_scores(task.train(rungs[LAST], WHOLE[0], seeds[0], steps), task.blanks).loss
    measured[LAST] = on_ladder["Muon"]
    return {"tokens": steps * ladder.BATCH * ladder.LENGTH, "whole": on_ladder[LAST], "whole, again": again, "without": measured,
            "blanks": task.blanks.blanks}


def verdict(measured: dict) -> str:
    """What came out, in a few sentences."""
    said, whole = {True: "held", False: "failed"}, measured["whole"]["losses"]
    worth = {name: mean(loss - same_seed for loss, same_seed in zip(found["losses"], whole)) for name, found in measured["without"].items()}
    large, little = ("two narrow layers", "Muon", LAST), ("pre-LN", "GeGLU, no biases", "output starts at unigram")
    told = ", ".join(f"{name} {worth[name]:+.2f}" for name in sorted(worth, key=lambda name: -worth[name]))
    return (f"Nats lost after {measured['tokens']:,} tokens without a part, means over seeds: {told}. "
            f"1. Rotary positions at least 0.3: {said[worth['rotary positions'] >= 0.3]}. "
            f"2. Narrow layers, Muon and 40 % at least 0.3 each: {said[min(worth[name] for name in large) >= 0.3]}. "
            f"3. Pre-LN, GeGLU and the start less than 0.1 each: {said[max(abs(worth[name]) for name in little) < 0.1]}. "
            f"4. The three of the architecture as rotary positions alone: {said[abs(worth[TOGETHER] - worth['rotary positions']) < 0.1]}.")
