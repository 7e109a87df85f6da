"""One rank of a run of several; started by test_several_ranks.py, under torchrun or alone.

    python several.py FOLDER PARALLEL DTYPE KIND STEPS [SPOILT_RANK]
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path

import torch
from toys import config

from pretrain_lib.data.source import Columns
from pretrain_lib.data.tokenizer import SpecialIds
from pretrain_lib.models.bert import BertConfig, BertForPreTraining
from pretrain_lib.objectives.bert_pretraining import BertPretraining
from pretrain_lib.objectives.masked_lm import MaskedLM
from pretrain_lib.training.distributed import whole
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


class Spoilt(BertPretraining):
    """On one rank the loss of update 7 is not a number."""

    rank, trainer = None, None

    def forward(self, model, batch):
        terms = super().forward(model, batch)
        if model.training and os.environ.get("RANK", "0") == self.rank:
            if self.trainer.step == 6:
                terms["masked_lm"] = terms["masked_lm"] * math.nan
        return terms


def build(folder: str, parallel: str, dtype: str, optimizer: str, steps: int) -> Trainer:
    shape = BertConfig(vocab_size=VOCABULARY, hidden_size=18, num_hidden_layers=2,
                       num_attention_heads=2, intermediate_size=30, max_position_embeddings=LENGTH,
                       hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    settings = config(steps=steps, batch_size=16, accumulation=2, learning_rate=2e-3, eps=1e-6,
                      optimizer=optimizer, schedule="constant", weight_decay=0.01,
                      gradient_clipping=1.0, checkpoint_every=5, evaluate_every=25,
                      parallel=parallel)
    model = BertForPreTraining(shape).to(getattr(torch, dtype))
    objective = Spoilt(MaskedLM(SpecialIds(0, 1, 2, 3, 4), VOCABULARY, rate=0.3))
    return Trainer(model, objective, texts(50, 0), settings, held_out=texts(21, 1), folder=folder)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, parallel, dtype, optimizer, steps, *spoilt = sys.argv[1:]
    Spoilt.rank = spoilt[0] if spoilt else None
    trainer = build(folder, parallel, dtype, optimizer, int(steps))
    Spoilt.trainer = trainer
    status = 0
    try:
        trainer.fit()
        weights = {name: whole(p.detach()).double().flatten().tolist()
                   for name, p in trainer.module.named_parameters()}
        if trainer.world.first:
            log = [{k: v for k, v in record.items() if k != "samples_per_second"}
                   for record in read_log(Path(folder) / "log.jsonl")]
            Path(folder, "result.json").write_text(json.dumps({"weights": weights, "log": log}))
    except NonFiniteError as error:
        print(f"rank {trainer.world.rank} says: {error}", flush=True)
        status = 3
    sys.stdout.flush()
    os._exit(status)
