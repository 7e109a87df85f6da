"""Scores of classifiers against scikit-learn, the bootstrap against what is known of means."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.dummy import DummyClassifier

from pretrain_lib.evaluation.classification import (
    accuracy,
    confusion_matrix,
    macro_f1,
    majority_class,
    paired_bootstrap,
)

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60)


@given(PAIRS)
@settings(max_examples=80, deadline=None)
def test_scores_are_scikit_learns(pairs):
    predicted, labels = torch.tensor(pairs).T
    assert accuracy(predicted, labels) == pytest.approx(metrics.accuracy_score(labels, predicted), abs=1e-7)
    expected = metrics.f1_score(labels, predicted, average="macro", zero_division=0)
    assert macro_f1(predicted, labels) == pytest.approx(expected, abs=1e-12)
    matrix = metrics.confusion_matrix(labels, predicted, labels=range(6))
    assert confusion_matrix(predicted, labels, 6).tolist() == matrix.tolist()
    dummy = DummyClassifier(strategy="most_frequent").fit(np.zeros((len(labels), 1)), labels.numpy())
    assert majority_class(labels) == dummy.predict([[0]])[0]


def test_the_largest_score_is_the_predicted_class():
    scores, labels = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.4]]), torch.tensor([1, 0, 0])
    assert accuracy(scores, labels) == pytest.approx(2 / 3)
    assert macro_f1(scores, labels) == macro_f1(scores.argmax(1), labels)


@pytest.mark.parametrize("score", [accuracy, macro_f1])
def test_what_does_not_fit_is_refused(score):
    for predicted, labels in ((torch.zeros(3), torch.zeros(2)), (torch.zeros(0), torch.zeros(0))):
        with pytest.raises(ValueError, match="must be of one length above 0"):
            score(predicted, labels)


def answers(a_only, b_only, both):
    """Right answers of A and B: so many that A alone has right, B alone, both."""
    a = torch.tensor([1] * a_only + [0] * b_only + [1] * both)
    b = torch.tensor([0] * a_only + [1] * b_only + [1] * both)
    return a, b


def test_interval_and_p_are_those_of_a_mean_of_many():
    a, b = answers(130, 90, 780)
    found = paired_bootstrap(a, b, resamples=20_000)
    gain = (a - b).double()
    error = gain.std(correction=0).item() / math.sqrt(len(gain))
    assert found.difference == pytest.approx(0.04)
    assert found.low == pytest.approx(0.04 - 1.96 * error, abs=0.06 * error)
    assert found.high == pytest.approx(0.04 + 1.96 * error, abs=0.06 * error)
    assert found.p == pytest.approx(math.erfc(0.04 / error / math.sqrt(2)), abs=0.003)


def test_it_is_the_pairs_that_count_not_the_two_accuracies():
    close = paired_bootstrap(*answers(20, 0, 500), resamples=2000)
    far = paired_bootstrap(*answers(120, 100, 300), resamples=2000)
    assert close.difference == far.difference
    assert close.p < 0.01 < 0.1 < far.p


def test_two_alike_do_not_differ_and_the_order_gives_the_sign():
    a, b = answers(30, 10, 60)
    assert paired_bootstrap(a, a, resamples=100) == (0.0, 0.0, 0.0, 1.0)
    one, other = paired_bootstrap(a, b, resamples=500), paired_bootstrap(b, a, resamples=500)
    assert (one.difference, one.low, one.p) == pytest.approx((-other.difference, -other.high, other.p))
    assert paired_bootstrap(a, b, resamples=500) == one
    narrow = paired_bootstrap(a, b, resamples=500, confidence=0.5)
    assert one.low < narrow.low < narrow.high < one.high


def test_copies_within_a_group_are_no_new_samples_and_neither_are_runs():
    a, b = answers(13, 9, 78)
    single = paired_bootstrap(a, b, resamples=8000)
    groups = np.repeat([f"speech {i}" for i in range(100)], 9)
    copied = paired_bootstrap(a.repeat_interleave(9), b.repeat_interleave(9), groups, resamples=8000)
    runs = paired_bootstrap(a[:, None].expand(100, 5), b[:, None].expand(100, 5), resamples=8000)
    ungrouped = paired_bootstrap(a.repeat_interleave(9), b.repeat_interleave(9), resamples=2000)
    for other in (copied, runs):
        assert other == pytest.approx(single, abs=0.02)
    assert ungrouped.high - ungrouped.low < 0.5 * (single.high - single.low)


def test_false_rejections_are_as_rare_as_they_should_be():
    generator = torch.Generator().manual_seed(0)
    p = [paired_bootstrap(*(torch.rand(2, 80, generator=generator) < 0.7), resamples=300).p
         for _ in range(200)]  # fmt: skip
    assert 0.01 <= np.mean(np.array(p) < 0.05) <= 0.1


def test_what_cannot_be_compared_is_named():
    a, b = answers(2, 1, 3)
    with pytest.raises(ValueError, match=r"correct_a \(6,\) and correct_b \(5,\)"):
        paired_bootstrap(a, b[:5])
    with pytest.raises(ValueError, match="5 groups do not fit 6 samples"):
        paired_bootstrap(a, b, ["x"] * 5)
    with pytest.raises(ValueError, match="at least 2 samples or groups, got 1"):
        paired_bootstrap(a, b, ["x"] * 6)
    with pytest.raises(ValueError, match="confidence must be between 0 and 1, got 95"):
        paired_bootstrap(a, b, confidence=95)
