"""Activations computed twice, and a budget of minutes."""

import gc
import weakref

import pytest
import torch
from toys import config, mlp, trained, vectors

from pretrain_lib.bench.encoder import Size
from pretrain_lib.objectives.base import Step
from pretrain_lib.objectives.reconstruction import Reconstruction
from pretrain_lib.training import budget
from pretrain_lib.training.budget import steps_within, with_steps
from pretrain_lib.training.passes import checkpoint_activations
from pretrain_lib.training.trainer import Trainer


def saved_and_gradients(form: str, checkpointed: bool) -> tuple[int, dict[str, torch.Tensor]]:
    """Bytes kept for the backward pass, parameters aside; and the gradients."""
    size = Size(form=form, layers=12, hidden_size=64, length=64, batch_size=4, vocab_size=200)
    step = Step(size.model(), size.objective())
    if checkpointed:
        checkpoint_activations(step)
    own = {p.untyped_storage().data_ptr() for p in step.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = step(size.batch())["masked_lm"]
    before = sum(kept.values())
    loss.backward()
    return before, {name: p.grad for name, p in step.named_parameters()}


@pytest.mark.parametrize("form", ["bert", "modernbert"])
def test_activations_computed_twice_take_a_third_of_the_memory_and_change_no_bit(form):
    plain, expected = saved_and_gradients(form, False)
    small, gradients = saved_and_gradients(form, True)
    assert small <= 0.35 * plain
    assert expected.keys() == gradients.keys()
    assert all(torch.equal(expected[name], gradients[name]) for name in expected)


def test_dropout_draws_the_same_numbers_again():
    def losses(**settings):
        model = torch.nn.Sequential()
        model.layers = torch.nn.ModuleList([mlp(dropout=0.5), mlp(seed=1, dropout=0.5)])
        model.forward = lambda x: model.layers[1](model.layers[0](x))
        return trained(Reconstruction(), config(**settings), model).history.losses

    assert losses() == losses(activation_checkpointing=True)


def test_a_warm_up_keeps_its_share():
    long = with_steps(config(steps=1000, warmup_steps=50), 200)
    assert (long.steps, long.warmup_steps) == (200, 10)


def test_minutes_become_the_steps_that_fit_in_them(monkeypatch):
    """A clock that each update moves on by two seconds, and each look at it by nothing."""
    now = [0.0]
    monkeypatch.setattr(budget.time, "perf_counter", lambda: now[0])

    class Slow(Reconstruction):
        def forward(self, model, batch):
            now[0] += 2.0 if model.training else 1.0
            return super().forward(model, batch)

    def trainer_of(train):
        return Trainer(mlp(), Slow(), vectors(), train, held_out=vectors(16))

    tried = budget.TRIED * 2 + 1
    steps = steps_within(5, trainer_of, config(steps=100, evaluate_every=10))
    assert steps == int((300 - tried - 2 - 1) / (2 + 1 / 10))
    with pytest.raises(ValueError, match="minutes are too few"):
        steps_within(0.1, trainer_of, config(steps=100))


def test_nothing_of_the_trial_is_left_when_the_run_begins():
    """Else two models, and what their optimisers keep, would have to fit on the GPU."""
    models = []

    def trainer_of(train):
        model = mlp()
        models.append(weakref.ref(model))
        return Trainer(model, Reconstruction(), vectors(), train, held_out=vectors(16))

    gc.disable()  # as good as within an update, where it is rare
    try:
        steps_within(5, trainer_of, config(steps=100))
        left = [model() for model in models]
    finally:
        gc.enable()
    assert left == [None]
