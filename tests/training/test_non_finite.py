import math

import pytest
import torch
from toys import SIZE, Recording, config, mlp, same_bits, trained, vectors, weights

from pretrain_lib.data.source import Columns
from pretrain_lib.objectives.reconstruction import Denoising, Reconstruction
from pretrain_lib.training.checkpoint import checkpoint_steps
from pretrain_lib.training.finite import NonFiniteError
from pretrain_lib.training.trainer import Trainer


def spoilt(*ids: int, value: float = math.nan) -> Columns:
    source = vectors(40)
    for i in ids:
        source.columns["images"][i, i % SIZE] = value
    return source


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("accumulation", [1, 4])
def test_bad_data_are_named_by_step_and_sample(value, workers, accumulation):
    reference = Recording(noise="masking", level=0.0)
    trained(reference, config(), source=vectors(40))
    first = next(step for step, ids in enumerate(reference.seen, 1) if 23 in ids)

    model = mlp()
    settings = config(workers=workers, accumulation=accumulation)
    trainer = Trainer(model, Denoising("masking", 0.3), spoilt(23, value=value), settings)
    with pytest.raises(NonFiniteError) as error:
        trainer.fit()
    message = str(error.value)
    assert f"at step {first}" in message and "samples [23]" in message and "mend or drop" in message
    assert "learning rate" not in message and "\n" not in message

    assert trainer.step == first - 1
    assert all(p.isfinite().all() and p.grad is None for p in model.parameters())


def test_all_bad_samples_of_the_update_are_named():
    with pytest.raises(NonFiniteError, match=r"samples \[(?=.*\b3\b)(?=.*\b7\b)(?=.*\b31\b)"):
        trained(Reconstruction(), config(batch_size=40), source=spoilt(3, 7, 31))


def test_the_weights_stay_as_they_were():
    model = mlp()
    before = weights(model)
    with pytest.raises(NonFiniteError, match="at step 1"):
        trained(Reconstruction(), config(batch_size=40, accumulation=4), model, spoilt(3))
    assert same_bits(before, weights(model))


def test_the_run_can_be_taken_up_before_the_bad_step(tmp_path):
    settings = config(checkpoint_every=1, batch_size=8)
    with pytest.raises(NonFiniteError) as error:
        trained(Reconstruction(), settings, source=spoilt(23), folder=tmp_path)
    bad = int(str(error.value).split("at step ")[1].split(";")[0])
    assert checkpoint_steps(tmp_path / "checkpoints")[-1:] == [bad - 1][:bad > 1]
    model = mlp()
    trained(Reconstruction(), settings, model, vectors(40), folder=tmp_path)
    whole = mlp()
    trained(Reconstruction(), settings, whole, vectors(40))
    assert same_bits(weights(model), weights(whole))


def test_a_learning_rate_that_explodes_is_called_that():
    model = mlp()
    wild = config(steps=200, learning_rate=1e4, optimizer="sgd", schedule="constant")
    with pytest.raises(NonFiniteError) as error:
        trained(Reconstruction(), wild, model)
    message = str(error.value)
    for word in ("at step", "the data are finite", "lower the learning rate", "clip the gradient"):
        assert word in message
    assert all(p.isfinite().all() for p in model.parameters())


class NoGradient(Reconstruction):
    """A finite loss whose gradient is not a number."""

    def forward(self, model, batch):
        error = super().forward(model, batch)["reconstruction"]
        p = next(model.parameters())
        return {"reconstruction": error + (p - p.detach()).abs().sqrt().sum()}


@pytest.mark.parametrize("clipping", [0.0, 1.0])
def test_a_gradient_that_is_not_a_number_behind_a_finite_loss_is_caught(clipping):
    model = mlp()
    before = weights(model)
    with pytest.raises(NonFiniteError, match="the gradient's norm is nan at step 1"):
        trained(NoGradient(), config(gradient_clipping=clipping), model)
    assert same_bits(before, weights(model))


def test_weights_that_are_bad_from_the_start_are_not_blamed_on_the_data():
    model = mlp()
    with torch.no_grad():
        model[0].weight[0, 0] = math.nan
    with pytest.raises(NonFiniteError, match="the data are finite"):
        trained(Reconstruction(), config(), model)


def test_the_trainer_can_be_used_again_after_the_error():
    source = spoilt(3)
    trainer = Trainer(mlp(), Reconstruction(), source, config(batch_size=40))
    with pytest.raises(NonFiniteError):
        trainer.fit()
    source.columns["images"] = vectors(40).images
    trainer.fit()
    whole = mlp()
    trained(Reconstruction(), config(batch_size=40), whole, vectors(40))
    assert same_bits(weights(trainer.model), weights(whole))


def test_after_an_overflow_in_float16_the_trainer_can_be_used_again():
    source = spoilt(3)
    trainer = Trainer(mlp(), Reconstruction(), source, config(batch_size=40, precision="fp16"))
    with pytest.raises(NonFiniteError):
        trainer.fit()
    source.columns["images"] = vectors(40).images
    trainer.fit()
