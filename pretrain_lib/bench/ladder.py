"""The speed ladder: from how one would write it first to all that helps, one change a rung."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import UNSCORED, Samples, Source
from ..evaluation.masked import MaskedSet, masked_scores
from ..models.precision import choose_device, matmul_seconds
from ..objectives.base import Batch, Objective
from ..objectives.masked_lm import MaskedLM
from ..objectives.text import token_loss
from ..programs.pretrain import build_model, build_objective
from ..programs.recipe import Recipe
from ..training.config import TrainConfig
from ..training.trainer import Trainer
from .memory import peak_bytes
from .products import Products

MUON_OVER_ADAMW = 10 / 3  # its learning rate, in the recipes' search


@dataclass(frozen=True)
class Rung:
    """One way to train; each field is a change.

    Attributes:
        everywhere: whether every token is predicted, not only the blanks.
        one_by_one: whether AdamW goes through the weights one by one, a dozen operations for each.
        train: what it changes of the config.
    """

    everywhere: bool = True
    one_by_one: bool = True
    train: dict = field(default_factory=dict)


CHANGES = {
    "as first written": {},
    "blanks only": {"everywhere": False},
    "AdamW fused": {"one_by_one": False},
    "fastest precision": {"precision": "auto"},
    "compiled": {"compile": True},
    "Muon": {"optimizer": "muon"},
    "activations computed twice": {"activation_checkpointing": True},
}


def rungs(changes: dict[str, dict] = CHANGES) -> dict[str, Rung]:
    """The rungs from the bottom up; each has its change and all those below it."""
    ways, train, ladder = {"everywhere": True, "one_by_one": True}, {}, {}
    for name, change in changes.items():
        for key, value in change.items():
            (ways if key in ways else train)[key] = value
        ladder[name] = Rung(**ways, train=dict(train))
    return ladder


def labels_in_place(positions: Tensor, labels: Tensor, length: int) -> Tensor:
    """The labels at the positions that they belong to, (B, T); -100 everywhere else.

    Args:
        positions: (B, S) of the labels; a slot whose label is -100 has none, whatever it says.
        labels: (B, S).
        length: T.
    """
    there = positions.where(labels != UNSCORED, length)
    columns = labels.new_full((len(labels), length + 1), UNSCORED)  # the last for unused slots
    return columns.scatter_(1, there, labels)[:, :-1].contiguous()


class Everywhere(Objective):
    """Masked language modelling that computes the logits of every token, and uses those of blanks.

    Args:
        masked: hides the tokens.
    """

    def __init__(self, masked: MaskedLM):
        super().__init__()
        self.masked = masked

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        batch = self.masked.batch(samples, keys)
        inputs = {name: column for name, column in batch.inputs.items() if name != "positions"}
        labels = labels_in_place(batch.inputs["positions"], batch.targets["labels"],
                                 inputs["input_ids"].shape[1])
        return Batch(inputs, {"labels": labels}, batch.counts)

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"masked_lm": token_loss(model(**batch.inputs), batch.targets["labels"])}


@dataclass(frozen=True)
class Task:
    """What is trained on every rung.

    Attributes:
        build: makes the model from a seed.
        objective: hides and scores.
        source: blocks of T tokens.
        score: the loss of a trained model on texts held out.
        config: how to train; its learning rate is AdamW's.
    """

    build: Callable[[int], nn.Module]
    objective: MaskedLM
    source: Source
    score: Callable[[nn.Module], float]
    config: TrainConfig


def task_of(recipe: Recipe, folder: Path, blocks: int = 256) -> Task:
    """What a recipe trains, for as long as it says, in fp32, with AdamW.

    Args:
        recipe: of masked language modelling alone.
        folder: the text is prepared beside it.
        blocks: held-out blocks that the loss is measured on, with 15 of 100 tokens hidden.

    Raises:
        ValueError: if the recipe has another objective.
    """
    if recipe.objective.kind is not MaskedLM:
        raise ValueError("the ladder is for masked language modelling alone, and the objective of "
                         f"the recipe is {recipe.objective.kind.__name__}: take one with MaskedLM")
    data = recipe.data.kind.open(recipe.data.config, folder)
    unseen = data.held_out
    blanks = MaskedSet.draw(unseen, MaskedLM.of(data.tokenizer), range(min(blocks, len(unseen))))
    rate = recipe.train.learning_rate
    if recipe.train.optimizer == "muon":
        rate /= MUON_OVER_ADAMW
    config = replace(recipe.train, optimizer="adamw", precision="fp32", learning_rate=rate,
                     evaluate_every=0, checkpoint_every=0, patience=0)

    def build(seed: int) -> nn.Module:
        return build_model(replace(recipe, train=replace(recipe.train, seed=seed)), data)

    return Task(build, build_objective(recipe, data), data.training,
                lambda model: masked_scores(model, blanks).loss, config)


def climb(task: Task, rung: Rung, seed: int) -> dict[str, float | str]:
    """Trains on one rung and tells what it cost and what came of it.

    Returns:
        "tokens_per_second" (median over the run's log, the first line left out), "peak_bytes" of
        one update, "mfu", "loss" after the run, "seconds_to_start" until the first update (mostly
        compiling), "data_wait" as a share of the time, and the "precision". MFU is model FLOPs
        utilisation (Chowdhery et al., "PaLM", JMLR 2023, appendix B): the products that the model
        cannot do without, those at the blanks, over what the device manages in the same time
        when it does nothing but large products in this precision.
    """
    config = replace(task.config, seed=seed, **rung.train)
    if config.optimizer == "muon":
        config = replace(config, learning_rate=MUON_OVER_ADAMW * config.learning_rate)
    objective = Everywhere(task.objective) if rung.everywhere else task.objective
    model = task.build(seed).to(choose_device(config.device))
    trainer = Trainer(model, objective, task.source, config)
    for group in trainer.optimizer.param_groups if rung.one_by_one else []:
        group |= {"fused": False, "foreach": False}
    start = time.perf_counter()
    records = trainer.fit().records
    elapsed = time.perf_counter() - start
    rates = [record["samples_per_second"] for record in records]
    tokens = median(rates[1:] or rates) * length_of(task.source)
    training = sum(config.log_every / rate for rate in rates) * config.batch_size
    found = {"tokens_per_second": tokens, "loss": task.score(trainer.model),
             "precision": trainer.precision, "seconds_to_start": max(0.0, elapsed - training),
             "data_wait": median(record["data_wait"] for record in records)}
    keys = Keys.of(seed, range(config.batch_size))
    batch = objective.batch(task.source.take(keys), keys).to(trainer.device)
    found["peak_bytes"] = peak_bytes(lambda: trainer.update([batch], 0.0), kept(trainer, batch),
                                     trainer.device)
    useful = useful_flops(task, config.batch_size) / config.batch_size / length_of(task.source)
    found["mfu"] = tokens * useful / peak_flops(trainer.precision, trainer.device)
    return found


def length_of(source: Source) -> int:
    """T: the tokens of a sample."""
    return source.take(Keys.of(0, range(1)))["input_ids"].shape[1]


def kept(trainer: Trainer, batch: Batch) -> list[Tensor]:
    """The tensors that are there between two updates."""
    state = [value for entry in trainer.optimizer.state.values() for value in entry.values()]
    return [*trainer.module.parameters(), *trainer.module.buffers(), *batch.inputs.values(),
            *batch.targets.values(), *(value for value in state if isinstance(value, Tensor))]


def useful_flops(task: Task, batch_size: int) -> int:
    """Multiplications and additions of a step that predicts at the blanks only."""
    keys = Keys.of(0, range(batch_size))
    batch = task.objective.batch(task.source.take(keys), keys)
    with Products() as products:
        task.objective(task.build(0), batch)["masked_lm"].backward()
    return products.flops


@cache
def peak_flops(precision: str, device: torch.device) -> float:
    """Multiplications and additions a second in a large square product, measured once a format."""
    size = 8192 if device.type == "cuda" else 2048
    return 2 * size**3 / matmul_seconds(precision, device, size)
