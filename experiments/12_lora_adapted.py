"""LoRA after the model has read the domain: docstrings without labels first, then the library of a docstring from 1,000 labels."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean

from torch import nn

from pretrain_lib import FineTuning, LinearProbe, MaskedLM, TfidfClassifier, TrainConfig, Trainer, load_labelled_text, load_pretrained, load_tokenizer
from pretrain_lib.course.results import load_experiment
from pretrain_lib.data.tasks.encoded import encode_labelled
from pretrain_lib.evaluation.masked import masked_scores

TITLE = "LoRA and full fine-tuning on docstrings' libraries, of the zoo's model after it has read docstrings without labels"

PREDICTION = """(Written when 12-lora, 12-lora-rate and two seeds of 12-lora-where were known: LoRA level with full fine-tuning where the model has read such text, ten
points behind on docstrings. Of the adapted model nothing was known but that twelve updates on docstrings bring its masked loss from 5.5 to 4.4.) It is the domain
that LoRA cannot learn, not the task. So with a model that has gone on with masked language modelling on docstrings: 1. full fine-tuning gains 5 points or more over
that of the model that has not read them (0.384, 12-lora-rate); 2. LoRA with at most 2 % of the parameters is within 1.5 points of full fine-tuning; 3. LoRA is ahead of scratch by 3
points or more; 4. counting words, TF-IDF, is still within 5 points of it."""

SEEDS = (131, 132, 133, 134, 135)
TASK, TOKENIZER = "docstring-library", "sotu-8192"
STEPS, BATCH = 640, 16  # of reading docstrings
RATES = {"scratch": (1e-3, 3e-3), "full": (1e-3, 3e-4), "LoRA": (3e-3, 1e-3)}


def adapted(steps: int = STEPS) -> tuple[nn.Module, dict[str, float]]:
    """The zoo's model after so many updates of masked language modelling on docstrings of the modules that are not tested on.

    Returns it with its masked loss on docstrings of the others, before and after.
    """
    domain = load_experiment("12-domain-adaptive")
    tokenizer, text = load_tokenizer(TOKENIZER), load_labelled_text(TASK)
    training, _ = text.split(0.1)
    model = load_pretrained("modernbert-mini-sotu")
    config = TrainConfig(steps=steps, batch_size=BATCH, optimizer="muon", learning_rate=0.01, betas=(0.9, 0.98), weight_decay=0.01, schedule="linear",
                         warmup_steps=max(1, steps // 20), gradient_clipping=1.0, precision="auto", device="cpu")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        blocks, blanks, _ = domain.domains(Path(folder), tokenizer, set(text.sources) - set(training.sources))
        before = masked_scores(model, blanks).loss
        Trainer(model, MaskedLM.of(tokenizer, rate=domain.RATE), blocks["docstrings"], config).fit()
        return model, {"before": before, "after": masked_scores(model, blanks).loss}


def ways(model: nn.Module, classes: int, lora) -> dict:
    """The ways to learn from the labels; gradients are clipped in all."""

    def clipped(start: str):
        return lambda labels: replace(lora.training(lora.EPOCHS[start])(labels), gradient_clipping=1.0)

    return {"TF-IDF": TfidfClassifier(lora.COUNTED),
            "scratch": FineTuning(lora.from_scratch, classes, clipped("scratch"), RATES["scratch"]),
            "frozen random": LinearProbe(None, "random", lora.STRENGTHS), "frozen": LinearProbe(None, "adapted", lora.STRENGTHS),
            "full": FineTuning(model, classes, clipped("pretrained"), RATES["full"]),
            "LoRA": FineTuning(model, classes, clipped("pretrained"), RATES["LoRA"], lora=lora.LORA)}  # fmt: skip


def run(scale: str) -> dict:
    """Scores of each way, one a seed; all seeds start from one adapted model, as 12-lora's do from the zoo's."""
    lora = load_experiment("12-lora")
    small = scale == "smoke"
    seeds, labels = (SEEDS[:1], 48) if small else (SEEDS, lora.LABELS)
    model, losses = adapted(4 if small else STEPS)
    tokenizer = load_tokenizer(TOKENIZER)
    train, unseen = lora.parted(TASK)
    if small:
        unseen = unseen.subset(range(0, len(unseen), 12))
    encoded = encode_labelled(unseen, tokenizer, lora.LENGTH)
    predicted, chosen = lora.answers(
        ways(model, len(train.classes), lora), train, encoded, lambda seed: {"adapted": model, "random": lora.from_scratch(seed)},
        tokenizer, seeds, labels, labels)  # fmt: skip
    pairs = [("LoRA", "full"), ("LoRA", "scratch"), ("LoRA", "TF-IDF"), ("full", "scratch"), ("full", "TF-IDF")]
    return {"labels": labels, "tokens": (4 if small else STEPS) * BATCH * 128, "masked_loss": losses, "settings": chosen,
            "test_sentences": len(unseen), "trained": lora.trained_share(model, len(train.classes)),
            "lead": lora.leads(predicted, encoded.labels, unseen.sources, pairs), **lora.scored(predicted, encoded.labels)}  # fmt: skip


def verdict(measured: dict) -> str:
    """Each prediction against what was measured; full fine-tuning of the model that has not read docstrings is that of 12-lora-rate."""
    from pretrain_lib.course.results import results

    said, runs = {True: "held", False: "failed"}, measured["accuracy"]
    means = {name: mean(each) for name, each in runs.items()}
    unread = mean(results("12-lora-rate")["measured"]["accuracy"]["full"])
    told = ", ".join(f"{name} {means[name]:.3f} ({min(each):.3f} to {max(each):.3f})" for name, each in runs.items())
    within = abs(means["LoRA"] - means["full"]) <= 0.015 and measured["trained"]["share"] <= 0.02
    return (f"Masked loss on unseen modules {measured['masked_loss']['before']:.2f} before reading and {measured['masked_loss']['after']:.2f} after. Accuracy with "
            f"{measured['labels']} labels: {told}. 1. It gains {100 * (means['full'] - unread):.1f} points: {said[means['full'] >= unread + 0.05]}. "
            f"2. LoRA is {100 * (means['full'] - means['LoRA']):.1f} points behind: {said[within]}. "
            f"3. It is {100 * (means['LoRA'] - means['scratch']):.1f} points ahead: {said[means['LoRA'] >= means['scratch'] + 0.03]}. "
            f"4. TF-IDF is {100 * (means['LoRA'] - means['TF-IDF']):.1f} points behind LoRA: {said[means['TF-IDF'] >= means['LoRA'] - 0.05]}.")  # fmt: skip
