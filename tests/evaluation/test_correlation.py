"""Correlations against scipy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pretrain_lib.evaluation.correlation import pearson, ranks, spearman, spearman_interval


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=30))
def test_correlations_are_scipys_with_ties_too(pairs):
    a, b = np.array(pairs, dtype=float).T
    assert (ranks(a) == stats.rankdata(a)).all()
    if len(set(a)) > 1 and len(set(b)) > 1:
        assert pearson(a, b) == pytest.approx(stats.pearsonr(a, b)[0], abs=1e-12)
        assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b)[0], abs=1e-12)
    else:
        with pytest.raises(ValueError, match="all numbers of a row are equal"):
            spearman(a, b)


def test_what_grows_together_correlates_by_ranks():
    x = np.arange(1.0, 9.0)
    assert spearman(x, np.exp(x)) == pytest.approx(1) and spearman(x, -x) == pytest.approx(-1)
    assert pearson(x, np.exp(x)) < 0.9


@pytest.mark.parametrize("constant", [[0.1] * 3, [1e20 / 3] * 7, [0.0] * 4])
def test_a_constant_row_has_no_correlation_whatever_its_mean_rounds_to(constant):
    varied = list(range(len(constant)))
    for a, b in ((constant, constant), (constant, varied), (varied, constant)):
        for correlation in (pearson, spearman):
            with pytest.raises(ValueError, match="all numbers of a row are equal"):
                correlation(a, b)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("correlation", [pearson, spearman])
def test_what_is_no_number_has_no_rank(correlation, wrong):
    for a, b in (([wrong, wrong, 2, 1], [1, 2, 3, 4]), ([1, 2, 3, 4], [1, 2, wrong, 4])):
        with pytest.raises(ValueError, match=f"all numbers must be finite, got {wrong}"):
            correlation(a, b)


@pytest.mark.parametrize("a, b", [([1.0], [2.0]), ([1.0, 2.0], [1.0, 2.0, 3.0])])
def test_rows_that_do_not_fit_are_refused(a, b):
    with pytest.raises(ValueError, match="two rows of one length"):
        pearson(a, b)


def test_the_interval_is_scipys_bootstrap_by_percentiles():
    a, b = np.random.default_rng(1).normal(size=(2, 40))
    b = np.round(a + b)  # with ties
    theirs = stats.bootstrap((a, b), lambda x, y: stats.spearmanr(x, y)[0], paired=True, vectorized=False, method="percentile",
                             n_resamples=300, batch=1, random_state=np.random.default_rng(0)).confidence_interval
    found = spearman_interval(a, b, resamples=300)
    assert found == pytest.approx((spearman(a, b), *theirs), abs=1e-12)


def test_draws_that_are_constant_count_for_nothing():
    found = spearman_interval([1, 2, 3], [0, 0, 1])
    assert np.isfinite(found).all() and -1 <= found.low <= found.value <= found.high <= 1
    with pytest.raises(ValueError, match="confidence must be between 0 and 1, got 95"):
        spearman_interval([1, 2, 3], [0, 0, 1], confidence=95)
