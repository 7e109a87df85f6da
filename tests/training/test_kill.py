"""Killed anywhere, a run that is taken up again ends with the bits of one that was left alone."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KILLED, DONE, STOPPED = signal.SIGKILL, 0, 130 << 8

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="each life is a fork")
pytestmark = [pytest.mark.slow, needs_fork]


def kills(at: str, counts) -> list[dict]:
    return [{"signal": "KILL", "at": at, "count": count} for count in counts]


def lives(folder: Path, workers: int, deaths: list[dict]) -> dict:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}",
                   "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run([sys.executable, str(Path(__file__).parent / "lives.py"), str(folder),
                           str(workers), json.dumps(deaths)],
                          env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    report["output"] = done.stdout
    assert set(report["ends"]) <= {KILLED, DONE, STOPPED}, done.stderr[-3000:]
    assert report["runs"] and set(report["runs"]) == {report["alone"]}
    assert report["left"] == []
    return report


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_ten_random_steps_and_while_evaluating(tmp_path, workers):
    """In the forward passes of training, which come twice a step, and in those of evaluations."""
    random.seed(workers)
    deaths = kills("forward", [random.randint(1, 16) for _ in range(10)])
    deaths += kills("evaluation", [2, 5])
    report = lives(tmp_path, workers, deaths)
    assert report["ends"].count(KILLED) >= 10
    assert len(set(report["resumed"])) >= 3  # and from several places


def test_killed_at_every_file_of_the_first_saves_and_of_later_ones(tmp_path):
    """Each life ends at a later opening, half write, renaming or deletion than the one before."""
    random.seed(0)
    counts = [*range(1, 46), *random.sample(range(46, 200), 8)]
    report = lives(tmp_path, 0, kills("file", counts))
    assert report["ends"].count(KILLED) >= 30


def test_killed_inside_a_save_with_workers(tmp_path):
    random.seed(1)
    report = lives(tmp_path, 2, kills("file", random.sample(range(4, 90), 6)))
    assert report["ends"].count(KILLED) >= 4
