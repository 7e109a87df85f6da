"""One toy objective of every kind that comes to this loop later."""

import math

import pytest
import torch
from torch.nn import functional as F
from toys import (
    SIZE,
    Contrastive,
    Distillation,
    HalfLabelled,
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

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.objectives.reconstruction import Reconstruction
from pretrain_lib.training.checkpoint import load_checkpoint
from pretrain_lib.training.trainer import Trainer

# ------------------------------------------------------------------- several terms


def pair_trainer(**settings) -> Trainer:
    return trained(SentencePairs(), config(**settings), seeded(TinyReader), sentence_pairs())


def test_sentence_pairs_give_two_terms_weighted_by_the_objective():
    for record in pair_trainer().history.records:
        assert record["loss"] == pytest.approx(record["words"] + 0.5 * record["order"], rel=1e-12)


def test_each_term_is_the_mean_over_what_it_counts():
    trainer = Trainer(seeded(TinyReader), SentencePairs(), sentence_pairs(), config(batch_size=7))
    source = sentence_pairs(25, seed=3)
    means = trainer.evaluate(source)
    words, pair = trainer.model(*batch_of(source, trainer).inputs.values())
    targets = batch_of(source, trainer).targets
    word_losses, pair_losses = [], []
    for i in range(25):
        for t in range(8):
            label = targets["words"][i, t].item()
            if label >= 0:
                word_losses.append(-words[i, t].log_softmax(0)[label].item())
        pair_losses.append(-pair[i].log_softmax(0)[targets["order"][i]].item())
    assert means["words"] == pytest.approx(sum(word_losses) / len(word_losses), rel=1e-5)
    assert means["order"] == pytest.approx(sum(pair_losses) / 25, rel=1e-5)
    assert means["loss"] == pytest.approx(means["words"] + 0.5 * means["order"], rel=1e-12)


def batch_of(source, trainer):
    keys = Keys.of(trainer.config.seed, len(source))
    return trainer.objective.batch(source.take(keys), keys)


def test_a_weight_of_0_switches_a_term_off_but_still_shows_it():
    objective = SentencePairs()
    objective.weights = {"order": 0.0}
    trainer = Trainer(seeded(TinyReader), objective, sentence_pairs(), config())
    before = trainer.model.pair.weight.detach().clone()
    first = trainer.fit().records[0]
    assert torch.equal(before, trainer.model.pair.weight)
    assert first["order"] > 0 and first["loss"] == first["words"]


def test_an_objective_may_own_a_head_which_is_trained_with_the_model():
    images = vectors(64).images
    source = Columns(images=images, labels=(images[:, 0] > 0).long())
    objective = seeded(HalfLabelled)
    before = weights(objective)
    trainer = Trainer(mlp(), objective, source, config(steps=100))
    first = trainer.evaluate(source)["labels"]
    trainer.fit()
    assert not same_bits(before, weights(objective))
    assert trainer.evaluate(source)["labels"] < 0.5 * first


# ------------------------------------------------------------------- contrastive


def test_accumulation_is_refused_where_the_loss_couples_samples():
    with pytest.raises(ValueError, match="Contrastive.*4.*accumulation=1"):
        Trainer(mlp(), Contrastive(), vectors(), config(accumulation=4))


def test_a_contrastive_loss_is_taken_over_the_whole_batch():
    model = mlp()
    trainer = Trainer(model, Contrastive(), vectors(16), config(batch_size=16))
    source = vectors(16)
    keys = Keys.of(0, 16)
    views = [F.normalize(model(source.images + 0.3 * keys.normal(v, (SIZE,))), dim=1) for v in "ab"]
    similarity = 5.0 * views[0] @ views[1].T
    brute = 0.0
    for i in range(16):
        row = similarity[i].tolist()
        brute -= row[i] - math.log(sum(math.exp(v) for v in row))
    assert trainer.evaluate(source)["contrastive"] == pytest.approx(brute / 16, rel=1e-5)


def test_a_temperature_trains_is_saved_and_comes_back(tmp_path):
    objective = Contrastive()
    start = objective.log_scale.item()
    settings = config(steps=30, checkpoint_every=10, weight_decay=0.1)
    trainer = trained(objective, settings, folder=tmp_path)
    learned = objective.log_scale.item()
    assert learned != start
    assert trainer.history.losses[-1] < trainer.history.losses[0]
    tensors, _ = load_checkpoint(tmp_path / "checkpoints" / "step-00000030")
    assert tensors["objective"]["log_scale"].item() == learned
    assert any("log_scale" in name for name in tensors["optimizer"])
    again = Contrastive()
    trained(again, settings, folder=tmp_path)
    assert again.log_scale.item() == learned


# ------------------------------------------------------------------- teacher


def test_a_frozen_teacher_is_left_alone_and_heard_without_dropout():
    teacher = mlp(seed=5, dropout=0.5)
    before = weights(teacher)
    student = mlp()
    objective = Distillation(teacher)
    trainer = trained(objective, config(steps=100, weight_decay=0.1), student)
    assert same_bits(before, weights(teacher))
    assert all(p.grad is None for p in teacher.parameters())
    held = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert not held & {id(p) for p in teacher.parameters()}
    assert trainer.history.losses[-1] < 0.2 * trainer.history.losses[0]
    calm = mlp(seed=5)
    quiet = mlp()
    trained(Distillation(calm), config(steps=100, weight_decay=0.1), quiet)
    assert same_bits(weights(student), weights(quiet))


def test_a_teacher_comes_back_with_the_checkpoint(tmp_path):
    trained(Distillation(mlp(seed=5)), config(steps=4), folder=tmp_path)
    other = Distillation(mlp(seed=6))
    trained(other, config(steps=4), folder=tmp_path)
    assert same_bits(weights(other.teacher), weights(mlp(seed=5)))


# ------------------------------------------------------------------- curricula


def test_progress_rises_from_0_and_is_the_same_for_all_micro_batches_of_an_update():
    seen = []

    class Watching(Reconstruction):
        def batch(self, samples, keys):
            if len(keys) == 8:  # the first few samples are tried beforehand
                seen.append(keys.progress)
            return super().batch(samples, keys)

    trained(Watching(), config(steps=4, accumulation=2))
    assert seen == [0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75]
