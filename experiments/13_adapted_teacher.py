"""A student needs a teacher who knows: 13-frontier's second task once more, its teacher having read docstrings without labels."""

from __future__ import annotations

import numpy as np
from scipy.stats import ttest_rel

from pretrain_lib import load_tokenizer
from pretrain_lib.course.results import load_experiment

TITLE = "Distilled, pruned and in int8, on docstrings' libraries, with a teacher that has read docstrings"

PREDICTION = """(Written when 13-frontier was known, where on this task the teacher, pretrained on speeches, was no better than the student alone and had nothing to
teach, and before anything of the adapted teacher was measured.) The teacher goes on with masked language modelling on docstrings of other modules before it sees a label.
1. It is ahead of the student without teacher by 5 points or more. 2. The student, taught on sentences without labels, keeps at least 95 % of the teacher's accuracy, and 3. beats the same
student without teacher, by 3 points or more, significantly over draws of labels (paired t-test) and over modules (paired bootstrap). 4. Pruned of 31 % of the heads and
30 % of the units the teacher loses at most 1.5 points, and 5. in int8 at most 1 point."""

SEEDS = (0, 1, 2, 3, 4)
TASK = "docstring-library"


def run(scale: str) -> dict:
    """What 13-frontier measures of a task; all seeds start from one adapted model."""
    frontier, adapting = load_experiment("13-frontier"), load_experiment("12-lora-adapted")
    small = scale == "smoke"
    settings = (SEEDS[:1], 48, 64, 100) if small else (SEEDS, frontier.LABELS, frontier.UNLABELLED, frontier.TEST)
    model, losses = adapting.adapted(4 if small else adapting.STEPS)
    found = frontier.one_task(TASK, model, load_tokenizer(frontier.TOKENIZER), *settings)
    return {"labels": settings[1], "masked_loss": losses, **found}


def verdict(measured: dict) -> str:
    """Each prediction with what was found."""
    said, runs = {True: "held", False: "failed"}, measured["accuracy"]
    mean = {name: np.mean(each) for name, each in runs.items()}
    kept = mean["student"] / mean["teacher"]
    lost = {name: 100 * (mean["teacher"] - mean[name]) for name in ("pruned", "int8")}
    lead = measured["lead"]["student over student without teacher"]
    p = ttest_rel(runs["student"], runs["student without teacher"]).pvalue if len(runs["student"]) > 1 else 1.0
    ahead = mean["teacher"] - mean["student without teacher"]
    surely = lead["difference"] >= 0.03 and p < 0.05 and lead["low"] > 0
    return (f"Teacher {mean['teacher']:.3f}, student {mean['student']:.3f}, without teacher {mean['student without teacher']:.3f}. "
            f"1. The teacher is {100 * ahead:+.1f} points ahead of the student without: {said[ahead >= 0.05]}. 2. The student keeps {kept:.1%}: {said[kept >= 0.95]}. "
            f"3. Over itself without a teacher {100 * lead['difference']:+.1f} points ({100 * lead['low']:+.1f} to {100 * lead['high']:+.1f} over modules, p = {p:.4f} over draws): "
            f"{said[bool(surely)]}. 4. Pruned loses {lost['pruned']:.1f} points: {said[lost['pruned'] <= 1.5]}. 5. Int8 loses {lost['int8']:.1f}: {said[lost['int8'] <= 1]}.")  # fmt: skip
