"""Samples of a batch that see each other: what is refused, and what a held-out loss is taken over."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from toys import SIZE, Contrastive, Distillation, config, mlp, same_bits, seeded, trained, vectors, weights

from pretrain_lib.data.source import Columns
from pretrain_lib.models.batch_norm import BatchNorm
from pretrain_lib.objectives import contrastive
from pretrain_lib.objectives.base import Step
from pretrain_lib.objectives.reconstruction import Denoising
from pretrain_lib.training.loader import require_shares
from pretrain_lib.training.trainer import Trainer


class Whitened(nn.Module):
    """A layer of one's own that says what it is."""

    couples_samples = True

    def forward(self, x):
        return x - x.mean(0)


def with_layer(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(SIZE, SIZE), layer, nn.Linear(SIZE, SIZE))


@pytest.mark.parametrize("layer, name", [(nn.BatchNorm1d(SIZE), "BatchNorm1d"), (BatchNorm(SIZE), "BatchNorm"), (Whitened(), "Whitened")])
def test_accumulation_is_refused_where_a_layer_couples_samples(layer, name):
    model = with_layer(layer).eval()
    with pytest.raises(ValueError, match=f"^{name} couples.*2 micro-batches.*set accumulation=1"):
        Trainer(model, Denoising(), vectors(), config(accumulation=2))
    assert not model.training and not layer.training
    Trainer(model, Denoising(), vectors(), config())


def test_a_layer_that_training_leaves_in_evaluation_mode_couples_nothing():
    teacher = with_layer(nn.BatchNorm1d(SIZE))
    Trainer(mlp(), Distillation(teacher), vectors(), config(accumulation=2))


@pytest.mark.parametrize("model, objective, remedy", [
    (with_layer(nn.BatchNorm1d(SIZE)), Denoising(), "^BatchNorm1d.*2 processes.*pretrain_lib.BatchNorm"),
    (with_layer(Whitened()), Denoising(), "^Whitened.*pretrain_lib.gathered.*gathers = True"),
    (mlp(), Contrastive(), "^Contrastive.*pretrain_lib.gathered.*gathers = True"),
])
def test_several_processes_are_refused_where_samples_are_coupled_and_not_gathered(model, objective, remedy):
    with pytest.raises(ValueError, match=remedy):
        require_shares(config(), Step(model, objective), 2)
    require_shares(config(), Step(model, objective), 1)


def test_what_gathers_may_be_shared_out():
    views = {"a": ["images"], "b": ["images"]}
    require_shares(config(), Step(with_layer(BatchNorm(SIZE)), contrastive.Contrastive(views)), 2)
    require_shares(config(), Step(with_layer(nn.SyncBatchNorm(SIZE)), Denoising()), 2)


# ------------------------------------------------------------------- held-out losses


def noisy(n: int) -> Columns:
    clean, noise = vectors(n).images, vectors(n, seed=7).images
    return Columns(first=clean, second=clean + 0.3 * noise)


def pairs() -> contrastive.Contrastive:
    return contrastive.Contrastive({"first": ["first"], "second": ["second"]})


@pytest.mark.parametrize("number", [32, 33, 47])
def test_a_coupling_loss_is_taken_over_whole_batches_whatever_is_left_over(number):
    trainer = Trainer(mlp(), pairs(), noisy(50), config(), held_out=noisy(number))
    source, total = noisy(number), 0.0
    for start in (0, 16):
        a, b = (F.normalize(trainer.model(column[start:start + 16]), dim=-1) for column in (source.first, source.second))
        logits = a @ b.T / 0.07
        total -= 0.5 * (logits.log_softmax(0).diag() + logits.log_softmax(1).diag()).sum().item()
    assert trainer.evaluate(source)["loss"] == pytest.approx(total / 32, rel=1e-5)


def test_less_than_a_batch_of_a_coupling_loss_is_refused_before_training():
    with pytest.raises(ValueError, match="^Contrastive couples.*15 samples are less than one of batch_size=16"):
        Trainer(mlp(), pairs(), noisy(50), config(), held_out=noisy(15))
    with pytest.raises(ValueError, match="less than one of batch_size=16"):
        Trainer(mlp(), pairs(), noisy(50), config()).evaluate(noisy(15))


def test_batch_normalisation_couples_nothing_in_an_evaluation():
    """Its running averages are what is gone by: all samples are scored, in batches of any size."""
    model = with_layer(BatchNorm(SIZE))
    losses = [Trainer(copy.deepcopy(model), Denoising(), vectors(), config(batch_size=size)).evaluate(vectors(7))["loss"] for size in (2, 7, 64)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


# ------------------------------------------------------------------- activations computed twice


class Blocks(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.layers = nn.ModuleList(with_layer(norm(SIZE)) for _ in range(2))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, BatchNorm])
def test_activations_computed_twice_are_averaged_once(norm):
    plain, twice = seeded(lambda: Blocks(norm)), seeded(lambda: Blocks(norm))
    trained(Denoising(), config(), plain)
    trained(Denoising(), config(activation_checkpointing=True), twice)
    assert plain.layers[0][1].num_batches_tracked == 12
    assert same_bits(weights(plain), weights(twice))
