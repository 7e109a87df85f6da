"""What an objective does after an update: a teacher that follows the model by moving average."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from toys import Following, config, mlp, same_bits, trained, vectors, weights

from pretrain_lib.objectives.distillation import Distillation
from pretrain_lib.objectives.multitask import MultiTask
from pretrain_lib.objectives.reconstruction import Reconstruction
from pretrain_lib.training.checkpoint import load_checkpoint

ROOT, HERE = Path(__file__).parents[2], Path(__file__).parent


def test_a_teacher_follows_by_the_moving_average_of_the_weights_after_each_update():
    seen = []

    class Noting(Following):
        def after_step(self, model, step):
            seen.append(weights(model))
            assert not torch.is_grad_enabled()
            super().after_step(model, step)

    teacher = mlp(seed=5)
    expected = weights(teacher)
    trainer = trained(Noting(teacher, decay=0.8), config(accumulation=2))
    for student in seen:
        expected = {name: 0.8 * old + 0.2 * student[name] for name, old in expected.items()}
    assert trainer.objective.calls == list(range(1, 13))
    assert same_bits(seen[-1], weights(trainer.model))
    for name, tensor in weights(teacher).items():
        torch.testing.assert_close(tensor, expected[name])


def test_an_update_that_float16_leaves_out_has_no_such_end():
    trainer = trained(Following(mlp(seed=5)), config(precision="fp16", steps=20))
    made = [r["step"] for r in trainer.history.records if r["gradient_norm"] is not None]
    assert trainer.objective.calls == made and len(made) < 20


@pytest.mark.parametrize("whole", [6, 9])
def test_a_resumed_run_goes_on_with_the_teacher_as_it_was(tmp_path, whole):
    settings = config(checkpoint_every=3, keep_last=9)
    alone = trained(Following(mlp(seed=5), nudge=0.1), settings, mlp(dropout=0.3), folder=tmp_path)
    saved, _ = load_checkpoint(tmp_path / "checkpoints" / "step-00000012")
    assert saved["objective"].keys() == weights(alone.objective).keys()
    for step in range(whole + 3, 13, 3):
        shutil.rmtree(tmp_path / "checkpoints" / f"step-{step:08d}")
    torch.manual_seed(1)
    again = trained(Following(mlp(seed=6), nudge=0.1), settings, mlp(seed=7, dropout=0.3), folder=tmp_path)
    assert again.objective.calls == list(range(whole + 1, 13))
    assert same_bits(weights(alone.module), weights(again.module))
    assert again.objective.centre.abs().max() > 0


def test_objectives_within_an_objective_are_told():
    one, other, third = (Following(mlp(seed=5)) for _ in range(3))
    both = MultiTask({"one": one, "other": other, "plain": Reconstruction()})
    models = nn.ModuleDict({"one": mlp(), "other": mlp(seed=1), "plain": mlp(seed=2)})
    both.after_step(models, 1)
    for objective, model in ((one, models["one"]), (other, models["other"])):
        expected = {name: torch.lerp(old, weights(model)[name], 0.1)
                    for name, old in weights(mlp(seed=5)).items()}
        assert objective.calls == [1]
        for name, tensor in weights(objective.teacher).items():
            torch.testing.assert_close(tensor, expected[name])
    Distillation(mlp(), third).after_step(mlp(), 4)
    assert third.calls == [4]


def run(folder: Path, ranks: int, parallel: str = "ddp", killed: int = 0) -> dict:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1",
                   "TQDM_DISABLE": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone",
                f"--nproc-per-node={ranks}", "--max-restarts=1", "--monitor-interval=0.1"]
    words = [str(HERE / "following.py"), str(folder), parallel, str(killed)]
    done = subprocess.run((launcher if ranks > 1 else [sys.executable]) + words, env=environment,
                          capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    if killed:
        assert "resumed from step" in done.stdout
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict:
    return run(tmp_path_factory.mktemp("alone"), 1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="torchrun's workers need POSIX here")
@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo")
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_ranks_have_one_teacher_and_a_killed_one_changes_no_bit(tmp_path, alone, parallel):
    together = run(tmp_path / "together", 2, parallel)
    assert alone["calls"] == together["calls"] == list(range(1, 21))
    assert together["shares"][0] == together["shares"][1]
    assert alone["state"].keys() == together["state"].keys()
    for name, values in alone["state"].items():
        assert values == pytest.approx(together["state"][name], abs=1e-10), name
    killed = run(tmp_path / "killed", 2, parallel, killed=11)
    assert killed["state"] == together["state"]
