"""Denoising against plain autoencoders with more units than pixels, and against no pretraining."""

from __future__ import annotations

from statistics import mean

import torch

from pretrain_lib import Autoencoder, AutoencoderConfig, Columns, Denoising, FineTuning, LinearProbe
from pretrain_lib import TrainConfig, Trainer, load_images
from pretrain_lib.data.splits import labelled_subset
from pretrain_lib.transfer.features import features
from pretrain_lib.transfer.tuning import accuracy, fit_tuned

TITLE = "Over-complete layers: denoising, plain and no pretraining on MNIST (after Vincent et al. 2008)"

PREDICTION = """(Written after a pilot at other seeds, with 10 and 100 labels a class.) With 200 labels a class,
fine-tuning after denoising with half of the pixels masked makes fewer errors than after plain reconstruction, in the mean over
seeds, and plain reconstruction is within one point of no pretraining. With 10 labels a class the spread over seeds is larger
than these differences. A linear probe shows the same order, and more clearly: plain is no better than random weights."""

SEEDS = (10, 11, 12)
CODE_SIZE = 1000
CORRUPTIONS = {
    "plain": ("masking", 0.0),
    "masking 25 %": ("masking", 0.25),
    "masking 50 %": ("masking", 0.5),
    "gaussian 0.5": ("gaussian", 0.5),
}
LEARNING_RATES = (1e-3, 3e-3)


def layer(seed: int) -> Autoencoder:
    """784 pixels to 1 000 rectified units and back with the transposed weights."""
    torch.manual_seed(seed)
    return Autoencoder(AutoencoderConfig(hidden_sizes=(), code_size=CODE_SIZE, code_activation="relu",
                                         tied_weights=True, overcomplete=True))


def run(scale: str) -> dict:
    """Test error of every layer, fine-tuned and probed, for each number of labels and seed."""
    small = scale == "smoke"
    per_class, seeds = ((5,), SEEDS[:1]) if small else ((10, 200), SEEDS)
    pretraining = dict(steps=20 if small else 800, batch_size=100, learning_rate=1e-3)
    tuning = TrainConfig(steps=20 if small else 300, batch_size=50, precision="fp32")
    train, test = load_images("mnist"), load_images("mnist", "test")
    names = ["no pretraining", *CORRUPTIONS]
    losses = {name: [] for name in CORRUPTIONS}
    errors = {kind: {name: [[] for _ in per_class] for name in names} for kind in ("fine_tuned", "probe")}
    errors["probe"]["raw pixels"] = [[] for _ in per_class]

    for seed in seeds:
        layers = {"no pretraining": layer(seed)}
        for name, corruption in CORRUPTIONS.items():
            layers[name] = layer(seed)
            history = Trainer(layers[name], Denoising(*corruption), train, TrainConfig(**pretraining, seed=seed, precision="fp32")).fit()
            losses[name].append(history.losses[-1])
        for row, count in enumerate(per_class):
            labelled = labelled_subset(train, count, seed)
            for name, model in layers.items():
                predict = fit_tuned(FineTuning(model, 10, tuning, LEARNING_RATES), labelled, seed)
                errors["fine_tuned"][name][row].append(1 - accuracy(predict(test), test.labels))
            for name, model in (layers | {"raw pixels": None}).items():
                errors["probe"][name][row].append(probe_error(model, labelled, test, seed))
    return {"per_class": list(per_class), "code_size": CODE_SIZE, "pixels": 784, "training_loss": losses, **errors}


def probe_error(model, labelled, test, seed: int) -> float:
    """Test error of a tuned linear probe on the model's features, or on raw pixels for None."""
    seen, unseen = (
        Columns(images=s.images if model is None else features(model, s), labels=s.labels) for s in (labelled, test)
    )
    return 1 - accuracy(fit_tuned(LinearProbe(), seen, seed)(unseen), unseen.labels)


def verdict(measured: dict) -> str:
    """What came out, in a sentence."""
    few, many = measured["per_class"][0], measured["per_class"][-1]
    scratch, plain, masked = ([mean(runs) for runs in measured["fine_tuned"][name]]
                              for name in ("no pretraining", "plain", "masking 50 %"))
    probe = {name: mean(rows[-1]) for name, rows in measured["probe"].items()}
    as_predicted = masked[-1] < plain[-1] and abs(plain[-1] - scratch[-1]) <= 0.01
    probe_held = probe["masking 50 %"] < probe["plain"] and probe["plain"] >= probe["no pretraining"] - 0.005
    return (
        f"Fine-tuned with {many} labels a class, predicted denoising below plain and plain near none: errors "
        f"{masked[-1]:.1%}, {plain[-1]:.1%}, {scratch[-1]:.1%}: {'held' if as_predicted else 'failed'}. With {few}: "
        f"{masked[0]:.1%}, {plain[0]:.1%}, {scratch[0]:.1%}. Probes with {many}: {probe['masking 50 %']:.1%}, {probe['plain']:.1%}, random weights "
        f"{probe['no pretraining']:.1%}, raw pixels {probe['raw pixels']:.1%}: {'held' if probe_held else 'failed'}."
    )
