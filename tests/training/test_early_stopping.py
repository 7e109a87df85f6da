import math

import pytest
import torch
from toys import SIZE, config, mlp, same_bits, trained, vectors, weights

from pretrain_lib.data.source import Columns
from pretrain_lib.objectives.reconstruction import Denoising, Reconstruction
from pretrain_lib.training.checkpoint import checkpoint_steps, load_checkpoint
from pretrain_lib.training.finite import NonFiniteError
from pretrain_lib.training.trainer import Trainer


def overfitting(**settings):
    """Four training samples of pure noise: the held-out loss soon rises."""
    source = Columns(images=torch.randn(4, SIZE, generator=torch.Generator().manual_seed(0)))
    held_out = Columns(images=torch.randn(50, SIZE, generator=torch.Generator().manual_seed(1)))
    chosen = config(**{"steps": 200, "evaluate_every": 5, "batch_size": 4, "schedule": "constant",
                       "learning_rate": 0.02, **settings})
    return source, held_out, chosen


def run(model=None, folder=None, **settings) -> Trainer:
    source, held_out, chosen = overfitting(**settings)
    return trained(Reconstruction(), chosen, model or mlp(hidden=64), source, held_out=held_out,
                   folder=folder)


def test_training_stops_when_patience_runs_out():
    history = run(patience=3).history
    losses = [means["loss"] for _, means in history.evaluations]
    best = losses.index(min(losses))
    assert len(losses) == best + 1 + 3
    assert history.evaluations[-1][0] < 200


@pytest.mark.parametrize("with_folder", [False, True])
def test_the_best_weights_come_back(tmp_path, with_folder):
    trainer = run(patience=3, folder=tmp_path if with_folder else None)
    _, held_out, _ = overfitting()
    best = min(means["loss"] for _, means in trainer.history.evaluations)
    assert trainer.evaluate(held_out)["loss"] == best
    assert best < trainer.history.evaluations[-1][1]["loss"]


def test_the_weights_are_those_that_a_run_of_that_length_ends_with():
    trainer = run(patience=3)
    evaluations = trainer.history.evaluations
    step = min(evaluations, key=lambda e: e[1]["loss"])[0]
    short = mlp(hidden=64)
    source, _, chosen = overfitting(steps=step)
    trained(Reconstruction(), chosen, short, source)
    assert same_bits(weights(trainer.model), weights(short))


def test_an_objectives_own_weights_come_back_too():
    from toys import HalfLabelled, seeded

    source, held_out, chosen = overfitting(patience=2, learning_rate=0.05)
    source = Columns(images=source.images, labels=torch.tensor([0, 1, 2, 0]))
    held_out = Columns(images=held_out.images, labels=torch.arange(50) % 3)
    trainer = trained(seeded(HalfLabelled), chosen, mlp(hidden=64), source, held_out=held_out)
    best = min(means["loss"] for _, means in trainer.history.evaluations)
    assert trainer.evaluate(held_out)["loss"] == best


def test_without_patience_the_last_weights_stay():
    trainer = run(steps=60)
    assert len(trainer.history.evaluations) == 12
    last, short = weights(trainer.model), mlp(hidden=64)
    source, _, chosen = overfitting(steps=60)
    trained(Reconstruction(), chosen, short, source)
    assert same_bits(last, weights(short))


def test_patience_that_never_runs_out_still_ends_with_the_best():
    trainer = run(steps=60, patience=1000)
    best = min(means["loss"] for _, means in trainer.history.evaluations)
    _, held_out, _ = overfitting()
    assert len(trainer.history.evaluations) == 12
    assert trainer.evaluate(held_out)["loss"] == best


def test_the_best_and_the_last_checkpoint_are_kept(tmp_path):
    trainer = run(patience=3, folder=tmp_path, keep_last=1)
    evaluations = trainer.history.evaluations
    best, last = min(evaluations, key=lambda e: e[1]["loss"])[0], evaluations[-1][0]
    assert checkpoint_steps(tmp_path / "checkpoints") == [best, last]
    _, state = load_checkpoint(tmp_path / "checkpoints" / f"step-{last:08d}")
    assert state["best"]["step"] == best and state["best"]["evaluations_since"] == 3


def test_a_stopped_run_stays_stopped_and_gives_the_best_weights_again(tmp_path):
    first = run(patience=3, folder=tmp_path)
    model = mlp(hidden=64)
    again = run(model, patience=3, folder=tmp_path)
    assert same_bits(weights(first.model), weights(model))
    assert again.step == first.step
    assert again.history.evaluations == first.history.evaluations


@pytest.mark.parametrize("keep_last", [1, 3])
def test_the_state_of_early_stopping_survives_resuming_anywhere(tmp_path, keep_last):
    """Interrupted after every single update, the run still stops at the same one."""
    whole = run(patience=3)

    class OneUpdate(Reconstruction):
        def forward(self, model, batch):
            if model.training:
                import os
                import signal

                os.kill(os.getpid(), signal.SIGINT)
            return super().forward(model, batch)

    source, held_out, chosen = overfitting(patience=3, keep_last=keep_last)
    for _ in range(300):
        model = mlp(hidden=64)
        trainer = Trainer(model, OneUpdate(), source, chosen, held_out=held_out, folder=tmp_path)
        try:
            trainer.fit()
        except KeyboardInterrupt:
            continue
        break
    assert trainer.step == whole.step
    assert same_bits(weights(model), weights(whole.model))
    assert trainer.history.evaluations == whole.history.evaluations


def test_bad_held_out_data_are_named_by_step_and_sample_and_cost_no_update(tmp_path):
    held_out = vectors(20)
    held_out.columns["images"][3, 3] = math.nan
    trainer = Trainer(mlp(), Denoising(), vectors(), config(evaluate_every=2, patience=2),
                      held_out=held_out, folder=tmp_path)
    with pytest.raises(NonFiniteError, match=r"evaluation.* is nan at step 2; .*samples \[3\]"):
        trainer.fit()
    assert checkpoint_steps(tmp_path / "checkpoints") == [2]
    assert trainer.best["step"] is None
