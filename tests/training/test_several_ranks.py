"""Several real processes against one: the same samples, losses and weights, whatever dies."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pretrain_lib.training.checkpoint import checkpoint_steps, load_checkpoint

ROOT, HERE = Path(__file__).parents[2], Path(__file__).parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="torchrun's workers need POSIX here"),
    pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo"),
]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


def start(folder: Path, ranks: int, parallel="ddp", dtype="float64", optimizer="adamw",
          precision="fp32", troubles=(), restarts=0) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1",
                   "TQDM_DISABLE": "1"}
    launcher = [*TORCHRUN, "--standalone", f"--nproc-per-node={ranks}",
                f"--max-restarts={restarts}", "--monitor-interval=0.1"]
    words = [str(HERE / "several.py"), str(folder), parallel, dtype, optimizer, precision,
             json.dumps(troubles)]
    return subprocess.Popen((launcher if ranks > 1 else [sys.executable]) + words, env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def output(process: subprocess.Popen, ends_well: bool = True) -> str:
    out, _ = process.communicate(timeout=280)
    assert (process.returncode == 0) == ends_well, out[-3000:]
    return out


def result(folder: Path, ranks: int, **settings) -> dict:
    output(start(folder, ranks, **settings))
    return json.loads((folder / "result.json").read_text())


def distance(one: dict, other: dict) -> float:
    """The largest difference of weights, key biases aside: their true gradient is 0."""
    assert one["weights"].keys() == other["weights"].keys()
    size = 18
    apart = 0.0
    for name, values in one["weights"].items():
        a, b = torch.tensor(values).double(), torch.tensor(other["weights"][name]).double()
        if name.endswith("qkv.bias"):
            a, b = (torch.cat([x[:size], x[2 * size:]]) for x in (a, b))
        apart = max(apart, ((a - b).norm() / a.norm().clamp(min=1e-3)).item())
    return apart


def losses(of: dict) -> torch.Tensor:
    return torch.tensor([r["loss"] for r in of["log"] if "loss" in r], dtype=torch.float64)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict:
    """What one process does, by format and optimiser."""
    return {(dtype, optimizer): result(tmp_path_factory.mktemp("alone"), 1, dtype=dtype,
                                       optimizer=optimizer)
            for dtype, optimizer in (("float64", "adamw"), ("float64", "muon"),
                                     ("float32", "adamw"))}


@pytest.mark.parametrize("ranks, parallel, optimizer", [
    (2, "ddp", "adamw"), (4, "ddp", "adamw"), (2, "fsdp", "adamw"), (4, "fsdp", "adamw"),
    (4, "fsdp", "muon"),
])  # fmt: skip
def test_ranks_compute_in_float64_what_one_process_does(tmp_path, alone, ranks, parallel,
                                                        optimizer):
    together = result(tmp_path, ranks, parallel=parallel, optimizer=optimizer)
    one = alone["float64", optimizer]
    assert len(losses(together)) == 50
    assert (losses(together) - losses(one)).abs().max() <= 1e-10
    assert distance(one, together) <= 1e-10
    evaluations = [[r["evaluation"]["loss"] for r in run["log"] if "evaluation" in r]
                   for run in (one, together)]
    assert evaluations[0] == pytest.approx(evaluations[1], rel=1e-12)
    group = load_checkpoint(tmp_path / "checkpoints" / "step-00000050")[0]["model"]
    saved = {name: tensor.flatten().tolist() for name, tensor in group.items()}
    assert saved.items() <= {name.removeprefix("model."): values
                             for name, values in together["weights"].items()}.items()


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_ranks_compute_in_float32_what_one_process_does(tmp_path, alone, parallel):
    one, two = alone["float32", "adamw"], result(tmp_path, 2, dtype="float32", parallel=parallel)
    assert ((losses(one) - losses(two)) / losses(one)).abs().max() <= 1e-6
    assert distance(one, two) <= 1e-4


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_ranks_scale_the_loss_of_float16_alike(tmp_path, parallel):
    one = result(tmp_path / "one", 1, dtype="float32", precision="fp16")
    two = result(tmp_path / "two", 2, dtype="float32", precision="fp16", parallel=parallel)
    assert ((losses(one) - losses(two)) / losses(one)).abs().max() <= 1e-2


@pytest.mark.parametrize("first, parallel, then", [(2, "ddp", 1), (1, "ddp", 2), (2, "fsdp", 1),
                                                   (1, "fsdp", 4), (4, "fsdp", 2)])
def test_another_number_of_ranks_takes_up_the_run(tmp_path, alone, first, parallel, then):
    """SIGTERM reaches the last rank in update 26; all save after it, and leave."""
    stop = [["TERM", first - 1, 26]]
    said = output(start(tmp_path, first, parallel=parallel, troubles=stop), ends_well=False)
    assert said.count("stopped after step 26") == first
    assert checkpoint_steps(tmp_path / "checkpoints")[-1] == 26
    together = result(tmp_path, then, parallel=parallel)
    assert (losses(together) - losses(alone["float64", "adamw"])).abs().max() <= 1e-6
    assert distance(alone["float64", "adamw"], together) <= 1e-6


@pytest.mark.parametrize("ranks, parallel, seed", [(2, "ddp", 0), (4, "ddp", 1), (2, "fsdp", 2)])
def test_ten_killed_workers_change_no_bit(tmp_path, ranks, parallel, seed):
    """torchrun starts all ranks again, and they go on from the newest sound checkpoint."""
    whole = result(tmp_path / "whole", ranks, parallel=parallel, dtype="float32")
    dice = random.Random(seed)
    updates = sorted(dice.sample(range(2, 50), 10))  # each later than the one before
    kinds = dice.sample(["KILL"] * 7 + ["save"] * 3, 10)
    writers = ranks if parallel == "fsdp" else 1  # under DDP rank 0 alone writes
    troubles = [[kind, dice.randrange(writers if kind == "save" else ranks), update]
                for kind, update in zip(kinds, updates, strict=True)]
    said = output(start(tmp_path / "killed", ranks, parallel=parallel, dtype="float32",
                        troubles=troubles, restarts=len(troubles)))
    killed = json.loads((tmp_path / "killed" / "result.json").read_text())
    assert said.count("killed: rank") == 10
    assert said.count("resumed from step") >= 8
    assert killed["weights"] == whole["weights"]
    assert killed["log"] == whole["log"]


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_loss_that_is_not_finite_on_one_rank_stops_all(tmp_path, parallel):
    out = output(start(tmp_path, 2, parallel=parallel, troubles=[["nan", 1, 7]]), ends_well=False)
    for rank in (0, 1):
        assert f"rank {rank} says: the loss 'masked_lm' is nan at step 7 on rank 1 of 2" in out
    assert "samples [" in out
    assert checkpoint_steps(tmp_path / "checkpoints")[-1] == 5


@pytest.mark.parametrize("rank, parallel", [(0, "ddp"), (1, "fsdp")])
def test_a_full_disk_on_one_rank_ends_all_and_the_last_checkpoint_stands(tmp_path, rank, parallel):
    out = output(start(tmp_path / "full", 2, parallel=parallel, troubles=[["disk", rank, 20]]), False)
    assert f"rank {rank} says:" in out and "the disk is full" in out
    assert "the checkpoint of step 15 is untouched" in out
    assert checkpoint_steps(tmp_path / "full" / "checkpoints")[-1] == 15
    whole = result(tmp_path / "whole", 2, parallel=parallel)
    after = result(tmp_path / "full", 2, parallel=parallel)
    assert after == whole


def test_a_second_ctrl_c_ends_all_ranks_at_once_and_the_last_checkpoint_stands(tmp_path):
    out = output(start(tmp_path, 2, troubles=[["INT twice", 1, 23]]), ends_well=False)
    assert "stopped after step 23" not in out
    assert checkpoint_steps(tmp_path / "checkpoints")[-1] == 20
    assert "resumed from step 20" in output(start(tmp_path, 2))


def test_a_clock_that_jumps_changes_nothing(tmp_path):
    whole = result(tmp_path / "whole", 2)
    jumped = result(tmp_path / "jumped", 2, troubles=[["clock", 0, 13]])
    assert jumped == whole


def test_a_batch_that_cannot_be_shared_out_is_refused(tmp_path):
    out = output(start(tmp_path, 3), ends_well=False)
    assert "cannot be shared out evenly over 3 processes with accumulation=2" in out
    assert "choose a multiple of 6" in out
