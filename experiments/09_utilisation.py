"""Tokens a second and utilisation on the rungs of the ladder, all rungs and the peak in turns within each round."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from pretrain_lib.bench.ladder import CHANGES, Everywhere, Rung, Task, rungs, task_of, useful_flops
from pretrain_lib.bench.products import Products
from pretrain_lib.bench.timing import interleaved, ratio
from pretrain_lib.data.keys import Keys
from pretrain_lib.programs.recipe import read_recipe
from pretrain_lib.training.trainer import Trainer

TITLE = "Tokens a second, model and hardware FLOPs utilisation on each rung, all rungs and the peak in turns"

PREDICTION = """(Written because `09-ladder`, in which each rung had its turn alone, found Muon 1.20 times as fast as the rung below, which is impossible: Muon adds products. Its peak was
measured anew in each run, and differed by a factor of 3.) The laptop's recipe, an update of each rung in turns with a large product in fp32 (the only format that is fast on the machine at hand), whose fastest time is the one peak. 1. Muon makes an
update slower: between 0.7 and 0.95 times the speed of the rung below. 2. Predicting at the masked positions only is more than 1.5 times as fast, and the only rung that is more than 1.3 times as
fast as the one below. 3. The utilisation that counts what the *task* needs (MFU) rises with it, and the utilisation that counts all products that run falls. 4. Computing activations twice lowers the
first and not the second."""

SEEDS = (0,)
RECIPE = Path(__file__).parents[1] / "recipes" / "modernbert-mini-laptop.toml"
ROUNDS, PEAK = 15, 2048


def trainer_of(task: Task, rung: Rung) -> Trainer:
    objective = Everywhere(task.objective) if rung.everywhere else task.objective
    trainer = Trainer(task.build(0), objective, task.source, replace(task.config, **rung.train))
    for group in trainer.optimizer.param_groups if rung.one_by_one else []:
        group |= {"fused": False, "foreach": False}
    return trainer


def step_of(trainer: Trainer, work: ExitStack) -> Callable[[], object]:
    """A function that makes one update, always from the first batch, as long as `work` is open."""
    batch = next(work.enter_context(trainer.at_work()))
    return lambda: trainer.update([batch], 1e-4)


def flops_of(task: Task, rung: Rung) -> int:
    """Multiplications and additions in all products of an update; compiled or not, they are the same."""
    rung = replace(rung, train={**rung.train, "compile": False})
    with ExitStack() as work:
        step = step_of(trainer_of(task, rung), work)
        with Products() as products:
            step()
    return products.flops


def run(scale: str) -> dict:
    """Seconds of an update of each rung and of a large product, round by round; FLOPs that run, and that the task needs."""
    small = scale == "smoke"
    recipe = read_recipe(RECIPE)
    changes = {name: {"precision": "fp32"} if "precision" in change else change for name, change in CHANGES.items()}
    ladder = dict(list(rungs(changes).items())[: 3 if small else None])
    a = torch.randn(PEAK, PEAK, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as work:
        task = task_of(replace(recipe, train=replace(recipe.train, device="cpu")), Path(folder) / "run", 8)
        flops = {name: flops_of(task, rung) for name, rung in ladder.items()}
        needed = useful_flops(task, task.config.batch_size)
        steps = {name: step_of(trainer_of(task, rung), work) for name, rung in ladder.items()}
        load = [os.getloadavg()[0]]
        seconds = interleaved(steps | {"peak": lambda: a @ a}, 2 if small else ROUNDS, warm_up=2)
        load.append(os.getloadavg()[0])
    peak = 2 * PEAK**3 / min(seconds.pop("peak"))
    return {"seconds": seconds, "flops": flops, "needed": needed, "peak": peak, "tokens": task.config.batch_size * recipe.data.config.length, "load": load}


def utilisation(measured: dict, kind: str) -> dict[str, float]:
    """Of each rung the share of the peak, by what the task needs ("needed") or by all products that run ("flops")."""
    flops = measured["flops"] if kind == "flops" else dict.fromkeys(measured["flops"], measured["needed"])
    return {name: flops[name] / median(times) / measured["peak"] for name, times in measured["seconds"].items()}


def verdict(measured: dict) -> str:
    """What came out, in a few sentences."""
    seconds = measured["seconds"]
    names = list(seconds)
    if len(names) < 7:
        return "not enough rungs to say anything"
    gain = {name: ratio(seconds, below, name) for below, name in zip(names, names[1:])}
    mfu, hfu = utilisation(measured, "needed"), utilisation(measured, "flops")
    first, masked, _, _, compiled, muon, twice = names
    others = max(value for name, value in gain.items() if name != masked)
    said = {True: "held", False: "failed"}
    return (
        f"1. Muon runs at {gain[muon]:.2f} times the speed, {said[0.7 <= gain[muon] <= 0.95]}. 2. Masked positions only: {gain[masked]:.2f} times as fast; of the others the most is {others:.2f}, "
        f"{said[gain[masked] > 1.5 and others <= 1.3]}. 3. From the first rung to the second MFU goes from {mfu[first]:.2f} to {mfu[masked]:.2f}, all products from {hfu[first]:.2f} to "
        f"{hfu[masked]:.2f}, {said[mfu[masked] > mfu[first] and hfu[masked] < hfu[first]]}. 4. Computing twice: MFU from {mfu[muon]:.2f} to {mfu[twice]:.2f}, all products from {hfu[muon]:.2f} to {hfu[twice]:.2f}, "
        f"{said[mfu[twice] < mfu[muon] and hfu[twice] >= 0.95 * hfu[muon]]}."
    )
