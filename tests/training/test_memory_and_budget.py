"""Activations computed twice, and a budget of minutes."""

import gc
import weakref
from contextlib import nullcontext

import pytest
import torch
from toys import config, mlp, trained, vectors

from pretrain_lib.bench.encoder import Size
from pretrain_lib.objectives.base import Step
from pretrain_lib.objectives.reconstruction import Reconstruction
from pretrain_lib.training import budget, checkpoint
from pretrain_lib.training.budget import steps_within, with_steps
from pretrain_lib.training.passes import activations_recomputed
from pretrain_lib.training.trainer import Trainer


def saved_and_gradients(form: str, checkpointed: bool) -> tuple[int, dict[str, torch.Tensor]]:
    """Bytes kept for the backward pass, parameters aside; and the gradients."""
    size = Size(form=form, layers=12, hidden_size=64, length=64, batch_size=4, vocab_size=200)
    step = Step(size.model(), size.objective())
    own = {p.untyped_storage().data_ptr() for p in step.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with activations_recomputed(step) if checkpointed else nullcontext():
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


@pytest.mark.parametrize("settings, checkpoints_an_update", [
    ({"checkpoint_every": 0}, 1 / 10), ({"checkpoint_every": 4}, 1 / 10 + 1 / 4 - 1 / 20),
    ({"checkpoint_every": 5}, 1 / 5),
])
def test_minutes_become_the_steps_that_fit_in_them(monkeypatch, tmp_path, settings, checkpoints_an_update):
    """A clock that an update moves on by two seconds, an evaluation by one, a checkpoint by three."""
    now = [0.0]
    monkeypatch.setattr(budget.time, "perf_counter", lambda: now[0])
    write = checkpoint._write

    def write_slowly(*arguments):
        now[0] += 3.0
        return write(*arguments)

    class Slow(Reconstruction):
        def forward(self, model, batch):
            if len(batch.samples) == 16:  # the first few samples are tried beforehand
                now[0] += 2.0 if model.training else 1.0
            return super().forward(model, batch)

    def trainer_of(train, folder):
        return Trainer(mlp(), Slow(), vectors(), train, held_out=vectors(16), folder=folder)

    monkeypatch.setattr(checkpoint, "_write", write_slowly)
    chosen = config(steps=100, evaluate_every=10, **settings)
    tried = budget.TRIED * 2 + 1 + 3
    assert steps_within(5, trainer_of, chosen, tmp_path) == int(
        (300 - tried - 2 - 1 - 3) / (2 + 1 / 10 + 3 * checkpoints_an_update))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="minutes are too few"):
        steps_within(0.1, trainer_of, config(steps=100), tmp_path)


def test_nothing_of_the_trial_is_left_when_the_run_begins(tmp_path):
    """Else two models, and what their optimisers keep, would have to fit on the GPU."""
    models = []

    def trainer_of(train, folder):
        model = mlp()
        models.append(weakref.ref(model))
        return Trainer(model, Reconstruction(), vectors(), train, held_out=vectors(16), folder=folder)

    gc.disable()  # as good as within an update, where it is rare
    try:
        steps_within(5, trainer_of, config(steps=100), tmp_path)
        left = [model() for model in models]
    finally:
        gc.enable()
    assert left == [None]


class Stack(torch.nn.Module):
    """Two blocks, one behind the other."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([mlp(), mlp(seed=1)])

    def forward(self, x):
        return self.layers[1](self.layers[0](x))


def test_a_later_run_computes_activations_once_again():
    model, calls = Stack(), []
    model.layers[0][0].register_forward_hook(lambda part, *_: calls.append(part.training))
    forwards = []
    for settings in ({"activation_checkpointing": True}, {}):
        calls.clear()
        trained(Reconstruction(), config(steps=4, **settings), model)
        forwards.append(sum(calls) / 4)
    assert forwards == [2, 1]
    assert not any("forward" in vars(part) for part in model.modules())


def test_a_forward_of_ones_own_stays():
    model = Stack()
    own = model.layers[1].forward = lambda x: 2 * x
    trained(Reconstruction(), config(steps=2, activation_checkpointing=True), model)
    assert vars(model.layers[1])["forward"] is own
