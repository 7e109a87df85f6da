"""Mixtures: shares, epochs of each source, and purity in the keys."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.mixture import Mixture, of_task, temperature_weights, whole_shares
from pretrain_lib.data.source import Columns, keys_at


def numbers(n, first=0):
    return Columns(x=torch.arange(first, first + n))


def test_each_key_brings_samples_of_every_task_in_their_shares():
    mixture = Mixture({"a": numbers(30), "b": numbers(5, 100)}, {"a": 3})
    assert len(mixture) == 10
    samples = mixture.take(Keys.of(0, [4, 7]))
    assert samples["a/x"].shape == (6,) and samples["b/x"].shape == (2,)
    assert (samples["a/x"] < 30).all() and (samples["b/x"] >= 100).all()


@given(a=st.integers(1, 20), b=st.integers(1, 20), share=st.integers(1, 4),
       epochs=st.integers(1, 5), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_every_source_is_gone_through_evenly(a, b, share, epochs, seed):
    """Over whole epochs no sample is seen more than once oftener than another of its source."""
    mixture = Mixture({"a": numbers(a), "b": numbers(b)}, {"a": share})
    positions = np.arange(epochs * len(mixture))
    keys = keys_at(positions, len(mixture), seed)
    for task, size, k in (("a", a, share), ("b", b, 1)):
        own = mixture.keys_of(task, keys)
        assert len(own) == len(positions) * k
        counts = np.bincount(own.sample, minlength=size)
        assert len(counts) == size and counts.max() - counts.min() <= 1
        pairs = set(zip(own.epoch.tolist(), own.sample.tolist(), strict=True))
        assert len(pairs) == len(own)  # seen again only in another epoch: corrupted afresh


def test_the_longest_source_is_seen_once_an_epoch():
    mixture = Mixture({"a": numbers(12), "b": numbers(5)}, {"a": 2})
    for epoch in (0, 3):
        own = mixture.keys_of("a", Keys.of(0, len(mixture), epoch=epoch))
        assert sorted(own.sample.tolist()) == list(range(12))
        assert set(own.epoch.tolist()) == {epoch}


def test_samples_are_a_function_of_the_keys():
    mixture = Mixture({"a": numbers(30), "b": numbers(7)}, {"b": 2})
    whole = mixture.take(Keys.of(1, [5, 2, 19, 8], epoch=3))
    halves = [mixture.take(Keys.of(1, part, epoch=3)) for part in ([5, 2], [19, 8])]
    for name in whole:
        assert torch.equal(whole[name], torch.cat([half[name] for half in halves]))


def test_a_task_gets_its_columns_and_its_keys():
    mixture = Mixture({"a": numbers(30), "b": numbers(7)})
    keys = Keys(4, np.array([0, 2]), np.array([29, 3]), progress=0.5)
    samples = mixture.take(keys)
    own, own_keys = of_task(samples, keys, "b")
    assert own.keys() == {"x"}
    assert own["x"].tolist() == own_keys.sample.tolist() == [29 % 7, (2 * 30 + 3) % 7]
    assert own_keys.epoch.tolist() == [29 // 7, (2 * 30 + 3) // 7]
    assert (own_keys.seed, own_keys.progress) == (4, 0.5)


def test_a_source_that_is_no_mixture_is_shared():
    samples, keys = {"x": torch.arange(3)}, Keys.of(0, 3)
    own, own_keys = of_task(samples, keys, "a")
    assert own is samples and own_keys is keys


def test_a_mixture_may_hold_mixtures():
    inner = Mixture({"c": numbers(4), "d": numbers(9)})
    keys = Keys.of(0, 5)
    own, own_keys = of_task(Mixture({"a": inner, "b": numbers(5)}).take(keys), keys, "a")
    innermost, last = of_task(own, own_keys, "d")
    assert innermost["x"].tolist() == last.sample.tolist()


@pytest.mark.parametrize("sources, shares, message", [
    ({}, None, "at least one source"),
    ({"a": numbers(3)}, {"b": 1}, "share for 'b', but the sources are a"),
    ({"a": numbers(3)}, {"a": 0}, "share of 'a' must be a whole number from 1 on, got 0"),
    ({"a": numbers(3)}, {"a": 0.5}, "got 0.5: 3 and 1 are three quarters and a quarter"),
    ({"a": numbers(3)}, {"a": True}, "got True"),
    ({"a/b": numbers(3)}, None, "without a slash, got 'a/b'"),
    ({"": numbers(3)}, None, "without a slash, got ''"),
    ({"a": []}, None, "source of 'a' is empty"),
])
def test_wrong_mixtures_are_refused(sources, shares, message):
    with pytest.raises(ValueError, match=message):
        Mixture(sources, shares)


@given(sizes=st.lists(st.integers(1, 10**7), min_size=1, max_size=6), alpha=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_weights_go_from_all_sources_alike_to_all_samples_alike(sizes, alpha):
    named = {str(i): size for i, size in enumerate(sizes)}
    weights = temperature_weights(named, alpha)
    assert sum(weights.values()) == pytest.approx(1, abs=1e-12)
    for i, one in enumerate(sizes):
        for j, other in enumerate(sizes):
            assert weights[str(i)] / weights[str(j)] == pytest.approx((one / other) ** alpha, rel=1e-9)


@given(weights=st.lists(st.floats(1e-3, 1), min_size=1, max_size=6), rows=st.integers(6, 64))
@settings(max_examples=60, deadline=None)
def test_shares_are_whole_and_as_near_as_whole_numbers_come(weights, rows):
    named = {str(i): weight for i, weight in enumerate(weights)}
    shares, total = whole_shares(named, rows), sum(weights)
    assert sum(shares.values()) == rows and all(isinstance(s, int) and s >= 1 for s in shares.values())
    worth = [rows * weight / total for weight in weights]
    if min(worth) >= 1:
        assert all(abs(share - w) < 1 for share, w in zip(shares.values(), worth, strict=True))
    Mixture(dict.fromkeys(named, numbers(3)), shares)


@pytest.mark.parametrize("wrong, message", [
    (lambda: temperature_weights({"a": 3}, 1.5), "alpha must be between 0, .* got 1.5"),
    (lambda: temperature_weights({}, 1), "at least one source"),
    (lambda: temperature_weights({"a": 3, "b": 0}, 1), "size of 'b' must be above 0, got 0"),
    (lambda: whole_shares({"a": 0.5, "b": 0.5}, 1), "rows must be at least 2, one for each source, got 1"),
])  # fmt: skip
def test_wrong_temperatures_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
