"""The failure clinic's runs on text: one small masked language model, healthy and with six troubles."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.nn import functional as F

from ...data.keys import Keys
from ...data.source import Columns
from ...data.text.hidden_markov import SPECIAL, HiddenMarkovLanguage
from ...evaluation.bayes import BayesOptimal
from ...evaluation.counting import TwoSidedBigram, Unigram, token_counts
from ...models.mode import evaluation_mode
from ...models.modern import ModernBertConfig, ModernBertForMaskedLM
from ...objectives.base import Batch
from ...objectives.masked_lm import MaskedLM
from ...training.config import TrainConfig
from ...training.trainer import Trainer

SEED, STEPS, BATCH, HELD_OUT = 0, 400, 32, 200
MODEL = ModernBertConfig(
    vocab_size=133, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
    max_position_embeddings=64, local_attention=2, global_rope_theta=10_000.0, initializer_range=0.125,
    layer_types=("sliding_attention", "full_attention"))
WELL = {"optimizer": "muon", "learning_rate": 1e-2, "betas": (0.9, 0.98), "schedule": "linear",
        "warmup_steps": 20, "gradient_clipping": 1.0}


class ScoresEverything(MaskedLM):
    """Wrong: the loss is a mean over all tokens, also those that are shown."""

    def batch(self, samples, keys: Keys) -> Batch:
        made = super().batch(samples, keys)
        inputs = {name: value for name, value in made.inputs.items() if name != "positions"}
        return Batch(inputs, {"labels": samples["input_ids"]}, {"masked_lm": samples["input_ids"].numel()})


class DamagedShard(MaskedLM):
    """Wrong: halfway, eight batches come from a damaged file and hold noise."""

    def batch(self, samples, keys: Keys) -> Batch:
        if STEPS // 2 <= keys.progress * STEPS < STEPS // 2 + 8:
            noise = keys.uniform("noise", samples["input_ids"].shape[1:]).double() * self.vocab_size
            samples = samples | {"input_ids": noise.long()}
        return super().batch(samples, keys)


def hides(shares=(1.0, 0.0, 0.0), kind: type[MaskedLM] = MaskedLM) -> MaskedLM:
    return kind(SPECIAL, MODEL.vocab_size, 0.3, replace=shares)


# name: objective, what differs in the training, what differs in the model, sentences if they are few
PATIENTS = {
    "healthy": (hides(), {}, {}, None),
    "plateau": (hides(), {"optimizer": "adamw", "learning_rate": 3e-4},
                {"initializer_range": 0.02, "layer_types": ("full_attention", "full_attention")}, None),
    "rate too high": (hides(), {"learning_rate": 0.3, "warmup_steps": 0, "gradient_clipping": 0.0}, {}, None),
    "spike": (hides(kind=DamagedShard), {"gradient_clipping": 0.0}, {}, None),
    "leak": (hides((0.0, 0.0, 1.0)), {}, {}, None),
    "wrong mask": (hides(kind=ScoresEverything), {}, {}, None),
    "over-fitting": (hides(), {}, {}, 64),
}


@torch.no_grad()
def blank_loss(model, batch: Batch) -> float:
    """Mean loss on a batch's blanks, in nats."""
    labels = batch.targets["labels"]
    with evaluation_mode(model):
        logits = model(**batch.inputs)
    return F.cross_entropy(logits[labels != -100].double(), labels[labels != -100]).item()


def train(name: str, language: HiddenMarkovLanguage) -> dict:
    """The log of one run: [step, training loss] and [step, loss on held-out blanks]."""
    objective, training, architecture, few = PATIENTS[name]
    source = HiddenMarkovLanguage(seed=SEED, sentences=STEPS * BATCH)
    if few:
        source = Columns(**source.take(Keys.of(SEED, few)))  # the same ones, over and over
    batch = held_out_batch(language, objective.masked_share)
    config = TrainConfig(**(WELL | training), steps=STEPS, batch_size=BATCH, seed=SEED, log_every=2,
                         evaluate_every=20, device="cpu")
    held_out = []

    class Scored(Trainer):
        def evaluate(self, source):
            held_out.append([self.step, round(blank_loss(self.model, batch), 4)])
            return {"masked_lm": held_out[-1][1], "loss": held_out[-1][1]}

    model = ModernBertForMaskedLM(replace(MODEL, **architecture), SEED)
    history = Scored(model, objective, source, config, held_out=language).fit()
    training = [[record["step"], round(record["loss"], 4)] for record in history.records if "loss" in record]
    return {"training": training, "held out": held_out}


def held_out_batch(language: HiddenMarkovLanguage, masked_share: float) -> Batch:
    """Blanks in held-out sentences; a leak is in the code, so it leaks there, too."""
    keys = Keys.of(SEED, HELD_OUT)
    return hides((masked_share, 0.0, 1 - masked_share)).batch(language.take(keys), keys)


def measure() -> dict:
    """All runs, and the three lines that a loss on blanks is read against."""
    language = HiddenMarkovLanguage(seed=SEED).held_out(HELD_OUT)
    batch = held_out_batch(language, 1.0)
    text = HiddenMarkovLanguage(seed=SEED).take(Keys.of(SEED, 10_000, epoch=1))["input_ids"].numpy()
    counts = Unigram(token_counts(text, MODEL.vocab_size)), TwoSidedBigram(text, MODEL.vocab_size, SPECIAL)
    models = dict(zip(("unigram", "bigram", "best possible"), (*counts, BayesOptimal(language))))
    return {"loss": "loss (nats)", "lines": {name: round(blank_loss(model, batch), 4) for name, model in models.items()},
            "runs": {name: train(name, language) for name in PATIENTS}}
