"""From the BERT of 2018 to today's recipe, one change a rung, the learning rate chosen anew on each."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain_lib import BertConfig, BertForMaskedLM, MaskedLM, ModernBertConfig, ModernBertForMaskedLM, TrainConfig, Trainer
from pretrain_lib.evaluation.counting import TwoSidedBigram, Unigram, WithOwnToken, token_counts
from pretrain_lib.data.text.packing import PackedBlocks
from pretrain_lib.data.text.text_data import TextConfig, prepared, split_documents
from pretrain_lib.data.text.token_dataset import TokenDataset
from pretrain_lib.data.text.tokenizer import special_ids
from pretrain_lib.evaluation.masked import MaskedSet, masked_scores
from pretrain_lib.evaluation.common_blanks import NAME, load_common_blanks
from pretrain_lib.models.init import initialise, start_at_unigram
from pretrain_lib.models.layers import Attention, FeedForward, GatedFeedForward, at_positions, rotation, visible

TITLE = "Held-out masked loss after equally many tokens, from the BERT of 2018 to today's recipe, one change a rung"

PREDICTION = """(Written before it was measured. A search with one seed on other speeches, docs/recipe-search.md, had seen most of these
changes, but cumulated in another order, and not each with a learning rate of its own.) 1. The BERT of 2018 stays above the unigram that
sees its own token: it is on the plateau. 2. Three changes are worth more than 0.2 nats each: narrow windows in two layers, Muon,
and hiding 40 of 100 tokens. 3. Rotary positions alone do not leave the plateau, nor do pre-LN, GeGLU and the missing biases: each of them is
worth less than 0.2 nats here. 4. Only the last rung is below the two-sided bigram counts, if any is."""

SEEDS = (51, 52, 53)
SEARCH_SEED = 7
LAYERS, WIDTH, HEADS = 4, 128, 4
STEPS, BATCH, LENGTH = 240, 8, 128
EVERY = 4  # of the blocks with committed blanks, every fourth is scored
RATES = {"adamw": (1e-3, 3e-3), "muon": (3e-3, 1e-2)}


@dataclass(frozen=True)
class Rung:
    """One recipe; each field is a change.

    Attributes:
        unigram: whether the output's bias starts at the log-frequencies of the tokens.
        rotary: rotary positions in place of a table.
        pre_norm: normalisation before each part, and one behind the last, in place of one after each.
        gated: GeGLU feed-forward layers two thirds as wide, and no biases but the output's.
        narrow: layers, from the bottom, in which a token sees one neighbour on either side.
        optimizer: what trains it.
        rate: share of the tokens that is hidden in training.
    """

    unigram: bool = False
    rotary: bool = False
    pre_norm: bool = False
    gated: bool = False
    narrow: int = 0
    optimizer: str = "adamw"
    rate: float = 0.15


CHANGES = {
    "BERT, 2018": {},
    "output starts at unigram": {"unigram": True},
    "rotary positions": {"rotary": True},
    "pre-LN": {"pre_norm": True},
    "GeGLU, no biases": {"gated": True},
    "two narrow layers": {"narrow": 2},
    "Muon": {"optimizer": "muon"},
    "40 % hidden": {"rate": 0.4},
}


def rungs() -> dict[str, Rung]:
    """The rungs from the bottom up; each has its change and all those below it."""
    rung, ladder = Rung(), {}
    for name, change in CHANGES.items():
        rung = replace(rung, **change)
        ladder[name] = rung
    return ladder


class Layer(nn.Module):
    """Attention and a feed-forward layer, normalised before or after."""

    def __init__(self, rung: Rung, number: int):
        super().__init__()
        self.pre_norm = rung.pre_norm
        self.attention = Attention(WIDTH, HEADS, bias=not rung.gated, dropout=0.0)
        self.feed_forward = GatedFeedForward(WIDTH, 2 * WIDTH, 0.0) if rung.gated else FeedForward(WIDTH, 4 * WIDTH)
        first = rung.pre_norm and number == 0  # the embeddings are normalised already
        self.attention_norm = nn.Identity() if first else nn.LayerNorm(WIDTH, bias=not rung.gated)
        self.feed_forward_norm = nn.LayerNorm(WIDTH, bias=not rung.gated)

    def forward(self, x: Tensor, mask: Tensor | None, by) -> Tensor:
        if self.pre_norm:
            x = x + self.attention(self.attention_norm(x), mask, by)
            return x + self.feed_forward(self.feed_forward_norm(x))
        x = self.attention_norm(x + self.attention(x, mask, by))
        return self.feed_forward_norm(x + self.feed_forward(x))  # (B, T, D)


class Encoder(nn.Module):
    """A masked language model on any rung; BERT's shape on the lowest, ModernBERT's from "GeGLU, no biases" on."""

    def __init__(self, rung: Rung, vocab_size: int, seed: int):
        super().__init__()
        self.rung = rung
        self.word = nn.Embedding(vocab_size, WIDTH)
        self.position = None if rung.rotary else nn.Embedding(LENGTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, bias=not rung.gated)
        self.layers = nn.ModuleList(Layer(rung, number) for number in range(LAYERS))
        self.last_norm = nn.LayerNorm(WIDTH, bias=not rung.gated) if rung.pre_norm else nn.Identity()
        self.dense = nn.Linear(WIDTH, WIDTH, bias=not rung.gated)
        self.head_norm = nn.LayerNorm(WIDTH, bias=not rung.gated)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        initialise(self, "truncated_normal", seed, std=0.02)
        if rung.pre_norm:  # what is added to the sum starts smaller, so that the sum keeps its size
            for layer in self.layers:
                for into_sum in (layer.attention.output, layer.feed_forward.down):
                    into_sum.weight.data.mul_((2 * LAYERS) ** -0.5)

    def forward(self, input_ids: Tensor, attention_mask=None, position_ids=None, positions=None) -> Tensor:
        """Logits (B, S, V) at `positions`."""
        length = input_ids.shape[1]
        if position_ids is None:
            position_ids = torch.arange(length)[None]
        x = self.word(input_ids)
        x = self.norm(x if self.rung.rotary else x + self.position(position_ids))
        by = rotation(position_ids, WIDTH // HEADS, 10_000.0, x.dtype) if self.rung.rotary else None
        for number, layer in enumerate(self.layers):
            x = layer(x, visible(attention_mask, length, 1 if number < self.rung.narrow else None), by)
        x = self.head_norm(F.gelu(self.dense(at_positions(self.last_norm(x), positions))))
        return F.linear(x, self.word.weight, self.bias)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def same_shape_as_the_library(vocab_size: int) -> bool:
    """Whether the lowest rung has BERT's parameters (but for segments), and the highest ModernBERT's."""
    shape = {"vocab_size": vocab_size, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
             "max_position_embeddings": LENGTH}
    first, *_, last = (Encoder(rung, vocab_size, 0) for rung in rungs().values())
    bert = BertForMaskedLM(BertConfig(intermediate_size=4 * WIDTH, type_vocab_size=1, **shape))
    modern = ModernBertForMaskedLM(ModernBertConfig(intermediate_size=2 * WIDTH, **shape))
    return parameters(first) == parameters(bert) - WIDTH and parameters(last) == parameters(modern)


@dataclass(frozen=True)
class Task:
    """What every run shares.

    Attributes:
        tokenizer: of all texts.
        training: the speeches to train on.
        choice: blanks in other speeches of the training part, on which learning rates are chosen.
        blanks: the common blanks, or every few of them.
    """

    tokenizer: object
    training: TokenDataset
    choice: MaskedSet
    blanks: MaskedSet

    @classmethod
    def open(cls, folder: Path, small: bool) -> Task:
        _, tokenizer, blanks = load_common_blanks()
        _, dataset = prepared(TextConfig(), folder / "run")
        training, _ = split_documents(dataset, NAME)
        numbers = range(training.num_documents)
        aside = PackedBlocks(training.subset([i for i in numbers if i % 40 == 0]), LENGTH, special_ids(tokenizer))
        choice = MaskedSet.draw(aside, MaskedLM.of(tokenizer), range(8 if small else 256))
        return cls(tokenizer, training.subset([i for i in numbers if i % 40]), choice, blanks.every(64 if small else EVERY))

    def counted(self) -> dict[str, Unigram | TwoSidedBigram]:
        vocab_size = self.tokenizer.get_vocab_size()
        return {"unigram": Unigram(token_counts(self.training, vocab_size)),
                "bigram": TwoSidedBigram(self.training, vocab_size, special_ids(self.tokenizer))}

    def train(self, rung: Rung, learning_rate: float, seed: int, steps: int) -> Encoder:
        """One run."""
        model = Encoder(rung, self.tokenizer.get_vocab_size(), seed)
        if rung.unigram:
            start_at_unigram(model.bias, token_counts(self.training, self.tokenizer.get_vocab_size()))
        config = TrainConfig(steps=steps, batch_size=BATCH, optimizer=rung.optimizer, learning_rate=learning_rate, betas=(0.9, 0.98),
                             weight_decay=0.01, schedule="linear", warmup_steps=max(1, steps // 20), gradient_clipping=1.0,
                             seed=seed, precision="fp32", device="cpu")
        blocks = PackedBlocks(self.training, LENGTH, special_ids(self.tokenizer))
        Trainer(model, MaskedLM.of(self.tokenizer, rate=rung.rate), blocks, config).fit()
        return model

    def measure(self, rung: Rung, rates, seeds, steps: int) -> dict:
        """The learning rates tried, the best of them, and with it the loss and accuracy of each seed."""
        search = {rate: masked_scores(self.train(rung, rate, SEARCH_SEED, steps), self.choice).loss for rate in rates}
        best = min(search, key=search.get)
        scores = [masked_scores(self.train(rung, best, seed, steps), self.blanks) for seed in seeds]
        return {"learning_rate": best, "search": {str(rate): found for rate, found in search.items()}, "losses": [s.loss for s in scores],
                "accuracies": [s.accuracy for s in scores]}


def run(scale: str) -> dict:
    """For each rung: the learning rates tried, on speeches set apart, and the loss of each seed on the committed blanks."""
    small = scale == "smoke"
    steps, seeds = (2, SEEDS[:1]) if small else (STEPS, SEEDS)
    with tempfile.TemporaryDirectory() as folder:
        task = Task.open(Path(folder), small)
        assert same_shape_as_the_library(task.tokenizer.get_vocab_size())
        counted, mask = task.counted(), special_ids(task.tokenizer).mask
        lines = {name: masked_scores(model, task.blanks).loss for name, model in counted.items()}
        lines |= {f"{name}, own token": masked_scores(WithOwnToken(model, mask), task.blanks).loss
                  for name, model in counted.items()}
        measured = {}
        for name, rung in rungs().items():
            measured[name] = task.measure(rung, RATES[rung.optimizer][: 1 if small else 2], seeds, steps)
            print(name, measured[name], flush=True)
    return {"tokens": steps * BATCH * LENGTH, "lines": lines, "rungs": measured, "blanks": task.blanks.blanks}


def verdict(measured: dict) -> str:
    """What came out, in a few sentences."""
    said, lines = {True: "held", False: "failed"}, measured["lines"]
    loss = {name: mean(rung["losses"]) for name, rung in measured["rungs"].items()}
    names = list(loss)
    gain = {name: loss[before] - loss[name] for before, name in zip(names, names[1:])}
    large, small = ("two narrow layers", "Muon", "40 % hidden"), ("rotary positions", "pre-LN", "GeGLU, no biases")
    told = ", ".join(f"{name} {value:.2f}" for name, value in loss.items())
    below = [name for name in names if loss[name] < lines["bigram"]]
    return (f"Nats after {measured['tokens']:,} tokens, means over seeds: {told}; unigram {lines['unigram']:.2f} "
            f"({lines['unigram, own token']:.2f} with its own token), bigram {lines['bigram']:.2f}. "
            f"1. BERT of 2018 above the unigram that sees its own token: {said[loss[names[0]] > lines['unigram, own token']]}. "
            f"2. Narrow layers, Muon and 40 % worth more than 0.2 nats each: {said[all(gain[name] > 0.2 for name in large)]}. "
            f"3. Rotary positions, pre-LN and GeGLU less: {said[all(abs(gain[name]) < 0.2 for name in small)]}. "
            f"4. None but the last below the bigram counts: {said[set(below) <= {names[-1]}]}.")
