"""The speed ladder on the laptop's recipe: tokens a second, memory, utilisation and loss, one change a rung."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from pretrain_lib.bench.ladder import climb, rungs, task_of
from pretrain_lib.programs.recipe import read_recipe

TITLE = "Tokens a second, peak memory, model FLOPs utilisation and held-out loss, one change a rung, at equal tokens"

PREDICTION = """(Written after one run of 40 updates on a busy machine, in which each rung ran once; no rung was chosen for what it gave there.)
The laptop's recipe, 4 × 128, blocks of 128 tokens, 16 in a batch. 1. Predicting at the blanks only is the largest single gain in tokens a second, more than 1.5
times, and frees more than a third of the memory. 2. Fused AdamW gains less than 10 %. 3. On a processor with units for bfloat16 the fastest precision gains less
than 1.3 times, however fast its products are, because the backward pass of attention does not share in it; on one without, fp32 is chosen and nothing changes. 4. Compiling gains
more than 1.2 times and costs more than half a minute before the first update. 5. None of these changes the loss after equal tokens by more than 0.02 nats. 6. Muon makes updates
slower by less than 20 % and lowers the loss by more than 0.1 nats. 7. Computing activations twice takes off at least a quarter of the memory, and costs between 10 and 50 % of the
speed."""

SEEDS = (81, 82, 83)
RECIPE = Path(__file__).parents[1] / "recipes" / "modernbert-mini-laptop.toml"
UPDATES = 100


def run(scale: str) -> dict:
    """For each rung, what each seed measured; rungs in turns, every other seed from the top down."""
    small = scale == "smoke"
    updates, seeds = (3, SEEDS[:1]) if small else (UPDATES, SEEDS)
    os.environ["TQDM_DISABLE"] = "1"
    recipe = read_recipe(RECIPE)
    train = replace(recipe.train, steps=updates, warmup_steps=max(1, updates // 20), log_every=1 if small else 10, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        task = task_of(replace(recipe, train=train), Path(folder) / "run", 8 if small else 256)
        ladder = list(rungs().items())[: 3 if small else None]
        measured = {name: [] for name, _ in ladder}
        for number, seed in enumerate(seeds):
            for name, rung in reversed(ladder) if number % 2 else ladder:
                measured[name].append(climb(task, rung, seed))
                print(seed, name, measured[name][-1], flush=True)
    return {"rungs": {name: {key: [run[key] for run in runs] for key in runs[0]} for name, runs in measured.items()},
            "updates": updates, "tokens": updates * train.batch_size * recipe.data.config.length, "threads": torch.get_num_threads()}


def verdict(measured: dict) -> str:
    """What came out, in a few sentences."""
    ladder = measured["rungs"]
    names = list(ladder)
    if len(names) < 7:
        return "not enough rungs to say anything"
    value = {key: [median(ladder[name][key]) for name in names] for key in ("tokens_per_second", "peak_bytes", "loss", "seconds_to_start")}
    gain = [b / a for a, b in zip(value["tokens_per_second"], value["tokens_per_second"][1:])]
    memory = [b / a for a, b in zip(value["peak_bytes"], value["peak_bytes"][1:])]
    losses = value["loss"]
    said = {True: "held", False: "failed"}
    precision = ladder[names[3]]["precision"][0]
    free = max(abs(loss - losses[0]) for loss in losses[:5])
    return (
        f"1. Blanks only: {gain[0]:.2f} times as fast, {1 - memory[0]:.0%} of the memory freed, "
        f"{said[gain[0] > 1.5 and gain[0] == max(gain) and memory[0] < 2 / 3]}. 2. Fused AdamW: {gain[1]:.2f}, {said[gain[1] < 1.1]}. "
        f"3. {precision}: {gain[2]:.2f}, {said[gain[2] < 1.3]}. 4. Compiled: {gain[3]:.2f}, first update after {max(ladder[names[4]]['seconds_to_start']):.0f} s, "
        f"{said[gain[3] > 1.2 and max(ladder[names[4]]['seconds_to_start']) > 30]}. 5. Losses differ by at most {free:.3f} nats up to there, {said[free <= 0.02]}. "
        f"6. Muon: {gain[4]:.2f} times the speed, {losses[5] - losses[4]:+.3f} nats, {said[gain[4] > 0.8 and losses[4] - losses[5] > 0.1]}. "
        f"7. Activations computed twice: {1 - memory[5]:.0%} of the memory freed at {gain[5]:.2f} times the speed, "
        f"{said[memory[5] <= 0.75 and 0.5 <= gain[5] <= 0.9]}.")
