"""What objectives on sound are tested with; and one of two ranks of them, started by test_sounds.py.

    python sounds.py FOLDER RANK

Each leaves FOLDER/RANK.json.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

import pretrain_lib as pl
from pretrain_lib.data.keys import Keys
from pretrain_lib.objectives.base import Step, weighted_mean

SAMPLES, STEPS, MELS, SYMBOLS, CLUSTERS = 6, 40, 5, 4, 7
LENGTHS = [40, 27, 33, 21, 38, 30]
FRONT = {"num_mel_bins": MELS, "conv_dim": (6,), "conv_kernel": (3,), "conv_stride": (2,)}


def apart():
    return pl.AcousticLSTM(pl.AcousticLSTMConfig(**FRONT, hidden_size=5, num_hidden_layers=1, directions="apart"))


def blstm():
    return pl.AcousticLSTM(pl.AcousticLSTMConfig(**FRONT, hidden_size=5))


def transformer():
    return pl.AcousticTransformer(pl.AcousticTransformerConfig(**FRONT, hidden_size=8, num_hidden_layers=2, num_attention_heads=2))


def transcriber():
    model = pl.Transcriber(blstm(), SYMBOLS)
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(3))
    return model


CASES = {
    "features": (transformer, lambda: pl.MaskedFrames(8, 2 * MELS)),
    "clusters": (blstm, lambda: pl.MaskedFrames(10, CLUSTERS, "clusters", span=3)),
    "same": (apart, lambda: pl.ContrastivePrediction(6, 5, 3, 8)),
    "other": (apart, lambda: pl.ContrastivePrediction(6, 5, 3, 8, "other")),
    "ctc": (transcriber, lambda: pl.CTC(SYMBOLS)),
}


def sounds(filling=0.0, steps=STEPS, dtype=torch.float64):
    """Spectra with transcripts and clusters, in which padding holds `filling`."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(SAMPLES, STEPS, MELS, generator=generator, dtype=dtype)
    clusters = torch.randint(0, CLUSTERS, (SAMPLES, STEPS // 2), generator=generator)
    transcript = torch.randint(1, SYMBOLS + 1, (SAMPLES, 5), generator=generator)
    for row, said in enumerate([5, 2, 3, 1, 4, 5]):
        transcript[row, said:] = -100
    wide = torch.nn.functional.pad(features, (0, 0, 0, steps - STEPS))
    mask = torch.arange(steps) < torch.tensor(LENGTHS)[:, None]
    clusters = clusters.masked_fill(torch.arange(STEPS // 2) >= torch.tensor(LENGTHS)[:, None] // 2, -100)
    return pl.Columns(features=torch.where(mask[:, :, None], wide, torch.tensor(filling, dtype=dtype)),
                      lengths=torch.tensor(LENGTHS), clusters=clusters, sequences=transcript)


def outcome(name: str, source=None, ids=range(SAMPLES), ranks: int = 1) -> dict:
    """The loss, its counts and every gradient of some samples of a source."""
    model, objective = (build() for build in CASES[name])
    step = Step(model, objective).double().train()
    keys = Keys.of(0, ids)
    batch = objective.batch((source or sounds()).take(keys), keys)
    batch.samples = keys.sample
    counts = torch.tensor(list(batch.counts.values()), dtype=torch.float64)
    if ranks > 1:
        dist.all_reduce(counts)
    counts = dict(zip(batch.counts, counts.tolist()))
    loss = weighted_mean(step(batch), counts, objective.weights)
    loss.backward()
    gradients = {n: p.grad if p.grad is not None else torch.zeros_like(p) for n, p in step.named_parameters()}
    for tensor in (total := loss.detach().clone(), *gradients.values()):
        if ranks > 1:
            dist.all_reduce(tensor)
    return {"loss": total.item(), "counts": counts, "gradients": {n: g.flatten().tolist() for n, g in gradients.items()}}


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    half = SAMPLES // 2
    found = {name: outcome(name, ids=range(rank * half, (rank + 1) * half), ranks=2) for name in CASES}
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()
    os._exit(0)  # gloo's threads may still hold tensors
