"""Transfer across data sets: pretrain on MNIST, learn scikit-learn's digits from a few labels."""

from __future__ import annotations

import torch
from torch import Tensor

from pretrain_lib import Augmented, Classification, Classifier, Columns, ConvAutoencoder, ConvAutoencoderConfig
from pretrain_lib import few_label_curve, FineTuning, LinearProbe, Reconstruction, TrainConfig, Trainer, load_images
from pretrain_lib.data.images.augment import RandomCrop, RandomRotate, RandomScale
from pretrain_lib.transfer.features import features

TITLE = "Pretrained on MNIST, used on scikit-learn's digits: with and without labels in the pretraining"

PREDICTION = """The digits are other writers', scanned otherwise and 8 × 8 before they were enlarged, so what MNIST
taught helps less than it does on MNIST. Frozen, the network pretrained with MNIST's labels is the best at 1 and 5
labels a class, by more than 10 points over raw pixels, because it already knows the very classes asked for. The one
pretrained without labels beats frozen random features everywhere, and raw pixels at 1 and 5 labels by less than 5
points; with 50 labels a class raw pixels have caught up with it. Fine-tuned, all starts lie within 3 points at 50."""

SEEDS = (0, 1, 2, 3, 4)
PER_CLASS = (1, 5, 10, 50)
SIZES = ConvAutoencoderConfig(channels=(16, 32), hidden_size=128, code_size=16)
MOVES = (RandomRotate(15), RandomScale(0.85, 1.15), RandomCrop(2))
RATES = (1e-2, 3e-3, 1e-3, 2e-2)
MARGIN = 4  # black pixels around a digit, as in MNIST


def fresh_network(seed: int) -> ConvAutoencoder:
    torch.manual_seed(seed)
    return ConvAutoencoder(SIZES)


def moved(images) -> Augmented:
    """The images turned, scaled and shifted anew each time: what pretraining sees, fine-tuning sees too."""
    return Augmented(images, MOVES)


def pretrain(images, seed: int, steps: int, labels: bool) -> ConvAutoencoder:
    """The same network, images and number of updates; the loss reads the labels or it does not."""
    network = fresh_network(seed)
    model, objective = (Classifier(network, 10), Classification()) if labels else (network, Reconstruction())
    config = TrainConfig(steps=steps, batch_size=128, learning_rate=2e-3, warmup_steps=20, seed=seed, precision="fp32")
    Trainer(model, objective, moved(images), config).fit()
    return network


def one_seed(seed: int, pretraining_steps: int, tuning_steps: int, per_class) -> dict[str, Tensor]:
    """Accuracies (len(per_class), 1) of each arm, all with the same labels of the digits."""
    mnist = load_images("mnist")
    networks = {
        "random": fresh_network(seed),
        "without labels": pretrain(mnist, seed, pretraining_steps, labels=False),
        "with labels": pretrain(mnist, seed, pretraining_steps, labels=True),
    }

    def digits(split: str) -> Columns:
        data = load_images("digits", split, size=28, margin=MARGIN)
        codes = {name: features(network, data) for name, network in networks.items()}
        return Columns(images=data.images, labels=data.labels, **codes)

    config = TrainConfig(steps=tuning_steps, batch_size=32, warmup_steps=10, precision="fp32")
    arms = {"raw pixels": LinearProbe(None)}
    for name in networks:
        arms[f"{name}, frozen"] = LinearProbe(None, name)
    for name, network in networks.items():
        arms[f"{name}, fine-tuned"] = FineTuning(network, 10, config, RATES, view=moved)
    return few_label_curve(arms, digits("train"), digits("test"), per_class, [seed])


def run(scale: str) -> dict:
    """Accuracies {arm: one list a label count, one number a seed}; "random, fine-tuned" is from scratch."""
    small = scale == "smoke"
    seeds, sizes, steps = (SEEDS[:1], PER_CLASS[:2], (30, 20)) if small else (SEEDS, PER_CLASS, (800, 100))
    curves = [one_seed(seed, *steps, sizes) for seed in seeds]
    accuracy = {name: torch.cat([curve[name] for curve in curves], dim=1).tolist() for name in curves[0]}
    return {"per_class": list(sizes), "accuracy": accuracy,
            "pretraining_steps": steps[0], "fine_tuning_steps": steps[1]}  # fmt: skip


def verdict(measured: dict) -> str:
    """What came out at 5 labels a class, and at the most labels."""
    mean = {name: torch.tensor(rows).mean(1) for name, rows in measured["accuracy"].items()}
    most = measured["per_class"][-1]
    at = lambda row: "; ".join(f"{name} {value[row]:.2f}" for name, value in mean.items())  # noqa: E731
    return f"With 5 labels a class: {at(1)}. With {most}: {at(-1)}."
