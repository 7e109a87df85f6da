"""One rank of some short runs, one after the other; started by test_coupled_ranks.py, under torchrun or alone.

    python coupled.py FOLDER KINDS

Each run is of one of the kinds in RUNS, once under DDP and once under FSDP; then it is resumed from update 5 in another
folder. Rank 0 leaves result.json.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import torch
from torch import nn
from toys import SIZE, config, seeded, vectors

from pretrain_lib.compression.prune import prune_weights
from pretrain_lib.data.source import Columns
from pretrain_lib.models.batch_norm import BatchNorm
from pretrain_lib.models.coupled import first_row
from pretrain_lib.objectives.contrastive import Contrastive
from pretrain_lib.objectives.reconstruction import Reconstruction
from pretrain_lib.training.checkpoint import load_checkpoint
from pretrain_lib.training.distributed import unsharded
from pretrain_lib.training.trainer import Trainer

STEPS, PER_BATCH = 8, 16


class Block(nn.Module):
    """A layer with batch statistics, and one number of its own."""

    def __init__(self, norm=BatchNorm):
        super().__init__()
        self.mix = nn.Linear(SIZE, SIZE, bias=False)
        self.norm = norm(SIZE) if norm else nn.Identity()
        self.gain = nn.Parameter(torch.tensor(0.7))

    def forward(self, x):
        return x + self.gain * torch.tanh(self.norm(self.mix(x)))


class Encoder(nn.Module):
    """Two blocks, and as many numbers out as in."""

    def __init__(self, norm=BatchNorm):
        super().__init__()
        self.layers = nn.ModuleList(Block(norm) for _ in range(2))
        self.out = nn.Linear(SIZE, SIZE)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.out(x)


def views(n: int, seed: int) -> Columns:
    clean = vectors(n, seed, torch.float64).images
    noise = [vectors(n, seed + s, torch.float64).images for s in (10, 20)]
    return Columns(first=clean + 0.3 * noise[0], second=clean + 0.3 * noise[1])


def contrastive() -> Contrastive:
    return Contrastive({"first": ["first"], "second": ["second"]}, temperature=0.2).double()


def contrast(folder, **settings) -> Trainer:
    """A contrastive loss, batch statistics, a temperature, zeros that stay, and 5 held-out samples too many."""
    model = prune_weights(seeded(Encoder, dtype=torch.float64), 0.5)
    return Trainer(model, contrastive(), views(50, 0), config(**settings), held_out=views(2 * PER_BATCH + 5, 1), folder=folder)


def reconstruct(folder, **settings) -> Trainer:
    """Numbers that stand alone, under accumulation."""
    model = seeded(lambda: Encoder(norm=None), dtype=torch.float64)
    return Trainer(model, Reconstruction("first"), views(50, 0), config(**settings), held_out=views(21, 1), folder=folder)


RUNS = {
    "contrast": (contrast, {}),
    "recomputed": (contrast, {"activation_checkpointing": True}),
    "muon": (contrast, {"optimizer": "muon"}),
    "accumulated": (reconstruct, {"accumulation": 2}),
}


def outcome(trainer: Trainer) -> dict:
    """Weights as a whole; buffers and evaluations as each rank has them."""
    weights = {name: unsharded(p.detach()).tolist() for name, p in trainer.module.named_parameters()}
    buffers = {name: b.tolist() for name, b in trainer.module.named_buffers()}
    evaluations = [r["evaluation"]["loss"] for r in trainer.history.records if "evaluation" in r]
    return {"weights": weights, "buffers": trainer.world.gather(buffers), "evaluations": trainer.world.gather(evaluations),
            "losses": [r["loss"] for r in trainer.history.records if "loss" in r]}


def run(kind: str, parallel: str, folder: Path) -> dict:
    build, settings = RUNS[kind]
    settings = {"steps": STEPS, "batch_size": PER_BATCH, "learning_rate": 2e-3, "eps": 1e-6, "weight_decay": 0.01,
                "gradient_clipping": 0.5, "evaluate_every": 4, "checkpoint_every": 5, "keep_last": 9, "parallel": parallel, **settings}
    trainer = build(folder, **settings)
    trainer.fit()
    found = outcome(trainer)
    saved, _ = load_checkpoint(folder / "checkpoints" / f"step-{STEPS:08d}")
    found["saved"] = {f"{group}.{name}": tensor.tolist() for group in ("model", "objective")
                      for name, tensor in saved.get(group, {}).items()}
    again = build(folder / "again", **settings)
    place = folder / "again" / "checkpoints"
    again.world.on_first(lambda: shutil.copytree(folder / "checkpoints" / "step-00000005", place / "step-00000005"))
    again.fit()
    found["again"] = outcome(again)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, kinds = Path(sys.argv[1]), sys.argv[2].split()
    found = {f"{kind} {parallel}": run(kind, parallel, folder / f"{kind}-{parallel}") for kind in kinds for parallel in ("ddp", "fsdp")}
    rank = int(os.environ.get("RANK", "0"))
    if torch.distributed.is_initialized():
        try:
            first_row(3 + rank)
        except ValueError as error:
            found["unequal"] = str(error)
    if rank == 0:
        (folder / "result.json").write_text(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)
