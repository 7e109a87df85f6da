"""Latency and bandwidth fitted on two ranks and tested on four; and what a sum of gradients really waits for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist

from pretrain_lib.bench.cost_model import fit_link, ring_all_reduce
from pretrain_lib.bench.encoder import SPECIAL, Size
from pretrain_lib.course.exercises.ch10 import sum_gradients
from pretrain_lib.data.keys import Keys
from pretrain_lib.models.bert import BertConfig, BertForMaskedLM
from pretrain_lib.objectives.masked_lm import MaskedLM

TITLE = "An all-reduce on two ranks foretells one on four; and how much of a sum of gradients is waiting"

PREDICTION = """(Written after a trial in which the fit at two ranks came out a third too low for four, and in which a barrier before the sum took most of its time away.)
Latency and bandwidth are fitted on two ranks, to the second smallest and the largest of six sizes; the machine has two cores, and others use it too. So what counts is the fastest of 30 rounds, median over 15 repetitions. 1. On two ranks the three sizes in between are foretold within a factor of
1.5. 2. On four ranks the same latency and bandwidth foretell too little, by a factor between 1.2 and 2 at the largest size: four ranks share two cores, which the formula does not know. 3. It is nearer
if every message of four ranks takes twice as long, because two ranks share a core: within a factor of 1.5 at all sizes that were not fitted. 4. In a step, a barrier before the sum takes more than half of the sum's
time away: that part was waiting for the other rank. 5. To pack gradients into a buffer and take them out again is less than a fifth of the sum without a barrier."""

SEEDS = (1, 2, 3)  # launches: new processes each
REPEATED, ROUNDS, STEPS = 5, 30, 12
SIZES = tuple(4 * 8**k for k in range(2, 8))  # bytes
FITTED = (1, 5)  # which of the sizes


def seconds_by_size(group, rounds: int) -> list[list[float]]:
    """Seconds of an all-reduce of each size, from a barrier on: the fastest of some rounds, and their median."""
    found = []
    for size in SIZES:
        x, seconds = torch.ones(size // 4), []
        for _ in range(rounds):
            dist.barrier(group)
            start = time.perf_counter()
            dist.all_reduce(x, group=group)
            seconds.append(time.perf_counter() - start)
            x.fill_(1)
        found.append([min(seconds), median(seconds)])
    return found


def step_parts(group, share: int, rounds: int) -> dict[str, float]:
    """Median seconds of a step's arithmetic, of the sum of gradients after it, of that sum after a barrier, and of packing alone."""
    shape = BertConfig(vocab_size=8192, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128,
                       max_position_embeddings=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model, objective = BertForMaskedLM(shape, seed=0).double(), MaskedLM(SPECIAL, 8192)
    keys = Keys.of(0, share)
    batch = objective.batch(Size(length=64).texts(share).take(keys), keys)
    parameters, parts = list(model.parameters()), {name: [] for name in ("arithmetic", "sum", "sum after a barrier", "packing")}

    def timed(name: str, reduce) -> None:
        start = time.perf_counter()
        sum_gradients(parameters, reduce)
        parts[name].append(time.perf_counter() - start)

    for number in range(2 * rounds):
        dist.barrier(group)
        start = time.perf_counter()
        objective(model, batch)["masked_lm"].backward()
        parts["arithmetic"].append(time.perf_counter() - start)
        if number % 2:
            dist.barrier(group)
        timed("sum after a barrier" if number % 2 else "sum", lambda flat: dist.all_reduce(flat, group=group))
        timed("packing", lambda flat: None)
        model.zero_grad()
    return {name: median(seconds) for name, seconds in parts.items()}


def on_a_rank(small: bool) -> dict:
    """What one rank of four measures: on two ranks and on four in turns; a step on one rank and on two."""
    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    rank, alone, pair = dist.get_rank(), dist.new_group([0]), dist.new_group([0, 1])
    found = {"2": [], "4": [], "load": []}
    for _ in range(1 if small else REPEATED):
        found["load"].append(os.getloadavg()[0])
        if rank < 2:
            found["2"].append(seconds_by_size(pair, 3 if small else ROUNDS))
        dist.barrier()
        found["4"].append(seconds_by_size(None, 3 if small else ROUNDS))
    for name, group, members, share in (("whole batch, alone", alone, 1, 64), ("half, alone", alone, 1, 32), ("half, both", pair, 2, 32)):
        if rank < members:
            found[name] = step_parts(group, share, 2 if small else STEPS)
        dist.barrier()
    return found


def launch(small: bool) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4", __file__, folder, str(int(small))],
                       env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, capture_output=True, timeout=600)
        return [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in range(4)]


def run(scale: str) -> dict:
    """Seconds of all-reduces {"fastest" or "median": {ranks: [repetition][size]}}, of the slowest rank; and of the parts of a step, by launch."""
    small = scale == "smoke"
    launches = [launch(small) for _ in (SEEDS[:1] if small else SEEDS)]
    slowest = {kind: {number: [[max(times) for times in zip(*[[pair[i] for pair in rank] for rank in repetition])] for ranks in launches
                               for repetition in zip(*[rank[number] for rank in ranks[: int(number)]])] for number in ("2", "4")}
               for i, kind in enumerate(("fastest", "median"))}
    steps = {name: [[rank[name] for rank in ranks[:members]] for ranks in launches]
             for name, members in (("whole batch, alone", 1), ("half, alone", 1), ("half, both", 2))}
    return {"sizes": SIZES, "fitted": FITTED, "all_reduce": slowest, "steps": steps, "load": [load for ranks in launches for load in ranks[0]["load"]]}


def foretold(measured: dict, kind: str = "fastest") -> dict:
    """{ranks: [repetition][size]}: foretold over measured, by the link that the same repetition's two ranks give."""
    (i, j), sizes, ratios = measured["fitted"], measured["sizes"], {"2": [], "4": []}
    for two, four in zip(*measured["all_reduce"][kind].values()):
        link = fit_link(2, (sizes[i], two[i]), (sizes[j], two[j]))
        for ranks, seconds in (("2", two), ("4", four)):
            ratios[ranks].append([ring_all_reduce(size, int(ranks), link) / own for size, own in zip(sizes, seconds)])
    return ratios


def part(measured: dict, name: str, what: str) -> float:
    """Median over launches of a part of a step, of the slowest rank."""
    return median(max(rank[what] for rank in ranks) for ranks in measured["steps"][name])


def verdict(measured: dict) -> str:
    """What came out, in a few sentences."""
    ratios = {ranks: [median(column) for column in zip(*rows)] for ranks, rows in foretold(measured).items()}
    between, four = ratios["2"][2:5], ratios["4"]
    shared = [2 * ratio for i, ratio in enumerate(four) if i not in measured["fitted"]]
    whole, after, packing = (part(measured, "half, both", name) for name in ("sum", "sum after a barrier", "packing"))

    def says(held: bool) -> str:
        return "held" if held else "failed"

    def within(values: list[float], factor: float) -> bool:
        return all(1 / factor < value < factor for value in values)

    return (
        f"1. Foretold over measured on two ranks {', '.join(f'{ratio:.2f}' for ratio in between)}, {says(within(between, 1.5))}. 2. On four ranks, from "
        f"the smallest size on, {', '.join(f'{ratio:.2f}' for ratio in four)}, {says(1 / 2 <= four[-1] <= 1 / 1.2)}. 3. Twice that: "
        f"{min(shared):.2f} to {max(shared):.2f}, {says(within(shared, 1.5))}. 4. The sum takes {1e3 * whole:.1f} ms, after a barrier {1e3 * after:.1f} ms, {says(after < whole / 2)}. "
        f"5. Packing takes {1e3 * packing:.2f} ms, {says(packing < whole / 5)}."
    )


if __name__ == "__main__":
    seen = on_a_rank(bool(int(sys.argv[2])))
    (Path(sys.argv[1]) / f"{dist.get_rank()}.json").write_text(json.dumps(seen))
    dist.barrier()
    os._exit(0)  # gloo's threads may hold tensors, and abort a process that ends
