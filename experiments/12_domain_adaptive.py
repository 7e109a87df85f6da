"""Pretrained on speeches, on docstrings, or on one after the other: which of docstrings' libraries is told best?"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from statistics import mean

import torch
from torch import nn

from pretrain_lib import FineTuning, LinearProbe, MaskedLM, ModernBertConfig, ModernBertForMaskedLM, TrainConfig, Trainer
from pretrain_lib import PackedBlocks, TfidfClassifier, load_labelled_text, load_tokenizer
from pretrain_lib.course.results import load_experiment
from pretrain_lib.evaluation.counting import token_counts
from pretrain_lib.data.tasks.encoded import encode_labelled
from pretrain_lib.data.keys import Keys
from pretrain_lib.data.text.text_data import TextConfig, prepared, split_documents
from pretrain_lib.data.text.tokenizer import special_ids
from pretrain_lib.evaluation.classification import accuracy, majority_class, paired_bootstrap
from pretrain_lib.evaluation.masked import MaskedSet, masked_scores
from pretrain_lib.models.init import start_at_unigram
from pretrain_lib.data.splits import balanced_ids
from pretrain_lib.transfer.tuning import choose_setting

few_labels = load_experiment("08-few-labels-text")
scores, with_features = few_labels.scores, few_labels.with_features

TITLE = "The library of a docstring after pretraining on speeches, on docstrings, or on one after the other, at equal tokens"

PREDICTION = """(Written before anything of it was measured. Known was, from 08-few-labels-text, that with 1,000 labels the zoo's model, which
has read speeches alone, was below training from scratch on this task, and TF-IDF above all.) Gururangan et al. (2020) found in every domain that a second phase
of pretraining on the task's domain beats none. So we predict, for models fine-tuned on 1,000 labels: 1. speeches and then docstrings beats
speeches alone, by 3 points or more. 2. Docstrings alone, with all tokens from the right domain, beats the sequence: the half of the tokens
spent on speeches is not worth what docstrings would have been. 3. Of the three, speeches alone is the only one that training from scratch
comes within 3 points of. 4. TF-IDF stays within 5 points of the best. 5. On held-out docstrings the masked loss has the same order:
docstrings, sequence, speeches."""

SEEDS = (121, 122, 123, 124, 125)
STEPS, BATCH, LENGTH = 240, 8, 128  # of pretraining, in all its phases together
RATE = 0.4
TOKENIZER = "sotu-8192"  # the general domain's, as one adapts a model that is there
SHAPE = ModernBertConfig(vocab_size=8192, hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4,
                         max_position_embeddings=512, local_attention=2, global_rope_theta=10_000.0,
                         layer_types=("sliding_attention",) * 2 + ("full_attention",) * 2)  # fmt: skip
PLANS = {"speeches": ("sotu",), "speeches, then docstrings": ("sotu", "docstrings"), "docstrings": ("docstrings",)}
LABELS, TESTED, SENTENCE = 1000, 1000, 48
EPOCHS = {"pretrained": 3, "scratch": 5}  # from scratch it takes longer
RATES = (1e-3, 3e-3)  # fine-tuning
STRENGTHS = (1.0, 0.1)  # the probes
COUNTED = (10.0, 100.0)  # TF-IDF


def domains(folder: Path, tokenizer, test_modules: set[str]) -> tuple[dict, MaskedSet, torch.Tensor]:
    """Blocks of both texts to train on, blanks in docstrings of the test modules, and the speeches' token counts."""
    _, speeches = prepared(TextConfig(tokenizer=TOKENIZER), folder / "run")
    _, modules = prepared(TextConfig(corpus="docstrings", tokenizer=TOKENIZER, hold_out=""), folder / "run")
    speeches, _ = split_documents(speeches, TOKENIZER)
    numbers = range(modules.num_documents)
    training = modules.subset([i for i in numbers if modules.sources[i] not in test_modules])
    held_out = modules.subset([i for i in numbers if modules.sources[i] in test_modules])
    blocks = {name: PackedBlocks(part, LENGTH, special_ids(tokenizer)) for name, part in (("sotu", speeches), ("docstrings", training))}
    unseen = PackedBlocks(held_out, LENGTH, special_ids(tokenizer))
    chosen = Keys.of(0, [0]).permutation("blocks", len(unseen))[0][:128].numpy()
    return blocks, MaskedSet.draw(unseen, MaskedLM.of(tokenizer), chosen), token_counts(speeches, SHAPE.vocab_size)


def pretrained(plan: tuple[str, ...], blocks: dict, counts, tokenizer, seed: int, steps: int) -> nn.Module:
    """A model after equally many steps on each text of the plan, each phase with a schedule of its own."""
    model = ModernBertForMaskedLM(SHAPE, seed)
    start_at_unigram(model.decoder_bias, counts)
    each = steps // len(plan)
    config = TrainConfig(steps=each, batch_size=BATCH, optimizer="muon", learning_rate=0.01, betas=(0.9, 0.98), weight_decay=0.01,
                         schedule="linear", warmup_steps=max(1, each // 20), gradient_clipping=1.0, seed=seed, precision="fp32", device="cpu")  # fmt: skip
    for phase, text in enumerate(plan):
        Trainer(model, MaskedLM.of(tokenizer, rate=RATE), blocks[text], replace(config, seed=seed + 1000 * phase)).fit()
    return model


def from_scratch(seed: int) -> ModernBertForMaskedLM:
    return ModernBertForMaskedLM(SHAPE, seed)


def training(start: str):
    """From a number of labels to how to train on them."""

    def config(labels: int) -> TrainConfig:
        steps = max(1, EPOCHS[start] * labels // 16)
        return TrainConfig(steps=steps, batch_size=16, warmup_steps=steps // 10, schedule="linear", precision="fp32", device="cpu")

    return config


def ways(models: dict, num_classes: int) -> dict:
    """Every way to learn from the labels, each with two settings."""
    table = {"TF-IDF": TfidfClassifier(COUNTED), "frozen random": LinearProbe(None, "random", STRENGTHS),
             "scratch": FineTuning(from_scratch, num_classes, training("scratch"), RATES)}
    for name, model in models.items():
        table |= {f"{name}, frozen": LinearProbe(None, name, STRENGTHS),
                  f"{name}, fine-tuned": FineTuning(model, num_classes, training("pretrained"), RATES)}
    return table


def run(scale: str) -> dict:
    """Scores of each way, one a seed; the masked loss of each plan on held-out docstrings; differences between plans, bootstrapped.

    Each seed pretrains its own models and draws its own labels. Settings are chosen on a third of the first seed's labels.
    """
    small = scale == "smoke"
    seeds, steps, labels, tested = (SEEDS[:1], 4, 40, 80) if small else (SEEDS, STEPS, LABELS, TESTED)
    tokenizer, text = load_tokenizer(TOKENIZER), load_labelled_text("docstring-library")
    training, unseen = text.split(0.1)
    unseen = few_labels.test_sample(unseen, tested)
    encoded = encode_labelled(unseen, tokenizer, SENTENCE)
    test_modules = set(text.sources) - set(training.sources)
    predicted, losses, chosen = {}, {name: [] for name in PLANS}, {}
    with tempfile.TemporaryDirectory() as folder:
        blocks, blanks, counts = domains(Path(folder), tokenizer, test_modules)
        for seed in seeds:
            models = {name: pretrained(plan, blocks, counts, tokenizer, seed, steps) for name, plan in PLANS.items()}
            for name, model in models.items():
                losses[name].append(masked_scores(model, blanks).loss)
            frozen = models | {"random": from_scratch(seed)}
            labelled = encode_labelled(training.subset(balanced_ids(training.labels, labels, seed)), tokenizer, SENTENCE)
            labelled, test = with_features(labelled, frozen), with_features(encoded, frozen)
            for name, way in ways(models, len(text.classes)).items():
                if seed == seeds[0]:
                    chosen[name] = choose_setting(way, labelled, seed, rounds=1)
                predicted.setdefault(name, []).append(way.fit(labelled, chosen[name], seed)(test))
            print(seed, {name: round(v[-1], 2) for name, v in losses.items()},
                  {name: round(accuracy(p[-1], encoded.labels), 3) for name, p in predicted.items()}, flush=True)
    truth = encoded.labels
    each = {name: [scores(p, truth) for p in runs] for name, runs in predicted.items()}
    right = {name: torch.stack(runs, 1) == truth[:, None] for name, runs in predicted.items()}
    tuned = [f"{name}, fine-tuned" for name in PLANS]
    pairs = list(combinations(reversed(tuned), 2)) + [(name, other) for name in tuned for other in ("scratch", "TF-IDF")]
    lead = {f"{a} over {b}": paired_bootstrap(right[a], right[b], unseen.sources)._asdict() for a, b in pairs}
    guess = torch.full_like(truth, majority_class(torch.from_numpy(training.labels)))
    return {"tokens": steps * BATCH * LENGTH, "labels": labels, "test_sentences": len(unseen), "test_modules": len(set(unseen.sources)),
            "majority": scores(guess, truth), "settings": chosen, "masked_loss": losses, "lead": lead,
            **{kind: {name: [run[kind] for run in runs] for name, runs in each.items()} for kind in ("accuracy", "macro_f1")}}  # fmt: skip


def verdict(measured: dict) -> str:
    """Each prediction against what was measured."""
    said = {True: "held", False: "failed"}
    means = {name: mean(runs) for name, runs in measured["accuracy"].items()}
    tuned = {name: means[f"{name}, fine-tuned"] for name in PLANS}
    speeches, sequence, docstrings = tuned.values()
    near = {name for name, score in tuned.items() if score < means["scratch"] + 0.03}
    ahead = ", ".join(f"{100 * (means['scratch'] - score):+.1f}" for score in tuned.values())
    loss = [mean(measured["masked_loss"][name]) for name in ("docstrings", "speeches, then docstrings", "speeches")]
    told = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
    lead = "; ".join(f"{name} {c['difference']:+.3f} ({c['low']:+.3f} to {c['high']:+.3f})" for name, c in list(measured["lead"].items())[:3])
    return (f"Accuracy with {measured['labels']} labels, means over seeds: {told}. {lead}. "
            f"1. By {100 * (sequence - speeches):.1f} points: {said[sequence >= speeches + 0.03]}. "
            f"2. By {100 * (docstrings - sequence):.1f} points: {said[docstrings > sequence]}. "
            f"3. Scratch is {ahead} points over the three: "
            f"{said[near == {'speeches'}]}. "
            f"4. TF-IDF is {100 * (means['TF-IDF'] - max(tuned.values())):+.1f} points over the best of them: "
            f"{said[means['TF-IDF'] >= max(tuned.values()) - 0.05]}. "
            f"5. {', '.join(f'{x:.2f}' for x in loss)} nats: {said[loss == sorted(loss)]}.")  # fmt: skip
