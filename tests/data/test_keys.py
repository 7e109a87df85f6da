"""Randomness as a function: known answers, uniformity, and independence of the batch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pretrain_lib.data.keys import Keys, philox

seeds = st.integers(0, 2**32 - 1)
ids = st.lists(st.integers(0, 2**40), min_size=1, max_size=8)
streams = st.text(min_size=1, max_size=8)


# The known answers of philox4x32-10 that Random123 ships (its file tests/kat_vectors).
@pytest.mark.parametrize(
    "counter, key, expected",
    [
        ([0] * 4, (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, (0xFFFFFFFF,) * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_known_answers(counter, key, expected):
    words = philox(np.array(counter, dtype=np.uint64)[:, None], key)
    assert words[:, 0].tolist() == expected


@given(seeds, ids, streams, st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_numbers_of_a_sample_do_not_depend_on_its_batch(seed, samples, stream, epoch):
    together = Keys.of(seed, samples, epoch)
    for i, sample in enumerate(samples):
        alone = Keys.of(seed, [sample], epoch)
        assert torch.equal(together.uniform(stream, (3, 5))[i], alone.uniform(stream, (3, 5))[0])
        assert torch.equal(together.normal(stream, (7,))[i], alone.normal(stream, (7,))[0])
        assert torch.equal(together.permutation(stream, 9)[i], alone.permutation(stream, 9)[0])


@given(seeds, st.integers(0, 2**40), st.integers(0, 2**20))
@settings(max_examples=50, deadline=None)
def test_every_part_of_the_key_matters(seed, sample, epoch):
    def numbers(seed=seed, sample=sample, epoch=epoch, stream="a"):
        return Keys.of(seed, [sample], epoch).bits(stream, 4).tolist()

    base = numbers()
    assert base == numbers()
    assert base != numbers(seed=(seed + 1) % 2**32)
    assert base != numbers(sample=sample + 1)
    assert base != numbers(sample=sample + 2**32)
    assert base != numbers(epoch=epoch + 1)
    assert base != numbers(stream="b")


def test_more_numbers_begin_with_the_same_ones():
    keys = Keys.of(3, 4)
    assert torch.equal(keys.uniform("x", (10,))[:, :6], keys.uniform("x", (6,)))


def test_progress_does_not_touch_the_numbers():
    assert torch.equal(
        Keys.of(1, 5, progress=0.0).uniform("x"), Keys.of(1, 5, progress=0.9).uniform("x")
    )


def test_uniform_numbers_are_uniform():
    numbers = Keys.of(7, 400).uniform("x", (50,))
    assert numbers.dtype == torch.float32
    assert 0 <= numbers.min() and numbers.max() < 1
    assert stats.kstest(numbers.flatten().numpy(), "uniform").pvalue > 1e-3


def test_normal_numbers_are_normal():
    numbers = Keys.of(7, 400).normal("x", (51,)).double()
    assert numbers.shape == (400, 51)
    assert stats.kstest(numbers.flatten().numpy(), "norm").pvalue > 1e-3
    neighbours = torch.corrcoef(torch.stack([numbers[:, :-1].flatten(), numbers[:, 1:].flatten()]))[
        0, 1
    ]
    assert neighbours.abs() < 4 / numbers.numel() ** 0.5


@pytest.mark.parametrize("vary", ["sample", "epoch", "seed", "stream"])
def test_neighbouring_keys_are_uncorrelated(vary):
    base = {"seed": 0, "sample": 0, "epoch": 0, "stream": "s0"}
    rows = []
    for i in range(200):
        key = base | {vary: f"s{i}" if vary == "stream" else i}
        rows.append(
            Keys.of(key["seed"], [key["sample"]], key["epoch"]).uniform(key["stream"], (100,))
        )
    numbers = torch.cat(rows).double()  # (200, 100)
    pairs = torch.stack([numbers[:-1].flatten(), numbers[1:].flatten()])
    assert torch.corrcoef(pairs)[0, 1].abs() < 4 / pairs.shape[1] ** 0.5


@given(seeds, st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_permutations_hold_each_number_once(seed, n):
    order = Keys.of(seed, 5).permutation("p", n)
    assert order.shape == (5, n)
    assert (order.sort(dim=1).values == torch.arange(n)).all()


def test_permutations_are_equally_likely():
    orders = Keys.of(0, 6000).permutation("p", 3)
    counts = torch.bincount(orders @ torch.tensor([9, 3, 1]))
    assert stats.chisquare(counts[counts > 0].numpy()).pvalue > 1e-3
    assert (counts > 0).sum() == 6


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be between"):
        Keys.of(seed, 3)


def test_epoch_and_sample_must_fit():
    with pytest.raises(ValueError, match="one length"):
        Keys(0, np.zeros(2, dtype=np.int64), np.zeros(3, dtype=np.int64))


@given(seeds, st.integers(0, 2**40), st.integers(2, 64), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_spread_numbers_leave_no_wide_gap_in_any_stretch(seed, begin, n, epoch):
    keys = Keys.of(seed, np.arange(begin, begin + n), epoch)
    numbers = keys.spread("x").sort().values
    assert 0 <= numbers[0] and numbers[-1] < 1
    gaps = torch.cat([numbers.diff(), (numbers[:1] - numbers[-1:]) % 1])
    assert gaps.max() < 2 / n  # of independent numbers the widest is log(n) times the mean
    assert Keys.of(seed, [begin + 1], epoch).spread("x") == keys.spread("x")[1]


def test_a_spread_number_is_uniform_over_seeds_and_follows_the_place_in_the_run():
    first = torch.cat([Keys.of(seed, [3]).spread("x") for seed in range(500)])
    assert stats.kstest(first.numpy(), "uniform").pvalue > 1e-3
    shuffled = Keys(0, np.zeros(4, np.int64), np.array([9, 2, 5, 7]), position=np.arange(4))
    assert torch.equal(shuffled.spread("x"), Keys.of(0, 4).spread("x"))
