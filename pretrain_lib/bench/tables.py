"""What `python -m pretrain_lib bench` prints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import median

from ..programs.recipe import Recipe
from .cost_model import (
    BACKWARD,
    Encoder,
    Link,
    ring_all_reduce,
    state_bytes,
    step_seconds,
    tree_all_reduce,
)
from .encoder import Size, measure
from .images import images_per_second
from .int8 import KINDS, LENGTH, SENTENCES, int8_on
from .ladder import climb, rungs, task_of
from .scaling import scaling

GPUS, SEQUENCES = (1, 8, 64, 1024), 256  # of the machines on paper, and in their batch
GPU = {"link": Link(latency=1e-5, bandwidth=5e10), "flops": 4e14}  # round numbers, not a product's


def print_steps(rounds: int, large: bool) -> None:
    """A step, its matrix products alone, the trainer and a bare loop, at several sizes."""
    sizes = [Size(), Size(layers=2, hidden_size=128), Size(length=512, batch_size=8),
             Size(ragged=True), Size(form="modernbert")]
    if large:
        sizes.append(Size(layers=12, hidden_size=768, batch_size=8))
    print(f"{'':44} {'tokens/s':>9} {'GFLOP/s':>8} {'products':>9} {'trainer':>8} {'wait':>7}")
    for size in sizes:
        found = measure(size, rounds)
        print(f"{size!s:44} {found['tokens_per_second']:9.0f} {found['gigaflops_per_second']:8.0f} "
              f"{found['products_share']:9.2f} {found['trainer_over_loop']:8.3f} "
              f"{found['data_wait']:7.2%}", flush=True)
    print("\nproducts: the step's matrix products timed alone, as a share of the step\n"
          "trainer: its time over that of a bare loop with the same masking and updates\n"
          "wait: share of the trainer's time that goes by waiting for the next batch")


def print_ladder(recipe: Recipe, steps: int, rounds: int) -> None:
    """What each change is worth: one a row, all those above it kept."""
    train = replace(recipe.train, steps=steps, warmup_steps=max(1, steps // 20))
    task = task_of(replace(recipe, train=train), Path("runs") / "bench")
    found = {name: [] for name in rungs()}
    for seed in range(rounds):
        for name, rung in rungs().items():
            found[name].append(climb(task, rung, seed))
    print(f"\n{'':28} {'tokens/s':>9} {'memory MB':>10} {'MFU':>6} {'loss':>7} {'start s':>8} "
          f"{'wait':>6}")
    for name, runs in found.items():
        row = {key: median(run[key] for run in runs) for key in runs[0] if key != "precision"}
        print(f"{name:28} {row['tokens_per_second']:9.0f} {row['peak_bytes'] / 1e6:10.0f} "
              f"{row['mfu']:6.2f} {row['loss']:7.3f} {row['seconds_to_start']:8.1f} "
              f"{row['data_wait']:6.1%}  {runs[0]['precision']}")
    print(f"\nloss: in nats on texts held out, after {steps} updates\n"
          "MFU: the products at the blanks, over what large products alone manage here\n"
          "start: until the first update, which is where compiling falls")


def print_ranks(ranks: list[int]) -> None:
    """The same batch on more processes, beside what the cost model foretells."""
    rows = scaling(ranks)
    print(f"{'processes':>9} {'step ms':>9} {'foretold':>17} {'speed-up':>9} "
          f"{'all-reduce ms':>14} {'ring':>7} {'tree':>7}")
    for row in rows:
        line = f"{row['ranks']:9} {1e3 * row['step']:9.0f} "
        if row["ranks"] > 1:
            line += (f"{1e3 * row['fastest']:8.0f}-{1e3 * row['slowest']:<8.0f} "
                     f"{rows[0]['step'] / row['step']:8.2f}x {1e3 * row['all_reduce']:14.1f} "
                     f"{1e3 * row['ring']:7.1f} {1e3 * row['tree']:7.1f}")
        print(line)
    print("\none thread a process; all-reduce: of all gradients, alone; ring, tree: on paper, with "
          "latency and\nbandwidth fitted to all-reduces of other sizes; foretold: with all hidden "
          "that the backward pass can\nhide, and with nothing hidden")


def print_int8(rounds: int) -> None:
    """What int8 costs beside fp32 where oneDNN may use fewer instructions, and where all."""
    for kind in KINDS:
        found = int8_on(kind, rounds)
        print(f"\nONEDNN_MAX_CPU_ISA={kind}: {found['instructions']}\n"
              f"{'':32} {'':13} {'int8/fp32':>9} {'exact':>6}  layers by product")
        for row in found["rows"]:
            products = ", ".join(f"{name} {layers}" for name, layers in row["products"].items())
            print(f"{row['model']:32} {row['size']:13} {row['ratio']:9.2f} "
                  f"{'yes' if row['exact'] else 'NO':>6}  {products}", flush=True)
    print("\nfirst line of a table: the instructions that oneDNN found and was let use\n"
          "int8/fp32: seconds of a forward pass over those in fp32, in turns, median of rounds\n"
          f"a batch: {SENTENCES['a batch']} sentences, each of {LENGTH} tokens\n"
          "exact: whether the sums in each layer are those of whole numbers")


def print_images(rounds: int) -> None:
    """How many images a second each source gives."""
    print(f"{'':32} {'images/s':>9}")
    for name, speed in images_per_second(rounds).items():
        print(f"{name:32} {speed:9.0f}")
    print("\non one thread, as a worker of the loader has")


def print_paper() -> None:
    """BERT-base on machines that are not here."""
    base, link = Encoder(), GPU["link"]
    flops, size = SEQUENCES * base.step_flops, 4 * base.parameters
    compute = flops / GPU["flops"]
    print(f"BERT-base, {SEQUENCES} sequences of {base.length}: {flops / 1e12:.0f} TFLOP a step, "
          f"{size / 1e6:.0f} MB of gradients.\n"
          f"Say a GPU sustains {GPU['flops'] / 1e12:.0f} TFLOP/s, "
          f"its link {link.bandwidth / 1e9:.0f} GB/s with {1e6 * link.latency:.0f} µs.\n\n"
          f"{'GPUs':>5} {'compute ms':>11} {'ring':>8} {'tree':>8} {'step':>8} {'hidden':>8} "
          f"{'speed-up':>9} {'DDP GB':>8} {'FSDP GB':>8}")
    for n in GPUS:
        ring, tree = (reduce(size, n, link) for reduce in (ring_all_reduce, tree_all_reduce))
        plain, hidden = (step_seconds(compute / n, min(ring, tree), share)
                         for share in (0.0, BACKWARD))
        milliseconds = "".join(f" {1e3 * t:8.2f}" for t in (ring, tree, plain, hidden))
        memory = "".join(f" {sum(state_bytes(base.parameters, n, stage).values()) / 1e9:8.2f}"
                         for stage in (0, 3))
        print(f"{n:5} {1e3 * compute / n:11.2f}{milliseconds} {compute / hidden:8.1f}x{memory}")
    print("\nhidden: messages travel during the backward pass; GB: parameters, gradients and "
          "optimiser of a rank,\nmixed precision, without activations")
