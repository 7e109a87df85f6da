"""Which samples an update sees is a function of its number alone."""

import multiprocessing
import os
import signal
import sys
from collections import Counter
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import Recording, config, mlp, trained, vectors

from pretrain_lib.objectives.reconstruction import Denoising
from pretrain_lib.training.loader import micro_batches
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


def test_a_sample_meets_other_noise_in_every_epoch():
    objective = recorded(16, steps=5, batch_size=16)
    epochs = [dict(zip(ids, shown, strict=True))
              for ids, shown in zip(objective.seen, objective.shown, strict=True)]
    for first, second in combinations(epochs, 2):
        assert all(not torch.equal(first[i], second[i]) for i in range(16))
        assert list(first) != list(second)


def test_the_samples_of_an_update_do_not_depend_on_how_it_is_split():
    whole = recorded(30, batch_size=12, steps=10)
    split = recorded(30, batch_size=12, steps=10, accumulation=3)
    assert sum(whole.seen, []) == sum(split.seen, [])
    assert torch.equal(torch.cat(whole.shown), torch.cat(split.shown))


@pytest.mark.parametrize("accumulation", [1, 2])
def test_workers_change_nothing(accumulation):
    runs = [recorded(50, steps=9, accumulation=accumulation, workers=n) for n in (0, 1, 2)]
    for other in runs[1:]:
        assert other.seen == runs[0].seen
        assert all(torch.equal(a, b) for a, b in zip(other.shown, runs[0].shown, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_drawing_batches_leaves_the_global_random_state_alone(workers):
    before = torch.get_rng_state()
    batches = micro_batches(vectors(), Denoising(), config(workers=workers), 0, pin_memory=False)
    next(batches)
    batches.close()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("fails", [False, True])
def test_no_worker_outlives_the_training(fails):
    class Failing(Denoising):
        def forward(self, model, batch):
            if fails and 7 in batch.samples:
                raise LookupError
            return super().forward(model, batch)

    failure = None
    try:
        trained(Failing(), config(workers=2, steps=20))
    except LookupError as error:
        failure = error  # its traceback holds every frame of the loop
    assert bool(failure) == fails
    assert multiprocessing.active_children() == []


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
