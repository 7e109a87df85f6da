"""Full fine-tuning beside scratch on docstrings' libraries, with clipped gradients and rates chosen at full length in both."""

from __future__ import annotations

from statistics import mean

import torch

from pretrain_lib import FineTuning, load_pretrained, load_tokenizer
from pretrain_lib.course.results import load_experiment
from pretrain_lib.evaluation.uncertainty import lead

rate = load_experiment("12-lora-rate")
lora = rate.lora

TITLE = "Docstrings' libraries with 1,000 labels: scratch and full fine-tuning, tuned alike"

PREDICTION = """(Written when 12-lora, 12-lora-rate and 12-lora-adapted were known. In 12-lora scratch was level with full fine-tuning, 0.372 and 0.373, but only full
fine-tuning and LoRA were tried again with clipped gradients and a rate chosen on all labels. In 12-lora-adapted scratch was tuned so, and had 0.412 with the same seeds
and sentences, beside 0.384 of full fine-tuning in 12-lora-rate.) 1. Scratch is ahead of full fine-tuning, by 2 points or more. 2. That is more than other seeds would
change, and more than other modules would change."""

SEEDS = rate.SEEDS
RATES = (1e-3, 3e-4, 3e-3)  # for both


def run(scale: str) -> dict:
    """Accuracy and macro-F1 of each way by seed; the lead of scratch, over modules and over seeds."""
    zoo, tokenizer = load_pretrained(lora.ZOO_MODEL), load_tokenizer(lora.ZOO_MODEL)
    (seeds, labels), (train, unseen, test) = rate.size(scale), rate.parted(scale, tokenizer)
    classes = len(train.classes)
    ways = {"scratch": FineTuning(lora.from_scratch, classes, rate.clipped("scratch"), RATES),
            "full": FineTuning(zoo, classes, rate.clipped("pretrained"), RATES)}  # fmt: skip
    predicted, chosen = lora.answers(ways, train, test, lambda seed: {}, tokenizer, seeds, labels, labels)
    right = {name: torch.stack(runs, 1) == test.labels[:, None] for name, runs in predicted.items()}
    found = lead(right["scratch"], right["full"], unseen.sources)
    return {"labels": labels, "settings": chosen, "test_sentences": len(unseen), "lead": {way: one._asdict() for way, one in found._asdict().items()},
            **lora.scored(predicted, test.labels)}  # fmt: skip


def verdict(measured: dict) -> str:
    """Each prediction against what was measured."""
    said = {True: "held", False: "failed"}
    means = {name: mean(runs) for name, runs in measured["accuracy"].items()}
    samples, seeds = measured["lead"]["over_samples"], measured["lead"]["over_seeds"]
    told = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
    return (f"Accuracy with {measured['labels']} labels: {told}. 1. It is ahead by {100 * samples['difference']:.1f} points: {said[means['scratch'] - means['full'] >= 0.02]}. "
            f"2. {100 * samples['low']:+.2f} to {100 * samples['high']:+.2f} points over modules (p = {samples['p']:.3f}), "
            f"{100 * seeds['low']:+.2f} to {100 * seeds['high']:+.2f} over seeds (p = {seeds['p']:.3f}): {said[min(samples['low'], seeds['low']) > 0]}.")  # fmt: skip
