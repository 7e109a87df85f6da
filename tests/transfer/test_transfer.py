"""Probes, fine-tuning and few-label curves, against scikit-learn and by construction."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits
from torch import nn

from pretrain_lib.data.source import Columns
from pretrain_lib.data.tasks.encoded import EncodedText
from pretrain_lib.models.base import Classifier, ModelBase
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.transfer.features import features
from pretrain_lib.transfer.few_labels import few_label_curve
from pretrain_lib.transfer.fine_tune import FineTuning, fine_tune
from pretrain_lib.transfer.probe import LinearProbe
from pretrain_lib.data.splits import stratified_folds
from pretrain_lib.transfer.tfidf import TfidfClassifier
from pretrain_lib.transfer.tuning import choose_setting

CLASSES = 3


class Encoder(ModelBase):
    def __init__(self, size=6, width=4):
        super().__init__()
        self.feature_size = width
        self.layer = nn.Linear(size, width)
        self.dropout = nn.Dropout(0.5)

    def encode(self, x):
        return self.dropout(torch.tanh(self.layer(x.flatten(1))))


def blobs(n=90, seed=0, spread=0.3):
    """n points around CLASSES centres in 6 dimensions, as images of 1 × 2 × 3."""
    generator = torch.Generator().manual_seed(seed)
    centres = 2 * torch.eye(CLASSES, 6)
    labels = torch.arange(n) % CLASSES
    points = centres[labels] + spread * torch.randn(n, 6, generator=generator)
    return Columns(images=points.reshape(n, 1, 2, 3), labels=labels)


def test_features_are_the_codes_without_dropout_and_leave_the_mode_alone():
    torch.manual_seed(0)
    model, data = Encoder().train(), blobs(11)
    frozen = next(model.children()).eval()
    codes = features(model, data, batch_size=4)
    assert model.training and not frozen.training
    with pytest.raises(ValueError, match="no column 'sounds'; its columns are images, labels"):
        features(model, data, "sounds")
    assert model.training
    model.eval()
    torch.testing.assert_close(codes, model.encode(data.images).detach())


@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_probe_on_raw_pixels_is_logistic_regression(strength):
    train, test = blobs(60, spread=1.5), blobs(300, seed=1, spread=1.5)
    x = train.images.flatten(1)
    centre = x.mean(0)
    scale = (x - centre).square().mean().sqrt()
    reference = LogisticRegression(C=strength, max_iter=1000)
    reference.fit(((x - centre) / scale).numpy(), train.labels.numpy())
    expected = reference.predict(((test.images.flatten(1) - centre) / scale).numpy())
    predicted = LinearProbe().fit(train, strength)(test)
    assert (predicted.numpy() == expected).all()


def test_probe_is_invariant_to_the_scale_of_the_features():
    train, test = blobs(60, spread=1.5), blobs(300, seed=1, spread=1.5)
    larger = [Columns(images=1000 * d.images, labels=d.labels) for d in (train, test)]
    same = LinearProbe().fit(train, 1.0)(test) == LinearProbe().fit(larger[0], 1.0)(larger[1])
    assert same.float().mean() > 0.99


@pytest.mark.parametrize("learner", [LinearProbe(), TfidfClassifier()], ids=lambda learner: type(learner).__name__)
def test_scikit_learn_fits_with_one_thread_and_the_others_come_back(learner, monkeypatch):
    """Threads of small products wait for each other where cores are busy."""
    def threads():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    during, fit = [], LogisticRegression.fit
    monkeypatch.setattr(LogisticRegression, "fit", lambda *arguments: during.append(threads()) or fit(*arguments))
    train = blobs(20)
    words = EncodedText([f"word{label}" for label in train.labels.tolist()], labels=train.labels)
    with threadpool_limits(2, "blas"):
        before = threads()
        learner.fit(train if isinstance(learner, LinearProbe) else words, learner.grid[0])
        assert threads() == before
    assert during == [[1] * len(before)] and before


def test_folds_are_disjoint_complete_and_stratified():
    labels = blobs(31).labels
    folds = stratified_folds(labels, 3, np.arange(31))
    assert sorted(np.concatenate(folds)) == list(range(31))
    for fold in folds:
        counts = torch.bincount(labels[fold], minlength=CLASSES)
        assert counts.max() - counts.min() <= 1


def test_what_belongs_together_stays_in_one_fold_and_classes_are_spread():
    groups = np.random.default_rng(0).integers(0, 20, 200)
    labels = torch.from_numpy(groups % 4)
    folds = stratified_folds(labels, 3, groups)
    assert sorted(np.concatenate(folds)) == list(range(200))
    homes = [set(groups[fold]) for fold in folds]
    assert sum(map(len, homes)) == 20
    for home in homes:
        counts = np.bincount([group % 4 for group in home], minlength=4)
        assert counts.min() >= 1 and counts.max() - counts.min() <= 1


def test_a_setting_that_only_knows_a_source_by_heart_is_not_chosen():
    """The neighbour by the first number is of the same source, or of the other class; by the second, mostly of the same."""
    sources = np.repeat(np.arange(24), 5)
    labels = torch.from_numpy(sources % 2)
    unsure = labels + torch.from_numpy(np.random.default_rng(0).normal(0, 0.7, 120))
    data = Columns(images=torch.stack([torch.from_numpy(sources), unsure], 1), labels=labels)

    class Nearest:
        grid = (0.0, 1.0)  # which of the two numbers decides

        def fit(self, labelled, setting, seed):
            number = lambda samples: samples.images.flatten(1)[:, int(setting)]
            return lambda samples: labelled.labels[(number(samples)[:, None] - number(labelled)).abs().argmin(1)]

    assert choose_setting(Nearest(), data, seed=0) == 0.0
    assert choose_setting(Nearest(), data, seed=0, groups=sources) == 1.0


class Threshold:
    """Learns nothing; predicts label 1 above its setting. Records what it was shown."""

    def __init__(self, grid):
        self.grid = grid
        self.shown = []

    def fit(self, labelled, setting, seed):
        self.shown.append(labelled)
        return lambda samples: (samples.images.flatten(1)[:, 0] > setting).long()


def line(values):
    return Columns(images=torch.tensor(values)[:, None], labels=(torch.tensor(values) > 0.5).long())


def test_the_setting_that_validates_best_is_chosen_from_the_labels_alone():
    learner = Threshold((0.9, 0.5, 0.1))
    assert choose_setting(learner, line([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), seed=0) == 0.5
    assert all(len(shown) == 4 for shown in learner.shown)


def test_one_label_a_class_takes_the_default_and_so_does_a_tie():
    learner = Threshold((0.9, 0.5))
    assert choose_setting(learner, line([0.0, 1.0]), seed=0) == 0.9
    assert not learner.shown
    assert choose_setting(Threshold((0.45, 0.55)), line([0.0, 0.2, 0.8, 1.0]), seed=0) == 0.45


def test_fine_tuning_learns_and_leaves_the_given_model_alone():
    torch.manual_seed(0)
    model, train = Encoder(), blobs()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config = TrainConfig(steps=60, batch_size=30, learning_rate=0.03)
    classifier = fine_tune(model, train, CLASSES, config)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not torch.equal(classifier.encoder.layer.weight, model.layer.weight)
    test = blobs(90, seed=1)
    assert (features(classifier, test).argmax(1) == test.labels).float().mean() > 0.95


def test_a_new_head_predicts_every_class_alike():
    logits = Classifier(Encoder(), CLASSES)(blobs(5).images)
    assert torch.equal(logits, torch.zeros(5, CLASSES))


def test_scratch_starts_anew_with_every_seed():
    made = []

    def new(seed):
        made.append(seed)
        torch.manual_seed(seed)
        return Encoder()

    learner = FineTuning(new, CLASSES, TrainConfig(steps=2, batch_size=4), grid=(1e-3,))
    for seed in (3, 4):
        learner.fit(blobs(9), 1e-3, seed)
    assert made == [3, 4]


def test_few_label_curve_gives_every_learner_the_same_labels():
    first, second = Threshold((0.5,)), Threshold((0.4,))
    train, test = blobs(60), blobs(30, seed=1)
    curves = few_label_curve({"a": first, "b": second}, train, test, per_class=(1, 4), seeds=range(3))
    assert curves["a"].shape == (2, 3)
    for one, other in zip(first.shown, second.shown, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.bincount(one.labels).unique().numel() == 1
    expected = (first.fit(test, 0.5, 0)(test) == test.labels).float().mean().item()
    assert torch.allclose(curves["a"], torch.tensor(expected))


def test_few_label_curve_of_a_probe_rises_to_near_perfect_on_separable_data():
    curve = few_label_curve({"raw": LinearProbe()}, blobs(), blobs(90, seed=1), (1, 20), range(3))["raw"]
    assert curve[1].min() > 0.99
    assert curve[1].mean() >= curve[0].mean()
