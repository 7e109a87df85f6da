"""Where the time of a masked-language-modelling step goes: products, step, loop, trainer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import nn

from ..data.keys import Keys
from ..data.source import Columns
from ..data.text.tokenizer import SpecialIds
from ..models.bert import BertConfig, BertForMaskedLM
from ..models.modern import ModernBertConfig, ModernBertForMaskedLM
from ..objectives.base import Batch
from ..objectives.masked_lm import MaskedLM
from ..objectives.text import token_loss
from ..training.config import TrainConfig
from ..training.log import History
from ..training.trainer import Trainer
from .products import Products, alone
from .timing import interleaved, ratio

SPECIAL = SpecialIds(0, 1, 2, 3, 4)


@dataclass(frozen=True)
class Size:
    """What is timed.

    Attributes:
        form: "bert" or "modernbert".
        layers: number of blocks.
        hidden_size: D; feed-forward layers are 4 D wide in a BERT, 2 D and gated in a ModernBERT.
        length: T.
        batch_size: sequences in a step.
        vocab_size: V.
        ragged: whether sequences are from T/4 to T long and padded, or all full.
    """

    form: str = "bert"
    layers: int = 4
    hidden_size: int = 256
    length: int = 128
    batch_size: int = 32
    vocab_size: int = 8192
    ragged: bool = False

    def model(self) -> nn.Module:
        """The model, without dropout."""
        shape = {"vocab_size": self.vocab_size, "hidden_size": self.hidden_size,
                 "num_hidden_layers": self.layers, "max_position_embeddings": self.length,
                 "num_attention_heads": max(1, self.hidden_size // 64)}
        if self.form == "modernbert":
            config = ModernBertConfig(intermediate_size=2 * self.hidden_size, **shape)
            return ModernBertForMaskedLM(config)
        config = BertConfig(intermediate_size=4 * self.hidden_size, hidden_dropout_prob=0.0,
                            attention_probs_dropout_prob=0.0, **shape)
        return BertForMaskedLM(config)

    def texts(self, samples: int) -> Columns:
        """Random texts, as blocks would hold them."""
        generator = torch.Generator().manual_seed(0)
        input_ids = torch.randint(5, self.vocab_size, (samples, self.length), generator=generator)
        shortest = self.length // 4 if self.ragged else self.length
        lengths = torch.randint(shortest, self.length + 1, (samples, 1), generator=generator)
        mask = (torch.arange(self.length) < lengths).long()
        return Columns(input_ids=input_ids * mask, attention_mask=mask)

    def batch(self) -> Batch:
        """One masked batch."""
        keys = Keys.of(0, self.batch_size)
        return self.objective().batch(self.texts(self.batch_size).take(keys), keys)

    def objective(self) -> MaskedLM:
        """15 of 100 tokens, 80/10/10."""
        return MaskedLM(SPECIAL, self.vocab_size)

    def __str__(self) -> str:
        ragged = ", ragged" if self.ragged else ""
        return (f"{self.form} {self.layers}×{self.hidden_size}, T={self.length}, "
                f"B={self.batch_size}{ragged}")


def step_of(model: nn.Module, batch: Batch):
    """One update from a batch that is there already: forwards, backwards, clipped, AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    labels = batch.targets["labels"]

    def step() -> None:
        loss = token_loss(model(**batch.inputs), labels) / batch.counts["masked_lm"]
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def bare_loop(size: Size, steps: int):
    """Some updates by a loop of a few lines, with the same masking and order as the trainer's."""
    model, objective, texts = size.model(), size.objective(), size.texts(4 * size.batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def loop() -> None:
        for number in range(steps):
            ids = [(number * size.batch_size + i) % len(texts) for i in range(size.batch_size)]
            keys = Keys.of(0, ids)
            batch = objective.batch(texts.take(keys), keys)
            loss = objective(model, batch)["masked_lm"] / batch.counts["masked_lm"]
            loss.backward()
            loss.item()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return loop


def trainer_loop(size: Size, steps: int):
    """The same updates by the trainer."""
    model, objective, texts = size.model(), size.objective(), size.texts(4 * size.batch_size)
    config = TrainConfig(steps=steps, batch_size=size.batch_size, learning_rate=1e-4, device="cpu",
                         schedule="constant", gradient_clipping=1.0, precision="fp32")

    def loop() -> History:
        return Trainer(model, objective, texts, replace(config)).fit()

    return loop


def measure(size: Size, rounds: int = 7, steps: int = 3) -> dict[str, float]:
    """Tokens a second; of a step the share of products; of the trainer, a loop's and waiting's."""
    model, batch = size.model(), size.batch()
    with Products() as products:
        token_loss(model(**batch.inputs), batch.targets["labels"]).backward()
    model.zero_grad(set_to_none=True)
    train = trainer_loop(size, steps)
    seconds = interleaved({"step": step_of(model, batch), "products": alone(products.shapes),
                           "bare loop": bare_loop(size, steps), "trainer": train}, rounds)
    mask = batch.inputs.get("attention_mask")
    tokens = size.batch_size * size.length if mask is None else int((mask > 0).sum())
    return {"tokens_per_second": tokens / median(seconds["step"]),
            "products_share": 1 / ratio(seconds, "step", "products"),
            "gigaflops_per_second": products.flops / median(seconds["step"]) / 1e9,
            "trainer_over_loop": ratio(seconds, "trainer", "bare loop"),
            "data_wait": median(r["data_wait"] for r in train().records)}
