"""Several objectives at once: each is what it is alone."""

import pytest
import torch
from torch import nn

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.mixture import Mixture
from pretrain_lib.data.source import Columns
from pretrain_lib.data.text.tokenizer import SpecialIds
from pretrain_lib.models.bert import BertConfig, BertForMaskedLM, BertForSequenceClassification
from pretrain_lib.objectives.base import Objective
from pretrain_lib.objectives.classification import Classification
from pretrain_lib.objectives.masked_lm import MaskedLM
from pretrain_lib.objectives.multitask import MultiTask
from pretrain_lib.objectives.reconstruction import Denoising, Reconstruction
from pretrain_lib.training.checkpoint import CheckpointError
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.loader import micro_batches
from pretrain_lib.training.run_folder import description_of
from pretrain_lib.training.trainer import Trainer

SPECIAL, V, T = SpecialIds(0, 1, 2, 3, 4), 40, 16
CONFIG = BertConfig(V, 16, 1, 2, 24, 0.0, 0.0, T)


def texts(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    start = torch.randint(5, 15, (n, 1), generator=generator)
    step = torch.randint(1, 3, (n, 1), generator=generator)
    ids = (start + step * torch.arange(T)).clamp(max=V - 1)
    ids[:, 0], ids[:, -1] = SPECIAL.cls, SPECIAL.sep
    return Columns(input_ids=ids, labels=step[:, 0] - 1)


def two_heads(seed=0):
    """One encoder, two heads."""
    heads = nn.ModuleDict({"words": BertForMaskedLM(CONFIG, seed),
                           "step": BertForSequenceClassification(CONFIG, 2, seed)})
    heads["step"].encoder = heads["words"].encoder
    return heads


def both(**settings):
    objectives = {"words": MaskedLM(SPECIAL, V), "step": Classification("input_ids")}
    return MultiTask(objectives, **settings)


def images(n=12):
    return Columns(images=torch.rand(n, 6, generator=torch.Generator().manual_seed(0)).double())


class TestASharedBatch:
    def test_every_objective_corrupts_it_as_it_would_alone(self):
        parts = {"clean": Reconstruction(), "noisy": Denoising(level=0.5)}
        keys, source = Keys.of(0, 12), images()
        whole = MultiTask(parts).batch(source.take(keys), keys)
        model = nn.Linear(6, 6).double()
        terms = MultiTask(parts)(model, whole)
        for task, objective in parts.items():
            alone = objective.batch(source.take(keys), keys)
            assert torch.equal(whole.inputs[f"{task}/images"], alone.inputs["images"])
            assert whole.counts[f"{task}/reconstruction"] == 12
            assert torch.equal(terms[f"{task}/reconstruction"],
                               objective(model, alone)["reconstruction"])
        assert not torch.equal(whole.inputs["clean/images"], whole.inputs["noisy/images"])
        assert terms.keys() == whole.counts.keys()

    def test_the_batch_is_an_ordinary_one(self):
        keys = Keys.of(0, 4)
        batch = both().batch(texts(4).take(keys), keys)
        doubled = batch.map(lambda tensor: tensor + 1)
        assert torch.equal(doubled.targets["step/labels"], batch.targets["step/labels"] + 1)
        assert batch.to("cpu").inputs.keys() == {"words/input_ids", "words/positions",
                                                 "step/input_ids"}

    def test_the_total_is_the_weighted_sum_of_the_means(self):
        trainer = Trainer(two_heads(), both(weights={"step/cross_entropy": 0.25}), texts(32),
                          TrainConfig(steps=2, batch_size=8, device="cpu", log_every=1))
        for record in trainer.fit().records:
            assert record["loss"] == pytest.approx(
                record["words/masked_lm"] + 0.25 * record["step/cross_entropy"])

    def test_weights_that_an_objective_gives_itself_stay(self):
        inner = Classification("input_ids")
        inner.weights = {"cross_entropy": 3.0}
        task = MultiTask({"a": inner, "b": MaskedLM(SPECIAL, V)}, {"b/masked_lm": 2.0})
        assert task.weights == {"a/cross_entropy": 3.0, "b/masked_lm": 2.0}
        assert MultiTask({"a": inner}, {"a/cross_entropy": 0.0}).weights == {"a/cross_entropy": 0.0}

    def test_a_weight_of_no_term_is_an_error(self):
        config = TrainConfig(steps=1, batch_size=8, device="cpu")
        trainer = Trainer(two_heads(), both(weights={"step": 0.25}), texts(32), config)
        with pytest.raises(ValueError, match="step.*terms of MultiTask are"):
            trainer.fit()

    def test_two_heads_on_one_encoder_are_trained(self, tmp_path):
        model = two_heads()
        config = TrainConfig(steps=20, batch_size=32, learning_rate=1e-2, device="cpu", log_every=1,
                             checkpoint_every=10)
        history = Trainer(model, both(), texts(64), config, folder=tmp_path).fit()
        first, last = history.records[0], history.records[-1]
        assert last["words/masked_lm"] < first["words/masked_lm"] - 0.3
        assert last["step/cross_entropy"] < first["step/cross_entropy"]
        again = two_heads(seed=5)  # comes back from the checkpoint, the encoder still shared
        Trainer(again, both(), texts(64), config, folder=tmp_path).fit()
        assert all(torch.equal(one, two) for one, two in
                   zip(model.state_dict().values(), again.state_dict().values(), strict=True))
        assert again["step"].encoder is again["words"].encoder

    def test_tasks_may_be_nested(self):
        inner = MultiTask({"noisy": Denoising(level=0.5)})
        keys, source = Keys.of(0, 12), images()
        task = MultiTask({"a": inner, "b": Reconstruction()})
        batch = task.batch(source.take(keys), keys)
        assert batch.counts.keys() == {"a/noisy/reconstruction", "b/reconstruction"}
        assert task(nn.Linear(6, 6).double(), batch).keys() == batch.counts.keys()


class TestAMixture:
    def mixture(self):
        return Mixture({"words": texts(40), "step": texts(11, seed=1)}, {"words": 3})

    def test_every_objective_gets_its_own_samples_and_keys(self):
        mixture, keys = self.mixture(), Keys.of(0, [3, 9], epoch=1)
        batch = both().batch(mixture.take(keys), keys)
        for task, objective in both().objectives.items():
            own = mixture.keys_of(task, keys)
            alone = objective.batch(mixture.sources[task].take(own), own)
            for name, column in alone.inputs.items():
                assert torch.equal(batch.inputs[f"{task}/{name}"], column)
            for term, count in alone.counts.items():
                assert batch.counts[f"{task}/{term}"] == count
        assert batch.inputs["words/input_ids"].shape == (6, T)
        assert batch.inputs["step/input_ids"].shape == (2, T)

    def test_it_is_trained_on_and_evaluated_with_any_number_of_workers(self):
        config = {"steps": 20, "batch_size": 8, "accumulation": 2, "learning_rate": 1e-2,
                  "device": "cpu", "log_every": 1}
        trainer = Trainer(two_heads(), both(), self.mixture(), TrainConfig(**config),
                          held_out=self.mixture())
        records = [r for r in trainer.fit().records if "words/masked_lm" in r]
        assert records[-1]["words/masked_lm"] < records[0]["words/masked_lm"] - 0.2
        batches = [list(micro_batches(self.mixture(), both(), TrainConfig(**config, workers=w), 18,
                                      False)) for w in (0, 2)]
        assert len(batches[0]) == 4
        for one, two in zip(*batches, strict=True):
            assert one.counts == two.counts
            assert all(torch.equal(one.inputs[name], two.inputs[name]) for name in one.inputs)

    def test_the_means_are_those_of_each_task_alone(self):
        model, mixture = two_heads(), self.mixture()
        config = TrainConfig(steps=1, batch_size=5, device="cpu")
        means = Trainer(model, both(), mixture, config).evaluate(mixture)
        keys = Keys.of(0, len(mixture), progress=1.0)
        for task, objective in both().objectives.items():
            own = mixture.keys_of(task, keys)
            batch = objective.batch(mixture.sources[task].take(own), own)
            for term, total in objective(model.eval()[task], batch).items():
                expected = total.item() / batch.counts[term]
                assert means[f"{task}/{term}"] == pytest.approx(expected, rel=1e-5)


def test_one_task_that_couples_samples_makes_all_do():
    class Coupled(Objective):
        separable = False

    task = MultiTask({"a": Coupled(), "b": Reconstruction()})
    assert both().separable and not task.separable
    assert description_of(both())["separable"] is True  # as the folders of earlier runs have it
    with pytest.raises(ValueError, match="^Coupled couples.*accumulation=1"):
        Trainer(nn.Linear(6, 6), task, images(),
                TrainConfig(steps=1, batch_size=4, accumulation=2, device="cpu"))


def test_a_run_of_other_settings_within_is_another_run(tmp_path):
    def trainer(level):
        return Trainer(nn.Linear(6, 6).double(), MultiTask({"a": Denoising(level=level)}), images(),
                       TrainConfig(steps=1, batch_size=4, device="cpu"), folder=tmp_path)

    trainer(0.5).fit()
    trainer(0.5)
    with pytest.raises(CheckpointError, match="another config"):
        trainer(0.3)


@pytest.mark.parametrize("objectives, message", [
    ({}, "at least one objective"),
    ({"a/b": Reconstruction()}, "without a slash, got 'a/b'"),
])
def test_wrong_names_are_refused(objectives, message):
    with pytest.raises(ValueError, match=message):
        MultiTask(objectives)
