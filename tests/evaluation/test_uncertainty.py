"""Leads with both uncertainties: beside scipy's t-test, and where one of them is all there is."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from pretrain_lib.evaluation.classification import paired_bootstrap
from pretrain_lib.evaluation.uncertainty import lead, over_seeds


def answers(seed, samples=300, runs=4, better=0.1):
    generator = np.random.default_rng(seed)
    a = generator.random((samples, runs)) < 0.6 + better
    b = generator.random((samples, runs)) < 0.6
    return a.astype(float), b.astype(float)


@pytest.mark.parametrize("seed", range(5))
def test_over_seeds_is_scipys_paired_t_test(seed):
    a, b = (scores.mean(0) for scores in answers(seed))
    found, expected = over_seeds(a, b, 0.9), ttest_rel(a, b)
    interval = expected.confidence_interval(0.9)
    assert found == pytest.approx((np.mean(a - b), interval.low, interval.high, expected.pvalue))


def test_a_lead_has_the_bootstrap_over_samples_and_the_t_test_over_seeds():
    a, b = answers(7)
    groups = np.arange(len(a)) // 3
    found = lead(a, b, groups, resamples=500)
    assert found.over_samples == paired_bootstrap(a, b, groups, resamples=500)
    assert found.over_seeds == over_seeds(a.mean(0), b.mean(0))
    assert found.difference == pytest.approx((a - b).mean())


def test_seeds_that_agree_say_nothing_about_samples_and_samples_nothing_about_seeds():
    few = np.tile([[1.0], [0.0], [1.0], [0.0], [1.0]], (1, 5)), np.tile([[0.0], [0.0], [1.0], [1.0], [1.0]], (1, 5))
    agreed = lead(few[0] + np.linspace(0, 0.01, 5), few[1] - 0.1, resamples=500)
    assert agreed.over_seeds.low > 0 > agreed.over_samples.low and not agreed.is_clear
    many = np.tile([0.9, 0.2, 0.6], (2000, 1)), np.tile([0.5, 0.5, 0.5], (2000, 1))
    scattered = lead(*many, resamples=500)
    assert scattered.over_samples.low > 0 > scattered.over_seeds.low and not scattered.is_clear


def test_a_lead_that_holds_both_ways_is_clear_in_either_direction():
    a, b = answers(1, samples=4000, better=0.2)
    assert lead(a, b, resamples=500).is_clear and lead(b, a, resamples=500).is_clear
    assert not lead(a, a, resamples=500).is_clear
    assert over_seeds([0.3, 0.3], [0.3, 0.3]).p == 1.0 and over_seeds([0.4, 0.4], [0.3, 0.3]).p == 0.0


@pytest.mark.parametrize("a, b, message", [
    (np.zeros((5, 2)), np.zeros((5, 3)), "one shape"), (np.zeros(5), np.zeros(5), r"\(N, runs\)"),
    (np.zeros((5, 1)), np.zeros((5, 1)), "at least 2 runs")])
def test_what_does_not_fit_is_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        lead(a, b)
    with pytest.raises(ValueError, match="between 0 and 1"):
        over_seeds([0.1, 0.2], [0.1, 0.3], confidence=95)
