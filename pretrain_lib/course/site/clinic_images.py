"""The failure clinic's runs on pictures: two views of coloured digits, one run healthy, and three that are not."""

from __future__ import annotations

from functools import lru_cache
from math import log

import torch
from torch import Tensor, nn

from ...data.images.augment import RandomResizedCrop, RandomRotate
from ...data.images.image_data import load_images
from ...data.images.photometric import ColourJitter, RandomGrey, RandomInvert
from ...data.images.views import TwoViews
from ...data.source import Columns
from ...data.splits import labelled_subset
from ...evaluation.collapse import direction_spread, effective_rank
from ...models.resnet import ResNetConfig, ResNetModel
from ...objectives.base import Objective
from ...objectives.contrastive import Contrastive
from ...objectives.vicreg import VICReg
from ...training.config import TrainConfig
from ...training.trainer import Trainer
from ...transfer.features import features, in_batches
from ...transfer.probe import LinearProbe

SEED, STEPS, BATCH, SHOWN, PER_CLASS = 0, 400, 64, 256, 50
MODEL = ResNetConfig(embedding_size=24, hidden_sizes=(24, 48, 96), depths=(1, 1, 1))
HEAD = (96, 128, 64)
CHANCE = log(2 * BATCH - 1)
CROP = (RandomResizedCrop(0.4), RandomRotate(15))
COLOUR = (ColourJitter(hue=0.25, rate=1.0), RandomGrey(0.4), RandomInvert(0.5))

# name: what is done to each view, learning rate
CONTRAST = {"healthy contrast": ((*CROP, *COLOUR), 1e-2), "given away": (CROP, 1e-2), "at chance": ((*CROP, *COLOUR), 1e-4)}
ALIKE_ONLY = {"collapsed": ((*CROP, *COLOUR), 1e-2)}


def contrast() -> Contrastive:
    views = {"first": ["images"], "second": ["other_images"]}
    return Contrastive(views, 0.2, HEAD, learned=False, negatives="both views", seed=SEED)


def alike_only() -> VICReg:
    """Wrong: two views should agree, and nothing keeps different pictures apart."""
    return VICReg(HEAD, variance=0.0, covariance=0.0, seed=SEED)


def compared(model: nn.Module, objective: Objective, images: Columns) -> Tensor:
    """What the loss compares, (N, D): features after the head."""
    head = objective.head.eval()
    vectors = in_batches(model, lambda x: head(model.encode(x)), images, model.columns, 512)
    head.train()
    return vectors


@lru_cache
def digits(split: str) -> Columns:
    return load_images("coloured-digits", split)


def probe(model: nn.Module) -> float:
    """The share of test pictures that a linear probe on some labels gets right."""
    classify = LinearProbe(model).fit(labelled_subset(digits("train"), PER_CLASS, SEED), 1.0, SEED)
    right = classify(digits("test")) == digits("test").labels
    return round(right.float().mean().item(), 3)


def train(objective: Objective, transforms, rate: float) -> dict:
    """The log of one run: [step, loss], [step, effective rank], [step, spread of directions], and the probe's accuracy."""
    some = digits("test").subset(range(SHOWN))
    config = TrainConfig(steps=STEPS, batch_size=BATCH, learning_rate=rate, weight_decay=1e-4, warmup_steps=STEPS // 12,
                         precision="fp32", device="cpu", seed=SEED, log_every=5, evaluate_every=20)
    rank, spread = [], []

    class Watched(Trainer):
        def evaluate(self, source):
            rank.append([self.step, round(effective_rank(features(self.model, source)), 2)])
            spread.append([self.step, round(direction_spread(compared(self.model, self.objective, source)), 4)])
            return {"loss": 0.0}

    model = ResNetModel(MODEL, SEED)
    history = Watched(model, objective, TwoViews(digits("train"), transforms), config, held_out=some).fit()
    loss = [[record["step"], round(record["loss"], 4)] for record in history.records if "loss" in record]
    return {"training": loss, "rank": rank, "spread": spread, "probe": probe(model)}


def measure_contrast() -> dict:
    return {"loss": "loss (nats)", "lines": {"chance": round(CHANCE, 4)}, "untrained probe": probe(ResNetModel(MODEL, SEED)),
            "runs": {name: train(contrast(), *setting) for name, setting in CONTRAST.items()}}


def measure_alike_only() -> dict:
    return {"loss": "loss", "lines": {"perfect": 0.0}, "runs": {name: train(alike_only(), *setting) for name, setting in ALIKE_ONLY.items()}}


def as_text(run: dict, chance: float | None, untrained: float) -> str:
    """A run as the log that exercise 14.4 shows; `chance` is the line of a loss that has one."""
    loss, rank, spread = (dict(run[kind]) for kind in ("training", "rank", "spread"))
    about = "agreement of two views, perfect at 0" if chance is None else f"two views of one picture found again, chance {chance:.3f}"
    rows = [f"{step:6}   {loss[step]:6.3f}   {rank[step]:14.1f}   {spread[step]:6.3f}" for step in (20, 100, 200, 300, STEPS)]
    return "\n".join([f"loss: {about}", "update     loss   effective rank   spread", *rows,
                      f"probe {run['probe']:.3f}, of the untrained network {untrained:.3f}"])
