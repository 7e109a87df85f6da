"""Sources in memory and the order in which training visits them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns, epoch_order, keys_at


def test_take_returns_the_rows_that_the_keys_name():
    source = Columns(x=torch.arange(10).reshape(5, 2), y=np.arange(5))
    taken = source.take(Keys.of(0, [3, 1, 3]))
    assert taken["x"].tolist() == [[6, 7], [2, 3], [6, 7]]
    assert taken["y"].tolist() == [3, 1, 3]
    assert len(source) == 5
    assert source.y.tolist() == [0, 1, 2, 3, 4]
    assert source.subset([4, 0]).x.tolist() == [[8, 9], [0, 1]]


def test_wrong_columns_are_refused():
    with pytest.raises(ValueError, match="at least one column"):
        Columns()
    with pytest.raises(ValueError, match="one length"):
        Columns(x=torch.zeros(2), y=torch.zeros(3))
    with pytest.raises(ValueError, match="empty"):
        Columns(x=torch.zeros(0, 3))
    with pytest.raises(AttributeError, match="labels"):
        _ = Columns(x=torch.zeros(2)).labels


@given(st.integers(1, 30), st.integers(0, 99), st.integers(1, 7))
@settings(max_examples=40, deadline=None)
def test_each_sample_is_visited_once_an_epoch(n, seed, batch_size):
    epochs = 3
    batches = [
        keys_at(np.arange(start, min(start + batch_size, epochs * n)), n, seed)
        for start in range(0, epochs * n, batch_size)
    ]
    visited = [(int(e), int(s)) for keys in batches for e, s in zip(keys.epoch, keys.sample)]
    assert sorted(visited) == [(e, s) for e in range(epochs) for s in range(n)]


def test_positions_alone_decide_the_keys():
    whole = keys_at(np.arange(50), 20, seed=4)
    part = keys_at(np.array([37, 5]), 20, seed=4)
    assert part.sample.tolist() == [whole.sample[37], whole.sample[5]]
    assert part.epoch.tolist() == [1, 0]


def test_epochs_and_seeds_are_ordered_differently():
    orders = [tuple(epoch_order(50, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4
