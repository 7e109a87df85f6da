"""The failure clinic's runs on pairs: pictures of letters and their names, matched as they should be, or wrongly."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import exp, log

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...data.images.captioned import CaptionedImages
from ...data.images.load_captioned import load_captioned
from ...data.keys import Keys
from ...data.source import Columns, Source
from ...evaluation.retrieval import measure_retrieval
from ...models.bag_of_words import BagOfWords, BagOfWordsConfig
from ...models.resnet import ResNetConfig, ResNetModel
from ...models.two_towers import TwoTowers
from ...objectives.contrastive import Contrastive
from ...training.config import TrainConfig
from ...training.trainer import Trainer
from ...transfer.features import features

SEED, STEPS, BATCH, RATE, EVERY = 0, 150, 256, 1e-2, 25
TRAINED = 14 * BATCH  # pictures; 385 more of the same fonts and names are set apart at random
EACH = 4  # of the pictures in new fonts one in so many is asked for
MODEL = ResNetConfig(num_channels=1, embedding_size=24, hidden_sizes=(24, 48, 96), depths=(1, 1, 1))
VIEWS = {"image": ["images"], "text": ["input_ids", "attention_mask"]}
SAID = ("input_ids", "attention_mask", "caption")
CHANCE = {"chance": round(log(BATCH), 4)}
TESTS = ("set apart", "new fonts", "new combinations")


@lru_cache
def letters(split: str) -> CaptionedImages:
    return load_captioned("letters", split)


@lru_cache
def part(name: str) -> CaptionedImages:
    """What is trained on, in the order of the collection, or asked for in a test."""
    order = Keys.of(SEED, [0]).permutation("apart", len(letters("train")))[0]
    return {"training": lambda: letters("train").subset(order[:TRAINED].sort().values),
            "set apart": lambda: letters("train").subset(order[TRAINED:]),
            "new fonts": lambda: letters("test").subset(range(0, len(letters("test")), EACH)),
            "new combinations": lambda: letters("held out")}[name]()


@lru_cache
def names() -> list[str]:
    """All names of all splits: among these a picture's own is looked for."""
    return sorted({name for split in ("train", "held out") for name in letters(split).captions})


def vectors(model: nn.Module, tower: str, source: Source) -> Tensor:
    """(N, D), of length 1."""
    return F.normalize(features(model.towers[tower], source), dim=1)


def found(model: nn.Module) -> dict[str, float]:
    """Of each test the share of pictures to which, of all names, their own is nearest."""
    pool, shares = vectors(model, "text", letters("train").encode(names())), {}
    for test in TESTS:
        own = torch.tensor([names().index(part(test).captions[number]) for number in part(test).caption])
        hits = measure_retrieval(vectors(model, "image", part(test)) @ pool.T, own, at=[1]).hit[1]
        shares[test] = round(hits.mean().item(), 3)
    return shares


def train(pairs: Columns, same: str | None = "caption", temperature: float = 0.1, learned: bool = True) -> dict:
    """The log of one run: [step, loss], [step, scale], and for each test [step, share of names found]."""
    words = letters("train").tokenizer.get_vocab_size()
    model = TwoTowers(ResNetModel(MODEL, SEED), BagOfWords(BagOfWordsConfig(words), SEED), projection_size=64, seed=SEED)
    objective = Contrastive(VIEWS, temperature, learned=learned, same=same)
    config = TrainConfig(steps=STEPS, batch_size=BATCH, learning_rate=RATE, weight_decay=1e-4, warmup_steps=STEPS // 10,
                         precision="fp32", device="cpu", seed=SEED, log_every=2, evaluate_every=EVERY)
    measured = {name: [] for name in ("scale", *TESTS)}

    def measure(step: int) -> None:
        for name, value in {"scale": round(objective.log_scale.exp().item(), 2), **found(model)}.items():
            measured[name].append([step, value])

    class Watched(Trainer):
        def evaluate(self, source: Source) -> dict:
            measure(self.step)
            return {"loss": 0.0}

    measure(0)
    history = Watched(model, objective, pairs, config, held_out=pairs).fit()
    return {"training": [[record["step"], round(record["loss"], 4)] for record in history.records if "loss" in record], **measured}


# -------------------------------------------------------------------------------- each finds its other


def one_row_off(pairs: Columns) -> Columns:
    """Wrong: each picture has what is said of the picture in the row before."""
    return Columns(images=pairs.images, **{name: pairs.columns[name].roll(1, 0) for name in SAID})


def in_no_order(pairs: CaptionedImages) -> CaptionedImages:
    return pairs.subset(Keys.of(SEED, [0]).permutation("rows", len(pairs))[0])


def measure_pairs() -> dict:
    """Three runs; the first is shown twice, by another test each time."""
    pairs = part("training")
    healthy = train(pairs)
    return {"loss": "loss (nats)", "lines": CHANCE, "runs": {
        "healthy pairs": without(healthy, "set apart"),
        "out of step": without(train(one_row_off(in_no_order(pairs))), "set apart"),
        "sorted and out of step": without(train(one_row_off(pairs)), "set apart"),
        "combination in both parts": without(healthy, "new fonts")}}


def without(run: dict, name: str) -> dict:
    return {kind: curve for kind, curve in run.items() if kind != name}


# -------------------------------------------------------------------------------- equal captions


def loss_of_equal_captions(captions: Tensor) -> float:
    """The least that a softmax over all of a batch can cost, in nats, of batches drawn in one epoch: n equal captions have 1/n each.

    Args:
        captions: (N,) the number of each sample's caption; N is a multiple of the batch.
    """
    batches = captions[Keys.of(SEED, [0]).permutation("batches", len(captions))[0]].view(-1, BATCH)
    alike = (batches[:, :, None] == batches[:, None]).sum(2)  # (N/B, B): n of each sample
    return alike.double().log().mean().item()


def measure_equal_captions() -> dict:
    best = loss_of_equal_captions(part("training").caption)
    return {"loss": "loss (nats)", "lines": CHANCE | {"best possible": round(best, 4)},
            "runs": {"equal captions told apart": without(train(part("training"), same=None), "set apart")}}


# -------------------------------------------------------------------------------- a temperature


def loss_at_scale(scale: float, pairs: int) -> float:
    """The least that so many different pairs can cost at this scale: both vectors of a pair are the same corner of a simplex."""
    return log(1 + (pairs - 1) * exp(-scale * pairs / (pairs - 1)))


def measure_fixed_temperature() -> dict:
    return {"loss": "loss (nats)", "lines": CHANCE | {"best possible": round(loss_at_scale(1.0, BATCH), 4)},
            "runs": {"temperature too high": without(train(part("training"), temperature=1.0, learned=False), "set apart")}}
