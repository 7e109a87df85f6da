"""Ctrl-C and SIGTERM end a run after the update at hand, with a checkpoint to go on from."""

import os
import re
import signal
import threading

import pytest
from test_kill import STOPPED, lives, needs_fork
from toys import Recording, config, mlp, same_bits, trained, vectors, weights

from pretrain_lib.training.checkpoint import checkpoint_steps
from pretrain_lib.training.trainer import Trainer


def stops(report: dict) -> list[int]:
    """The steps after which a run said that it was stopped."""
    found = re.findall(r"stopped after step (\d+); resume from", report["output"])
    return [int(step) for step in found]


@needs_fork
def test_a_signal_ends_the_run_with_a_checkpoint_wherever_it_comes(tmp_path):
    moments = [("forward", 1), ("forward", 4), ("evaluation", 2), ("batch", 3), ("file", 12)]
    deaths = [{"signal": name, "at": at, "count": count} for name in ("INT", "TERM")
              for at, count in moments]
    report = lives(tmp_path, 0, deaths)
    assert report["ends"].count(STOPPED) == len(deaths) == len(stops(report))
    # each life was stopped later than the one before, and the next went on from there
    starts = [step for step in report["resumed"] if step]
    assert starts == [step for step in stops(report) if step in starts]


@needs_fork
def test_a_signal_to_the_workers_as_well_ends_it_no_worse(tmp_path):
    """Ctrl-C in a terminal reaches every process, also while training waits for a batch."""
    deaths = [{"signal": name, "at": at, "count": count, "to": "group"} for name in ("INT", "TERM")
              for at, count in [("batch", 3), ("forward", 5)]]
    report = lives(tmp_path, 2, deaths)
    assert report["ends"].count(STOPPED) == len(deaths) == len(stops(report))


def interrupted(folder, times: int = 1, number=signal.SIGINT) -> tuple[Trainer, BaseException]:
    objective = Recording(noise="masking", level=0.0)

    def interrupt():
        if len(objective.seen) == 5:
            for _ in range(times):
                os.kill(os.getpid(), number)

    objective._before_forward = interrupt
    trainer = Trainer(mlp(dropout=0.3), objective, vectors(), config(), folder=folder)
    with pytest.raises(KeyboardInterrupt) as stop:
        trainer.fit()
    return trainer, stop.value


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_update_at_hand_is_finished_saved_and_told(tmp_path, number):
    trainer, stop = interrupted(tmp_path, number=number)
    assert trainer.step == 5
    assert str(stop) == f"stopped after step 5; resume from {tmp_path}"
    assert checkpoint_steps(tmp_path / "checkpoints") == [5]
    model = mlp(dropout=0.3)
    trained(Recording(noise="masking", level=0.0), config(), model, folder=tmp_path)
    whole = mlp(dropout=0.3)
    trained(Recording(noise="masking", level=0.0), config(), whole)
    assert same_bits(weights(model), weights(whole))


def test_without_a_folder_the_same_trainer_goes_on_from_memory():
    trainer, stop = interrupted(None)
    assert str(stop) == "stopped after step 5"
    trainer.objective._before_forward = None
    trainer.fit()
    whole = mlp(dropout=0.3)
    trained(Recording(noise="masking", level=0.0), config(), whole)
    assert same_bits(weights(trainer.model), weights(whole))
    assert trainer.history.steps == list(range(1, 13))


def test_a_second_ctrl_c_acts_at_once(tmp_path):
    trainer, stop = interrupted(tmp_path, times=2)
    assert trainer.step == 4 and str(stop) == ""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_handlers_are_put_back_after_an_error():
    def mine(number, frame):
        pass

    before = signal.signal(signal.SIGTERM, mine)
    try:
        objective = Recording(noise="masking", level=0.0)
        objective._before_forward = lambda: 1 / 0
        with pytest.raises(ZeroDivisionError):
            trained(objective, config())
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_no_handler_is_touched():
    seen = []
    objective = Recording(noise="masking", level=0.0)
    objective._before_forward = lambda: seen.append(signal.getsignal(signal.SIGINT))
    thread = threading.Thread(target=lambda: trained(objective, config(steps=2)))
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)] * 2
