"""More processes: how much faster, and what the cost model says they should be.

    torchrun --nproc-per-node 2 -m pretrain_lib.bench.scaling FILE SIZE     one row, as JSON
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist

from ..training.config import TrainConfig
from ..training.trainer import Trainer
from .cost_model import BACKWARD, fit_link, ring_all_reduce, step_seconds, tree_all_reduce
from .encoder import Size

FIT_ON = (2**14, 2**26)  # bytes of the two all-reduces that the link is fitted to
UPDATES, ROUNDS = 12, 9
TIMEOUT = 600.0  # seconds that one number of processes may take


def scaling(ranks: list[int], size: Size = Size()) -> list[dict]:
    """A step shared by several processes of one thread each, measured and foretold.

    Args:
        ranks: numbers of processes; 1 must be the first.
        size: what is trained; its batch is shared out.

    Returns:
        For each number "ranks", "step" and "all_reduce" in seconds as measured (an all-reduce of
        all gradients), "ring" and "tree" as the cost model has them for a link fitted to two other
        sizes, and "slowest" and "fastest": the step foretold with nothing and with all hidden that
        the backward pass can hide.

    Raises:
        RuntimeError: if the processes fail.
    """
    rows = [launch(number, size) for number in ranks]
    alone = rows[0]["step"]
    for row in rows:
        n, bytes_ = row["ranks"], row["gradient_bytes"]
        if n > 1:
            link = fit_link(n, *zip(FIT_ON, row.pop("fitted_on"), strict=True))
            row["ring"] = ring_all_reduce(bytes_, n, link)
            row["tree"] = tree_all_reduce(bytes_, n, link)
            row["slowest"], row["fastest"] = (
                step_seconds(alone / n, row["ring"], hidden) for hidden in (0.0, BACKWARD))
    return rows


def launch(ranks: int, size: Size) -> dict[str, float]:
    """What one number of processes measures."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "found.json"
        ended = subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
             str(ranks), "-m", "pretrain_lib.bench.scaling", str(found),
             json.dumps(asdict(size))],
            env=os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
            capture_output=True, text=True, timeout=TIMEOUT)  # fmt: skip
        if ended.returncode:
            raise RuntimeError(f"{ranks} processes failed:\n{ended.stderr[-2000:]}")
        return json.loads(found.read_text())


def measure(size: Size) -> dict[str, float]:
    """On each rank: seconds of a step, and of all-reduces."""
    config = TrainConfig(steps=UPDATES, batch_size=size.batch_size, learning_rate=1e-4,
                         gradient_clipping=1.0, precision="fp32", device="cpu", log_every=1)
    trainer = Trainer(size.model(), size.objective(), size.texts(4 * size.batch_size), config)
    rates = [record["samples_per_second"] for record in trainer.fit().records][2:]
    bytes_ = 4 * sum(p.numel() for p in trainer.model.parameters())
    ranks = trainer.world.size
    found = {"ranks": ranks, "step": size.batch_size / median(rates), "gradient_bytes": bytes_}
    if ranks > 1:
        found["all_reduce"] = all_reduce_seconds(bytes_)
        found["fitted_on"] = [all_reduce_seconds(each) for each in FIT_ON]
    return found


def all_reduce_seconds(size: int) -> float:
    """Seconds of an all-reduce of so many bytes, from the last rank's start to this one's end."""
    x, seconds = torch.ones(size // 4), []
    for _ in range(ROUNDS):
        dist.barrier()
        start = time.perf_counter()
        dist.all_reduce(x)
        seconds.append(time.perf_counter() - start)
        x.fill_(1)
    return median(seconds)


if __name__ == "__main__":
    measured = measure(Size(**json.loads(sys.argv[2])))
    if int(os.environ["RANK"]) == 0:
        Path(sys.argv[1]).write_text(json.dumps(measured), encoding="utf-8")
    if dist.is_initialized():
        dist.barrier()
    os._exit(0)  # gloo's threads may hold tensors, and abort a process that ends
