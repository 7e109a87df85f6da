"""What objectives on sound have in common: ranks, padding, resuming, and what they refuse."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sounds import CASES, MELS, SAMPLES, STEPS, apart, blstm, outcome, sounds, transformer

import pretrain_lib as pl
from pretrain_lib.data.keys import Keys
from pretrain_lib.programs.recipe import can_be, config_from

HERE = Path(__file__).parent
EACH = pytest.mark.parametrize("name", CASES)


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> list[dict]:
    """What two processes make of the same batch, each with half of it."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parents[1]}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen([sys.executable, str(HERE / "sounds.py"), str(folder), str(rank)], env=environment,
                                stderr=subprocess.PIPE, text=True) for rank in range(2)]
    try:
        said = [process.communicate(timeout=240)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert all(process.returncode == 0 for process in running), [text[-2000:] for text in said]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def assert_same(one, two, tolerance=1e-10):
    assert two["counts"] == one["counts"] and two["loss"] == pytest.approx(one["loss"], abs=tolerance)
    assert one["gradients"].keys() == two["gradients"].keys()
    for name, values in one["gradients"].items():
        assert values == pytest.approx(two["gradients"][name], abs=tolerance), name


@pytest.mark.skipif(sys.platform == "win32" or not torch.distributed.is_gloo_available(), reason="needs gloo and POSIX")
@EACH
def test_two_ranks_have_the_loss_and_every_gradient_of_one(together, name):
    one = outcome(name)
    assert any(any(values) for values in one["gradients"].values())
    for rank in together:
        assert_same(one, rank[name])


@EACH
def test_padding_counts_nowhere_and_changes_nothing(name):
    one = outcome(name)
    assert_same(one, outcome(name, sounds(filling=50.0)))
    assert_same(one, outcome(name, sounds(filling=-3.0, steps=STEPS + 9)))


@pytest.mark.parametrize("name", [name for name in CASES if name != "other"])
def test_the_loss_is_a_sum_over_samples(name):
    whole = outcome(name)
    parts = [outcome(name, ids=[i]) for i in range(SAMPLES)]
    term = next(iter(whole["counts"]))
    assert CASES[name][1]().separable and sum(part["counts"][term] for part in parts) == whole["counts"][term]
    total = sum(part["loss"] * part["counts"][term] for part in parts)
    assert total == pytest.approx(whole["loss"] * whole["counts"][term], abs=1e-9)


def test_told_from_other_utterances_it_is_none():
    objective = CASES["other"][1]()
    assert not objective.separable and objective.couples_samples and objective.gathers
    with pytest.raises(ValueError, match="other utterances compares the samples of a batch: it needs at least two, got one"):
        outcome("other", ids=[0])


@EACH
def test_it_trains_and_a_resumed_run_ends_with_the_same_bits(name, tmp_path):
    def trainer(folder):
        model, objective = (build() for build in CASES[name])
        settings = pl.TrainConfig(steps=6, batch_size=3, learning_rate=1e-3, device="cpu", checkpoint_every=3, keep_last=9)
        source = sounds(dtype=torch.float32)
        return pl.Trainer(model, objective, source, settings, held_out=source, folder=folder)

    whole = trainer(tmp_path)
    whole.fit()
    before = {n: tensor.clone() for n, tensor in whole.module.state_dict().items()}
    shutil.rmtree(tmp_path / "checkpoints" / "step-00000006")
    again = trainer(tmp_path)
    again.fit()
    after, fresh = again.module.state_dict(), trainer(None).module.state_dict()
    assert all(torch.equal(tensor, after[n]) for n, tensor in before.items())
    moved = {n for n in fresh if not torch.equal(fresh[n], after[n])}
    assert any(n.startswith("model.") for n in moved)


def test_recipes_can_name_them():
    for kind in (pl.MaskedFrames, pl.ContrastivePrediction, pl.CTC):
        assert can_be("objective", kind)
    config = config_from(pl.MaskedFrames.config_class, {"frame_size": 8, "target_size": 10, "ratio": 0.3}, "objective", "r")
    assert pl.MaskedFrames.from_config(config).config == config


# --------------------------------------------------------------------------------- what is refused


def batch_of(objective, **columns):
    keys = Keys.of(0, range(SAMPLES))
    changed = {name: torch.tensor(column) for name, column in columns.items()}
    return objective.batch(sounds().take(keys) | changed, keys)


@EACH
@pytest.mark.parametrize("lengths", [[40, 27, 33, 21, 38, 41], [40, 27, 33, 21, 38, -1], [40, 27, 33, 21, 38]])
def test_a_length_that_is_none_of_what_is_heard_is_refused(name, lengths):
    with pytest.raises(ValueError, match=r"lengths must be \(6,\), from 0 to 40, the steps of features, got \([56],\) up to 4[01]"):
        batch_of(CASES[name][1](), lengths=lengths)


@pytest.mark.parametrize("name", ["features", "clusters", "same", "other"])
def test_a_sound_without_a_frame_is_named(name):
    with pytest.raises(ValueError, match="sample 4 is too short: it has 1 steps, and a frame is made of 2"):
        batch_of(CASES[name][1](), lengths=[40, 27, 33, 21, 1, 30])


@pytest.mark.parametrize("build, model, said", [
    (lambda: pl.MaskedFrames(8, 4 * MELS, stride=4), transformer, "stride and window must be the model's, 2 and 2, got 4 and 4"),
    (lambda: pl.MaskedFrames(9, 2 * MELS), transformer, "frame_size must be 8, as many as the numbers of the model's frames, got 9"),
    (lambda: pl.MaskedFrames(8, 2 * MELS), lambda: pl.LinearAutoencoder(4, 2), "LinearAutoencoder answers with no frames of a sound"),
    (lambda: pl.ContrastivePrediction(6, 5, stride=4), apart, "stride must be the model's, 2, got 4"),
    (lambda: pl.ContrastivePrediction(7, 5), apart, "frame_size must be 6, as the model has it, got 7"),
    (lambda: pl.ContrastivePrediction(6, 4), apart, "context_size must be 5, as the model has it, got 4"),
    (lambda: pl.ContrastivePrediction(6, 5), blstm, "directions must be 'apart', or what is heard before a frame has heard it all"),
    (lambda: pl.ContrastivePrediction(6, 5), transformer, "AcousticTransformer does not tell what it has heard before a frame"),
    (lambda: pl.CTC(4), blstm, "AcousticLSTM must answer with 5 scores a frame, of the blank and 4 symbols: give a Transcriber"),
    (lambda: pl.CTC(5), lambda: pl.Transcriber(blstm(), 4), "Transcriber must answer with 6 scores a frame"),
])
def test_a_model_that_does_not_fit_is_refused(build, model, said):
    objective = build().double()
    with pytest.raises(ValueError, match=said):
        objective(model().double(), batch_of(objective))
