"""A run that dies again and again, started by test_kill.py and test_signals.py.

    python lives.py FOLDER WORKERS DEATHS

DEATHS is a JSON list; each death is {"signal": "KILL", "at": "forward", "count": 3, "to": "self"}:
that signal, at the third event of that kind in this life. Each life is a fork of this process,
which has imported torch and done nothing else. When a run is through, another one starts in a new
folder for the deaths that are left. Prints a JSON report.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
import torch._dynamo  # optimisers import it when they are built: once is enough
from torch.utils.data import get_worker_info
from toys import Denoising, config, mlp, vectors

from pretrain_lib.training import loader
from pretrain_lib.training.checkpoint import checkpoint_steps, newest_sound
from pretrain_lib.training.loader import leave_signals_to_the_trainer
from pretrain_lib.training.log import read_log
from pretrain_lib.training.trainer import Trainer

FAILED, STOPPED = 3, 130
EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}


class Death:
    """Sends a signal at the n-th event of a kind: "forward", "evaluation", "batch" or "file"."""

    def __init__(self, signal: str, at: str, count: int, to: str = "self"):
        self.signal = getattr(__import__("signal"), f"SIG{signal}")
        self.at, self.left, self.to = at, count, to
        self.trainer = os.getpid()

    def event(self, kind: str) -> None:
        worker = get_worker_info()
        if kind != self.at or self.left <= 0 or (worker and worker.id):
            return
        self.left -= 1
        if self.left == 0:
            target = 0 if self.to == "group" else self.trainer
            (os.killpg if self.to == "group" else os.kill)(target, self.signal)
            time.sleep(0.05)  # the signal arrives while this event lasts

    def watch_files(self, folder: Path) -> None:
        """In the run's folder, every opening, half write, renaming and deletion is an event."""
        open_file = io.open

        def open_slowly(path, mode="r", *rest, **more):
            file = open_file(path, mode, *rest, **more)
            if str(path).startswith(str(folder)) and mode[0] in "wa":
                write = file.write

                def write_in_halves(content):
                    half = len(content) // 2
                    write(content[:half])
                    file.flush()
                    self.event("file")
                    return half + write(content[half:])

                file.write = write_in_halves
            return file

        io.open = open_slowly
        def hook(event, arguments):
            if event in EVENTS and self.left > 0 and str(arguments[0]).startswith(str(folder)):
                if event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR):
                    self.event("file")

        sys.addaudithook(hook)


class Mortal(Denoising):
    """Denoising in which a death may be waiting."""

    death: Death | None = None

    def batch(self, samples, keys):
        if Mortal.death:
            Mortal.death.event("batch")
        return super().batch(samples, keys)

    def forward(self, model, batch):
        if Mortal.death:
            Mortal.death.event("forward" if model.training else "evaluation")
        return super().forward(model, batch)


def get_ready_late(worker: int) -> None:
    """The second worker is still starting when the first one has made batches."""
    time.sleep(0.3 * worker)
    leave_signals_to_the_trainer(worker)


loader.leave_signals_to_the_trainer = get_ready_late


def build(folder: Path, workers: int) -> Trainer:
    settings = config(steps=24, batch_size=16, accumulation=2, warmup_steps=5, weight_decay=0.01,
                      gradient_clipping=5.0, checkpoint_every=3, evaluate_every=4, patience=3,
                      log_every=1, workers=workers)
    return Trainer(mlp(dropout=0.2), Mortal("gaussian", 0.2), vectors(70), settings,
                   held_out=vectors(40, seed=1), folder=folder)


def live(folder: Path, workers: int) -> None:
    """Trains to the end and leaves a digest of everything that must not depend on the deaths."""
    trainer = build(folder, workers)
    trainer.fit()
    digest = hashlib.sha256()
    for name, value in trainer.module.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    newest = folder / "checkpoints" / f"step-{checkpoint_steps(folder / 'checkpoints')[-1]:08d}"
    for file in sorted(newest.glob("*.safetensors")):
        digest.update(file.read_bytes())
    for record in read_log(folder / "log.jsonl"):
        record.pop("samples_per_second", None)
        record.pop("data_wait", None)
        digest.update(json.dumps(record).encode())
    (folder / "done").write_text(digest.hexdigest())


def life(folder: Path, workers: int, death: dict | None) -> int:
    """One life in a process of its own; returns how it ended, as waitpid tells it."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    status = FAILED
    try:
        os.setpgid(0, 0)
        torch.set_num_threads(1)
        if death:
            Mortal.death = Death(**death)
            Mortal.death.watch_files(folder)
        live(folder, workers)
        status = 0
    except KeyboardInterrupt as stop:
        print(json.dumps({"stopped": str(stop)}), flush=True)
        status = STOPPED
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)


def main(folder: Path, workers: int, deaths: list[dict]) -> dict:
    alone = folder / "alone"
    assert life(alone, 0, None) == 0
    runs, ends, resumed = [], [], []
    while deaths or ends[-1:] != [0]:  # until the last run is through
        place = folder / f"run-{len(runs)}"
        resumed.append(newest_sound(place / "checkpoints")[0] or 0)
        ends.append(life(place, workers, deaths.pop(0) if deaths else None))
        if ends[-1] == 0:
            runs.append((place / "done").read_text())
        elif os.waitstatus_to_exitcode(ends[-1]) == FAILED:
            break
    left = [str(p.relative_to(folder)) for p in folder.rglob(".partial*")]
    return {"alone": (alone / "done").read_text(), "runs": runs, "ends": ends, "resumed": resumed,
            "left": left}


if __name__ == "__main__":
    os.fsync = lambda descriptor: None  # a killed process loses nothing that it gave to the system
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))))
