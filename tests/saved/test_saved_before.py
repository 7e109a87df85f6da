"""What earlier versions have kept still loads, answers and goes on: see make.py, which wrote the folders beside this file."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import pretrain_lib as lib
from pretrain_lib.__main__ import main
from pretrain_lib.compression.saved import load_compressed  # not among the names of pretrain_lib
from pretrain_lib.course import grade, progress
from pretrain_lib.data.text.text_data import settled  # not among the names of pretrain_lib
from pretrain_lib.programs.recipe import read_recipe  # not among the names of pretrain_lib

SAVED = Path(__file__).parent
CLASSES = ["calm", "storm", "unknown"]


def folders(kind: str) -> list[str]:
    return sorted(path.name for path in (SAVED / kind).iterdir() if path.is_dir())


def asked(kind: str, name: str) -> tuple[dict, dict]:
    """What a model was asked, and what it answered."""
    tensors = {key.split("/")[1]: tensor for key, tensor in load_file(SAVED / kind / "expected.safetensors").items()
               if key.startswith(f"{name}/")}
    answers = {key.removeprefix("answer."): tensor for key, tensor in tensors.items() if key.startswith("answer.")}
    return {key: tensor for key, tensor in tensors.items() if not key.startswith("answer.")}, answers


def assert_answers(model: nn.Module, kind: str, name: str) -> None:
    """The model answers as it did; in float64, where all machines agree."""
    inputs, answers = asked(kind, name)
    with torch.no_grad():
        found = model.double()(**inputs)
    found = {"answer": found} if isinstance(found, torch.Tensor) else found._asdict()
    assert found.keys() == answers.keys() and answers
    for part, answer in answers.items():
        torch.testing.assert_close(found[part].float(), answer, rtol=1e-6, atol=1e-6)


# ---------------------------------------------------------------------------------------- models


@pytest.mark.parametrize("name", folders("models"))
def test_a_saved_model_answers_as_it_did(name):
    model = lib.load_pretrained(SAVED / "models" / name)
    config = json.loads((SAVED / "models" / name / "config.json").read_text(encoding="utf-8"))
    assert type(model).__name__ == config.get("architecture", config.get("architectures", [""])[0])
    assert all(p.dtype == torch.float32 for p in model.parameters()) and not model.training
    if name.endswith(("sequences", "tokens")):
        assert model.label_names == CLASSES
    assert_answers(model, "models", name)


@pytest.mark.parametrize("name", folders("models"))
def test_a_model_saved_again_is_the_same(name, tmp_path):
    dtype = torch.float16 if name.endswith("fp16") else torch.float32
    lib.save_pretrained(lib.load_pretrained(SAVED / "models" / name), tmp_path / name, dtype=dtype)
    before, now = (load_file(folder / name / "model.safetensors") for folder in (SAVED / "models", tmp_path))
    assert before.keys() <= now.keys()
    assert all(torch.equal(before[key], now[key]) for key in before)


@pytest.mark.parametrize("name", folders("compressed"))
def test_a_compressed_model_answers_as_it_did(name):
    model = load_compressed(SAVED / "compressed" / name)
    if "sequences" in name:
        assert model.label_names == CLASSES
    assert_answers(model, "compressed", name)


@pytest.mark.parametrize("name", folders("adapters"))
def test_adapters_load_beside_their_base(name):
    config = json.loads((SAVED / "adapters" / name / "adapter_config.json").read_text(encoding="utf-8"))
    base = lib.load_pretrained(SAVED / config["base_model_name_or_path"])
    assert_answers(lib.load_lora(base, SAVED / "adapters" / name).eval(), "adapters", name)


def test_a_tokenizer_opens_the_tokens_that_it_made(tmp_path, monkeypatch):
    shutil.copytree(SAVED / "pretraining", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    folder, = (tmp_path / "runs" / "prepared").iterdir()
    manifest = (folder / "manifest.json").read_bytes()
    tokenizer = lib.load_tokenizer(SAVED / "models" / "bert-sequences")
    opened = lib.TokenDataset(folder, tokenizer)
    found = lib.prepare(lib.load_text("texts/*.txt"), tokenizer, folder)  # compares the texts with what is there
    assert opened.tokens == found.tokens == sum(record["tokens"] for record in json.loads(manifest)["shards"])
    assert (folder / "manifest.json").read_bytes() == manifest


# ------------------------------------------------------------------------------------------ runs


def losses_of(folder: Path) -> list[dict]:
    """The lines of a run's log, without what depends on the clock."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in line.items() if name not in ("samples_per_second", "data_wait")} for line in lines]


def assert_same_losses(folder: Path, expected: Path, rel: float) -> None:
    recorded = json.loads(expected.read_text(encoding="utf-8"))[folder.name]
    assert flat(losses_of(folder)) == pytest.approx(flat(recorded), rel=rel, abs=rel)


def flat(lines: list[dict]) -> dict[tuple, float]:
    """The numbers of a log by their place in it."""
    found = {}
    for place, line in enumerate(lines):
        terms = line.pop("evaluation", {})
        found |= {(place, name): value for name, value in line.items()}
        found |= {(place, "evaluation", name): value for name, value in terms.items()}
    return found


@pytest.mark.parametrize("form", ["bert", "modernbert"])
def test_a_stopped_run_of_the_command_goes_on_to_the_same_losses(form, tmp_path, monkeypatch, capsys):
    shutil.copytree(SAVED / "pretraining", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    assert main(["pretrain", f"{form}.toml", "--folder", f"runs/{form}", "--resume"]) == 0
    assert "resumed from step 4 of 8" in capsys.readouterr().out
    assert_same_losses(tmp_path / "runs" / form, tmp_path / "expected.json", 1e-5)
    lib.load_pretrained(f"runs/{form}")


def denoising(folder: Path, columns: dict) -> lib.Trainer:
    """A run with a best checkpoint, that may stop early."""
    config = lib.TrainConfig(steps=12, batch_size=8, accumulation=2, optimizer="adamw", learning_rate=0.03, betas=(0.9, 0.999), weight_decay=0.01,
                             schedule="linear", warmup_steps=2, gradient_clipping=1.0, precision="fp32", device="cpu", seed=5, log_every=1,
                             evaluate_every=2, checkpoint_every=3, keep_last=1, patience=3)
    model = lib.Autoencoder(lib.AutoencoderConfig((1, 4, 4), (8,), 3, dropout=0.1))
    lib.initialise(model, "xavier", 4)
    source, held_out = (lib.Columns(images=columns[name]) for name in ("images", "held_out"))
    return lib.Trainer(model.double(), lib.Denoising("masking", 0.4), source, config, held_out=held_out, folder=folder)


def distillation(folder: Path, columns: dict) -> lib.Trainer:
    """A run whose objective has weights of its own, and a teacher that the run's description names."""
    config = lib.TrainConfig(steps=8, batch_size=6, optimizer="sgd", learning_rate=0.05, momentum=0.9, l2=0.001, schedule="constant",
                             precision="fp32", device="cpu", seed=6, log_every=1, keep_last=1)
    teacher = lib.load_pretrained(SAVED / "models" / "bert-sequences").double()
    student = lib.BertForSequenceClassification(lib.BertConfig(96, 4, 1, 2, 6, 0.1, 0.1, 16), 3, seed=7).double()
    task = lib.Classification("input_ids", "attention_mask", num_classes=3)
    objective = lib.Distillation(teacher, task, temperature=3.0, soft=0.5, layers=[(0, 1)], widths=(4, 8), seed=8).double()
    source = lib.Columns(**{name: columns[name] for name in ("input_ids", "attention_mask", "labels")})
    return lib.Trainer(student, objective, source, config, folder=folder)


@pytest.mark.parametrize("build, step", [(denoising, 6), (distillation, 3)])
def test_a_stopped_run_of_a_trainer_goes_on_to_the_same_losses(build, step, tmp_path, capsys):
    folder = tmp_path / build.__name__
    shutil.copytree(SAVED / "trainer" / build.__name__, folder)
    build(folder, load_file(SAVED / "trainer" / "columns.safetensors")).fit()
    assert f"resumed from step {step} of" in capsys.readouterr().out
    assert_same_losses(folder, SAVED / "trainer" / "expected.json", 1e-8)  # float64


def test_what_finetune_left_is_read_and_kept_from_other_texts(tmp_path, monkeypatch, capsys):
    classifier = lib.load_pretrained(SAVED / "finetuned")
    assert classifier.label_names == CLASSES
    assert_answers(classifier, "finetuned", "model")
    shutil.copytree(SAVED / "finetuned", tmp_path / "finetuned")
    shutil.copy(SAVED / "labelled.csv", tmp_path / "other.csv")
    monkeypatch.chdir(tmp_path)
    words = ["--model", str(SAVED / "models" / "bert-sequences"), "--data", "other.csv", "--label", "weather", "--length", "16"]
    assert main(["finetune", *words, "--folder", "finetuned"]) == 1
    assert "finetuned holds what model 'models/bert-sequences' gave" in capsys.readouterr().err


# ------------------------------------------------------------------------------ recipes, a class


RENAMED = {"kind": "tokenizer_kind"}  # in a table of today, `kind` is its class


def leaves(value, name: str = "", renamed: dict = {}) -> Iterator[tuple[str, str]]:
    """The fields of nested tables by their own name, whatever table they stand in."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, renamed.get(key, key), renamed)
    else:
        yield name, json.dumps(value)


@pytest.mark.parametrize("path", sorted((SAVED / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_a_recipe_says_what_it_said(path):
    said = dict(leaves(tomllib.loads(path.read_text(encoding="utf-8"))))
    expected = set(leaves(json.loads((SAVED / "recipes" / "expected.json").read_text(encoding="utf-8"))[path.name], renamed=RENAMED))
    if "precision" not in said:  # left out, it is what the device is best at
        expected = {field for field in expected if field[0] != "precision"}
    recipe = read_recipe(path)
    data = replace(recipe.data, config=settled(recipe.data.config))  # with what "auto" stands for
    assert expected - set(leaves(replace(recipe, data=data).table())) == set()


def marks(folder: Path) -> dict[str, list[str]]:
    """What grades.csv says of each student; exercises that were open may since be more."""
    with open(folder / "grades.csv", encoding="utf-8-sig", newline="") as file:
        columns = ("chapter", "passed", "right", "wrong", "notebook", "note")
        return {row["student"]: [row[column] for column in columns] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    to = tmp_path_factory.mktemp("graded")
    assert grade.main([str(SAVED / "class" / "submissions"), "--trusted", "--jobs", "1", "--to", str(to)]) == 0
    return marks(to)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the grader needs Linux or macOS")
@pytest.mark.parametrize("student", ["own-imports", "imports-as-given-out"])
def test_what_a_class_handed_in_is_marked_as_it_was(student, graded):
    """Notebooks that were given out import from where things were then."""
    assert graded[student] == marks(SAVED / "class" / "graded")[student]


def test_progress_is_read_from_notebooks_of_then(tmp_path, capsys):
    shutil.copy(SAVED / "class" / "submissions" / "own-imports_02_autoencoder_math.ipynb", tmp_path)
    assert progress.main([str(tmp_path)]) == 0
    assert "02  ●●◐" in capsys.readouterr().out
