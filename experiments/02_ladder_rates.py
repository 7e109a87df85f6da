"""Thirty numbers an image once more: every rung of the ladder with a learning rate of its own."""

from __future__ import annotations

from dataclasses import replace
from statistics import mean

from pretrain_lib import load_images
from pretrain_lib.course.results import load_experiment
from pretrain_lib.evaluation.linear import pca
from pretrain_lib.evaluation.reconstruction import reconstruction_error

TITLE = "Deep autoencoders at a code of 30 numbers, each with its own learning rate: error on held-out MNIST images"

PREDICTION = """(Written after 02-deep-autoencoder, whose fully connected rungs all had a rate of 1e-3, and after one run of its plain network at 3e-3, which
was far better. A first run had smaller convolutions, 1 000 updates and no rate above 0.008, which won for three rungs; in it all four held. This one has the networks and the 1 500 updates of
02-deep-autoencoder.) 1. The plain network gains more by its rate than by any other idea of the ladder but the convolution. 2. Weight decay with dropout still costs. 3. Augmentation of the
plain network still changes its error by less than 0.03 of PCA's. 4. The convolution still has the lower error, but its lead over the plain network is at most two thirds of the 0.25 that it
has in 02-deep-autoencoder."""

ladder = load_experiment("02-deep-autoencoder")
SEEDS = ladder.SEEDS
RATES = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
VALIDATION = 500  # of the 4 000 training images; on them each rung chooses its rate


def climb(rung: str, rate: float, train, held_out, steps: int, seed: int) -> dict:
    """A rung trained at a rate, from one random start."""
    known = ladder.LADDER[rung]
    tuned = replace(known, settings=known.settings | {"learning_rate": rate})
    return {"rung": rung, "rate": rate, "seed": seed} | ladder.climb(tuned, train, held_out, steps, seed)


def best_rate(rows: list[dict]) -> float:
    return min(rows, key=lambda row: row["test"])["rate"]


def measure(rung: str, train, test, steps: int, seeds) -> tuple[list[dict], list[dict]]:
    """The rung at every rate, without the last training images and scored on them; and at the best, for each seed."""
    kept, validation = train.subset(range(len(train) - VALIDATION)), train.subset(range(len(train) - VALIDATION, len(train)))
    tried = [climb(rung, rate, kept, validation, steps, SEEDS[0]) for rate in RATES]
    return tried, [climb(rung, best_rate(tried), train, test, steps, seed) for seed in seeds]


def run(scale: str) -> dict:
    """PCA's error; each rung at every rate on validation images; each rung at its best rate, for every seed."""
    seeds, steps = (SEEDS[:1], 10) if scale == "smoke" else (SEEDS, ladder.STEPS)
    train, test = load_images("mnist"), load_images("mnist", "test")
    found = [measure(rung, train, test, steps, seeds) for rung in ladder.LADDER]
    return finish([row for tried, _ in found for row in tried], [row for _, rows in found for row in rows], train, test, steps)


def finish(rates: list[dict], rows: list[dict], train, test, steps: int) -> dict:
    linear = pca(train.images)
    return {"code_size": ladder.CODE_SIZE, "steps": steps, "rungs": list(ladder.LADDER), "rates": rates, "rows": rows,
            "pca": reconstruction_error(lambda x: linear.reconstruct(x, ladder.CODE_SIZE), test)}


def validated(measured: dict, rung: str, rate: float | None = None) -> float:
    """A rung's error on validation images at a rate, by default its best."""
    return min(row["test"] for row in measured["rates"] if row["rung"] == rung and rate in (None, row["rate"]))


def verdict(measured: dict) -> str:
    """Each rung's error over PCA's, and what became of each prediction."""
    plain, decayed, moved, folded, both = measured["rungs"]
    ratio = {rung: mean(row["test"] for row in measured["rows"] if row["rung"] == rung) / measured["pca"] for rung in measured["rungs"]}
    by_rate, by_augmentation = validated(measured, plain, 1e-3) - validated(measured, plain), validated(measured, plain) - validated(measured, moved)
    lead, said = ratio[plain] - ratio[folded], {True: "held", False: "failed"}
    return (
        f"1. On validation images the plain network's error falls by {by_rate:.2f} with its rate, by {by_augmentation:.2f} with augmentation, {said[by_rate > by_augmentation]}. "
        f"2. Held-out error over PCA's, plain {ratio[plain]:.3f}, with decay and dropout {ratio[decayed]:.3f}, {said[ratio[decayed] > ratio[plain]]}. "
        f"3. With augmentation {ratio[moved]:.3f}, {said[abs(ratio[moved] - ratio[plain]) < 0.03]}. "
        f"4. Convolution {ratio[folded]:.3f}, augmented too {ratio[both]:.3f}: a lead of {lead:.3f}, {said[0 < lead <= 0.25 * 2 / 3]}."
    )
