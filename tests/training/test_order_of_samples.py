"""Which samples an update sees is a function of its number alone."""

import os
import signal
import sys
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import Recording, config, mlp, trained, vectors

from pretrain_lib.training.trainer import Trainer


def recorded(n: int, **chosen) -> Recording:
    objective = Recording(noise="gaussian", level=0.5)
    trained(objective, config(**chosen), source=vectors(n))
    return objective


@given(n=st.integers(1, 40), batch_size=st.integers(1, 24), epochs=st.integers(1, 4),
       seed=st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_every_sample_is_seen_exactly_once_an_epoch(n, batch_size, epochs, seed):
    steps = -(-n * epochs // batch_size)
    seen = sum(recorded(n, steps=steps, batch_size=batch_size, seed=seed).seen, [])
    for epoch in range(epochs):
        assert Counter(seen[epoch * n:(epoch + 1) * n]) == Counter(range(n))


def test_the_order_differs_between_epochs_and_seeds():
    seen = sum(recorded(64, steps=8).seen, [])
    assert seen[:64] != seen[64:128]
    assert seen[:64] != sorted(seen[:64])
    assert seen != sum(recorded(64, steps=8, seed=1).seen, [])


def test_a_sample_meets_other_noise_in_the_next_epoch():
    objective = recorded(16, steps=2, batch_size=16)
    first, second = (dict(zip(ids, shown, strict=True))
                     for ids, shown in zip(objective.seen, objective.shown, strict=True))
    assert all(not torch.equal(first[i], second[i]) for i in range(16))


def test_the_samples_of_an_update_do_not_depend_on_how_it_is_split():
    whole = recorded(30, batch_size=12, steps=10)
    split = recorded(30, batch_size=12, steps=10, accumulation=3)
    assert sum(whole.seen, []) == sum(split.seen, [])
    assert torch.equal(torch.cat(whole.shown), torch.cat(split.shown))


@pytest.mark.parametrize("accumulation", [1, 2])
def test_workers_change_nothing(accumulation):
    runs = [recorded(50, steps=9, accumulation=accumulation, workers=workers) for workers in (0, 1, 2)]
    for other in runs[1:]:
        assert other.seen == runs[0].seen
        assert all(torch.equal(a, b) for a, b in zip(other.shown, runs[0].shown, strict=True))


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as POSIX has them")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("stop_at", [1, 4, 7])
def test_a_resumed_run_sees_what_it_would_have_seen(tmp_path, workers, accumulation, stop_at):
    chosen = config(steps=8, accumulation=accumulation)
    whole = recorded(50, steps=8, accumulation=accumulation)

    first = Recording(noise="gaussian", level=0.5)

    def interrupt():
        if len(first.seen) == stop_at * accumulation:
            os.kill(os.getpid(), signal.SIGINT)

    first._before_forward = interrupt
    with pytest.raises(KeyboardInterrupt, match=f"step {stop_at}"):
        Trainer(mlp(), first, vectors(50), chosen, folder=tmp_path).fit()

    second = Recording(noise="gaussian", level=0.5)
    resumed = config(steps=8, accumulation=accumulation, workers=workers)
    Trainer(mlp(), second, vectors(50), resumed, folder=tmp_path).fit()
    assert first.seen + second.seen == whole.seen
    shown = first.shown + second.shown
    assert all(torch.equal(a, b) for a, b in zip(shown, whole.shown, strict=True))
