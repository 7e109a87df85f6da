"""Halfway between two codes: how far a decoder bends the way, and whether a digit lies there."""

from __future__ import annotations

from statistics import mean

import torch
from torch import Tensor

from pretrain_lib import Autoencoder, AutoencoderConfig, Columns, MaskedAutoencoder, MaskedAutoencoderConfig
from pretrain_lib import Reconstruction, TrainConfig, Trainer, load_images
from pretrain_lib.evaluation.linear import pca
from pretrain_lib.transfer.features import logits
from pretrain_lib.transfer.fine_tune import fine_tune

TITLE = "Halfway between the codes of two held-out MNIST digits: bend, and a classifier's confidence, deep and PCA"

PREDICTION = """What a decoder makes of the middle of two codes is compared with the mean of what it makes of the ends. PCA's is equal, as its
decoder is linear. The deep decoder's differs, by less than half of the way from that mean to an end. A classifier that is sure (above 0.9)
of more than 90 % of real held-out digits, and of more than 80 % of the ends as either model draws them, is sure of fewer than 60 % of
the middles; of the deep code's middles it is sure more often than of PCA's, and of PCA's as often as of mixed pixels, within 10 points."""

SEEDS = (0, 1, 2)
PAIRS = 300
SURE = 0.9
CODE_SIZE = 30


def autoencoder(train, seed: int, steps: int) -> Autoencoder:
    """The deep autoencoder of chapter 02, section 13."""
    torch.manual_seed(seed)
    model = Autoencoder(AutoencoderConfig(hidden_sizes=(512, 256), code_size=CODE_SIZE))
    config = TrainConfig(steps=steps, warmup_steps=steps // 12, batch_size=100, learning_rate=2e-3, seed=seed, precision="fp32")
    Trainer(model, Reconstruction(), train, config).fit()
    return model.cpu()


def judge(train, seed: int, steps: int):
    """A convolutional classifier trained on all labelled training images: images to class probabilities (N, 10)."""
    torch.manual_seed(seed)
    network = MaskedAutoencoder(MaskedAutoencoderConfig(channels=(16, 32), num_blocks=1, pool_size=3))
    config = TrainConfig(steps=steps, batch_size=100, learning_rate=3e-3, warmup_steps=steps // 10, seed=seed, precision="fp32")
    classifier = fine_tune(network, train, 10, config)
    return lambda images: logits(classifier, Columns(images=images)).softmax(1)


def pairs(labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Positions of `PAIRS` pairs of images that are of two classes."""
    first, second = torch.randint(len(labels), (2, 3 * PAIRS), generator=torch.Generator().manual_seed(seed))
    other = labels[first] != labels[second]
    return first[other][:PAIRS], second[other][:PAIRS]


def bend(middle: Tensor, a: Tensor, b: Tensor) -> float:
    """How far `middle` lies from the mean of the ends a and b, as a share of the way from that mean to an end."""
    return ((middle - (a + b) / 2).norm(dim=1).mean() / ((a - b) / 2).norm(dim=1).mean()).item()


@torch.no_grad()
def walked(model, linear, images: Tensor, first: Tensor, second: Tensor) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Pictures (PAIRS, 784) of the ends and the middles, and each decoder's bend."""
    x, y = (images[ids].flatten(1) for ids in (first, second))
    ends = {"PCA": [linear.reconstruct(z, CODE_SIZE) for z in (x, y)],
            "deep": [model.decode(model.encode(images[ids])).flatten(1) for ids in (first, second)]}
    middles = {"pixels": (x + y) / 2, "PCA": linear.reconstruct((x + y) / 2, CODE_SIZE),
               "deep": model.decode((model.encode(images[first]) + model.encode(images[second])) / 2).flatten(1)}
    pictures = {"real digits": x} | {f"ends, {name}": pair[0] for name, pair in ends.items()}
    pictures |= {f"halfway, {name}": picture for name, picture in middles.items()}
    return pictures, {name: bend(middles[name], *pair) for name, pair in ends.items()}


def measure(train, test, seed: int, steps: int) -> dict:
    """For one seed each decoder's bend and, for each kind of picture, what the classifier says of it."""
    first, second = pairs(test.labels, seed)
    pictures, bends = walked(autoencoder(train, seed, steps), pca(train.images), test.images, first, second)
    probabilities = judge(train, seed, steps)
    row = {"bend": bends, "confidence": {}, "sure": {}, "an_end": {}}
    for name, picture in pictures.items():
        most, answer = probabilities(picture.clamp(0, 1).reshape(-1, 1, 28, 28)).cpu().max(1)
        row["confidence"][name] = most.mean().item()
        row["sure"][name] = (most > SURE).float().mean().item()
        row["an_end"][name] = ((answer == test.labels[first]) | (answer == test.labels[second])).float().mean().item()
    return row


def run(scale: str) -> dict:
    """One row for each seed."""
    seeds, steps = (SEEDS[:1], 10) if scale == "smoke" else (SEEDS, 600)
    train, test = load_images("mnist"), load_images("mnist", "test")
    return {"pairs": PAIRS, "sure_above": SURE, "rows": [measure(train, test, seed, steps) for seed in seeds]}


def verdict(measured: dict) -> str:
    """The bends, the shares of which the classifier is sure, and what became of each prediction."""
    def average(key: str, name: str) -> float:
        return mean(row[key][name] for row in measured["rows"])

    said = {True: "held", False: "failed"}
    sure = {name: average("sure", name) for name in measured["rows"][0]["sure"]}
    deep, linear, pixels = (sure[f"halfway, {name}"] for name in ("deep", "PCA", "pixels"))
    ends = sure["real digits"] > 0.9 and min(sure["ends, PCA"], sure["ends, deep"]) > 0.8
    return (
        f"Bend, as a share of the way to an end: PCA {average('bend', 'PCA'):.3f}, deep {average('bend', 'deep'):.3f} (0 and below 0.5: "
        f"{said[average('bend', 'PCA') < 1e-3 < average('bend', 'deep') < 0.5]}). The classifier is sure of "
        + ", ".join(f"{name} {share:.0%}" for name, share in sure.items())
        + f". Real digits and ends: {said[ends]}; middles below 60 %: {said[max(deep, linear, pixels) < 0.6]}; deep above PCA: "
        f"{said[deep > linear]}; PCA like pixels: {said[abs(linear - pixels) < 0.1]}."
    )
