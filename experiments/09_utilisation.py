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

SEEDS = (0, 1, 2)  # of the weights; each has a session of its own
RECIPE = Path(__file__).parents[1] / "recipes" / "modernbert-mini-laptop.toml"
ROUNDS, PEAK = 15, 2048


def trainer_of(task: Task, rung: Rung, seed: int = 0) -> Trainer:
    objective = Everywhere(task.objective) if rung.everywhere else task.objective
    trainer = Trainer(task.build(seed), objective, task.source, replace(task.config, **rung.train))
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


def session(task: Task, ladder: dict[str, Rung], seed: int, rounds: int) -> dict:
    """Seconds of an update of each rung, round by round, and the peak: the fastest large product between them."""
    a = torch.randn(PEAK, PEAK, generator=torch.Generator().manual_seed(seed))
    with ExitStack() as work:
        steps = {name: step_of(trainer_of(task, rung, seed), work) for name, rung in ladder.items()}
        load = [os.getloadavg()[0]]
        seconds = interleaved(steps | {"peak": lambda: a @ a}, rounds, warm_up=2)
        load.append(os.getloadavg()[0])
    peak = 2 * PEAK**3 / min(seconds.pop("peak"))
    return {"seconds": seconds, "peak": peak, "load": load}


def run(scale: str) -> dict:
    """A session for each seed; FLOPs that run on each rung, and that the task needs."""
    small = scale == "smoke"
    recipe = read_recipe(RECIPE)
    changes = {name: {"precision": "fp32"} if "precision" in change else change for name, change in CHANGES.items()}
    ladder = dict(list(rungs(changes).items())[: 3 if small else None])
    with tempfile.TemporaryDirectory() as folder:
        task = task_of(replace(recipe, train=replace(recipe.train, device="cpu")), Path(folder) / "run", 8)
        flops = {name: flops_of(task, rung) for name, rung in ladder.items()}
        sessions = [session(task, ladder, seed, 2 if small else ROUNDS) for seed in (SEEDS[:1] if small else SEEDS)]
    return {"sessions": sessions, "flops": flops, "needed": useful_flops(task, task.config.batch_size),
            "tokens": task.config.batch_size * recipe.data.config.length}


def utilisation(measured: dict, kind: str) -> dict[str, list[float]]:
    """Of each rung, session by session, the share of the peak, by what the task needs ("needed") or by all products that run ("flops")."""
    flops = measured["flops"] if kind == "flops" else dict.fromkeys(measured["flops"], measured["needed"])
    return {name: [flops[name] / median(one["seconds"][name]) / one["peak"] for one in measured["sessions"]] for name in flops}


def verdict(measured: dict) -> str:
    """What came out, medians of the sessions; a prediction held if it held in each."""
    names = list(measured["flops"])
    if len(names) < 7:
        return "not enough rungs to say anything"
    gain = {name: [ratio(one["seconds"], below, name) for one in measured["sessions"]] for below, name in zip(names, names[1:])}
    mfu, hfu = utilisation(measured, "needed"), utilisation(measured, "flops")
    first, masked, _, _, _, muon, twice = names
    others = [max(gains) for gains in zip(*(values for name, values in gain.items() if name != masked))]

    def says(*held) -> str:
        return "held" if all(all(each) for each in held) else "failed"

    def rise(shares: dict, a: str, b: str) -> str:
        return f"from {median(shares[a]):.2f} to {median(shares[b]):.2f}"

    return (
        f"1. Muon runs at {median(gain[muon]):.2f} times the speed, {says(0.7 <= one <= 0.95 for one in gain[muon])}. 2. Masked positions only: {median(gain[masked]):.2f} times as fast, {min(gain[masked]):.2f} in the lowest session; of the others the "
        f"most is {max(others):.2f}, {says((one > 1.5 for one in gain[masked]), (one <= 1.3 for one in others))}. 3. From the first rung to the second MFU goes {rise(mfu, first, masked)}, all products "
        f"{rise(hfu, first, masked)}, {says((b > a for a, b in zip(mfu[first], mfu[masked])), (b < a for a, b in zip(hfu[first], hfu[masked])))}. 4. Computing twice: MFU {rise(mfu, muon, twice)}, all products "
        f"{rise(hfu, muon, twice)}, {says((b < a for a, b in zip(mfu[muon], mfu[twice])), (b >= 0.95 * a for a, b in zip(hfu[muon], hfu[twice])))}."
    )
