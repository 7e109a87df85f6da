"""Thirty numbers an image once more: every rung of the ladder with a learning rate of its own."""

from __future__ import annotations

import time
from statistics import mean

import torch
from torch import nn

from pretrain_lib import Augmented, Autoencoder, AutoencoderConfig, ConvAutoencoder, ConvAutoencoderConfig
from pretrain_lib import Reconstruction, TrainConfig, Trainer, load_images
from pretrain_lib.data.images.augment import RandomRotate, RandomScale
from pretrain_lib.evaluation.linear import pca
from pretrain_lib.evaluation.reconstruction import reconstruction_error

TITLE = "Deep autoencoders at a code of 30 numbers, each with its own learning rate: error on held-out MNIST images"

PREDICTION = """(Written after 02-deep-autoencoder, whose fully connected rungs all had a rate of 1e-3, and after one run of its
plain network at 3e-3, which was far better.) The plain network gains more by its rate than by any other idea of the ladder but
the convolution. Weight decay with dropout still costs. Augmentation of the plain network still changes its error by less
than 0.03 of PCA's. The convolution still has the lowest error, but its lead over the plain network is at most two thirds of
the 0.25 that it has in 02-deep-autoencoder."""

CODE_SIZE = 30
SEEDS = (0, 1, 2)
STEPS = 1000
RATES = (1e-3, 2e-3, 4e-3, 8e-3)
VALIDATION = 500  # of the 4 000 training images; on them each rung chooses its rate


def plain(dropout: float = 0.0) -> nn.Module:
    return Autoencoder(AutoencoderConfig(hidden_sizes=(512, 256), code_size=CODE_SIZE, dropout=dropout))


def convolutional() -> nn.Module:
    return ConvAutoencoder(ConvAutoencoderConfig(channels=(8, 16), hidden_size=128, code_size=CODE_SIZE))


LADDER = {  # model, weight decay, whether each epoch sees the images turned and scaled anew
    "plain network": (plain, 0.0, False),
    "+ weight decay and dropout": (lambda: plain(dropout=0.1), 0.05, False),
    "+ augmentation instead": (plain, 0.0, True),
    "convolutional, plain": (convolutional, 0.0, False),
    "convolutional + augmentation": (convolutional, 0.0, True),
}


def climb(rung: str, rate: float, train, held_out, seed: int, steps: int) -> dict:
    """Trains one rung from one random start; errors are means of ½ Σ (x − y)² over images."""
    torch.manual_seed(seed)
    build, weight_decay, augmented = LADDER[rung]
    model, start = build(), time.perf_counter()
    source = Augmented(train, [RandomRotate(10), RandomScale(0.9, 1.1)]) if augmented else train
    config = TrainConfig(steps=steps, warmup_steps=steps // 10, batch_size=100, learning_rate=rate,
                         weight_decay=weight_decay, seed=seed, precision="fp32")
    Trainer(model, Reconstruction(), source, config).fit()
    return {"rung": rung, "rate": rate, "seed": seed, "train": reconstruction_error(model, train),
            "held_out": reconstruction_error(model, held_out), "seconds": time.perf_counter() - start}


def validated(rung: str, train, steps: int) -> list[dict]:
    """The rung at every rate, trained without the last images of the training set and scored on them."""
    kept, validation = train.subset(range(len(train) - VALIDATION)), train.subset(range(len(train) - VALIDATION, len(train)))
    return [climb(rung, rate, kept, validation, 0, steps) for rate in RATES]


def best_rate(rows: list[dict]) -> float:
    return min(rows, key=lambda row: row["held_out"])["rate"]


def run(scale: str) -> dict:
    """PCA's error; each rung at every rate on validation images; each rung at its best rate, for every seed."""
    seeds, steps = (SEEDS[:1], 10) if scale == "smoke" else (SEEDS, STEPS)
    train, test = load_images("mnist"), load_images("mnist", "test")
    rates = [row for rung in LADDER for row in validated(rung, train, steps)]
    rows = [climb(rung, best_rate([row for row in rates if row["rung"] == rung]), train, test, seed, steps)
            for rung in LADDER for seed in seeds]
    return finish(rates, rows, train, test, steps)


def finish(rates: list[dict], rows: list[dict], train, test, steps: int) -> dict:
    linear = pca(train.images)
    return {"code_size": CODE_SIZE, "steps": steps, "rungs": list(LADDER), "rates": rates, "rows": rows,
            "pca": reconstruction_error(lambda x: linear.reconstruct(x, CODE_SIZE), test)}


def verdict(measured: dict) -> str:
    """Each rung's error over PCA's, and what became of each prediction."""
    ratio = {rung: mean(row["held_out"] for row in measured["rows"] if row["rung"] == rung) / measured["pca"]
             for rung in measured["rungs"]}
    rate = {row["rung"]: row["rate"] for row in measured["rows"]}
    plain, decayed, augmented, convolution, _ = ratio.values()
    said = {True: "held", False: "failed"}
    return (
        "Held-out error over PCA's, at the rate of each: " + "; ".join(f"{rung} {ratio[rung]:.3f} at {rate[rung]:g}" for rung in ratio)
        + f". Weight decay with dropout costs: {said[decayed > plain]}. Augmentation changes less than 0.03: "
        f"{said[abs(augmented - plain) < 0.03]}. The convolution is ahead, by at most two thirds of 0.25: "
        f"{said[0 < plain - convolution <= 0.25 * 2 / 3]}."
    )
