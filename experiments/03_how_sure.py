"""Which leads of chapter 03 outlast other labelled images, other test images, and more updates."""

from __future__ import annotations

from statistics import mean

import numpy as np
import torch
from torch import nn

from pretrain_lib import Autoencoder, AutoencoderConfig, Columns, Denoising, FineTuning, LinearProbe
from pretrain_lib import MaskedAutoencoder, MaskedAutoencoderConfig, MaskedImage, TrainConfig, Trainer, load_images
from pretrain_lib.data.splits import labelled_subset
from pretrain_lib.evaluation.uncertainty import lead
from pretrain_lib.transfer.features import features
from pretrain_lib.transfer.tuning import choose_setting

TITLE = "Masked and denoising pretraining on MNIST: leads over other labels, other test images, and at more updates"

PREDICTION = """(Written after 03-masking-ratio and 03-denoising.) Fine-tuned on 50 labels per class, masked pretraining leads training
from scratch at 150 updates, clearly over test images and over seeds; at 1 000 updates the lead is at most half as large. Over-complete
layers, 200 labels per class: fine-tuned, no lead of one way of pretraining over another is clear on both counts, as they were 2 to 6
images of 1 000. Probed, denoising (half masked) leads plain reconstruction clearly; Gaussian noise over masking is not clear."""

SEEDS = (10, 11, 12)
DRAWS = 2  # of the labelled images for each seed
UPDATES = (150, 1000)
RATES = (1e-3, 3e-3)
NOISES = {"plain": ("masking", 0.0), "masking 50 %": ("masking", 0.5), "gaussian 0.5": ("gaussian", 0.5)}


def network(seed: int) -> MaskedAutoencoder:
    torch.manual_seed(seed)
    return MaskedAutoencoder(MaskedAutoencoderConfig(channels=(16, 32), num_blocks=1, pool_size=3))


def layer(seed: int) -> Autoencoder:
    torch.manual_seed(seed)
    return Autoencoder(AutoencoderConfig(hidden_sizes=(), code_size=1000, code_activation="relu",
                                         tied_weights=True, overcomplete=True))


def pretrained(model: nn.Module, objective, train, seed: int, **settings) -> nn.Module:
    Trainer(model, objective, train, TrainConfig(**settings, seed=seed, precision="fp32")).fit()
    return model


def correct(learner, tables, test, setting: float, seed: int) -> list[np.ndarray]:
    """For each draw of labelled images which of the test images come out correct."""
    return [(learner.fit(table, setting, seed)(test) == test.labels).numpy() for table in tables]


def scored(learners, tables, tests) -> tuple[float, np.ndarray]:
    """The setting that the first seed's labels choose, and the mean score of each test image for each seed, (N, seeds).

    Args:
        learners: one for each seed.
        tables: for each seed its draws of labelled images.
        tests: for each seed the test images.
    """
    setting = choose_setting(learners[0], tables[0][0], 0, rounds=1)
    return setting, np.stack([np.mean(correct(*one, setting, seed), axis=0) for seed, one in enumerate(zip(learners, tables, tests))], 1)


def fine_tuned(models, tables, test, updates: int) -> tuple[float, np.ndarray]:
    config = TrainConfig(steps=updates, batch_size=50, precision="fp32")
    return scored([FineTuning(model, 10, config, RATES) for model in models], tables, [test] * len(models))


def probed(models, tables, test) -> tuple[float, np.ndarray]:
    def seen(model, images):
        return Columns(images=features(model, images), labels=images.labels)

    return scored([LinearProbe()] * len(models), [[seen(model, draw) for draw in draws] for model, draws in zip(models, tables)],
                  [seen(model, test) for model in models])


def drawn(train, per_class: int, seeds) -> list[list[Columns]]:
    return [[labelled_subset(train, per_class, DRAWS * seed + draw) for draw in range(DRAWS)] for seed in seeds]


def told(arms: dict, pairs) -> dict:
    """Accuracies for each seed, and the leads, as plain numbers."""
    return {"accuracy": {name: scores.mean(0).tolist() for name, (_, scores) in arms.items()},
            "setting": {name: setting for name, (setting, _) in arms.items()},
            "leads": {f"{a} over {b}": [list(found) for found in lead(arms[a][1], arms[b][1])] for a, b in pairs}}


def convolutions(train, test, seeds, updates, per_class: int, steps: int) -> dict:
    """Masked pretraining (a quarter hidden) against scratch, fine-tuned for each number of updates."""
    tables = drawn(train, per_class, seeds)
    models = {"scratch": [network(seed) for seed in seeds],
              "masked": [pretrained(network(seed), MaskedImage(0.25, 7), train, seed, steps=steps, batch_size=64, learning_rate=2e-3,
                                    warmup_steps=steps // 10) for seed in seeds]}
    return {count: told({name: fine_tuned(arm, tables, test, count) for name, arm in models.items()}, [("masked", "scratch")])
            for count in updates}


def layers(train, test, seeds, updates: int, per_class: int, steps: int) -> dict:
    """Over-complete layers: none, plain and two noises, fine-tuned and probed."""
    tables = drawn(train, per_class, seeds)
    models = {"no pretraining": [layer(seed) for seed in seeds]}
    for name, noise in NOISES.items():
        models[name] = [pretrained(layer(seed), Denoising(*noise), train, seed, steps=steps, batch_size=100, learning_rate=1e-3)
                        for seed in seeds]
    masked = "masking 50 %"
    pairs = [(masked, "no pretraining"), (masked, "plain"), ("plain", "no pretraining"), ("gaussian 0.5", masked)]
    return {"fine-tuned": told({name: fine_tuned(arm, tables, test, updates) for name, arm in models.items()}, pairs),
            "probed": told({name: probed(arm, tables, test) for name, arm in models.items()}, pairs)}


def run(scale: str) -> dict:
    """Accuracies and leads of both parts."""
    small = scale == "smoke"
    seeds = SEEDS[:2] if small else SEEDS
    train, test = load_images("mnist"), load_images("mnist", "test")
    return {"draws": DRAWS, "updates": list(UPDATES), "test_images": len(test),
            "convolutional": convolutions(train, test, seeds, UPDATES if not small else (5, 10), 5 if small else 50, 10 if small else 500),
            "layer": layers(train, test, seeds, 5 if small else 300, 5 if small else 200, 10 if small else 800)}


def is_clear(found) -> bool:
    """Whether neither interval, (difference, low, high, p), includes 0."""
    return all(low > 0 or high < 0 for _, low, high, _ in found)


def verdict(measured: dict) -> str:
    """Each lead in points with both intervals, and what became of each prediction."""
    said = {True: "held", False: "failed"}

    def points(found) -> str:
        (difference, low, high, _), (_, least, most, _) = found
        return f"{100 * difference:+.1f} (images {100 * low:+.1f} to {100 * high:+.1f}, seeds {100 * least:+.1f} to {100 * most:+.1f})"

    short, long = (measured["convolutional"][count]["leads"]["masked over scratch"] for count in measured["convolutional"])
    tuned, probe = (measured["layer"][kind]["leads"] for kind in ("fine-tuned", "probed"))
    a, b = "masking 50 % over plain", "gaussian 0.5 over masking 50 %"
    return (
        f"Masked over scratch, points: {points(short)} at the fewer updates, {points(long)} at the more. Clear at the fewer: "
        f"{said[is_clear(short)]}; at most half at the more: {said[long[0][0] <= 0.5 * short[0][0]]}. Fine-tuned layers: "
        + "; ".join(f"{name} {points(found)}" for name, found in tuned.items())
        + f". None clear: {said[not any(map(is_clear, tuned.values()))]}. Probed: "
        + "; ".join(f"{name} {points(found)}" for name, found in probe.items())
        + f". Denoising over plain clear: {said[is_clear(probe[a])]}; Gaussian over masking not: {said[not is_clear(probe[b])]}."
    )
