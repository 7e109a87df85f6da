"""The log of a run: one JSON object a line, and the same in memory for plotting."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .checkpoint import not_written, replace_text


class History:
    """What a run measured, update by update.

    Records hold "step" (the number of updates done) and either the training loss with its terms,
    learning rate, gradient norm, samples per second and the share of the time that was spent waiting
    for them ("data_wait"), or an "evaluation". A number that is not finite is None, as the gradient
    norm of an update that fp16 leaves out: JSON has no other word for it. With a folder, records
    are appended to `log.jsonl` as they come, and to TensorBoard if asked for.

    Args:
        folder: the run's folder, or None to keep the log in memory only.
        tensorboard: whether to write TensorBoard's event files below the folder.
    """

    def __init__(self, folder: Path | None = None, tensorboard: bool = False):
        self.path = folder / "log.jsonl" if folder else None
        self.records: list[dict] = []
        self.events = folder / "tensorboard" if folder and tensorboard else None
        self.writer = None

    def add(self, **record) -> None:
        """Adds one record.

        Raises:
            CheckpointError: if it cannot be written.
        """
        record = finite(record)
        self.records.append(record)
        if self.path:
            try:
                with self.path.open("a", encoding="utf-8") as log:
                    log.write(json.dumps(record, allow_nan=False) + "\n")
            except OSError as error:
                raise not_written(self.path, error) from error
        if self.writer:
            values = record.get("evaluation", record)
            prefix = "evaluation/" if "evaluation" in record else "training/"
            for name, value in values.items():
                if name != "step" and isinstance(value, (int, float)):
                    self.writer.add_scalar(prefix + name, value, record["step"])

    def open(self, step: int) -> None:
        """Takes up the log at `step`: what came after it will be measured again."""
        if self.path:
            self.records = [finite(r) for r in read_log(self.path) if r["step"] <= step]
            replace_text(self.path, "".join(json.dumps(record) + "\n" for record in self.records))
        if self.events:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.events), purge_step=step + 1)

    def close(self) -> None:
        """Ends writing; `open` takes it up again."""
        if self.writer:
            self.writer.close()

    @property
    def steps(self) -> list[int]:
        """The updates at which the training loss was logged."""
        return [r["step"] for r in self.records if "loss" in r]

    @property
    def losses(self) -> list[float]:
        """The training loss at those updates."""
        return [r["loss"] for r in self.records if "loss" in r]

    @property
    def evaluations(self) -> list[tuple[int, dict[str, float]]]:
        """(step, {"loss": …, term: …}) of every evaluation on held-out samples."""
        return [(r["step"], r["evaluation"]) for r in self.records if "evaluation" in r]


class Pace:
    """Samples a second of some updates, and how much of their time goes by waiting for samples."""

    def __init__(self):
        self.seconds, self.samples, self.waited = 0.0, 0, 0.0

    @contextmanager
    def running(self, samples: int):
        """Takes the time of an update of so many samples, and not of what is done between two."""
        start = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - start
        self.samples += samples

    def take(self, batches: Iterator, number: int) -> list:
        """The next `number` micro-batches."""
        start = time.perf_counter()
        taken = [next(batches) for _ in range(number)]
        self.waited += time.perf_counter() - start
        return taken

    def read(self) -> dict[str, float]:
        """What is logged of it."""
        return {"samples_per_second": self.samples / self.seconds,
                "data_wait": self.waited / self.seconds}


def finite(record: dict) -> dict:
    """The record with None for each number that is not finite."""
    return {name: finite(value) if isinstance(value, dict) else
            None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in record.items()}


def read_log(path: Path) -> list[dict]:
    """The records of a log; lines that a killed run left half written are passed over."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
            records.append({**record, "step": int(record["step"])})
        except (ValueError, TypeError, KeyError):
            continue
    return records


def progress_bar(done: int, total: int, shown: bool):
    """A bar of the updates done, unless TQDM_DISABLE is set."""
    from tqdm.auto import tqdm

    # tqdm's bar for notebooks does not read its own TQDM_DISABLE.
    quiet = os.environ.get("TQDM_DISABLE", "0") not in ("", "0")
    return tqdm(initial=done, total=total, unit="step", leave=False, disable=quiet or not shown)
