"""Losses and layers that couple the samples of a batch, zeros and numbers that stand alone, on several ranks."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT, HERE = Path(__file__).parents[2], Path(__file__).parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="torchrun's workers need POSIX here"),
    pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo"),
]
KINDS = {1: "contrast recomputed muon accumulated", 2: "contrast recomputed muon accumulated", 4: "contrast"}
CASES = [(ranks, kind, parallel) for ranks in (2, 4) for kind in KINDS[ranks].split() for parallel in ("ddp", "fsdp")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[int, dict]:
    """What one, two and four processes make of the same runs; one start of processes for all runs."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    found = {}
    for ranks, kinds in KINDS.items():
        folder = tmp_path_factory.mktemp(f"ranks-{ranks}")
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"] if ranks > 1 else []
        done = subprocess.run([sys.executable, *launcher, str(HERE / "coupled.py"), str(folder), kinds], env=environment,
                              capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
        found[ranks] = json.loads((folder / "result.json").read_text())
    return found


def apart(one: dict[str, list], other: dict[str, list]) -> float:
    """The largest difference between numbers of the same name."""
    assert one.keys() == other.keys()
    return max(((torch.tensor(one[name], dtype=torch.float64) - torch.tensor(other[name], dtype=torch.float64)).abs().max().item()
                for name in one), default=0.0)


@pytest.mark.parametrize("ranks, kind, parallel", CASES)
def test_ranks_compute_what_one_process_does(runs, ranks, kind, parallel):
    """Losses, held-out losses, weights, the temperature, and running averages, the same on every rank."""
    one, together = (runs[number][f"{kind} {parallel}"] for number in (1, ranks))
    assert one["losses"] == pytest.approx(together["losses"], abs=1e-10)
    assert apart(one["weights"], together["weights"]) <= 1e-10
    assert len(together["buffers"]) == len(together["evaluations"]) == ranks
    for buffers in together["buffers"]:
        assert buffers == together["buffers"][0]
        assert apart(one["buffers"][0], buffers) <= 1e-10
    for evaluations in together["evaluations"]:
        assert one["evaluations"][0] == pytest.approx(evaluations, abs=1e-10)


@pytest.mark.parametrize("ranks, kind, parallel", CASES)
def test_checkpoints_have_all_of_it_and_a_resumed_run_ends_with_the_same_bits(runs, ranks, kind, parallel):
    run = runs[ranks][f"{kind} {parallel}"]
    everything = {**run["weights"], **run["buffers"][0]}
    assert run["saved"].items() <= everything.items()
    left_out = everything.keys() - run["saved"].keys()
    assert all(name.endswith(".kept") for name in left_out)
    assert run["again"]["weights"] == run["weights"] and run["again"]["buffers"] == run["buffers"]


@pytest.mark.parametrize("ranks, kind, parallel", [case for case in CASES if case[1] != "accumulated"])
def test_pruned_zeros_stay_zero(runs, ranks, kind, parallel):
    run = runs[ranks][f"{kind} {parallel}"]
    masks = {name: torch.tensor(kept) for name, kept in run["buffers"][0].items() if name.endswith(".kept")}
    assert len(masks) == 3
    for name, kept in masks.items():
        weight = torch.tensor(run["weights"][name.replace(".kept", ".weight")])
        assert torch.equal(weight != 0, kept) and not kept.all()


@pytest.mark.parametrize("ranks", [1, 2])
def test_activations_computed_twice_move_running_averages_once(runs, ranks):
    for parallel in ("ddp", "fsdp"):
        plain, twice = (runs[ranks][f"{kind} {parallel}"] for kind in ("contrast", "recomputed"))
        assert plain["buffers"][0]["model.layers.0.norm.num_batches_tracked"] == 8  # updates, of both views together
        assert apart(plain["buffers"][0], twice["buffers"][0]) <= 1e-12


@pytest.mark.parametrize("name, begin", [("objective.log_scale", -math.log(0.2)), ("model.layers.0.gain", 0.7), ("model.layers.1.gain", 0.7)])
def test_numbers_that_stand_alone_are_trained_where_weights_are_sharded(runs, name, begin):
    for ranks in (2, 4):
        saved = runs[ranks]["contrast fsdp"]["saved"][name]
        assert saved == runs[ranks]["contrast fsdp"]["weights"][name]
        assert abs(saved - begin) > 1e-4


def test_unequal_numbers_of_samples_are_told(runs):
    assert "the same number of samples" in runs[2]["unequal"] and "got [3, 4]: train in one process" in runs[2]["unequal"]
