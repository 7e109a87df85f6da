"""Six ways to pre-train one ViT at equal compute, each with its own rate: probed, fine-tuned, and collapsed."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import log
from statistics import mean

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from pretrain_lib import Denoising, Keys, MaskedImage, Objective, RandomResizedCrop, RandomRotate, ResNetModel, RotationPrediction, SelfDistillation
from pretrain_lib import Source, TwoViews, VICReg, ViTMAEConfig, ViTMAEForPreTraining, ViTModel, direction_spread, effective_rank
from pretrain_lib import features
from pretrain_lib.course.results import load_experiment
from pretrain_lib.evaluation.uncertainty import lead

shared = load_experiment("14-augmentations")

TITLE = "Contrast, VICReg, self-distillation, masked images, denoising and rotation on one ViT at equal compute, probed and fine-tuned"

PREDICTION = """(Known from a prototype with another program, on MNIST, one seed, 10 labels per class: a ViT after masked images probed at 55.5 % where raw
pixels have 72.3, and fine-tuned to 66.0 % where scratch has 38.1; on a ResNet contrast 84, VICReg 78, rotation 63, and SimSiam with a perfect loss 44.7, no
better than random features.) Each way gets as many multiplications and additions as contrast. 1. Masked images probe below raw pixels, and fine-tuned lead
scratch by 10 points or more, clearly (He et al. 2022, section 4, in sign). 2. Probed, contrast, VICReg and self-distillation, which know by views what to
forget, are each ahead of masked images, denoising and rotation. 3. Fine-tuned, masked images gain more on their own probe than contrast does on its. 4.
Without its variance and covariance VICReg's loss falls below 0.01, the directions of what it compares are spread less than a tenth as much as contrast's, and
the probe is no better than frozen random features: a perfect loss, and nothing learned. 5. Contrast on a ResNet, as many updates, is ahead of contrast on the
ViT by 3 points or more, probed, clearly."""

SEEDS = (146, 147, 148)
PER_CLASS, BATCH, STEPS = 10, 64, 320  # updates of contrast; the others as many as cost the same
UPDATES = 150  # of fine-tuning
SUPERVISED = {"scratch": UPDATES, "scratch, longer": UPDATES + 2 * STEPS}  # the second computes as much as contrast and fine-tuning; an update has one view
SHAPE = ViTMAEConfig(image_size=28, patch_size=4, num_channels=1, hidden_size=64, num_hidden_layers=4, num_attention_heads=4,
                     intermediate_size=128, decoder_hidden_size=32, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
                     decoder_intermediate_size=64)  # fmt: skip
WAYS = ("contrast", "VICReg", "self-distillation", "masked images", "denoising", "rotation")
BESIDE = ("collapsed", "contrast, ResNet")
ARMS = (*WAYS, *BESIDE, *SUPERVISED, "frozen random", "raw pixels")
RATES = {arm: (1e-3, 3e-3, 1e-2) for arm in (*WAYS, *BESIDE)} | {"collapsed": (1e-3,)}
TUNED_RATES, MIDDLE = (1e-3, 3e-3, 1e-2), 3e-3
VIEWS = (RandomResizedCrop(0.4), RandomRotate(15))


class Unmasked(nn.Module):
    """A ViT and the decoder of a masked autoencoder, which sees all patches: images to images."""

    def __init__(self, whole: ViTMAEForPreTraining):
        super().__init__()
        self.whole = whole

    def forward(self, images: Tensor) -> Tensor:
        return self.whole(images, torch.zeros_like(images[:, :1]))


def network(seed: int) -> ViTModel:
    """The ViT that every way begins with, whose places are fixed waves."""
    return ViTMAEForPreTraining(SHAPE, seed).encoder


def setup(arm: str, seed: int, images: Source) -> tuple[nn.Module, nn.Module, Objective, Source]:
    """The encoder to be kept, the model that trains, how, and on what."""
    whole = ViTMAEForPreTraining(SHAPE, seed)
    encoder, size = whole.encoder, SHAPE.hidden_size
    views = TwoViews(images, VIEWS)
    if arm == "masked images":
        return encoder, whole, MaskedImage(0.75, SHAPE.patch_size), images
    if arm == "denoising":
        return encoder, Unmasked(whole), Denoising("gaussian", 0.5), images
    if arm == "rotation":
        return encoder, encoder, RotationPrediction(size), images
    if arm == "self-distillation":
        return encoder, encoder, SelfDistillation(encoder, (size, 128, 64), prototypes=256, momentum=0.98, seed=seed), views
    if arm in ("VICReg", "collapsed"):
        weights = {} if arm == "VICReg" else {"variance": 0.0, "covariance": 0.0}
        return encoder, encoder, VICReg((size, 128, 128), **weights, seed=seed), views
    if arm == "contrast, ResNet":
        encoder = ResNetModel(replace(shared.SHAPE, num_channels=1), seed)
        size = encoder.feature_size
    return encoder, encoder, shared.contrast((size, 128, 64), seed=seed), views


def cost(arm: str) -> int:
    """Multiplications and additions of one update, forwards and backwards, as torch counts them."""
    _, model, objective, source = setup(arm, 0, shared.mnist(False)[0])
    keys = Keys.of(0, BATCH)
    batch = objective.batch(source.take(keys), keys)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        sum(objective(model, batch).values()).backward()
    return counter.get_total_flops()


@lru_cache
def steps_of(arm: str, small: bool) -> int:
    """As many updates as cost what those of contrast do; the ResNet as many as the ViT."""
    if small:
        return 2
    return STEPS if arm in BESIDE else round(STEPS * cost("contrast") / cost(arm))


def pretrained(arm: str, rate: float, seed: int, small: bool) -> tuple[nn.Module, float, Objective]:
    encoder, model, objective, source = setup(arm, seed, shared.mnist(small)[0])
    loss = shared.trained(model, objective, source, shared.recipe(steps_of(arm, small), BATCH, rate, seed))
    return encoder, loss, objective


def probe(encode, test, seed: int, count: int, small: bool) -> Tensor:
    return shared.probed(encode, shared.mnist(small)[0], test, seed, (count,))[count]


def tuned(start, test, rate: float, seed: int, count: int, small: bool, updates: int = UPDATES) -> Tensor:
    return shared.fine_tuned(start, shared.mnist(small)[0], test, rate, seed, 2 if small else updates, (count,), VIEWS)[count]


def chosen(arm: str, count: int, small: bool) -> dict:
    """The rate of pretraining that is best probed and fine-tuned, and then that of fine-tuning, with a seed set apart."""
    apart, most = shared.mnist(small)[1], 1 if small else None

    def ends_at(start, rate: float) -> float:
        return tuned(start, apart, rate, shared.APART, count, small, SUPERVISED.get(arm, UPDATES)).mean().item()

    setting, start = {}, network
    if arm in RATES:
        starts = {rate: pretrained(arm, rate, shared.APART, small)[0] for rate in RATES[arm][:most]}
        scores = {rate: probe(lambda images, model=model: features(model, images), apart, shared.APART, count, small).mean().item() + ends_at(model, MIDDLE)
                  for rate, model in starts.items()}  # fmt: skip
        best = max(scores, key=scores.get)
        setting, start = {"pretrained": best, "scores": scores}, starts[best]
    ends = {rate: ends_at(start, rate) for rate in TUNED_RATES[:most]}
    return setting | {"fine-tuned": max(ends, key=ends.get), "tuned_scores": ends}


def one_seed(arm: str, setting: dict, seed: int, count: int, small: bool) -> dict:
    test = shared.mnist(small)[2]
    if arm == "raw pixels":
        return {"probed": probe(lambda images: images.images.flatten(1), test, seed, count, small)}
    if arm in SUPERVISED:
        return {"fine-tuned": tuned(network, test, setting["fine-tuned"], seed, count, small, SUPERVISED[arm])}
    start, about = network(seed), {}
    if arm in RATES:
        start, loss, objective = pretrained(arm, setting["pretrained"], seed, small)
        about = {"loss": loss, "fine-tuned": tuned(start, test, setting["fine-tuned"], seed, count, small)}
    if arm in ("contrast", "VICReg", "collapsed"):
        about["spread"] = direction_spread(shared.projected(start, objective, test))
    return {"probed": probe(lambda images: features(start, images), test, seed, count, small), "rank": effective_rank(features(start, test)), **about}


def measure(arm: str, small: bool = False) -> dict:
    """All of one arm: the rates that were chosen, and each seed's run."""
    count, seeds = (2, SEEDS[:2]) if small else (PER_CLASS, SEEDS)
    setting = chosen(arm, count, small) if arm in (*RATES, *SUPERVISED) else {}
    steps = steps_of(arm, small) if arm in RATES else 0
    return {"setting": setting, "updates": steps, "runs": [one_seed(arm, setting, seed, count, small) for seed in seeds]}


def finish(parts: dict, small: bool = False) -> dict:
    """Accuracies, losses and ranks of each seed, and the leads."""
    answers = {kind: {arm: torch.stack([run[kind] for run in part["runs"]], 1) for arm, part in parts.items() if kind in part["runs"][0]}
               for kind in ("probed", "fine-tuned")}  # fmt: skip
    probes, ends = answers["probed"], answers["fine-tuned"]
    leads = {**{f"{arm}, fine-tuned, over {rival}": lead(ends[arm], ends[rival]) for arm in RATES for rival in SUPERVISED},
             **{f"{arm}, probed, over {rival}": lead(probes[arm], probes[rival]) for arm in RATES for rival in ("frozen random", "raw pixels", "masked images")
                if arm != rival},
             "contrast, ResNet, probed, over contrast": lead(probes["contrast, ResNet"], probes["contrast"])}  # fmt: skip
    told = {what: {arm: [run[what] for run in part["runs"]] for arm, part in parts.items() if what in part["runs"][0]} for what in ("loss", "rank", "spread")}
    return {"device": "cpu", "per_class": PER_CLASS, "batch": BATCH, "flops_of_an_update": {arm: cost(arm) for arm in RATES},
            "updates": {arm: parts[arm]["updates"] for arm in RATES} | {"fine-tuning": UPDATES, **SUPERVISED}, "setting": {arm: part["setting"] for arm, part in parts.items()},
            "chance_loss": {"contrast": log(2 * BATCH - 1), "self-distillation": log(256), "rotation": log(4)}, **told,
            "accuracy": {kind: {arm: each.mean(0).tolist() for arm, each in found.items()} for kind, found in answers.items()},
            "leads": {name: [list(each) for each in found] for name, found in leads.items()}}  # fmt: skip


def run(scale: str) -> dict:
    """What `finish` makes of all arms."""
    small = scale == "smoke"
    return finish({arm: measure(arm, small) for arm in ARMS}, small)


def verdict(measured: dict) -> str:
    """Each prediction against what was measured."""
    said, leads = {True: "held", False: "failed"}, measured["leads"]
    points, is_clear = shared.points, shared.is_clear
    probes, ends = ({arm: mean(runs) for arm, runs in measured["accuracy"][kind].items()} for kind in ("probed", "fine-tuned"))
    masked, longer = (leads[f"masked images, fine-tuned, over {rival}"] for rival in SUPERVISED)
    below = leads["masked images, probed, over raw pixels"]
    nothing, other = leads["collapsed, probed, over frozen random"], leads["contrast, ResNet, probed, over contrast"]
    gains = {arm: ends[arm] - probes[arm] for arm in ("masked images", "contrast")}
    seeing, painting = min(WAYS[:3], key=probes.get), max(WAYS[3:], key=probes.get)
    loss, spread = mean(measured["loss"]["collapsed"]), {arm: mean(runs) for arm, runs in measured["spread"].items()}
    told = ", ".join(f"{arm} {measured['updates'][arm]} updates, rank {mean(measured['rank'][arm]):.1f}, probed {probes[arm]:.3f}, fine-tuned "
                     f"{ends[arm]:.3f}" for arm in RATES)  # fmt: skip
    return (f"With {measured['per_class']} labels per class: {told}; scratch {ends['scratch']:.3f}, for longer {ends['scratch, longer']:.3f}, raw pixels {probes['raw pixels']:.3f}, frozen random "
            f"{probes['frozen random']:.3f}. 1. Masked images, probed, over raw pixels {points(below)}, fine-tuned over scratch {points(masked)}, "
            f"over scratch for longer {points(longer)}: "
            f"{said[below[0][0] < 0 and masked[0][0] >= 0.1 and is_clear(masked)]}. "
            f"2. The last of the three with views, {seeing}, probes at {probes[seeing]:.3f}, the best of the others, {painting}, at {probes[painting]:.3f}: "
            f"{said[probes[seeing] > probes[painting]]}. "
            f"3. Fine-tuning adds {100 * gains['masked images']:.1f} points to masked images and {100 * gains['contrast']:.1f} to contrast: "
            f"{said[gains['masked images'] > gains['contrast']]}. "
            f"4. Without variance and covariance the loss is {loss:.4f}, the spread {spread['collapsed']:.4f} of contrast's "
            f"{spread['contrast']:.4f}, and the probe over frozen random {points(nothing)}: "
            f"{said[loss < 0.01 and spread['collapsed'] < 0.1 * spread['contrast'] and nothing[0][0] <= 0]}. "
            f"5. The ResNet over the ViT {points(other)}: {said[other[0][0] >= 0.03 and is_clear(other)]}.")  # fmt: skip
