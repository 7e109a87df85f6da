"""Combinations are held out by the share asked for, and each half of them stays seen."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib import held_out_pairs

GRID = np.array(list(product(range(8), range(10)))).T


@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from("abcdef")), min_size=1, max_size=60),
       st.floats(0, 1), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_each_half_of_what_is_held_out_is_seen_elsewhere(pairs, share, seed):
    first, second = (np.array(half) for half in zip(*pairs))
    try:
        out = held_out_pairs(first, second, share, seed)
    except ValueError as error:
        assert "share must leave every half seen" in str(error) and share > 0
        return
    held_out = {pair for pair, is_out in zip(pairs, out, strict=True) if is_out}
    rest = {pair for pair, is_out in zip(pairs, out, strict=True) if not is_out}
    assert not held_out & rest and len(held_out) == round(share * len(set(pairs)))
    assert {a for a, _ in held_out} <= {a for a, _ in rest} and {b for _, b in held_out} <= {b for _, b in rest}


def test_a_combination_is_held_out_whatever_stands_beside_it():
    out = held_out_pairs(*GRID, 0.2)
    assert out.sum() == 16 and np.array_equal(held_out_pairs(*GRID, 0.2), out)
    order = np.random.default_rng(0).integers(0, 80, 500)
    order = np.concatenate([order, np.arange(80)])  # repeated, and in another order
    assert np.array_equal(held_out_pairs(*GRID[:, order], 0.2), out[order])
    names = np.array([f"colour {i}" for i in range(8)])
    assert np.array_equal(held_out_pairs(names[GRID[0]], GRID[1], 0.2), out)


def test_each_seed_holds_out_others():
    drawn = [held_out_pairs(*GRID, 0.2, seed) for seed in range(4)]
    assert all(not np.array_equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


def test_more_than_can_be_held_out_is_refused():
    assert held_out_pairs(np.array([0, 1]), np.array([0, 1]), 0.0).sum() == 0
    with pytest.raises(ValueError, match="of 2 combinations, 0 can be held out, got 0.5, which asks for 1"):
        held_out_pairs(np.array([0, 1]), np.array([0, 1]), 0.5)
