"""Killed anywhere, a run that is taken up again ends with the very bits of one that was left alone."""

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

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="lives are forks")]


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
def test_killed_at_ten_random_steps(tmp_path, workers):
    """In the forward passes of training, which come twice a step."""
    random.seed(workers)
    deaths = [{"signal": "KILL", "at": "forward", "count": random.randint(1, 16)} for _ in range(10)]
    report = lives(tmp_path, workers, deaths)
    assert report["ends"].count(KILLED) >= 9
    assert len(set(report["resumed"])) >= 3  # and from several places


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_inside_a_save(tmp_path, workers):
    """At openings, renamings and deletions of files, wherever they fall."""
    random.seed(10 + workers)
    counts = random.sample(range(2, 40), 14) if workers == 0 else random.sample(range(4, 60), 8)
    deaths = [{"signal": "KILL", "at": "file", "count": count} for count in counts]
    report = lives(tmp_path, workers, deaths)
    assert report["ends"].count(KILLED) >= len(deaths) - 3


def test_killed_at_every_file_of_the_first_saves(tmp_path):
    """One life for each of the first forty operations on files, each in the folder of the last."""
    deaths = [{"signal": "KILL", "at": "file", "count": count} for count in range(1, 41)]
    report = lives(tmp_path, 0, deaths)
    assert report["ends"].count(KILLED) >= 30


def test_killed_while_evaluating(tmp_path):
    deaths = [{"signal": "KILL", "at": "evaluation", "count": count} for count in (1, 2, 4, 7)]
    assert lives(tmp_path, 0, deaths)["ends"].count(KILLED) == 4
