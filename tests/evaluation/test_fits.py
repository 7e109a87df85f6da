"""Scaling laws: planted constants come back, intervals cover them, and the optimum is the optimum."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from pretrain_lib.evaluation.fits import (
    ScalingLaw,
    TrainingRuns,
    bootstrap_laws,
    fit_law,
    fit_law_robustly,
    held_out_errors,
    intervals,
    isoflop_valley,
    power_law,
)

CHINCHILLA = ScalingLaw(1.69, 406.4, 410.7, 0.34, 0.28)
SMALL = ScalingLaw(2.3, 60.0, 900.0, 0.6, 0.8)
SIZES = {CHINCHILLA: (np.geomspace(4e7, 1.6e10, 6), np.geomspace(1e9, 1e12, 6)),
         SMALL: (np.geomspace(2e3, 2e5, 6), np.geomspace(1e5, 2e6, 5))}


def grid(law: ScalingLaw, noise: float = 0.0, seed: int = 0) -> TrainingRuns:
    parameters, tokens = (x.ravel() for x in np.meshgrid(*SIZES[law]))
    loss = law.loss(parameters, tokens)
    return TrainingRuns(parameters, tokens,
                        loss * np.exp(noise * np.random.default_rng(seed).normal(size=len(loss))))


@pytest.mark.parametrize("fit", [fit_law, fit_law_robustly])
@pytest.mark.parametrize("law", SIZES, ids=["chinchilla", "small"])
def test_planted_constants_come_back(fit, law):
    np.testing.assert_allclose(fit(grid(law)), law, rtol=1e-3)


def test_both_ways_agree_where_errors_are_small():
    runs = grid(SMALL, noise=1e-4)
    np.testing.assert_allclose(fit_law(runs), fit_law_robustly(runs), rtol=2e-3)


def test_one_wild_run_moves_squares_and_hardly_the_huber_loss():
    runs = grid(SMALL)
    wild = TrainingRuns(runs.parameters, runs.tokens, runs.loss * np.where(np.arange(30) == 7, 1.3, 1))
    assert abs(fit_law_robustly(wild).E - SMALL.E) < 0.01 < abs(fit_law(wild).E - SMALL.E)


def test_intervals_cover_what_was_planted():
    inside = []
    for seed in range(8):
        laws = bootstrap_laws(grid(SMALL, 0.01, seed), resamples=25, seed=seed)
        found = intervals(laws, confidence=0.9)
        inside.append([low <= true <= high for true, (low, high) in zip(SMALL, found.values(), strict=True)])
    coverage = np.mean(inside, axis=0)
    assert coverage.mean() >= 0.8 and coverage.min() >= 0.5, coverage


def test_more_noise_gives_wider_intervals():
    widths = [np.subtract(*intervals(bootstrap_laws(grid(SMALL, noise), 15))["E"][::-1]) for noise in (0.001, 0.01)]
    assert 0 < 5 * widths[0] < widths[1]


def test_a_law_that_holds_extrapolates():
    runs = grid(SMALL)
    errors = held_out_errors(runs, runs.tokens == runs.tokens.max())
    assert len(errors) == 6 and np.abs(errors).max() < 1e-6


def test_a_plateau_that_no_law_has_is_seen_in_runs_left_out():
    runs = grid(SMALL)
    sigmoid = TrainingRuns(runs.parameters, runs.tokens, np.minimum(runs.loss, 2.6))
    few = sigmoid.parameters * sigmoid.tokens < np.median(sigmoid.parameters * sigmoid.tokens)
    assert np.abs(held_out_errors(sigmoid, ~few)).max() > 0.05


@pytest.mark.parametrize("law", SIZES, ids=["chinchilla", "small"])
def test_the_optimum_is_where_a_search_finds_it(law):
    for compute in (1e12, 1e20):
        def at(log_size, compute=compute):
            return law.loss(np.exp(log_size), compute / 6 / np.exp(log_size))
        size, tokens = law.optimum(compute)
        found = minimize_scalar(at, bracket=(np.log(size) - 1, np.log(size) + 2), tol=1e-12)
        np.testing.assert_allclose(np.log(size), found.x, atol=1e-4)
        np.testing.assert_allclose(6 * size * tokens, compute, rtol=1e-12)


def test_an_isoflop_parabola_is_found_exactly():
    sizes = np.geomspace(1e3, 1e5, 7)
    valley = isoflop_valley(sizes, 2.5 + 0.15 * (np.log(sizes) - np.log(2e4)) ** 2)
    np.testing.assert_allclose(valley, (2e4, 2.5, 0.3), rtol=1e-10)


def test_parabolas_of_a_symmetric_law_give_its_exponent_and_of_another_do_not():
    """Equal exponents make the curve of equal compute symmetric in log N; others tilt it."""
    def slope(law, tilt):
        computes = np.geomspace(1e18, 1e21, 4)
        best = [isoflop_valley(sizes, law.loss(sizes, c / 6 / sizes)).parameters
                for c in computes for sizes in [law.optimum(c)[0] * np.geomspace(1 / 8, 8, 9) * tilt]]
        factor, exponent = power_law(computes, best)
        np.testing.assert_allclose(factor * computes**exponent, best, rtol=0.02)
        return exponent, best[0] / law.optimum(computes[0])[0]

    exponent, ratio = slope(CHINCHILLA._replace(beta=CHINCHILLA.alpha), 1)
    np.testing.assert_allclose([exponent, ratio], [0.5, 1], rtol=1e-9)
    exponent, ratio = slope(CHINCHILLA._replace(alpha=0.5), 1)
    assert abs(ratio - 1) > 0.01


@pytest.mark.parametrize(("change", "message"), [
    (lambda n, d, x: (n[:5], d[:5], x[:5]), "a law of five constants needs at least six runs, got 5"),
    (lambda n, d, x: (n * 0 + 7, d, x), "an exponent needs at least three different parameters, got 1"),
    (lambda n, d, x: (n, d * 0 + 7, x), "an exponent needs at least three different tokens, got 1"),
    (lambda n, d, x: (n, d, -x), "loss must be finite and above 0, got -"),
    (lambda n, d, x: (n, d, x * np.nan), "loss must be finite and above 0, got nan"),
    (lambda n, d, x: (n, d[1:], x), "must be of one length"),
])  # fmt: skip
def test_runs_that_no_law_can_be_fitted_to_are_refused(change, message):
    runs = grid(SMALL)
    with pytest.raises(ValueError, match=message) as error:
        TrainingRuns(*change(runs.parameters, runs.tokens, runs.loss))
    assert "\n" not in str(error.value)


def test_what_else_is_refused():
    runs = grid(SMALL)
    with pytest.raises(ValueError, match="at least one of the 30 runs"):
        held_out_errors(runs, np.zeros(30))
    with pytest.raises(ValueError, match="one law or more"):
        intervals([])
    with pytest.raises(ValueError, match="A and B must be above 0"):
        SMALL._replace(B=0.0).optimum(1e12)
    with pytest.raises(ValueError, match="no minimum between 1000 and 4000"):
        isoflop_valley([1000, 2000, 4000], [3.0, 2.0, 1.5])
    with pytest.raises(ValueError, match="at least three different sizes"):
        isoflop_valley([1000, 2000, 2000], [3.0, 2.0, 1.5])


def test_an_exponent_that_the_runs_do_not_tell_is_said():
    assert not fit_law(grid(SMALL)).at_limit
    runs = grid(SMALL)
    logarithm = 5 - 0.1 * np.log(runs.tokens) + 60 * runs.parameters**-0.6  # a power of exponent 0
    assert fit_law(TrainingRuns(runs.parameters, runs.tokens, logarithm)).at_limit
