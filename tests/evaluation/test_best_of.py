"""The expected best of several runs, against counting out all draws."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.evaluation.best_of import expected_maximum


@given(scores=st.lists(st.integers(0, 5), min_size=1, max_size=5), runs=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_it_is_the_mean_of_the_best_over_all_draws(scores, runs):
    every_draw = [max(draw) for draw in product(scores, repeat=runs)]
    assert expected_maximum(scores, runs) == pytest.approx(np.mean(every_draw), abs=1e-12)


def test_one_run_is_the_mean_and_many_are_the_best():
    scores = [0.7, 0.1, 0.4]
    assert expected_maximum(scores, 1) == pytest.approx(0.4)
    assert expected_maximum(scores, 1000) == pytest.approx(0.7)


@pytest.mark.parametrize("scores, runs", [([], 1), ([0.5], 0), ([[0.5]], 1)])
def test_nothing_to_choose_from_is_an_error(scores, runs):
    with pytest.raises(ValueError, match="scores must be some numbers in a row and runs at least 1"):
        expected_maximum(scores, runs)
