"""LoRA on docstrings once more, at three learning rates and with clipped gradients, beside full fine-tuning."""

from __future__ import annotations

from dataclasses import replace
from statistics import mean

from pretrain_lib import FineTuning, load_pretrained, load_tokenizer
from pretrain_lib.course.results import load_experiment
from pretrain_lib.data.splits import balanced_ids
from pretrain_lib.data.tasks.encoded import EncodedText, encode_labelled
from pretrain_lib.data.tasks.labelled import LabelledText
from pretrain_lib.evaluation.classification import accuracy
from pretrain_lib.transfer.tuning import choose_setting

lora = load_experiment("12-lora")

TITLE = "LoRA on docstrings' libraries with 1,000 labels, at three learning rates with clipped gradients"

PREDICTION = """(Written when two seeds of 12-lora on this task were known: there LoRA, at the rate 0.01 that had been chosen on a third of the
first seed's labels, was right in 5 of 100 in one seed and 9 points behind full fine-tuning in the other.) The rate is to blame, not the rank. 1. At 0.003 no seed
falls below 0.30, and the mean is within 1.5 points of full fine-tuning. 2. At 0.01 one seed or more is below 0.30, with clipped gradients, too. 3. At 0.001 LoRA is
behind full fine-tuning by more than 1.5 points: too slow. 4. Chosen on the first seed's labels, trained on two thirds and tried on one, the rate is 0.003."""

SEEDS = (131, 132, 133, 134, 135)
TASK = "docstring-library"
RATES = (3e-3, 1e-3, 1e-2)
FULL = 1e-3  # what 12-lora chose for full fine-tuning


def clipped(start: str):
    """As 12-lora trains what starts so, "pretrained" or "scratch", with gradients clipped at norm 1."""
    return lambda labels: replace(lora.training(lora.EPOCHS[start])(labels), gradient_clipping=1.0)


def size(scale: str) -> tuple[tuple[int, ...], int]:
    """Seeds and number of labels."""
    return (SEEDS[:2], 48) if scale == "smoke" else (SEEDS, lora.LABELS)


def parted(scale: str, tokenizer) -> tuple[LabelledText, LabelledText, EncodedText]:
    """Sentences to draw labels from, and 12-lora's test sentences, as they are and encoded."""
    train, unseen = lora.parted(TASK)
    if scale == "smoke":
        unseen = unseen.subset(range(0, len(unseen), 12))
    return train, unseen, encode_labelled(unseen, tokenizer, lora.LENGTH)


def run(scale: str) -> dict:
    """Accuracy and macro-F1 of each rate and of full fine-tuning, one a seed, and the differences, bootstrapped over modules."""
    zoo, tokenizer = load_pretrained(lora.ZOO_MODEL), load_tokenizer(lora.ZOO_MODEL)
    (seeds, labels), (train, unseen, test) = size(scale), parted(scale, tokenizer)
    adapters = FineTuning(zoo, len(train.classes), clipped("pretrained"), RATES, lora=lora.LORA)
    whole = FineTuning(zoo, len(train.classes), clipped("pretrained"), (FULL,))
    ways = {f"LoRA, {rate:g}": (adapters, rate) for rate in sorted(RATES)} | {"full": (whole, FULL)}
    predicted = {name: [] for name in ways}
    for seed in seeds:
        drawn = encode_labelled(train.subset(balanced_ids(train.labels, labels, seed)), tokenizer, lora.LENGTH)
        if seed == seeds[0]:
            chosen = choose_setting(adapters, drawn, seed, rounds=1)
        for name, (way, rate) in ways.items():
            predicted[name].append(way.fit(drawn, rate, seed)(test))
        print(seed, chosen, {name: round(accuracy(p[-1], test.labels), 3) for name, p in predicted.items()}, flush=True)
    pairs = [(name, "full") for name in ways if name != "full"]
    return {"labels": labels, "chosen": chosen, "test_sentences": len(unseen), "lead": lora.leads(predicted, test.labels, unseen.sources, pairs),
            **lora.scored(predicted, test.labels)}  # fmt: skip


def verdict(measured: dict) -> str:
    """Each prediction against what was measured."""
    said, runs = {True: "held", False: "failed"}, measured["accuracy"]
    means = {name: mean(each) for name, each in runs.items()}
    slow, middle, fast = (f"LoRA, {rate:g}" for rate in sorted(RATES))
    told = ", ".join(f"{name} {means[name]:.3f} ({min(each):.3f} to {max(each):.3f})" for name, each in runs.items())
    return (f"Accuracy with {measured['labels']} labels: {told}; chosen {measured['chosen']:g}. "
            f"1. The lowest seed has {min(runs[middle]):.3f}, the mean is {100 * (means['full'] - means[middle]):.1f} points behind: "
            f"{said[min(runs[middle]) >= 0.3 and abs(means[middle] - means['full']) <= 0.015]}. "
            f"2. {sum(run < 0.3 for run in runs[fast])} of {len(runs[fast])} seeds are: {said[min(runs[fast]) < 0.3]}. "
            f"3. It is {100 * (means['full'] - means[slow]):.1f} points behind: {said[means['full'] - means[slow] > 0.015]}. "
            f"4. It is {measured['chosen']:g}: {said[measured['chosen'] == 3e-3]}.")  # fmt: skip
