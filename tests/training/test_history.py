import json
import math
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import (
    Recording,
    SentencePairs,
    TinyReader,
    config,
    mlp,
    seeded,
    sentence_pairs,
    trained,
    vectors,
)

from pretrain_lib.data.source import Columns
from pretrain_lib.objectives.reconstruction import Denoising, Reconstruction
from pretrain_lib.training import log
from pretrain_lib.training.log import History, read_log
from pretrain_lib.training.trainer import Trainer


def test_a_record_holds_what_was_measured():
    chosen = config(steps=6, warmup_steps=3)
    history = trained(SentencePairs(), chosen, seeded(TinyReader), sentence_pairs()).history
    assert history.steps == [1, 2, 3, 4, 5, 6]
    for record in history.records:
        assert record.keys() == {"step", "words", "order", "loss", "learning_rate", "gradient_norm",
                                 "samples_per_second", "data_wait"}
        assert all(math.isfinite(v) for v in record.values())
        assert record["samples_per_second"] > 0 and record["gradient_norm"] > 0
        assert 0 < record["data_wait"] < 1
    assert history.losses == [r["loss"] for r in history.records]


def test_the_wait_for_samples_is_a_share_of_the_time():
    class Slow(Columns):
        def take(self, keys):
            time.sleep(0.05)
            return super().take(keys)

    slow = Slow(images=vectors(20).images)
    waits = trained(Reconstruction(), config(steps=4), source=slow).history.records
    assert all(0.5 < record["data_wait"] < 1 for record in waits)


@pytest.mark.parametrize("steps, log_every, expected", [
    (10, 3, [3, 6, 9, 10]), (9, 3, [3, 6, 9]), (2, 5, [2]), (1, 1, [1])])
def test_lines_come_as_often_as_asked_for_and_at_the_end(steps, log_every, expected):
    chosen = config(steps=steps, log_every=log_every)
    assert trained(Reconstruction(), chosen).history.steps == expected


def test_evaluations_come_as_often_as_asked_for_and_at_the_end():
    chosen = config(steps=10, evaluate_every=4)
    history = trained(Reconstruction(), chosen, held_out=vectors(20)).history
    assert [step for step, _ in history.evaluations] == [4, 8, 10]
    assert all(means.keys() == {"reconstruction", "loss"} for _, means in history.evaluations)
    alone = trained(Reconstruction(), config(steps=10), held_out=vectors(20)).history
    assert [step for step, _ in alone.evaluations] == [10]
    assert alone.evaluations[-1] == history.evaluations[-1]
    assert trained(Reconstruction(), config(steps=10)).history.evaluations == []


def test_the_first_loss_is_that_of_the_starting_weights():
    objective = Recording(noise="masking", level=0.0)
    history = trained(objective, config(steps=2)).history
    x = objective.shown[0]
    expected = 0.5 * (mlp()(x) - x).square().sum().item() / 16
    assert history.losses[0] == pytest.approx(expected, rel=1e-6)


def test_the_file_holds_the_same_as_memory_one_object_a_line(tmp_path):
    trainer = trained(Reconstruction(), config(evaluate_every=5), held_out=vectors(20),
                      folder=tmp_path)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == trainer.history.records
    assert read_log(tmp_path / "log.jsonl") == trainer.history.records


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained(Reconstruction(), config(evaluate_every=5, checkpoint_every=2, tensorboard=True),
            held_out=vectors(20))
    assert list(tmp_path.iterdir()) == []


def stopped_at(step: int, folder, chosen) -> pytest.ExceptionInfo:
    """A run that fails in update `step`, with its last checkpoint an earlier one."""

    class Stopping(Denoising):
        def forward(self, model, batch):
            if model.training:
                self.calls = [*getattr(self, "calls", []), 1]
                if len(self.calls) == step:
                    raise LookupError
            return super().forward(model, batch)

    # the objective's name is part of what makes a run that run
    Stopping.__name__ = "Denoising"
    with pytest.raises(LookupError) as failure:
        trained(Stopping(), chosen, held_out=vectors(20, seed=1), folder=folder)
    return failure


@pytest.mark.parametrize("checkpoint_every, stop", [(4, 7), (4, 3), (0, 9), (4, 5)])
def test_the_log_of_a_resumed_run_has_each_step_once(tmp_path, checkpoint_every, stop):
    chosen = config(checkpoint_every=checkpoint_every, log_every=1)
    stopped_at(stop, tmp_path, chosen)
    assert len(read_log(tmp_path / "log.jsonl")) == stop - 1
    trainer = trained(Denoising(), chosen, held_out=vectors(20, seed=1), folder=tmp_path)
    whole = trained(Denoising(), chosen, held_out=vectors(20, seed=1))
    assert trainer.history.steps == list(range(1, 13))
    assert read_log(tmp_path / "log.jsonl") == trainer.history.records
    assert trainer.history.losses == whole.history.losses
    assert trainer.history.evaluations == whole.history.evaluations


@pytest.mark.parametrize("half", ['{"step": 5, "lo', '{"step": 5}garbage', "\x00\x00", '{"st', "7"])
def test_a_last_line_that_was_half_written_is_passed_over(tmp_path, half):
    chosen = config(checkpoint_every=4)
    stopped_at(7, tmp_path, chosen)
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write(half)
    trainer = trained(Denoising(), chosen, held_out=vectors(20, seed=1), folder=tmp_path)
    assert trainer.history.steps == list(range(1, 13))
    assert [r["step"] for r in read_log(tmp_path / "log.jsonl")][:12] == list(range(1, 13))


@given(position=st.floats(0, 1), bit=st.integers(0, 7))
@settings(max_examples=200, deadline=None)
def test_a_flipped_bit_costs_a_log_its_line_at_most(position, bit):
    lines = [json.dumps({"step": step, "loss": 0.25 * step}) for step in range(1, 9)]
    content = bytearray("\n".join(lines).encode())
    content[int(position * (len(content) - 1))] ^= 1 << bit
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        path.write_bytes(content)
        records = read_log(path)
        assert len([r for r in records if r in map(json.loads, lines)]) >= 6
        history = History(Path(folder))
        history.open(4)
        assert all(r["step"] <= 4 for r in history.records)


def test_a_log_that_is_not_there_is_empty(tmp_path):
    assert read_log(tmp_path / "log.jsonl") == []


def events(folder) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard would show."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    reader = accumulator.EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    reader.Reload()
    tags = reader.Tags()["scalars"]
    return {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in tags}


def test_tensorboard_shows_what_the_log_holds(tmp_path):
    pytest.importorskip("tensorboard")
    trainer = trained(Denoising(), config(tensorboard=True, evaluate_every=4), held_out=vectors(20),
                      folder=tmp_path)
    shown = events(tmp_path)
    for term in ("loss", "reconstruction", "learning_rate", "gradient_norm", "samples_per_second"):
        steps, values = zip(*shown[f"training/{term}"], strict=True)
        assert list(steps) == trainer.history.steps
        expected = [r[term] for r in trainer.history.records if "evaluation" not in r]
        assert values == pytest.approx(expected, rel=1e-6)
    assert shown["evaluation/loss"] == [(step, pytest.approx(means["loss"], rel=1e-6))
                                        for step, means in trainer.history.evaluations]


def test_tensorboard_shows_each_step_of_a_resumed_run_once(tmp_path):
    pytest.importorskip("tensorboard")
    chosen = config(tensorboard=True, checkpoint_every=5, evaluate_every=12)
    stopped_at(8, tmp_path, chosen)  # has shown steps 6 and 7, which are done again
    rarely = replace(chosen, log_every=4)
    trainer = trained(Denoising(), rarely, held_out=vectors(20, seed=1), folder=tmp_path)
    shown = events(tmp_path)
    assert trainer.history.steps == [1, 2, 3, 4, 5, 8, 12]
    assert [step for step, _ in shown["training/loss"]] == trainer.history.steps
    assert [step for step, _ in shown["evaluation/loss"]] == [12]


def test_tensorboard_has_everything_on_disk_when_a_run_fails(tmp_path):
    pytest.importorskip("tensorboard")
    failure = stopped_at(7, tmp_path, config(tensorboard=True))
    assert failure.traceback  # so that the trainer, and its writer, are still alive
    assert [step for step, _ in events(tmp_path)["training/loss"]] == list(range(1, 7))


def test_a_run_started_anew_has_a_log_of_its_own_and_the_old_one_is_kept(tmp_path):
    chosen = config(checkpoint_every=3, evaluate_every=6)
    first = trained(Denoising(), chosen, held_out=vectors(20), folder=tmp_path)
    again = Trainer(mlp(), Denoising(), vectors(), chosen, held_out=vectors(20), folder=tmp_path)
    assert again.fit(resume=False).steps == list(range(1, 13))
    assert read_log(tmp_path / "log.jsonl") == again.history.records
    assert read_log(tmp_path / "earlier-1" / "log.jsonl") == first.history.records
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        p.name for p in sorted((tmp_path / "earlier-1" / "checkpoints").iterdir())]


def test_history_works_alone():
    history = History()
    history.add(step=1, loss=2.0)
    history.add(step=1, evaluation={"loss": 3.0})
    assert history.steps == [1] and history.losses == [2.0]
    assert history.evaluations == [(1, {"loss": 3.0})]
    history.close()


class Slow(Columns):
    """Takes its time for every batch."""

    def take(self, keys):
        time.sleep(0.1)
        return super().take(keys)


@pytest.mark.parametrize("log_every", [1, 2, 3, 5])
def test_the_time_of_evaluations_and_checkpoints_does_not_count_as_training(tmp_path, monkeypatch, log_every):
    """A clock that an update moves on by two seconds, and all else by a hundred."""
    now = [0.0]
    monkeypatch.setattr(log.time, "perf_counter", lambda: now[0])

    class Timed(Reconstruction):
        def forward(self, model, batch):
            now[0] += 2 if model.training else 100
            return super().forward(model, batch)

    trainer = Trainer(mlp(), Timed(), vectors(), config(evaluate_every=2, checkpoint_every=3, log_every=log_every),
                      held_out=vectors(10), folder=tmp_path)
    save = trainer.save

    def save_slowly():
        now[0] += 100
        return save()

    monkeypatch.setattr(trainer, "save", save_slowly)
    rates = [r["samples_per_second"] for r in trainer.fit().records if "loss" in r]
    assert rates == [16 / 2] * len(rates)


def test_a_number_that_is_not_finite_is_null_in_the_file(tmp_path):
    """JSON has neither NaN nor Infinity: parsers of other languages refuse the line."""
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    history = trained(Reconstruction(), config(precision="fp16"), folder=tmp_path).history
    history.add(step=12, evaluation={"loss": math.nan}, loss=-math.inf)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line, parse_constant=refuse) for line in lines] == history.records
    assert history.records[0]["gradient_norm"] is None  # the loss scale is searched
    assert history.records[-1] == {"step": 12, "evaluation": {"loss": None}, "loss": None}


def test_a_log_from_before_is_mended_when_it_is_taken_up(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1, "gradient_norm": NaN}\n{"step": 2, "gradient_norm": Infinity}\n')
    History(tmp_path).open(2)
    assert (tmp_path / "log.jsonl").read_text() == (
        '{"step": 1, "gradient_norm": null}\n{"step": 2, "gradient_norm": null}\n')


def test_the_time_that_batches_take_does_count():
    slow = Slow(images=vectors(10).images)
    history = trained(Reconstruction(), config(log_every=2), source=slow).history
    assert max(r["samples_per_second"] for r in history.records) < 16 / 0.1
