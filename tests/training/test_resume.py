"""A run's folder: what it holds, what it takes up again, and what it refuses."""

import json
import math
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from test_checkpoint import FILES, fill, flip, small_disk, truncate
from test_early_stopping import run as overfitted
from toys import (
    SIZE,
    Contrastive,
    Mlp,
    Recording,
    config,
    mlp,
    same_bits,
    seeded,
    trained,
    vectors,
    weights,
)
from torch import nn

from pretrain_lib.data.images.augment import Augmented, RandomFlip, RandomRotate
from pretrain_lib.data.mixture import Mixture
from pretrain_lib.data.source import Columns
from pretrain_lib.data.tasks.encoded import EncodedText
from pretrain_lib.data.text.tokenizer import SpecialIds
from pretrain_lib.models.base import Classifier
from pretrain_lib.models.before_transformers import BidirectionalLSTM, BidirectionalLSTMConfig
from pretrain_lib.models.bert import BertConfig, BertForMaskedLM
from pretrain_lib.models.modern import ModernBertConfig, ModernBertForMaskedLM
from pretrain_lib.objectives.classification import Classification
from pretrain_lib.objectives.masked_lm import MaskedLM
from pretrain_lib.objectives.multitask import MultiTask
from pretrain_lib.objectives.reconstruction import Denoising, Reconstruction
from pretrain_lib.training.checkpoint import (
    CheckpointError,
    checkpoint_steps,
    load_checkpoint,
    newest_sound,
    verify,
)
from pretrain_lib.training.log import History, read_log
from pretrain_lib.training.trainer import Trainer

SETTINGS = {"steps": 12, "checkpoint_every": 2, "keep_last": 4}


def build(folder: Path) -> Trainer:
    return Trainer(mlp(dropout=0.2), Contrastive(), vectors(), config(**SETTINGS), folder=folder)


def run(folder: Path, objective=None, **settings) -> Trainer:
    return trained(objective or Contrastive(), config(**{**SETTINGS, **settings}), mlp(dropout=0.2),
                   folder=folder)


def whole_weights(objective=None) -> dict:
    return weights(run(None, objective).module)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# ------------------------------------------------------------------- what a folder holds


def test_a_run_leaves_its_config_its_log_and_its_checkpoints(tmp_path):
    run(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoints", "config.json", "log.jsonl"]
    assert checkpoint_steps(tmp_path / "checkpoints") == [6, 8, 10, 12]
    held = json.loads((tmp_path / "config.json").read_text())
    assert held["train"]["steps"] == 12 and held["objective"]["name"] == "Contrastive"
    assert held["model"] == "Mlp" and held["samples"] == 100


def test_a_checkpoint_holds_weights_optimiser_step_config_and_versions(tmp_path):
    trainer = run(tmp_path)
    tensors, state = load_checkpoint(tmp_path / "checkpoints" / "step-00000012")
    assert same_bits(tensors["model"], weights(trainer.model))
    names = {name for name, _ in trainer.module.named_parameters()}
    assert {key.split("|")[0] for key in tensors["optimizer"]} == names
    assert {key.split("|")[1] for key in tensors["optimizer"]} == {"exp_avg", "exp_avg_sq", "step"}
    assert state["step"] == 12 and state["config"]["train"]["learning_rate"] == 1e-2
    assert state["versions"]["torch"] == torch.__version__
    assert state["versions"].keys() >= {"torch", "numpy", "safetensors"}


@pytest.mark.parametrize("settings, expected", [
    ({"checkpoint_every": 0}, [12]),
    ({"checkpoint_every": 5, "keep_last": 9}, [5, 10, 12]),
    ({"checkpoint_every": 1, "keep_last": 1}, [12]),
])  # fmt: skip
def test_checkpoints_come_as_often_as_asked_for_and_at_the_end(tmp_path, settings, expected):
    run(tmp_path, **settings)
    assert checkpoint_steps(tmp_path / "checkpoints") == expected


def test_no_file_of_a_run_holds_pickle(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("something was pickled")

    for module, name in [(pickle, "dump"), (pickle, "dumps"), (pickle, "load"), (torch, "save"),
                         (torch, "load")]:
        monkeypatch.setattr(module, name, refuse)
    pytest.importorskip("tensorboard")
    for _ in range(2):  # written, and read again
        trained(Recording(noise="masking"), config(**SETTINGS, evaluate_every=3, patience=9,
                                                   tensorboard=True),
                held_out=vectors(20), folder=tmp_path)
    files = tree(tmp_path)
    assert {Path(name).suffix for name in files if "tfevents" not in name} == {
        ".json", ".jsonl", ".safetensors"}
    for name, content in files.items():
        assert not content.startswith((b"\x80", b"PK")), name
        if name.endswith(".json"):
            json.loads(content)


# ------------------------------------------------------------------- damage


@pytest.mark.parametrize("name", [*FILES, "objective.safetensors"])
@pytest.mark.parametrize("damage", [truncate, flip], ids=["truncated", "flipped"])
def test_a_damaged_newest_checkpoint_is_passed_over_told_and_kept(tmp_path, capsys, name, damage):
    run(tmp_path)
    newest = tmp_path / "checkpoints" / "step-00000012"
    damage(newest / name)
    before = tree(tmp_path / "checkpoints")
    trainer = build(tmp_path)
    capsys.readouterr()
    trainer.fit()
    out = capsys.readouterr().out
    assert "skipped" in out and newest.name in out and "resumed from step 10 of 12" in out
    assert same_bits(weights(trainer.module), whole_weights())
    after = tree(tmp_path / "checkpoints")
    aside = "damaged-step-00000012-1"
    for file, content in before.items():  # whatever was damaged is still there, byte for byte
        if file.startswith(newest.name):
            assert after[file.replace(newest.name, aside)] == content
    assert newest_sound(tmp_path / "checkpoints") == (12, [])


def test_reading_a_damaged_folder_changes_nothing_in_it(tmp_path):
    run(tmp_path)
    for step in (10, 12):
        truncate(tmp_path / "checkpoints" / f"step-000000{step}" / "model.safetensors")
    before = tree(tmp_path / "checkpoints")
    assert newest_sound(tmp_path / "checkpoints")[0] == 8
    assert tree(tmp_path / "checkpoints") == before


def test_several_damaged_ones_are_each_told(tmp_path, capsys):
    run(tmp_path)
    for step in (8, 10, 12):
        flip(tmp_path / "checkpoints" / f"step-{step:08d}" / "model.safetensors")
    capsys.readouterr()
    again = run(tmp_path)
    out = capsys.readouterr().out
    assert out.count("skipped") == 3 and "resumed from step 6 of 12" in out
    assert same_bits(weights(again.module), whole_weights())
    assert again.history.steps == list(range(1, 13))


def test_only_damaged_ones_are_an_error_that_says_what_to_do(tmp_path):
    run(tmp_path, keep_last=2)
    for step in (10, 12):
        truncate(tmp_path / "checkpoints" / f"step-000000{step}" / "state.json")
    before = tree(tmp_path)
    with pytest.raises(CheckpointError) as error:
        run(tmp_path, keep_last=2)
    message = str(error.value)
    assert "no sound checkpoint" in message and str(tmp_path) in message and "start anew" in message
    assert tree(tmp_path) == before


@pytest.mark.parametrize("keep_last", [1, 2])
def test_a_run_past_a_damaged_checkpoint_keeps_sound_ones_all_the_way(tmp_path, keep_last):
    """Newer damaged ones must not count among the newest that are kept."""
    run(tmp_path, keep_last=9)
    for step in (6, 8, 10, 12):
        truncate(tmp_path / "checkpoints" / f"step-{step:08d}" / "model.safetensors")
    found = []

    class Watching(Contrastive):
        def forward(self, model, batch):
            if model.training:
                found.append(newest_sound(tmp_path / "checkpoints")[0])
            return super().forward(model, batch)

    Watching.__name__ = "Contrastive"
    run(tmp_path, Watching(), keep_last=keep_last)
    assert found == [4, 4, 6, 6, 8, 8, 10, 10]


def test_a_missing_manifest_means_not_a_checkpoint(tmp_path, capsys):
    run(tmp_path)
    (tmp_path / "checkpoints" / "step-00000012" / "manifest.json").unlink()
    run(tmp_path)
    assert "not a checkpoint" in capsys.readouterr().out


def test_damage_to_the_best_checkpoint_is_told_when_it_is_needed(tmp_path):
    first = overfitted(patience=3, folder=tmp_path, keep_last=1)
    best = first.best["step"]
    assert best < first.step
    truncate(tmp_path / "checkpoints" / f"step-{best:08d}" / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"step-{best:08d}.*truncated"):
        overfitted(patience=3, folder=tmp_path, keep_last=1)


# ------------------------------------------------------------------- other runs, other models


def test_another_architecture_is_told_by_its_keys(tmp_path):
    run(tmp_path)

    class Wider(Mlp):
        def __init__(self):
            super().__init__(hidden=17)
            self.append(nn.Linear(SIZE, SIZE))

    Wider.__name__ = "Mlp"
    with pytest.raises(CheckpointError) as error:
        trained(Contrastive(), config(**SETTINGS), seeded(Wider), folder=tmp_path)
    message = str(error.value)
    assert "another architecture than Mlp" in message
    assert "missing: 4.bias, 4.weight" in message
    assert "0.bias (16,) against (17,)" in message and "step-00000012" in message


def test_another_model_objective_source_or_config_is_refused(tmp_path):
    run(tmp_path)
    others = [
        (dict(model=nn.Linear(SIZE, SIZE)), "model: 'Mlp', now 'Linear'"),
        (dict(objective=Reconstruction()), "objective.name: 'Contrastive', now 'Reconstruction'"),
        (dict(source=vectors(99)), "samples: 100, now 99"),
        (dict(settings=config(**{**SETTINGS, "steps": 13})), "steps: 12, now 13"),
        (dict(settings=config(**SETTINGS, seed=1)), "seed: 0, now 1"),
        (dict(settings=config(**SETTINGS, learning_rate=1.0)), "learning_rate: 0.01, now 1.0"),
    ]
    before = tree(tmp_path)
    for other, said in others:
        chosen = {"model": mlp(), "objective": Contrastive(), "source": vectors(),
                  "settings": config(**SETTINGS), **other}
        with pytest.raises(CheckpointError, match=said):
            Trainer(chosen["model"], chosen["objective"], chosen["source"], chosen["settings"],
                    folder=tmp_path)
    assert tree(tmp_path) == before


def test_other_settings_of_the_objective_are_another_run(tmp_path):
    trained(Denoising("gaussian", 0.3), config(), folder=tmp_path)
    with pytest.raises(CheckpointError, match="objective.level: 0.3, now 0.4"):
        Trainer(mlp(), Denoising("gaussian", 0.4), vectors(), config(), folder=tmp_path)
    weighted = Denoising("gaussian", 0.3)
    weighted.weights = {"reconstruction": 2.0}
    with pytest.raises(CheckpointError, match="weights"):
        Trainer(mlp(), weighted, vectors(), config(), folder=tmp_path)


RECIPE = {"text": {"corpus": "mine", "lengths": (8, 16)}, "pairs": "order"}


@pytest.mark.parametrize("other, said", [
    ({**RECIPE, "pairs": "none"}, r"\(recipe.pairs: 'order', now 'none'\)"),
    ({**RECIPE, "text": {"corpus": "mine", "lengths": (8, 32)}},
     r"\(recipe.text.lengths: \[8, 16\], now \[8, 32\]\)"),
    ({**RECIPE, "more": 1}, r"\(recipe.more: None, now 1\)"),
    ({"pairs": "order"}, r"\(recipe.text: .*, now None\)"),
    (None, "recipe: .*, now None"),
])
def test_a_run_of_another_recipe_is_refused_and_what_differs_is_named(tmp_path, other, said):
    trained(Denoising(), config(), folder=tmp_path, recipe=RECIPE)
    trained(Denoising(), config(), folder=tmp_path, recipe=RECIPE)
    before = tree(tmp_path)
    assert json.loads(before["config.json"])["recipe"]["text"]["lengths"] == [8, 16]
    with pytest.raises(CheckpointError, match=said):
        Trainer(mlp(), Denoising(), vectors(), config(), folder=tmp_path, recipe=other)
    assert tree(tmp_path) == before


def test_a_folder_from_before_recipes_were_kept_is_taken_up(tmp_path):
    trained(Denoising(), config(), folder=tmp_path)
    path = tmp_path / "config.json"
    held = json.loads(path.read_text())
    del held["recipe"]
    path.write_text(json.dumps(held))
    trained(Denoising(), config(), folder=tmp_path, recipe=RECIPE)
    assert json.loads(path.read_text())["recipe"]["pairs"] == "order"


def test_housekeeping_may_change_between_lives(tmp_path):
    whole = mlp(dropout=0.2)
    trained(Denoising(), config(**SETTINGS), whole)
    trained(Denoising(), config(**SETTINGS), mlp(dropout=0.2), folder=tmp_path)
    shutil.rmtree(tmp_path / "checkpoints" / "step-00000012")
    model = mlp(dropout=0.2)
    other = config(steps=12, checkpoint_every=1, keep_last=1, workers=2, log_every=5)
    trained(Denoising(), other, model, folder=tmp_path)
    assert same_bits(weights(model), weights(whole))
    assert checkpoint_steps(tmp_path / "checkpoints") == [12]
    assert json.loads((tmp_path / "config.json").read_text())["train"]["workers"] == 2


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"train": 3}', "null"])
def test_a_damaged_config_is_told_and_not_overwritten(tmp_path, content):
    run(tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match="config.json is damaged"):
        run(tmp_path)
    assert (tmp_path / "config.json").read_text() == content
    (tmp_path / "config.json").unlink()
    assert same_bits(weights(run(tmp_path).module), whole_weights())


def test_a_run_started_anew_ignores_what_lies_there(tmp_path):
    first = run(tmp_path)
    truncate(tmp_path / "checkpoints" / "step-00000012" / "model.safetensors")
    before = tree(tmp_path / "checkpoints")
    for round_ in (1, 2):
        trainer = build(tmp_path)
        trainer.fit(resume=False)
        assert same_bits(weights(trainer.module), weights(first.module))
        assert checkpoint_steps(tmp_path / "checkpoints") == [6, 8, 10, 12]
        assert (tmp_path / f"earlier-{round_}").is_dir()
        assert trainer.history.steps == list(range(1, 13))
    assert tree(tmp_path / "earlier-1" / "checkpoints") == before
    trainer.fit(resume=False)  # it has ended: there is nothing to start anew
    assert not (tmp_path / "earlier-3").exists()


# ------------------------------------------------------------------- saving by hand


def test_save_writes_a_checkpoint_of_the_run_as_it_stands(tmp_path):
    trainer = Trainer(mlp(), Contrastive(), vectors(), config(**SETTINGS), folder=tmp_path)
    place = trainer.save()
    verify(place)
    assert place.name == "step-00000000"
    tensors, state = load_checkpoint(place)
    assert same_bits(tensors["model"], weights(mlp())) and state["best"]["loss"] is None
    assert same_bits(weights(run(tmp_path).module), weights(run(None).module))


def test_save_after_the_end_replaces_the_last(tmp_path):
    trainer = run(tmp_path)
    with torch.no_grad():
        trainer.model[0].weight.zero_()
    tensors, _ = load_checkpoint(trainer.save())
    assert (tensors["model"]["0.weight"] == 0).all()
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        f"step-{s:08d}" for s in (6, 8, 10, 12)]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(CheckpointError, match=f"{folder.name} could not be written: "):
            Trainer(mlp(), Denoising(), vectors(), config(), folder=folder)


def test_save_without_a_folder_says_so():
    with pytest.raises(ValueError, match="folder"):
        Trainer(mlp(), Contrastive(), vectors(), config()).save()


class TiedMlp(nn.Module):
    """y = Wᵀ tanh(W x): one matrix under two names."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(SIZE, SIZE)
        self.decoder = nn.Linear(SIZE, SIZE)
        self.decoder.weight = self.encoder.weight

    def forward(self, x):
        return self.decoder(torch.tanh(self.encoder(x)))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_model_with_tied_weights_resumes_bit_for_bit(tmp_path, optimizer):
    settings = config(**SETTINGS, optimizer=optimizer, learning_rate=1e-3)
    whole = seeded(TiedMlp)
    trained(Denoising(), settings, whole)
    trained(Denoising(), settings, seeded(TiedMlp), folder=tmp_path)
    shutil.rmtree(tmp_path / "checkpoints" / "step-00000012")
    again = seeded(TiedMlp)
    trained(Denoising(), settings, again, folder=tmp_path)
    assert same_bits(weights(again), weights(whole))
    assert again.decoder.weight is again.encoder.weight


@pytest.mark.parametrize("settings", [
    {"optimizer": "sgd", "momentum": 0.0, "learning_rate": 1e-3},
    {"optimizer": "sgd", "momentum": 0.9, "l2": 0.1, "learning_rate": 1e-3},
    {"weight_decay": 0.1, "warmup_steps": 7, "schedule": "linear"},
    {"l2": 0.1, "gradient_clipping": 0.5, "schedule": "constant"},
    {"precision": "bf16"}, {"precision": "fp16"}, {"accumulation": 4},
])  # fmt: skip
def test_every_way_to_train_resumes_bit_for_bit(tmp_path, settings):
    chosen = config(**SETTINGS, **settings)
    whole = mlp(dropout=0.2)
    trained(Denoising(), chosen, whole)
    trained(Denoising(), chosen, mlp(dropout=0.2), folder=tmp_path)
    shutil.rmtree(tmp_path / "checkpoints" / "step-00000012")
    shutil.rmtree(tmp_path / "checkpoints" / "step-00000010")
    again = mlp(dropout=0.2)
    trained(Denoising(), chosen, again, folder=tmp_path)
    assert same_bits(weights(again), weights(whole))


class Normed(nn.Sequential):
    """Batch statistics are buffers, and change with every forward pass."""

    def __init__(self):
        super().__init__(nn.Linear(SIZE, 8), nn.BatchNorm1d(8), nn.Linear(8, SIZE))


def test_running_statistics_resume_bit_for_bit(tmp_path):
    whole = seeded(Normed)
    trained(Denoising(), config(**SETTINGS), whole)
    trained(Denoising(), config(**SETTINGS), seeded(Normed), folder=tmp_path)
    shutil.rmtree(tmp_path / "checkpoints" / "step-00000012")
    again = seeded(Normed)
    trained(Denoising(), config(**SETTINGS), again, folder=tmp_path)
    assert same_bits(weights(again), weights(whole))


# ------------------------------------------------------------------- a full disk


def test_a_disk_that_fills_up_ends_the_run_and_the_last_checkpoint_serves(tmp_path):
    chosen = config(**{**SETTINGS, "keep_last": 100, "checkpoint_every": 1})
    big = {"hidden": 1500}  # about half a megabyte a checkpoint
    whole = mlp(**big)
    trained(Denoising(), chosen, whole)
    with small_disk(2, tmp_path / "disk") as disk:
        with pytest.raises(CheckpointError, match="disk is full.*is untouched"):
            trained(Denoising(), chosen, mlp(**big), folder=disk)
        left = checkpoint_steps(disk / "checkpoints")
        assert left and newest_sound(disk / "checkpoints") == (left[-1], [])
        assert all(p.name.startswith("step-") for p in (disk / "checkpoints").iterdir())
        again = mlp(**big)
        room_for_two = config(**{**SETTINGS, "keep_last": 1, "checkpoint_every": 1})
        for step in left[:-1]:  # the user makes room
            shutil.rmtree(disk / "checkpoints" / f"step-{step:08d}")
        trainer = trained(Denoising(), room_for_two, again, folder=disk)
        assert same_bits(weights(again), weights(whole))
        assert trainer.history.steps == list(range(1, 13))


def test_a_disk_without_a_free_byte_is_a_clear_error_and_spoils_nothing(tmp_path):
    chosen = config(**SETTINGS)
    with small_disk(1, tmp_path / "disk") as disk:
        trained(Denoising(), chosen, mlp(), folder=disk)
        shutil.rmtree(disk / "checkpoints" / "step-00000012")
        filler = fill(disk)
        before = {name: content for name, content in tree(disk).items() if name != "filler"}
        with pytest.raises(CheckpointError) as error:
            trained(Denoising(), chosen, mlp(), folder=disk)
        assert "No space left" in str(error.value) or "disk is full" in str(error.value)
        assert str(disk) in str(error.value)
        assert {name: c for name, c in tree(disk).items() if name != "filler"} == before
        filler.unlink()
        again, whole = mlp(), mlp()
        trained(Denoising(), chosen, again, folder=disk)
        trained(Denoising(), chosen, whole)
        assert same_bits(weights(again), weights(whole))


def test_a_log_that_cannot_be_written_is_a_clear_error(tmp_path):
    with small_disk(1, tmp_path / "disk") as disk:
        history = History(disk)
        history.add(step=0, loss=1.0)
        fill(disk)
        with pytest.raises(CheckpointError, match="log.jsonl could not be written: No space left"):
            for step in range(1000):  # until the last block of the file is full too
                history.add(step=step, loss=0.1)


# ------------------------------------------------------------------- taking up a run


def test_resuming_prints_where_it_goes_on(tmp_path, capsys):
    run(tmp_path)
    assert "resumed" not in capsys.readouterr().out
    run(tmp_path)
    assert "resumed from step 12 of 12" in capsys.readouterr().out


def test_a_finished_run_is_loaded_and_not_trained_again(tmp_path):
    first = run(tmp_path)
    before = tree(tmp_path)
    again = run(tmp_path)
    assert same_bits(weights(again.module), weights(first.module))
    assert tree(tmp_path) == before
    assert again.history.records == read_log(tmp_path / "log.jsonl") == first.history.records
    assert math.isfinite(again.history.losses[-1]) and os.path.isdir(tmp_path)


# ------------------------------------------------------------------- another source


def images(n: int = 40, seed: int = 0) -> Columns:
    return Columns(images=torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed)))


def labelled_images(**settings) -> Mixture:
    return Mixture({"a": images(), "b": Augmented(images(), [RandomFlip()])}, **settings)


def on(folder: Path, source, held_out=None, objective=None) -> Trainer:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 16), nn.Unflatten(1, (1, 4, 4)))
    return Trainer(model, objective or Reconstruction(), source, config(steps=2), held_out, folder)


ORIGINAL = {
    "columns": lambda: images(),
    "view": lambda: Augmented(images(), [RandomRotate(10), RandomFlip()]),
    "mixture": lambda: labelled_images(shares={"a": 2}),
}


@pytest.mark.parametrize("kind, other, what", [
    ("columns", lambda: Columns(images=torch.zeros(40, 1, 4, 4)), "source.rows"),
    ("columns", lambda: Columns(images=images().images.double()), "source.rows"),
    ("columns", lambda: Augmented(images(), []), "source.name: 'Columns', now 'Augmented'"),
    ("view", lambda: Augmented(images(), [RandomFlip(), RandomRotate(10)]), "source.transforms"),
    ("view", lambda: Augmented(images(), [RandomRotate(20), RandomFlip()]), "source.transforms"),
    ("view", lambda: Augmented(images(seed=1), [RandomRotate(10), RandomFlip()]), "source.source.rows"),
    ("view", lambda: Augmented(images(), [RandomRotate(10), RandomFlip()], stream="b"), "source.stream: 'augment', now 'b'"),
    ("mixture", lambda: labelled_images(shares={"a": 3}), "source.shares"),
    ("mixture", lambda: Mixture({"a": images(), "b": images(seed=2)}, {"a": 2}), "source.sources.b"),
])
def test_another_source_of_the_same_length_is_refused(tmp_path, kind, other, what):
    if kind == "mixture":
        def objective():
            return MultiTask({"a": Reconstruction(), "b": Reconstruction()})
    else:
        objective = Reconstruction
    on(tmp_path, ORIGINAL[kind](), objective=objective()).fit()
    on(tmp_path, ORIGINAL[kind](), objective=objective()).fit()
    with pytest.raises(CheckpointError, match=what):
        on(tmp_path, other(), objective=objective())


def test_other_held_out_samples_are_refused(tmp_path):
    on(tmp_path, images(), images(9, seed=1)).fit()
    for other in (images(9, seed=2), None):
        with pytest.raises(CheckpointError, match="held_out"):
            on(tmp_path, images(), other)


def test_tuples_of_an_objective_are_settings_as_well(tmp_path):
    special = SpecialIds(0, 1, 2, 3, 4)
    source = Columns(input_ids=torch.arange(5, 45).view(4, 10))
    model = ModernBertForMaskedLM(ModernBertConfig(50, 8, 8, 1, 2, 10))
    Trainer(model, MaskedLM(special, 50), source, config(steps=1), folder=tmp_path)
    Trainer(model, MaskedLM(special, 50), source, config(steps=1), folder=tmp_path)
    with pytest.raises(CheckpointError, match="objective.special"):
        Trainer(model, MaskedLM(special._replace(mask=5), 50), source, config(steps=1), folder=tmp_path)


def test_the_description_of_a_source_reads_a_few_rows_and_no_list_of_texts(tmp_path):
    asked = []

    class Large(Columns):
        def take(self, keys):
            asked.extend(keys.sample)
            return super().take(keys)

    on(tmp_path, Large(images=images(1000).images))
    assert len(asked) == 16 and {0, 999} <= set(asked)
    encoded = EncodedText(["a long text"] * 500, input_ids=torch.ones(500, 3, dtype=torch.long),
                          attention_mask=torch.ones(500, 3, dtype=torch.long), images=images(500).images)
    on(tmp_path / "texts", encoded)
    assert (tmp_path / "texts" / "config.json").stat().st_size < 3000


def bert(**settings) -> BertForMaskedLM:
    return BertForMaskedLM(BertConfig(**{**dict(vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                                                num_attention_heads=2, max_position_embeddings=10), **settings}))


def classifier(dropout: float) -> Classifier:
    return Classifier(BidirectionalLSTM(BidirectionalLSTMConfig(50, 8, 8, dropout=dropout)), 2)


@pytest.mark.parametrize("model, other, what", [
    (bert, lambda: bert(num_attention_heads=4), "architecture.num_attention_heads: 2, now 4"),
    (bert, lambda: bert(hidden_dropout_prob=0.3), "architecture.hidden_dropout_prob: 0.1, now 0.3"),
    (bert, lambda: bert(layer_norm_eps=0.1), "architecture.layer_norm_eps"),
    (lambda: classifier(0.1), lambda: classifier(0.2), "architecture.encoder.dropout: 0.1, now 0.2"),
])
def test_another_model_of_the_same_shapes_is_refused(tmp_path, model, other, what):
    source = Columns(input_ids=torch.arange(5, 45).view(4, 10), labels=torch.arange(4) % 2)

    def trainer(model, folder=tmp_path):
        objective = MaskedLM(SpecialIds(0, 1, 2, 3, 4), 50) if isinstance(model, BertForMaskedLM) else Classification("input_ids")
        return Trainer(model, objective, source, config(steps=1), folder=folder)

    trainer(model()).fit()
    named = model()
    named.label_names = ["one", "two"]  # what classes are called may change
    trainer(named)
    with pytest.raises(CheckpointError, match=what):
        trainer(other())


def test_a_run_from_before_sources_were_described_goes_on(tmp_path):
    def trainer(**settings):
        source = Columns(input_ids=torch.arange(5, 45).view(4, 10))
        model = ModernBertForMaskedLM(ModernBertConfig(50, 8, 8, 1, 2, 10))
        return Trainer(model, MaskedLM(SpecialIds(0, 1, 2, 3, 4), 50, **settings), source,
                       config(steps=4, checkpoint_every=2), folder=tmp_path)

    trainer().fit()
    path = tmp_path / "config.json"
    older = json.loads(path.read_text())
    for name in ("source", "held_out", "architecture"):
        del older[name]
    del older["objective"]["special"]
    path.write_text(json.dumps(older))
    with pytest.raises(CheckpointError, match="objective.rate: 0.15, now 0.3"):
        trainer(rate=0.3)
    assert trainer().fit().steps == [1, 2, 3, 4]
    assert "source" in json.loads(path.read_text())  # from now on it is
