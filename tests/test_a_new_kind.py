"""A model, data and an objective of a new kind are new files and a line each: everything else finds them there.

Points on two noisy circles stand for a kind of data that the library does not know.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pretrain_lib
from pretrain_lib.__main__ import main

DATA = '''
from dataclasses import dataclass

import torch

from pretrain_lib.data.source import Columns, Data


@dataclass(frozen=True)
class CircleConfig:
    points: int = 256
    inner: float = 0.5
    axes: int = 2


class Circles(Data):
    config_class = CircleConfig

    def __init__(self, config):
        self.config = config
        self.training, self.held_out = self.drawn(0), self.drawn(1)
        self.model_fields = {"axes": config.axes}

    @classmethod
    def open(cls, config, beside, on_first):
        return cls(config)

    def drawn(self, seed):
        draw = torch.Generator().manual_seed(seed)
        labels = torch.arange(self.config.points) % 2
        angle = 2 * torch.pi * torch.rand(self.config.points, generator=draw)
        radius = torch.where(labels == 0, self.config.inner, 1.0)
        return Columns(points=(radius * torch.stack([angle.cos(), angle.sin()])).T, labels=labels)
'''

MODEL = '''
from dataclasses import dataclass

from torch import nn

from pretrain_lib.models.base import ModelBase
from pretrain_lib.models.init import initialise


@dataclass(frozen=True)
class PointNetConfig:
    axes: int = 3
    hidden_size: int = 32


class PointNet(ModelBase):
    config_class = PointNetConfig
    columns = ("points",)

    def __init__(self, config, seed=0):
        super().__init__()
        self.config = config
        self.encoder = nn.Sequential(nn.Linear(config.axes, config.hidden_size), nn.GELU())
        self.output = nn.Linear(config.hidden_size, config.axes)
        initialise(self, "kaiming", seed)

    @property
    def feature_size(self):
        return self.config.hidden_size

    def encode(self, points):
        return self.encoder(points)

    def forward(self, points):
        return self.output(self.encode(points))
'''

OBJECTIVE = '''
from dataclasses import dataclass

from pretrain_lib.objectives.base import Batch, Objective


@dataclass(frozen=True)
class ShakenConfig:
    strength: float = 0.1


class Shaken(Objective):
    """Points are moved a little; the model says where they were."""

    config_class = ShakenConfig

    def __init__(self, strength):
        super().__init__()
        self.strength = strength

    def batch(self, samples, keys):
        points = samples["points"]
        moved = points + self.strength * keys.normal("moved", tuple(points.shape[1:]))
        return Batch({"points": moved}, {"points": points}, {"shaken": len(points)})

    def forward(self, model, batch):
        error = model(batch.inputs["points"]) - batch.targets["points"]
        return {"shaken": error.square().sum()}
'''

RECIPE = """
[data]
kind = "{data}"
points = 128
inner = 0.3

[model]
kind = "{model}"
hidden_size = 24

[objective]
kind = "{objective}"
strength = 0.05

[train]
steps = 150
batch_size = 32
learning_rate = 0.02
device = "cpu"
evaluate_every = 50
"""

PROGRAM = '''
import json
from pathlib import Path

import torch

import pretrain_lib as lib
from pretrain_lib.__main__ import main
from pretrain_lib.evaluation.classification import accuracy

assert Path(lib.__file__).is_relative_to(Path.cwd()), lib.__file__
assert main(["pretrain", "recipe.toml", "--folder", "run", "--objective.strength", "0.1"]) == 0

data = lib.Circles.open(lib.Circles.config_class(points=64, inner=0.3), Path("run"), None)
model = lib.load_pretrained("run")
config = lib.TrainConfig(steps=100, batch_size=32, learning_rate=0.02, device="cpu")
classifier = lib.fine_tune(model, data.training, 2, config)
lib.save_pretrained(classifier, "classifier")
again = lib.load_pretrained("classifier")
points, labels = data.held_out.points, data.held_out.labels
probe = lib.LinearProbe(model).fit(data.training, 10.0)
with torch.no_grad():
    print(json.dumps({
        "model": type(model).__name__, "axes": model.config.axes, "hidden": model.config.hidden_size,
        "error": (model(points) - points).square().sum(1).mean().item(),
        "same": torch.equal(again.eval()(points), classifier.eval()(points)),
        "fine-tuned": accuracy(again(points).argmax(1), labels),
        "probed": accuracy(probe(data.held_out), labels)}))
'''


@pytest.fixture
def a_copy(tmp_path):
    """A copy of the library, to which files may be added; the course and the zoo's weights stay behind."""
    left = shutil.ignore_patterns("course", "__pycache__", "*.safetensors")
    shutil.copytree(Path(pretrain_lib.__file__).parent, tmp_path / "pretrain_lib", ignore=left)
    return tmp_path


@pytest.mark.slow
def test_three_new_files_and_a_line_each_are_all_that_a_new_kind_needs(a_copy):
    library = a_copy / "pretrain_lib"
    exports = library / "__init__.py"
    (library / "data" / "points").mkdir()
    for file, source, name in (("data/points/circles.py", DATA, "Circles"), ("models/point_net.py", MODEL, "PointNet"),
                               ("objectives/shaken.py", OBJECTIVE, "Shaken")):
        (library / file).write_text(source, encoding="utf-8")
        module = file.removesuffix(".py").replace("/", ".")
        with open(exports, "a", encoding="utf-8") as lines:
            lines.write(f'from .{module} import {name}; __all__.append("{name}")\n')
    (a_copy / "recipe.toml").write_text(RECIPE.format(data="Circles", model="PointNet", objective="Shaken"), encoding="utf-8")
    (a_copy / "program.py").write_text(PROGRAM, encoding="utf-8")
    run = subprocess.run([sys.executable, "program.py"], cwd=a_copy, text=True, capture_output=True,
                         env=os.environ | {"PYTHONPATH": str(a_copy), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"})
    assert run.returncode == 0, run.stderr
    assert "load_pretrained reads it" in run.stdout and "transformers" not in run.stdout
    found = json.loads(run.stdout.splitlines()[-1])
    assert (found["model"], found["axes"], found["hidden"], found["same"]) == ("PointNet", 2, 24, True)
    assert found["error"] < 0.02  # the points' own mean square is 0.545
    assert found["fine-tuned"] > 0.9 and found["probed"] > 0.9  # guessing: 0.5
    held = json.loads((a_copy / "run" / "config.json").read_text(encoding="utf-8"))["recipe"]
    assert held["data"] == {"kind": "Circles", "points": 128, "inner": 0.3, "axes": 2}
    assert held["model"] == {"kind": "PointNet", "axes": 2, "hidden_size": 24}
    assert held["objective"] == {"kind": "Shaken", "strength": 0.1}


@pytest.fixture
def ones_own(tmp_path, monkeypatch):
    """A folder, where we are, with a module of one's own and a recipe that names its classes."""
    (tmp_path / "mine.py").write_text(DATA + MODEL + OBJECTIVE, encoding="utf-8")
    (tmp_path / "own.toml").write_text(
        RECIPE.format(data="mine:Circles", model="mine:PointNet", objective="mine:Shaken"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("mine", None)


def test_a_recipe_of_ones_own_classes_trains_and_goes_on_without_a_change_of_the_library(ones_own, capsys):
    words = ["pretrain", "own.toml", "--train.steps", "60"]
    assert main(words) == 0
    assert "no folder model" in capsys.readouterr().out and not (ones_own / "runs" / "own" / "model").exists()
    log = [json.loads(line) for line in (ones_own / "runs" / "own" / "log.jsonl").read_text().splitlines()]
    losses = [line["evaluation"]["loss"] for line in log if "evaluation" in line]
    assert losses[-1] < losses[0]
    held = json.loads((ones_own / "runs" / "own" / "config.json").read_text(encoding="utf-8"))["recipe"]
    assert [held[part]["kind"] for part in ("data", "model", "objective")] == ["mine:Circles", "mine:PointNet", "mine:Shaken"]
    assert main([*words, "--resume", "--model.hidden-size", "8"]) == 1
    assert "recipe.model.hidden_size: 24, now 8" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0


def test_a_folder_that_names_a_class_of_ones_own_is_refused_and_nothing_of_it_is_run(ones_own):
    folder = ones_own / "downloaded"
    pretrain_lib.save_pretrained(pretrain_lib.Autoencoder(pretrain_lib.AutoencoderConfig((2,), (), 1)), folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"architecture": "mine:PointNet"}), encoding="utf-8")
    with pytest.raises(ValueError, match="names the architecture 'mine:PointNet': known are"):
        pretrain_lib.load_pretrained(folder)
    assert "mine" not in sys.modules
