"""How much to hide: convolutional masked autoencoders on MNIST at several masking ratios."""

from __future__ import annotations

from statistics import mean

import torch

from pretrain_lib import Columns, FineTuning, LinearProbe, MaskedAutoencoder, MaskedAutoencoderConfig
from pretrain_lib import MaskedImage, Reconstruction, TrainConfig, Trainer, load_images
from pretrain_lib.data.splits import labelled_subset
from pretrain_lib.transfer.features import features
from pretrain_lib.transfer.tuning import accuracy, fit_tuned

TITLE = "Masking ratio, probed and fine-tuned, on MNIST (after He et al. 2022, Figure 5)"

PREDICTION = """(Written after a pilot with one seed at ratios 0.1 to 0.9.) The probe's accuracy is an inverted U over the ratio: the best
ratio lies from 0.25 to 0.75, and both 0.1 and 0.9 are below it. Fine-tuned, the curve is flatter: the range of the means over
ratios is smaller than the probe's. Every ratio is above frozen random weights, and above an autoencoder of the same architecture
that is shown everything (ratio 0)."""

SEEDS = (10, 11, 12)
RATIOS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
PATCH = 7
PER_CLASS = 50
LABEL_DRAWS = 3
LEARNING_RATES = (1e-3, 3e-3)


def network(seed: int) -> MaskedAutoencoder:
    """A small one: 28 × 28 pixels to a map of 32 features at 7 × 7 places."""
    torch.manual_seed(seed)
    return MaskedAutoencoder(MaskedAutoencoderConfig(channels=(16, 32), num_blocks=1, pool_size=3))


def run(scale: str) -> dict:
    """Test accuracy for each ratio and seed: of the probe a mean over label draws, of fine-tuning one draw."""
    small = scale == "smoke"
    seeds, per_class = (SEEDS[:1], 5) if small else (SEEDS, PER_CLASS)
    pretraining = dict(steps=10 if small else 500, batch_size=64, learning_rate=2e-3, warmup_steps=5 if small else 50)
    tuning = TrainConfig(steps=10 if small else 150, batch_size=50, precision="fp32")
    train, test = load_images("mnist"), load_images("mnist", "test")
    measured = {kind: [[] for _ in RATIOS] for kind in ("probe", "fine_tuned", "training_loss")}
    measured |= {kind: [] for kind in ("random_probe", "scratch", "raw_pixels")}

    for seed in seeds:
        draws = [labelled_subset(train, per_class, LABEL_DRAWS * seed + draw) for draw in range(LABEL_DRAWS)]

        def fine_tuned(model) -> float:
            predict = fit_tuned(FineTuning(model, 10, tuning, LEARNING_RATES), draws[0], seed)
            return accuracy(predict(test), test.labels)

        measured["raw_pixels"].append(mean(probe(None, draw, test, seed) for draw in draws))
        measured["random_probe"].append(mean(probe(network(seed), draw, test, seed) for draw in draws))
        measured["scratch"].append(fine_tuned(network(seed)))
        for row, ratio in enumerate(RATIOS):
            model = network(seed)
            objective = MaskedImage(ratio, PATCH) if ratio else Reconstruction()
            history = Trainer(model, objective, train, TrainConfig(**pretraining, seed=seed, precision="fp32")).fit()
            measured["training_loss"][row].append(history.losses[-1])
            measured["probe"][row].append(mean(probe(model, draw, test, seed) for draw in draws))
            measured["fine_tuned"][row].append(fine_tuned(model))
    return {"ratios": list(RATIOS), "patch": PATCH, "per_class": per_class, **measured}


def probe(model, labelled, test, seed: int) -> float:
    """Test accuracy of a tuned linear probe on the model's features, or on raw pixels for None."""
    seen, unseen = (
        Columns(images=s.images if model is None else features(model, s), labels=s.labels) for s in (labelled, test)
    )
    return accuracy(fit_tuned(LinearProbe(), seen, seed)(unseen), unseen.labels)


def verdict(measured: dict) -> str:
    """What came out, in a sentence."""
    ratios = measured["ratios"]
    probe, tuned = ([mean(runs) for runs in measured[kind]] for kind in ("probe", "fine_tuned"))
    hidden = [i for i, ratio in enumerate(ratios) if ratio]
    best = max(hidden, key=probe.__getitem__)
    spans = [max(curve[i] for i in hidden) - min(curve[i] for i in hidden) for curve in (probe, tuned)]
    inverted = 0.25 <= ratios[best] <= 0.75
    by_seed = zip(*(measured["probe"][i] for i in hidden))
    winners = [ratios[hidden[runs.index(max(runs))]] for runs in by_seed]
    above = min(probe[i] for i in hidden) > max(mean(measured["random_probe"]), probe[0])
    said = {True: "held", False: "failed"}
    return (
        f"Inverted U, {said[inverted]}: in the mean the probe is best at ratio {ratios[best]} with {probe[best]:.1%}; it has "
        f"{probe[hidden[0]]:.1%} at {ratios[hidden[0]]} and {probe[hidden[-1]]:.1%} at {ratios[hidden[-1]]}; seed by seed it is "
        f"best at {', '.join(map(str, winners))}. Flatter when fine-tuned, {said[spans[1] < spans[0]]}: "
        f"the means span {spans[1]:.1%} there and {spans[0]:.1%} in the probe. Every ratio above random weights "
        f"({mean(measured['random_probe']):.1%}) and above showing everything ({probe[0]:.1%}): {said[above]}. Raw pixels: "
        f"{mean(measured['raw_pixels']):.1%}; trained from scratch: {mean(measured['scratch']):.1%}."
    )
