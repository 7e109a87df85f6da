"""Which loss, batch and temperature two towers learn best with: softmax and sigmoid, at equal samples seen and at equal updates."""

from __future__ import annotations

from math import log
from statistics import mean
from typing import NamedTuple

from torch import Tensor

from pretrain_lib import Contrastive, ResNetConfig, ResNetModel, TwoTowers, cosine_scores, features, measure_retrieval
from pretrain_lib.course.results import load_experiment

shared, composition = load_experiment("14-augmentations"), load_experiment("16-composition")

TITLE = "Two towers of letters and names: softmax and sigmoid at batches of 16, 64 and 256, temperatures fixed and learned, on combinations never seen"

PREDICTION = """(Known from one seed with 20 480 samples, R@1 of held-out letters among all names, softmax and sigmoid: batch 16 at a rate of 0.003 30 and 29 %,
batch 64 at 0.01 41 and 28, batch 256 at 0.01 28 and 12.) The pool is all names, of training and held out; chance is 0.15 %. All see equally many samples, so a
batch of 16 has 16 times the updates of one of 256. 1. What Zhai et al. 2023 say (abstract: sigmoid does "better at smaller batch sizes") is tried: at a batch
of 16 sigmoid leads softmax, clearly. 2. Sigmoid's lead at 16 is larger than its lead at 256. 3. Softmax is best at 64: fewer updates cost more at 256, and
fewer names to tell apart cost more at 16. 4. At as many updates as a batch of 256 has, a batch of 16 is 15 points or more behind it with softmax, clearly: at
equal updates large batches look better than they are. 5. No fixed temperature leads the learned one by more than 3 points; the best is 0.05 or 0.1, and within
5 points of it. 6. A temperature of 1 is 15 points or more behind the learned one, clearly. 7. The learned one of softmax ends between 0.03 and 0.07 at every
batch that sees all samples."""

SEEDS = composition.SEEDS  # each has its own networks and its own combinations that are held out
APART = composition.APART
SAMPLES, BATCHES, BATCH = 16_384, (16, 64, 256), 64
TEMPERATURE, FIXED = 0.1, (0.01, 0.05, 0.1, 0.3, 1.0)  # what is learned begins with the first
SHAPE, PROJECTION = ResNetConfig(num_channels=1, embedding_size=16, hidden_sizes=(16, 32, 64), depths=(1, 1, 1)), 64


class Way(NamedTuple):
    """A loss, the samples in a batch, a temperature that stays (None: it is learned), and the samples seen."""

    loss: str
    batch: int
    fixed: float | None = None
    samples: int = SAMPLES

    @property
    def updates(self) -> int:
        return self.samples // self.batch


LOSSES = ("softmax", "sigmoid")
WAYS = {f"{loss}, {batch}": Way(loss, batch) for batch in BATCHES for loss in LOSSES}
WAYS |= {f"fixed at {fixed:g}": Way("softmax", BATCH, fixed) for fixed in FIXED}
WAYS |= {f"{loss}, {BATCHES[0]}, few updates": Way(loss, BATCHES[0], samples=SAMPLES * BATCHES[0] // BATCHES[-1]) for loss in LOSSES}
ARMS = tuple(WAYS)


def trained(way: Way, task, rate: float, seed: int, small: bool) -> tuple[TwoTowers, float, float]:
    """The towers, their last loss, and the temperature that they end with."""
    model = TwoTowers(ResNetModel(SHAPE, seed), composition.text_network("bag", task.train, seed + 1), PROJECTION, seed)
    objective = Contrastive(composition.VIEWS, way.fixed or TEMPERATURE, learned=way.fixed is None, loss=way.loss, same="caption")
    loss = shared.trained(model, objective, task.train, shared.recipe(2 if small else way.updates, way.batch, rate, seed))
    return model, loss, objective.log_scale.neg().exp().item()


def found_first(task, model: TwoTowers) -> dict[str, Tensor]:
    """{split: (N,)} whether the name of a picture comes first among all names, R@1."""
    names = features(model.towers["text"], task.train.encode(task.names))
    return {split: measure_retrieval(cosine_scores(features(model.towers["image"], part), names), task.numbers(part), (1,)).hit[1]
            for split, part in task.splits.items()}  # fmt: skip


def measure(arm: str, small: bool = False) -> dict:
    """All of one arm: the rate that was chosen, and each seed's run."""
    way = WAYS[arm]

    def score(rate: float) -> float:
        task = composition.data("letters", APART, small)
        return found_first(task, trained(way, task, rate, APART, small)[0])["held out"].mean().item()

    setting, runs = composition.best_rate(score, small), []
    for seed in SEEDS[:2] if small else SEEDS:
        task = composition.data("letters", seed, small)
        model, loss, temperature = trained(way, task, setting["rate"], seed, small)
        runs.append({"loss": loss, "temperature": temperature, "pool": len(task.names), **found_first(task, model),
                     "names": {split: task.names_of(part) for split, part in task.splits.items()}})  # fmt: skip
    return {"setting": setting, "runs": runs}


def finish(parts: dict, small: bool = False) -> dict:
    """R@1 of each seed, losses, temperatures, and the leads on held-out combinations."""
    def over(ours: str, theirs: str) -> list:
        sides = ([run["held out"] for run in parts[arm]["runs"]] for arm in (ours, theirs))
        return composition.lead_of(*sides, [run["names"]["held out"] for run in parts[ours]["runs"]], composition.resamples(small))

    few, most, learned = f"{BATCHES[0]}, few updates", BATCHES[-1], f"softmax, {BATCH}"
    pairs = [(f"sigmoid, {batch}", f"softmax, {batch}") for batch in (*BATCHES, few)]
    pairs += [(f"{loss}, {most}", f"{loss}, {few}") for loss in LOSSES] + [(f"{loss}, {BATCH}", f"{loss}, {batch}") for loss in LOSSES for batch in (BATCHES[0], most)]
    pairs += [(f"fixed at {fixed:g}", learned) for fixed in FIXED]
    pools = [run["pool"] for run in parts[learned]["runs"]]
    return {"device": "cpu", "samples": SAMPLES, "updates": {arm: way.updates for arm, way in WAYS.items()}, "pool": pools, "chance": 1 / pools[0],
            "chance_loss": {batch: log(batch) for batch in BATCHES}, "setting": {arm: part["setting"] for arm, part in parts.items()},
            "accuracy": {arm: {split: [run[split].mean().item() for run in part["runs"]] for split in composition.SPLITS} for arm, part in parts.items()},
            **{what: {arm: [run[what] for run in part["runs"]] for arm, part in parts.items()} for what in ("loss", "temperature")},
            "leads": {f"{ours} over {theirs}": over(ours, theirs) for ours, theirs in pairs}}  # fmt: skip


def run(scale: str) -> dict:
    """What `finish` makes of all arms."""
    small = scale == "smoke"
    return finish({arm: measure(arm, small) for arm in ARMS}, small)


def verdict(measured: dict) -> str:
    """Each prediction against what was measured."""
    said, leads, points, is_clear = {True: "held", False: "failed"}, measured["leads"], composition.points, shared.is_clear
    right = {arm: mean(found["held out"]) for arm, found in measured["accuracy"].items()}
    ended = {arm: mean(found) for arm, found in measured["temperature"].items()}
    few, most = (leads[f"sigmoid, {batch} over softmax, {batch}"] for batch in (BATCHES[0], BATCHES[-1]))
    softmax = {batch: right[f"softmax, {batch}"] for batch in BATCHES}
    updates = leads[f"softmax, {BATCHES[-1]} over softmax, {BATCHES[0]}, few updates"]
    fixed = {temperature: leads[f"fixed at {temperature:g} over softmax, {BATCH}"] for temperature in FIXED}
    best = max(fixed, key=lambda temperature: fixed[temperature][0][0])
    warm = fixed[1.0]
    ends = {batch: ended[f"softmax, {batch}"] for batch in BATCHES}
    told = "; ".join(f"{arm} ({measured['updates'][arm]} updates): {100 * right[arm]:.1f}, seen {100 * mean(found['test']):.1f}, temperature {ended[arm]:.3f}"
                     for arm, found in measured["accuracy"].items())  # fmt: skip
    return (f"R@1 held out in %: {told}. 1. Sigmoid over softmax at {BATCHES[0]} {points(few)}: {said[is_clear(few)]}. "
            f"2. At {BATCHES[0]} {points(few)}, at {BATCHES[-1]} {points(most)}: {said[few[0][0] > most[0][0]]}. "
            f"3. Softmax at " + ", ".join(f"{batch} {100 * each:.1f} %" for batch, each in softmax.items()) + f": {said[max(softmax, key=softmax.get) == 64]}. "
            f"4. At equal updates {BATCHES[-1]} over {BATCHES[0]} {points(updates)}: {said[updates[0][0] >= 0.15 and is_clear(updates)]}. "
            f"5. Best fixed at {best:g}, over learned {points(fixed[best])}: {said[best in (0.05, 0.1) and -0.05 <= fixed[best][0][0] <= 0.03]}. "
            f"6. Fixed at 1 over learned {points(warm)}: {said[warm[0][0] <= -0.15 and all(high < 0 for _, _, high, _ in warm)]}. "
            f"7. Learned at " + ", ".join(f"{batch} {each:.3f}" for batch, each in ends.items())
            + f": {said[all(0.03 <= each <= 0.07 for each in ends.values())]}.")  # fmt: skip
