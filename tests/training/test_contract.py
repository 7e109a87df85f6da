"""A source or an objective that breaks its contract is told so before the first update."""

import random

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import TensorDataset
from toys import (
    SIZE,
    Contrastive,
    HalfLabelled,
    Recording,
    SentencePairs,
    TinyReader,
    config,
    mlp,
    same_bits,
    seeded,
    sentence_pairs,
    trained,
    vectors,
    weights,
)

from pretrain_lib.data.mixture import Mixture
from pretrain_lib.data.source import Columns
from pretrain_lib.objectives.base import Batch, Objective
from pretrain_lib.objectives.multitask import MultiTask
from pretrain_lib.objectives.reconstruction import Denoising, Reconstruction
from pretrain_lib.training import trainer as trainer_module
from pretrain_lib.training.trainer import Trainer


class Own(Objective):
    """Reconstruction as somebody writes it for the first time."""

    def batch(self, samples, keys):
        return Batch({"x": samples["images"]}, {}, {"loss": len(keys)})

    def forward(self, model, batch):
        return {"loss": self.error(model(batch.inputs["x"]) - batch.inputs["x"])}

    def error(self, difference):
        return difference.square().sum()


class Mean(Own):
    def error(self, difference):
        return difference.square().sum(1).mean()


class Divided(Own):
    def forward(self, model, batch):
        return {"loss": super().forward(model, batch)["loss"] / batch.counts["loss"]}


class MeanInMode(Own):
    def forward(self, model, batch):
        return {"loss": F.mse_loss(model(batch.inputs["x"]), batch.inputs["x"])}


class Unreduced(Own):
    def error(self, difference):
        return difference.square().sum(1)


class Number(Own):
    def error(self, difference):
        return 3.0


class Bare(Own):
    def forward(self, model, batch):
        return super().forward(model, batch)["loss"]


class Uncounted(Own):
    def batch(self, samples, keys):
        return Batch({"x": samples["images"]}, {}, {})


class Noisy(Own):
    def batch(self, samples, keys):
        images = samples["images"]
        return Batch({"x": images + torch.rand(images.shape)}, {}, {"loss": len(keys)})


class Tossed(Own):
    def batch(self, samples, keys):
        return Batch({"x": samples["images"]}, {"y": torch.rand(len(keys))}, {"loss": len(keys)})


class Guessed(Own):
    seen = iter(range(1, 99))

    def batch(self, samples, keys):
        return Batch({"x": samples["images"]}, {}, {"loss": next(self.seen)})


class NoBatch(Own):
    def batch(self, samples, keys):
        return samples


class Listed(Own):
    def batch(self, samples, keys):
        return Batch({"x": samples["images"], "y": [1, 2]}, {}, {"loss": len(keys)})


@pytest.mark.parametrize("objective, message", [
    (Mean(), "Mean.forward must return sums, and 'loss' is a mean"),
    (Divided(), "Divided.forward must return sums, and 'loss' is a mean"),
    (MeanInMode(), "MeanInMode.forward must return sums, and 'loss' is a mean"),
    (Unreduced(), r"Unreduced.forward must return one number a term.*'loss' has the shape \(5,\)"),
    (Number(), "Number.forward must return one number a term.*as a tensor.*the type float"),
    (Bare(), "Bare.forward must return a dictionary of terms.*got a Tensor"),
    (Uncounted(), r"Uncounted.forward returned the terms \['loss'\], but its batches count \[\]"),
    (Noisy(), "Noisy.batch must give the same for the same keys, and 'x' is another one.*from keys"),
    (Tossed(), "Tossed.batch must give the same for the same keys, and 'y' is another one"),
    (Guessed(), "Guessed.batch must count the same for the same keys, and counts {'loss': .*}, then {'loss': .*}"),
    (NoBatch(), "NoBatch.batch must return a Batch, got a dict"),
    (Listed(), "inputs and targets of Listed.batch must be tensors, and 'y' is a list"),
])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_an_objective_is_told_in_one_line_what_it_breaks(objective, message, dropout):
    model = mlp(dropout=dropout)
    before = weights(model)
    with pytest.raises(ValueError, match=message) as error:
        trained(objective, config(), model)
    assert "\n" not in str(error.value)
    assert same_bits(before, weights(model))


class Own3(Columns):
    def take(self, keys):
        return {name: column[:3] for name, column in super().take(keys).items()}


class OwnList(Columns):
    def take(self, keys):
        return {name: column.tolist() for name, column in super().take(keys).items()}


class OwnTensor(Columns):
    def take(self, keys):
        return super().take(keys)["images"]


class OwnNoise(Columns):
    def take(self, keys):
        return {name: torch.rand(column.shape) for name, column in super().take(keys).items()}


@pytest.mark.parametrize("kind, message", [
    (Own3, r"Own3.take must return one row for each of 5 keys, and 'images' has the shape \(3, 12\)"),
    (OwnList, "OwnList.take must return tensors, and 'images' is a list"),
    (OwnTensor, "OwnTensor.take must return a dictionary of columns.*got a Tensor"),
    (OwnNoise, "OwnNoise.take must give the same for the same keys, and 'images' is another one"),
])
def test_a_source_is_told_in_one_line_what_it_breaks(kind, message):
    with pytest.raises(ValueError, match=message) as error:
        trained(Reconstruction(), config(), source=kind(images=vectors().images))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("thing", [TensorDataset(torch.rand(20, SIZE)), torch.rand(20, SIZE), np.zeros((20, SIZE)),
                                   [torch.rand(SIZE)], {"images": torch.rand(20, SIZE)}])
def test_what_is_no_source_is_named_and_columns_are_proposed(thing):
    message = rf"a source of samples has a length and take\(keys\), got a {type(thing).__name__}: .*Columns\(name=tensor\)"
    for source, held_out in ((thing, None), (vectors(), thing)):
        with pytest.raises(ValueError, match=message):
            Trainer(mlp(), Reconstruction(), source, config(), held_out)
    with pytest.raises(ValueError, match=message):
        Trainer(mlp(), Reconstruction(), vectors(), config()).evaluate(thing)


class MeanOverPixels(Own):
    """A mean within each sample and a sum over samples: a loss like any other."""

    def error(self, difference):
        return difference.square().mean(1).sum()


class Penalised(Own):
    """A term of the weights, which counts as one thing."""

    def batch(self, samples, keys):
        return Batch({"x": samples["images"]}, {}, {"loss": len(keys), "size": 1})

    def forward(self, model, batch):
        return super().forward(model, batch) | {"size": model[0].weight.square().sum()}


class Sampling(Own):
    """Draws from torch's random state in its forward pass, as a variational autoencoder does."""

    def forward(self, model, batch):
        x = batch.inputs["x"]
        return {"loss": self.error(model(x + torch.randn_like(x)) - x)}


@pytest.mark.parametrize("objective, build, source", [
    (MeanOverPixels(), mlp, vectors()), (Penalised(), mlp, vectors()), (Sampling(), mlp, vectors()),
    (Contrastive(), mlp, vectors()), (SentencePairs(), lambda: seeded(TinyReader), sentence_pairs()),
    (seeded(HalfLabelled), mlp, Columns(images=vectors(20).images, labels=torch.full((20,), -1))),
    (Own(), mlp, vectors(1)), (Own(), mlp, vectors(3)),
    (MultiTask({"a": Reconstruction(), "b": Denoising()}), mlp,
     Mixture({"a": vectors(), "b": vectors(30)}, {"b": 3})),
])
def test_what_keeps_the_contract_trains(objective, build, source):
    trained(objective, config(steps=2), build(), source)


def test_samples_that_are_not_finite_are_left_to_the_loss():
    with pytest.raises(Exception, match="the data are not finite in samples"):
        trained(Reconstruction(), config(), source=Columns(images=torch.full((20, SIZE), torch.nan)))


def test_the_check_changes_no_bit_of_the_run(monkeypatch):
    class Counting(torch.nn.Module):
        """A model with a buffer that every forward pass changes."""

        def __init__(self):
            super().__init__()
            self.inner = mlp(dropout=0.3)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return self.inner(x)

    def run():
        model, objective = Counting(), Recording(noise="gaussian", level=0.2)
        torch.manual_seed(3), np.random.seed(3), random.seed(3)
        losses = trained(objective, config(), model).history.losses
        return losses, weights(model), objective.seen, torch.get_rng_state()

    checked = run()
    monkeypatch.setattr(trainer_module, "check_first_batch", lambda *arguments: None)
    unchecked = run()
    assert checked[0] == unchecked[0] and checked[2] == unchecked[2]
    assert same_bits(checked[1], unchecked[1]) and checked[1]["calls"] == 12
    assert torch.equal(checked[3], unchecked[3])
