"""The loop against one written by hand, and what it must leave alone."""

import copy
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from toys import SIZE, Mlp, Recording, config, mlp, same_bits, seeded, trained, vectors, weights

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.objectives.base import Batch, Objective
from pretrain_lib.objectives.reconstruction import Denoising, Reconstruction
from pretrain_lib.training.trainer import Trainer


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("clipping", [0.0, 1.0])
def test_training_is_the_bare_torch_loop_bit_for_bit(dtype, clipping):
    source = vectors(dtype=dtype)
    objective = Recording(noise="gaussian", level=0.1)
    settings = config(steps=25, schedule="constant", gradient_clipping=clipping)
    ours = mlp(dtype=dtype)
    trainer = trained(objective, settings, ours, source)

    bare = mlp(dtype=dtype)
    optimizer = torch.optim.AdamW(bare.parameters(), lr=1e-2, weight_decay=0.0, fused=True)
    losses = []
    for ids, shown in zip(objective.seen, objective.shown, strict=True):
        clean = source.images[ids]
        loss = 0.5 * (bare(shown) - clean).square().sum() / len(ids)
        optimizer.zero_grad()
        loss.backward()
        if clipping:
            nn.utils.clip_grad_norm_(bare.parameters(), clipping)
        optimizer.step()
        losses.append(loss.item())

    assert same_bits(weights(ours), weights(bare))
    assert trainer.history.losses == pytest.approx(losses, rel=1e-6)
    assert trainer.history.steps == list(range(1, 26))


def test_the_fused_optimiser_is_the_plain_one_up_to_rounding():
    objective = Recording(noise="gaussian", level=0.1)
    source, ours = vectors(dtype=torch.float64), mlp(dtype=torch.float64)
    trained(objective, config(steps=25, schedule="constant"), ours, source)
    bare = mlp(dtype=torch.float64)
    optimizer = torch.optim.AdamW(bare.parameters(), lr=1e-2, weight_decay=0.0, foreach=False)
    for ids, shown in zip(objective.seen, objective.shown, strict=True):
        optimizer.zero_grad()
        (0.5 * (bare(shown) - source.images[ids]).square().sum() / len(ids)).backward()
        optimizer.step()
    for a, b in zip(ours.parameters(), bare.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-12)


def test_training_lowers_the_loss():
    history = trained(Reconstruction(), config(steps=100)).history
    assert history.losses[-1] < 0.2 * history.losses[0]


def test_two_runs_of_one_config_are_the_same_run_and_another_seed_is_another():
    first, second, third = mlp(dropout=0.2), mlp(dropout=0.2), mlp(dropout=0.2)
    trained(Denoising(), config(), first)
    torch.manual_seed(12345)
    trained(Denoising(), config(), second)
    trained(Denoising(), config(seed=1), third)
    assert same_bits(weights(first), weights(second))
    assert not same_bits(weights(first), weights(third))


def test_dropout_differs_between_updates_and_micro_batches():
    masks = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))
            self.drop = nn.Dropout(0.5)

        def forward(self, x):
            mask = self.drop(torch.ones_like(x))
            if self.training:
                masks.append(mask)
            return self.scale * mask

    trained(Reconstruction(), config(steps=3, accumulation=2), Spy())
    assert len(masks) == 6
    for i in range(6):
        for j in range(i):
            assert not torch.equal(masks[i], masks[j])


@pytest.mark.parametrize("workers", [0, 2])
def test_every_global_random_state_is_left_as_it_was(workers):
    model = mlp(dropout=0.5)
    settings = config(workers=workers, evaluate_every=5, precision="auto")
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    trainer = Trainer(model, Denoising(), vectors(), settings, held_out=vectors(40, seed=1))
    trainer.fit()
    trainer.evaluate(vectors(30, seed=2))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()
    assert before[2] == random.getstate()


def test_the_random_state_is_left_as_it_was_when_training_fails():
    class Failing(Reconstruction):
        def forward(self, model, batch):
            torch.rand(3)
            raise LookupError

    torch.manual_seed(5)
    before = torch.get_rng_state()
    with pytest.raises(LookupError):
        trained(Failing(), config())
    assert torch.equal(before, torch.get_rng_state())


# ------------------------------------------------------------------- evaluation


def test_an_evaluation_is_the_mean_over_all_samples():
    model, held_out = mlp(), vectors(37, seed=1)  # 37: the last batch is a partial one
    trainer = Trainer(model, Denoising("gaussian", 0.3), vectors(), config())
    shown = held_out.images + 0.3 * Keys.of(0, 37).normal("noise", (SIZE,))
    brute = 0.0
    with torch.no_grad():
        for x, y in zip(held_out.images, model(shown), strict=True):
            brute += 0.5 * ((x - y) ** 2).sum().item()
    means = trainer.evaluate(held_out)
    assert means["reconstruction"] == pytest.approx(brute / 37, rel=1e-5)
    assert means["loss"] == pytest.approx(brute / 37, rel=1e-5)


def test_an_evaluation_is_the_same_each_time_and_at_any_batch_size():
    held_out = vectors(37, seed=1)
    model = mlp(dropout=0.5)
    small = Trainer(model, Denoising(), vectors(), config(batch_size=4))
    large = Trainer(model, Denoising(), vectors(), config(batch_size=64))
    assert small.evaluate(held_out) == small.evaluate(held_out)
    small, large = small.evaluate(held_out), large.evaluate(held_out)
    assert small["loss"] == pytest.approx(large["loss"], rel=1e-6)


def test_every_evaluation_of_a_run_corrupts_a_sample_in_the_same_way():
    still = config(optimizer="sgd", momentum=0.0, learning_rate=1e-30, evaluate_every=3)
    evaluations = trained(Denoising(), still, held_out=vectors(20)).history.evaluations
    assert len(evaluations) == 4 and len({means["loss"] for _, means in evaluations}) == 1


class Sampling(Reconstruction):
    """An objective that draws from the global generator, as a variational autoencoder does."""

    def forward(self, model, batch):
        noisy = batch.map(lambda t: t + torch.randn_like(t))
        return super().forward(model, noisy)


def test_an_evaluation_of_an_objective_that_draws_numbers_is_the_same_each_time():
    trainer = Trainer(mlp(), Sampling(), vectors(), config())
    torch.manual_seed(1)
    first = trainer.evaluate(vectors(20))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert trainer.evaluate(vectors(20)) == first
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("training", [True, False])
def test_an_evaluation_changes_nothing(training):
    model = nn.Sequential(nn.Linear(SIZE, 8), nn.BatchNorm1d(8), nn.Dropout(0.3),
                          nn.Linear(8, SIZE))
    trainer = Trainer(model, Denoising(), vectors(), config())
    model.train(training)
    model[1].eval()  # a part that its owner keeps still
    modes = [m.training for m in trainer.module.modules()]
    before = copy.deepcopy(model.state_dict())
    trainer.evaluate(vectors(20))
    assert [m.training for m in trainer.module.modules()] == modes
    assert same_bits(before, dict(model.state_dict()))
    assert all(p.grad is None for p in model.parameters())


def test_evaluating_during_training_changes_nothing_of_the_training():
    often, never = mlp(dropout=0.3), mlp(dropout=0.3)
    trained(Sampling(), config(evaluate_every=1), often, held_out=vectors(20, seed=1))
    trained(Sampling(), config(), never)
    assert same_bits(weights(often), weights(never))


def test_the_modes_of_the_model_are_the_same_after_training_as_in_training():
    """Whether or not something was held out, the model comes back in training mode."""
    for held_out in (None, vectors(20)):
        assert trained(Reconstruction(), config(), held_out=held_out).model.training


@pytest.mark.parametrize("held_out", [None, vectors(20)])
def test_each_part_comes_back_in_the_mode_that_it_was_in(held_out):
    model = mlp(dropout=0.5).eval()
    model[0].train()
    modes = [part.training for part in model.modules()]
    trained(Reconstruction(), config(evaluate_every=3), model, held_out=held_out)
    assert [part.training for part in model.modules()] == modes
    with pytest.raises(LookupError):
        trained(Failing(), config(), model)
    assert [part.training for part in model.modules()] == modes


class Failing(Reconstruction):
    def forward(self, model, batch):
        if model.training:
            raise LookupError
        return super().forward(model, batch)


class FromAGpu(Mlp):
    """A model that says it is on a GPU until it is moved, and notes where it computes."""

    def __init__(self):
        super().__init__()
        self.place, self.computed_on = torch.device("cuda:1"), set()

    def parameters(self, recurse=True):
        yield SimpleNamespace(device=self.place)

    def to(self, place):
        self.place = place
        return self

    def forward(self, x):
        self.computed_on.add(self.place)
        return super().forward(x)


def test_a_model_goes_back_to_the_device_that_it_came_on():
    model = seeded(FromAGpu)
    home, cpu = model.place, torch.device("cpu")
    trainer = Trainer(model, Reconstruction(), vectors(), config(evaluate_every=3), held_out=vectors(20))
    assert model.place == home
    trainer.fit()
    assert model.place == home and model.computed_on == {cpu}
    trainer.evaluate(vectors(20))
    assert model.place == home and model.computed_on == {cpu}
    model.place = torch.device("cuda:0")  # moved in between
    with pytest.raises(LookupError):
        trained(Failing(), config(), model)
    assert model.place == torch.device("cuda:0")


def test_evaluation_runs_without_dropout():
    model = mlp(dropout=0.9)
    trainer = Trainer(model, Reconstruction(), vectors(), config())
    model.eval()
    with torch.no_grad():
        source = vectors(20, seed=1)
        expected = 0.5 * (model(source.images) - source.images).square().sum().item() / 20
    model.train()
    assert trainer.evaluate(source)["loss"] == pytest.approx(expected, rel=1e-6)


# ------------------------------------------------------------------- what is refused


class Empty:
    def __len__(self):
        return 0

    def take(self, keys):
        return {}


def test_an_empty_source_is_refused():
    with pytest.raises(ValueError, match="empty"):
        Trainer(mlp(), Reconstruction(), Empty(), config())
    trainer = Trainer(mlp(), Reconstruction(), vectors(), config())
    with pytest.raises(ValueError, match="empty"):
        trainer.evaluate(Empty())


def test_patience_without_anything_held_out_is_refused():
    with pytest.raises(ValueError, match="patience.*held_out"):
        Trainer(mlp(), Reconstruction(), vectors(), config(patience=2, evaluate_every=1))


class Mislabelled(Reconstruction):
    def batch(self, samples, keys):
        batch = super().batch(samples, keys)
        batch.counts = {"error": len(keys)}
        return batch


def test_terms_that_are_not_counted_are_refused():
    trainer = Trainer(mlp(), Mislabelled(), vectors(), config())
    with pytest.raises(ValueError, match="Mislabelled.*reconstruction.*error"):
        trainer.fit()
    with pytest.raises(ValueError, match="Mislabelled.*reconstruction.*error"):
        trainer.evaluate(vectors(5))


def test_a_weight_for_a_term_that_does_not_exist_is_refused():
    objective = Reconstruction()
    objective.weights = {"reconstrution": 0.1}
    with pytest.raises(ValueError, match="reconstrution.*reconstruction"):
        trained(objective, config())


class Unsteady(Objective):
    """Counts a second term in some batches only."""

    def batch(self, samples, keys):
        counts = {"a": len(keys)} | ({"b": 1} if keys.sample[0] % 2 else {})
        return Batch(samples, {}, counts)

    def forward(self, model, batch):
        return {name: model(batch.inputs["images"]).sum() for name in batch.counts}


def test_batches_that_count_different_terms_are_refused():
    with pytest.raises(ValueError, match="Unsteady.*names must be the same"):
        trained(Unsteady(), config(batch_size=16, accumulation=16))


def test_a_batch_larger_than_the_source_is_fine():
    objective = Recording(noise="masking", level=0.0)
    trained(objective, config(steps=3, batch_size=16), source=Columns(images=torch.randn(5, SIZE)))
    assert sorted(sum(objective.seen, [])[:45]) == sorted(list(range(5)) * 9)


def test_training_works_in_another_thread():
    import threading

    model = mlp()
    thread = threading.Thread(target=lambda: trained(Reconstruction(), config(), model))
    thread.start()
    thread.join()
    assert same_bits(weights(model), weights(trained(Reconstruction(), config(), mlp()).model))


def test_fit_again_does_nothing_more():
    trainer = trained(Reconstruction(), config())
    before = weights(trainer.model)
    trainer.fit()
    assert same_bits(before, weights(trainer.model))
    assert trainer.history.steps == list(range(1, 13))


def test_a_model_built_elsewhere_is_trained_in_place():
    model = seeded(Mlp)
    trainer = trained(Reconstruction(), config(), model)
    assert trainer.model is model
