"""Steps against samples at several batch sizes, and whether the gradient's noise scale foretells the bend."""

from __future__ import annotations

import math
from statistics import mean, median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain_lib import load_images
from pretrain_lib.course.exercises.ch10 import noise_scale

TITLE = "Critical batch size and gradient noise scale of a small pretext task (after McCandlish et al. 2018)"

PREDICTION = """(The task, the target and the range of rates come from a pilot at another seed, in which the target took some 950 updates of 8 and 170
of 1,024; no noise scale was measured before this was written.) The fewest updates S that reach the target, at the best of the rates, are a
hyperbola in the batch size B, S = S_min (1 + B_crit / B): 1. at every batch size the fit is within 25 % of what is measured; 2. from a batch of 2 to
one of 8, S falls more than threefold, and from 512 to 2,048 by less than a factor of 1.3. 3. The noise scale tr Σ / |G|², averaged over a run up to
the target, is within a factor of 3 of B_crit. 4. It grows during the run: at the target it is more than twice what it was after a tenth of the
updates. 5. The best rate grows with the batch, more than fourfold from 2 to 128 and at most twofold from 512 to 2,048."""

SEEDS = (10, 11, 12, 13, 14)
BATCHES = (2, 8, 32, 128, 512, 2048)
RATES = tuple(2 ** (k / 2) for k in range(-12, 2))
TARGET = 0.2
SIDE, WIDTH = 14, 64
PROBED_BATCH, PROBES = 128, 10


def rotated(split: str) -> tuple[Tensor, Tensor]:
    """Digits of 14 × 14 pixels in four directions, (4 N, 196), and the direction of each (Gidaris et al. 2018)."""
    images = F.avg_pool2d(load_images("mnist", split).images, 2)
    turned = torch.cat([torch.rot90(images, quarter, (2, 3)) for quarter in range(4)])
    return turned.flatten(1), torch.arange(4).repeat_interleave(len(images))


def network(seed: int) -> nn.Sequential:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(SIDE * SIDE, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 4))


def gradient(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))


def squared_norm(gradients: tuple[Tensor, ...]) -> float:
    return sum(g.square().sum().item() for g in gradients)


def descend(model: nn.Module, x: Tensor, y: Tensor, batch: int, rate: float, generator: torch.Generator) -> None:
    """One update of plain gradient descent."""
    ids = torch.randint(len(x), (batch,), generator=generator)
    gradients = gradient(model, x[ids], y[ids])
    with torch.no_grad():
        for p, g in zip(model.parameters(), gradients):
            p.sub_(g, alpha=rate)


def updates_to_target(data: dict, batch: int, rate: float, seed: int, most: float) -> float:
    """Updates until the held-out loss is below the target, twice in a row; infinite if more than `most`."""
    (x, y), (held_out, truth) = data["train"], data["test"]
    model, generator = network(seed), torch.Generator().manual_seed(seed)
    step, look, below = 0, 8, None
    while step < most:
        descend(model, x, y, batch, rate, generator)
        step += 1
        if step < look:
            continue
        look = math.ceil(1.03 * step)
        with torch.no_grad():
            loss = F.cross_entropy(model(held_out), truth).item()
        if loss < TARGET and below is not None:
            return below
        below = step if loss < TARGET else None
        if not loss < 10:
            break
    return math.inf


def search(data: dict, batch: int, seeds: tuple[int, ...], most: float) -> dict:
    """The rate that needs the fewest updates on average, those of each seed, and the mean at each rate."""
    best, tried = {"rate": None, "updates": [math.inf]}, {}
    for rate in RATES:
        limit = min(most, 2 * mean(best["updates"]))
        updates = [updates_to_target(data, batch, rate, seed, limit) for seed in seeds]
        tried[f"{rate:.4g}"] = mean(updates) if max(updates) < math.inf else None
        if mean(updates) < mean(best["updates"]):
            best = {"rate": rate, "updates": updates}
    return {**best, "by_rate": tried}


def probe(data: dict, rate: float, seed: int, updates: int, small: int = 16) -> list[float]:
    """The noise scale at equal distances along a run up to the target."""
    x, y = data["train"]
    model, generator = network(seed), torch.Generator().manual_seed(seed)
    scales = []
    for step in range(1, updates + 1):
        descend(model, x, y, PROBED_BATCH, rate, generator)
        if step in {round(updates * i / PROBES) for i in range(1, PROBES + 1)}:
            draws = torch.randint(len(x), (400, small), generator=generator)
            squares = torch.tensor([squared_norm(gradient(model, x[ids], y[ids])) for ids in draws], dtype=torch.float64)
            whole = torch.tensor([squared_norm(gradient(model, x, y))], dtype=torch.float64)
            scales.append(noise_scale(small, len(x), squares, whole))
    return scales


def hyperbola(batches: list[int], updates: list[float]) -> tuple[float, float]:
    """S_min and B_crit of S = S_min (1 + B_crit / B), by least squares of log S."""
    candidates = []
    for critical in (2 ** (k / 20) for k in range(0, 260)):
        logs = [math.log(s / (1 + critical / b)) for b, s in zip(batches, updates)]
        center = mean(logs)
        candidates.append((sum((value - center) ** 2 for value in logs), math.exp(center), critical))
    _, least, critical = min(candidates)
    return least, critical


def run(scale: str) -> dict:
    """Updates by batch size, the fit, and the noise scale along runs."""
    small = scale == "smoke"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    data = {split: rotated(split) for split in ("train", "test")}
    shown = torch.randperm(len(data["test"][0]), generator=torch.Generator().manual_seed(0))[:1500]
    data["test"] = tuple(part[shown] for part in data["test"])
    batches, seeds = (BATCHES[1:4], SEEDS[:1]) if small else (BATCHES, SEEDS)
    found = {str(batch): search(data, batch, seeds, 300 if small else 20_000) for batch in batches}
    reached = {batch: one for batch, one in found.items() if one["rate"]}
    updates = [mean(one["updates"]) for one in reached.values()]
    least, critical = hyperbola([int(batch) for batch in reached], updates) if reached else (None, None)
    probed = reached.get(str(PROBED_BATCH))
    scales = [probe(data, probed["rate"], seed, int(own)) for seed, own in zip(seeds, probed["updates"])] if probed else []
    torch.set_num_threads(threads)
    return {"target": TARGET, "samples": len(data["train"][0]), "rates": [RATES[0], RATES[-1]], "batches": found, "S_min": least,
            "B_crit": critical, "probed_batch": PROBED_BATCH, "noise_scales": scales}


def verdict(measured: dict) -> str:
    """What came out, in a sentence or two."""
    found = {int(batch): one for batch, one in measured["batches"].items() if one["rate"]}
    if len(found) < len(BATCHES) or not measured["noise_scales"]:
        return "too little was computed to tell"
    steps = {batch: mean(one["updates"]) for batch, one in found.items()}
    rates = {batch: one["rate"] for batch, one in found.items()}
    fit = {batch: measured["S_min"] * (1 + measured["B_crit"] / batch) for batch in steps}
    off = max(abs(fit[batch] / steps[batch] - 1) for batch in steps)
    few, many = steps[2] / steps[8], steps[512] / steps[2048]
    scales = measured["noise_scales"]  # ratios with wide tails: a few large ones make their mean, so the median speaks
    noise = median(value for seed in scales for value in seed)
    growth = median(seed[-1] for seed in scales) / median(seed[0] for seed in scales)
    single = sorted(seed[-1] / seed[0] for seed in scales)
    apart = max(noise / measured["B_crit"], measured["B_crit"] / noise)

    def says(held: bool) -> str:
        return "held" if held else "failed"

    return (
        f"S_min {measured['S_min']:.0f} updates, B_crit {measured['B_crit']:.0f}. 1. The fit is off by at most {off:.0%}, {says(off <= 0.25)}. "
        f"2. From 2 to 8 a factor of {few:.2f}, from 512 to 2,048 of {many:.2f}, {says(few > 3 and many < 1.3)}. 3. Median noise scale {noise:.0f} "
        f"(mean {mean(map(mean, scales)):.0f}), {apart:.1f} times apart from B_crit, {says(apart <= 3)}. 4. Its median grows by a factor of {growth:.1f}, in single seeds by {single[0]:.1f} to "
        f"{single[-1]:.1f}, {says(growth > 2)}. 5. The best rate "
        f"grows by {rates[128] / rates[2]:.1f} from 2 to 128 and by {rates[2048] / rates[512]:.1f} from 512 to 2,048, "
        f"{says(rates[128] / rates[2] > 4 and rates[2048] / rates[512] <= 2)}."
    )
