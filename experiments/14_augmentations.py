"""Which augmentations contrast learns from: coloured digits, crops, colours, and both, at equal updates."""

from __future__ import annotations

from functools import lru_cache
from math import log
from statistics import mean

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain_lib import Augmented, Columns, Contrastive, FineTuning, Keys, LinearProbe, ResNetConfig, ResNetModel, Scenes, TrainConfig, Trainer
from pretrain_lib import TwoViews, effective_rank, features, labelled_subset, load_images
from pretrain_lib import ColourJitter, RandomGrey, RandomInvert, RandomResizedCrop, RandomRotate
from pretrain_lib.data.images.drawn import DRAWN
from pretrain_lib.evaluation.uncertainty import lead
from pretrain_lib.transfer.features import in_batches
from pretrain_lib.transfer.tuning import fit_tuned

TITLE = "Contrast on coloured digits after crops, colours and both: loss, rank, what is kept of colour, and few labels, beside scratch with the same views"

PREDICTION = """(Known from a prototype with another program, one seed, unequal updates, 10 labels per class: crop alone at chance, 10 %, with the lowest loss
and the highest effective rank; colour alone 44 %; both 81 %; fine-tuned 89 %; scratch with the same views 83 %; R² of the background's colour after both 0.39
before the head and 0.00 after it. Of this program one trial: both, 400 updates, one seed, 64 % with 10 labels and 75 with 50, effective rank 56 of 96.) The
figures of Chen et al. 2020, section 3, hold in sign at equal updates. 1. Crop alone has the lowest loss of the three, the highest effective rank, and a probe
of at most 15 % with 10 labels per class, where chance is 10 %. 2. Both lead colour alone by 10 points or more, clearly. 3. Of the background's colour crop
alone keeps an R² of 0.8 or more; both keep less than half of that, and at least 0.1 less after the head than before it. 4. Fine-tuned from both, 5 labels per
class are worth 5 points or more over scratch with the same views and as many updates, clearly; with 50 labels it is 3 at most. 5. Scratch that has as many
updates as pretraining and fine-tuning together takes back less than half of the lead at 5 labels. 6. The frozen probe of both is within 5 points of scratch
with 10 labels: classifying alone is no headline."""

SEEDS = (140, 141, 142)
APART = 900  # the seed that rates are chosen with
PER_CLASS = (1, 5, 10, 50)
CHOSEN_AT = 10  # labels per class
DRAWS = 2  # of the labelled images for each seed
SHAPE = ResNetConfig(embedding_size=24, hidden_sizes=(24, 48, 96), depths=(1, 1, 1))
HEAD, TEMPERATURE, BATCH = (96, 128, 64), 0.2, 128
STEPS, UPDATES, LABELLED_BATCH = 600, 300, 64
RATES, TUNED_RATES = (1e-3, 3e-3, 1e-2), (1e-3, 3e-3, 1e-2)
CROP = (RandomResizedCrop(0.4), RandomRotate(15))
COLOUR = (ColourJitter(hue=0.25, rate=1.0), RandomGrey(0.4), RandomInvert(0.5))
VIEWS = {"crop": CROP, "colour": COLOUR, "both": (*CROP, *COLOUR)}
SUPERVISED = {"scratch": UPDATES, "scratch, longer": UPDATES + STEPS}
ARMS = (*VIEWS, *SUPERVISED, "frozen random", "raw pixels")
PAIR = {"first": ["images"], "second": ["other_images"]}


@lru_cache(maxsize=2)
def data(small: bool = False) -> tuple[Columns, Columns, Columns]:
    """Coloured digits to train on, to choose rates on, and to test on."""
    train, test = load_images("coloured-digits"), load_images("coloured-digits", "test")
    sizes = (500, 7100, 100) if small else (7000, len(train), len(test))
    return train.subset(range(sizes[0])), train.subset(range(7000, sizes[1])), test.subset(range(sizes[2]))


@lru_cache(maxsize=2)
def mnist(small: bool = False) -> tuple[Columns, Columns, Columns]:
    """The same of MNIST as it is."""
    train, test = load_images("mnist"), load_images("mnist", "test")
    sizes = (300, 3500, 100) if small else (3400, len(train), len(test))
    return train.subset(range(sizes[0])), train.subset(range(3400, sizes[1])), test.subset(range(sizes[2]))


def colours(images: Columns, split: str, first: int = 0) -> Tensor:
    """The backgrounds' colours (N, 3), by the program that drew the images from `first` on."""
    scenes = Scenes(DRAWN["coloured-digits"], split)
    return scenes.backgrounds(Keys.of(scenes.config.seed, range(first, first + len(images))))[0]


def network(seed: int) -> ResNetModel:
    return ResNetModel(SHAPE, seed)


def recipe(steps: int, batch: int, rate: float, seed: int) -> TrainConfig:
    return TrainConfig(steps=steps, batch_size=batch, learning_rate=rate, weight_decay=1e-4, warmup_steps=steps // 12,
                       precision="fp32", device="cpu", seed=seed, log_every=max(1, steps // 50))  # fmt: skip


def trained(model: nn.Module, objective, source, config: TrainConfig) -> float:
    """Trains a model in place; its loss over the last tenth of the updates."""
    return mean(Trainer(model, objective, source, config).fit().losses[-5:])


def contrast(head=HEAD, temperature: float = TEMPERATURE, norm: str = "batch", seed: int = 0) -> Contrastive:
    return Contrastive(PAIR, temperature, head, learned=False, negatives="both views", norm=norm, seed=seed)


def contrasted(images, views, rate: float, seed: int, steps: int = STEPS) -> tuple[ResNetModel, Contrastive, float]:
    """A network after contrast on two views of images, what it learned by, and its last loss."""
    model, objective = network(seed), contrast(seed=seed)
    loss = trained(model, objective, TwoViews(images, views), recipe(steps, BATCH, rate, seed))
    return model, objective, loss


def probed(encode, train: Columns, test: Columns, seed: int, per_class=PER_CLASS) -> dict[int, Tensor]:
    """{labels per class: (N,) how often each test image comes out right, over draws of the labels}"""
    seen, shown = (Columns(codes=encode(images), labels=images.labels) for images in (train, test))
    probe, found = LinearProbe(None, "codes"), {}
    for count in per_class:
        draws = [labelled_subset(seen, count, DRAWS * seed + draw) for draw in range(DRAWS)]
        found[count] = torch.stack([(fit_tuned(probe, draw, seed)(shown) == test.labels).float() for draw in draws]).mean(0)
    return found


def fine_tuned(start, train: Columns, test: Columns, rate: float, seed: int, updates: int, per_class=PER_CLASS, views=VIEWS["both"]) -> dict[int, Tensor]:
    """The same of a network that is trained on, every image in changed copies."""
    way = FineTuning(start, 10, recipe(updates, LABELLED_BATCH, rate, seed), view=lambda images: Augmented(images, views))
    found = {}
    for count in per_class:
        draws = [labelled_subset(train, count, DRAWS * seed + draw) for draw in range(DRAWS)]
        found[count] = torch.stack([(way.fit(draw, rate, seed)(test) == test.labels).float() for draw in draws]).mean(0)
    return found


def explained(codes: Tensor, truth: Tensor, other_codes: Tensor, other_truth: Tensor) -> float:
    """R² on other samples of a linear model of the truth (N, K) by codes (N, D)."""
    x, other = (F.pad(each.double(), (0, 1), value=1.0) for each in (codes, other_codes))
    wrong = other @ torch.linalg.lstsq(x, truth.double(), driver="gelsd").solution - other_truth
    return 1 - (wrong.square().sum() / (other_truth - other_truth.mean(0)).square().sum()).item()


def projected(model: nn.Module, objective, images: Columns) -> Tensor:
    """What the head makes of a model's features, (N, D)."""
    return in_batches(model, lambda x: objective.head.eval()(model.encode(x)), images, model.columns, 512)


def kept(model: nn.Module, objective, train: Columns, test: Columns) -> dict:
    """Effective rank, and R² of the background's colour, before the head and after it."""
    some = train.subset(range(min(2000, len(train))))
    truths, found = (colours(some, "train"), colours(test, "test")), {}
    for name, encode in (("h", lambda images: features(model, images)), ("z", lambda images: projected(model, objective, images))):
        seen, shown = encode(some), encode(test)
        found[name] = {"rank": effective_rank(shown), "colour": explained(seen, truths[0], shown, truths[1])}
    return found


def chosen(arm: str, small: bool) -> dict:
    """The rates of an arm that do best on images set apart, with a seed set apart."""
    train, apart, _ = data(small)
    count, steps, updates = (1, 3, 2) if small else (CHOSEN_AT, STEPS, SUPERVISED.get(arm, UPDATES))

    def score(right: dict[int, Tensor]) -> float:
        return right[count].mean().item()

    def best(start) -> tuple[float, dict[float, float]]:
        scores = {rate: score(fine_tuned(start, train, apart, rate, APART, updates, (count,))) for rate in TUNED_RATES}
        return max(scores, key=scores.get), scores

    if arm in SUPERVISED:
        rate, scores = best(network)
        return {"fine-tuned": rate, "scores": scores}
    if arm not in VIEWS:
        return {}
    models = {rate: contrasted(train, VIEWS[arm], rate, APART, steps)[0] for rate in RATES}
    scores = {rate: score(probed(lambda x, m=model: features(m, x), train, apart, APART, (count,))) for rate, model in models.items()}
    rate = max(scores, key=scores.get)
    setting = {"pretrained": rate, "scores": scores}
    return setting if arm != "both" else setting | dict(zip(("fine-tuned", "tuned_scores"), best(models[rate])))


def one_seed(arm: str, setting: dict, seed: int, small: bool) -> dict:
    """Which test images an arm gets right, and what its embedding is like."""
    train, _, test = data(small)
    counts, steps, updates = ((1, 5), 3, 2) if small else (PER_CLASS, STEPS, SUPERVISED.get(arm, UPDATES))
    if arm == "raw pixels":
        return {"probed": probed(lambda images: images.images.flatten(1), train, test, seed, counts)}
    if arm in SUPERVISED:
        return {"fine-tuned": fine_tuned(network, train, test, setting["fine-tuned"], seed, updates, counts)}
    model, about = network(seed), {}
    if arm in VIEWS:
        model, objective, loss = contrasted(train, VIEWS[arm], setting["pretrained"], seed, steps)
        about = {"loss": loss, **kept(model, objective, train, test)}
    if arm == "both":
        about["fine-tuned"] = fine_tuned(model, train, test, setting["fine-tuned"], seed, updates, counts)
    return {"probed": probed(lambda images: features(model, images), train, test, seed, counts), **about}


def measure(arm: str, small: bool = False) -> dict:
    """All of one arm: the rates that were chosen, and each seed's run. Arms may be measured in processes of their own."""
    setting = chosen(arm, small)
    return {"setting": setting, "runs": [one_seed(arm, setting, seed, small) for seed in (SEEDS[:2] if small else SEEDS)]}


def columns(parts: dict, kind: str, count: int) -> dict[str, Tensor]:
    """{arm: (N, seeds)} how often each test image is right."""
    return {arm: torch.stack([run[kind][count] for run in part["runs"]], 1) for arm, part in parts.items() if kind in part["runs"][0]}


def finish(parts: dict, small: bool = False) -> dict:
    """What is kept of all arms: accuracies and loss of each seed, and the leads."""
    counts = (1, 5) if small else PER_CLASS
    probes, tuned = ({count: columns(parts, kind, count) for count in counts} for kind in ("probed", "fine-tuned"))
    leads = {"both over colour, probed": [lead(found["both"], found["colour"]) for found in probes.values()],
             "both over crop, probed": [lead(found["both"], found["crop"]) for found in probes.values()],
             "both, probed, over scratch": [lead(probes[n]["both"], tuned[n]["scratch"]) for n in counts],
             **{f"both, fine-tuned, over {rival}": [lead(found["both"], found[rival]) for found in tuned.values()] for rival in SUPERVISED}}
    return {"device": "cpu", "per_class": list(counts), "updates": {"pretraining": STEPS, "both": UPDATES, **SUPERVISED}, "batch": BATCH,
            "chance_loss": log(2 * BATCH - 1), "setting": {arm: part["setting"] for arm, part in parts.items()},
            "accuracy": {kind: {arm: [found[n][arm].mean(0).tolist() for n in counts] for arm in found[counts[0]]}
                         for kind, found in (("probed", probes), ("fine-tuned", tuned))},
            "loss": {arm: [run["loss"] for run in parts[arm]["runs"]] for arm in VIEWS},
            "embedding": {arm: [{name: run[name] for name in ("h", "z")} for run in parts[arm]["runs"]] for arm in VIEWS},
            "leads": {name: [[list(each) for each in one] for one in found] for name, found in leads.items()}}  # fmt: skip


def run(scale: str) -> dict:
    """Accuracies, losses, ranks and leads of all arms."""
    small = scale == "smoke"
    return finish({arm: measure(arm, small) for arm in ARMS}, small)


def points(found) -> str:
    """A lead with both its intervals, in points."""
    (difference, low, high, _), (_, least, most, _) = found
    return f"{100 * difference:+.1f} points (images {100 * low:+.1f} to {100 * high:+.1f}, seeds {100 * least:+.1f} to {100 * most:+.1f})"


def is_clear(found) -> bool:
    """Whether A leads B by both intervals."""
    return all(low > 0 for _, low, _, _ in found)


def verdict(measured: dict) -> str:
    """Each prediction against what was measured."""
    said, counts, leads = {True: "held", False: "failed"}, measured["per_class"], measured["leads"]
    five, last, ten = counts.index(5), len(counts) - 1, counts.index(CHOSEN_AT) if CHOSEN_AT in counts else 1
    probe = {arm: mean(runs[ten]) for arm, runs in measured["accuracy"]["probed"].items()}
    loss = {arm: mean(runs) for arm, runs in measured["loss"].items()}
    rank, colour = ({arm: {side: mean(run[side][what] for run in runs) for side in ("h", "z")} for arm, runs in measured["embedding"].items()}
                    for what in ("rank", "colour"))  # fmt: skip
    easy = min(loss, key=loss.get) == "crop" == max(rank, key=lambda arm: rank[arm]["h"]) and probe["crop"] <= 0.15
    composed = leads["both over colour, probed"][ten]
    forgets = colour["crop"]["h"] >= 0.8 and colour["both"]["h"] < 0.5 * colour["crop"]["h"] and colour["both"]["h"] >= colour["both"]["z"] + 0.1
    short, longer = (leads[f"both, fine-tuned, over {rival}"] for rival in SUPERVISED)
    frozen = leads["both, probed, over scratch"][ten]
    worth = short[five][0][0] >= 0.05 and is_clear(short[five]) and short[last][0][0] <= 0.03
    told = ", ".join(f"{arm} loss {loss[arm]:.2f}, rank {rank[arm]['h']:.1f}, probe {probe[arm]:.3f}, colour R² {colour[arm]['h']:.2f} before the head and "
                     f"{colour[arm]['z']:.2f} after" for arm in VIEWS)  # fmt: skip
    return (f"With {counts[ten]} labels per class (chance loss {measured['chance_loss']:.2f}): {told}; raw pixels {probe['raw pixels']:.3f}, frozen random "
            f"{probe['frozen random']:.3f}. 1. Crop alone has a loss of {loss['crop']:.2f}, a rank of {rank['crop']['h']:.1f} and a probe of "
            f"{probe['crop']:.3f}: {said[easy]}. "
            f"2. Both over colour {points(composed)}: {said[composed[0][0] >= 0.1 and is_clear(composed)]}. "
            f"3. R² {colour['crop']['h']:.2f} after crop alone; {colour['both']['h']:.2f} and {colour['both']['z']:.2f} after both: {said[forgets]}. "
            f"4. Fine-tuned over scratch with 5 labels {points(short[five])}; with {counts[last]} {points(short[last])}: {said[worth]}. "
            f"5. Over scratch for longer {points(longer[five])}: {said[longer[five][0][0] > 0.5 * short[five][0][0] > 0]}. "
            f"6. The frozen probe over scratch {points(frozen)}: {said[abs(frozen[0][0]) <= 0.05]}.")  # fmt: skip
