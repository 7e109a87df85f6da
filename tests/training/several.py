"""One rank of a run of several; started by test_several_ranks.py, under torchrun or alone.

    python several.py FOLDER PARALLEL DTYPE OPTIMIZER PRECISION TROUBLES

TROUBLES is a JSON list; each life of the run takes the next, as [what, rank, update]: a signal sent to
itself in the forward pass of that update ("KILL", "TERM", "INT", and "INT twice"), a SIGKILL while its
checkpoint is being written ("save"), a full disk for its files from then on ("disk"), a loss that is not
a number ("nan"), or a clock of the wall that jumps back by a day ("clock").
"""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import sys
import time
from pathlib import Path

import torch
from toys import config

from pretrain_lib.data.source import Columns
from pretrain_lib.data.text.tokenizer import SpecialIds
from pretrain_lib.models.bert import BertConfig, BertForPreTraining
from pretrain_lib.objectives.bert_pretraining import BertPretraining
from pretrain_lib.objectives.masked_lm import MaskedLM
from pretrain_lib.training import checkpoint
from pretrain_lib.training.distributed import PeerError, unsharded
from pretrain_lib.training.finite import NonFiniteError
from pretrain_lib.training.log import read_log
from pretrain_lib.training.trainer import Trainer

VOCABULARY, LENGTH = 40, 12


def texts(n: int, seed: int) -> Columns:
    """Pairs of segments of ragged lengths."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(4, LENGTH + 1, (n, 1), generator=generator)
    mask = (torch.arange(LENGTH) < lengths).long()
    return Columns(input_ids=torch.randint(5, VOCABULARY, (n, LENGTH), generator=generator) * mask,
                   attention_mask=mask, token_type_ids=torch.zeros_like(mask),
                   next_sentence_label=torch.randint(0, 2, (n,), generator=generator))


class Troubled(BertPretraining):
    """What may happen to one rank."""

    trainer: Trainer | None = None
    trouble: list = ["none", 0, 0]

    def forward(self, model, batch):
        terms = super().forward(model, batch)
        what, rank, update = self.trouble
        at = self.trainer is not None and model.training and self.trainer.world.rank == rank
        if at and self.trainer.step + 1 == update:
            if what == "nan":
                terms["masked_lm"] = terms["masked_lm"] * math.nan
            elif what == "clock":
                now = time.time
                time.time = lambda: now() - 86_400
            elif what in ("KILL", "TERM", "INT", "INT twice"):
                self.trouble = ["none", 0, 0]  # an update has two forward passes
                if what == "KILL":
                    print(f"killed: rank {rank} in update {update}", flush=True)
                for _ in range(2 if what == "INT twice" else 1):
                    os.kill(os.getpid(), getattr(signal, f"SIG{what.split()[0]}"))
        return terms


def die_while_saving(rank: int, update: int) -> None:
    """Lets this rank be killed when its own files are written and the checkpoint is not in place."""
    write = checkpoint._write

    def write_and_die(place, tensors, world):
        manifest = write(place, tensors, world)
        if world.rank == rank and Troubled.trainer.step >= update:
            print(f"killed: rank {rank} while saving", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return manifest

    checkpoint._write = write_and_die


def find_the_disk_full(rank: int, update: int) -> None:
    """Lets this rank find no room for its files from that update on."""
    write = checkpoint._write

    def write_or_not(place, tensors, world):
        if world.rank == rank and Troubled.trainer.step >= update:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))
        return write(place, tensors, world)

    checkpoint._write = write_or_not


def build(folder: str, parallel: str, dtype: str, optimizer: str, precision: str) -> Trainer:
    shape = BertConfig(vocab_size=VOCABULARY, hidden_size=18, num_hidden_layers=2,
                       num_attention_heads=2, intermediate_size=30, max_position_embeddings=LENGTH,
                       hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    settings = config(steps=50, batch_size=16, accumulation=2, learning_rate=2e-3, eps=1e-6,
                      optimizer=optimizer, schedule="constant", weight_decay=0.01,
                      gradient_clipping=1.0, checkpoint_every=5, evaluate_every=25,
                      parallel=parallel, precision=precision)
    model = BertForPreTraining(shape).to(getattr(torch, dtype))
    objective = Troubled(MaskedLM(SpecialIds(0, 1, 2, 3, 4), VOCABULARY, rate=0.3))
    return Trainer(model, objective, texts(50, 0), settings, held_out=texts(21, 1), folder=folder)


if __name__ == "__main__":
    torch.set_num_threads(1)
    *settings, troubles = sys.argv[1:]
    folder = settings[0]
    trainer = build(*settings)
    life = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    if trouble := json.loads(troubles)[life:life + 1]:
        Troubled.trouble = trouble[0]
        if trouble[0][0] == "save":
            die_while_saving(*trouble[0][1:])
        if trouble[0][0] == "disk":
            find_the_disk_full(*trouble[0][1:])
    Troubled.trainer = trainer
    status = 0
    try:
        trainer.fit()
        weights = {name: unsharded(p.detach()).double().flatten().tolist()
                   for name, p in trainer.module.named_parameters()}
        if trainer.world.first:
            log = [{k: v for k, v in record.items() if k not in ("samples_per_second", "data_wait")}
                   for record in read_log(Path(folder) / "log.jsonl")]
            Path(folder, "result.json").write_text(json.dumps({"weights": weights, "log": log}))
    except (NonFiniteError, checkpoint.CheckpointError, PeerError) as error:
        print(f"rank {trainer.world.rank} says: {error}", flush=True)
        status = 3
    except KeyboardInterrupt as stop:
        print(f"rank {trainer.world.rank}: {stop}", flush=True)
        status = 130
    sys.stdout.flush()
    os._exit(status)
