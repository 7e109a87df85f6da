"""Connectionist temporal classification: transcripts are learned that do not say what was when.

Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification: labelling
unsegmented sequence data with recurrent neural networks", ICML 2006. At each frame the model says a
symbol or nothing, the blank; a transcript's probability is the sum over all ways to say it, where a
symbol may last several frames and blanks may stand between.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.source import UNSCORED, Samples
from ..models.frames import Frames
from ..validation import require_at_least, require_kinds
from .base import Batch, Objective, take_column
from .sound import LENGTHS, heard_of

BLANK = 0
SEQUENCES = "sequences"


@dataclass(frozen=True)
class CTCConfig:
    """Settings of `CTC`.

    Attributes:
        num_symbols: number of symbols, which are 1, 2, …; 0 is the blank.
        column: what is heard.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    num_symbols: int
    column: str = "features"

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, 1, "num_symbols")


class CTC(Objective):
    """−log of a transcript's probability, averaged over the symbols of all transcripts.

    The model is a `Transcriber`. The source has the columns `lengths`, (B,), and `sequences`,
    (B, U): symbols 1, 2, …, and −100 behind the last.

    Args:
        num_symbols: number of symbols.
        column: what is heard.

    Raises:
        ValueError: naming the argument, its value and what is allowed; of a sample whose transcript
            is empty, or longer than its frames can say, the sample.
    """

    config_class = CTCConfig

    def __init__(self, num_symbols: int, column: str = "features"):
        CTCConfig(num_symbols, column)  # which refuses what is not allowed
        super().__init__()
        self.num_symbols = num_symbols
        self.column = column

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        heard, lengths = heard_of(samples, self.column)
        transcript = take_column(samples, SEQUENCES).long()  # (B, U)
        self.check(transcript, keys)
        return Batch({self.column: heard, LENGTHS: lengths}, {SEQUENCES: transcript},
                     {"ctc": int((transcript != UNSCORED).sum())})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        answer = model(batch.inputs[self.column], batch.inputs[LENGTHS])
        expected = self.num_symbols + 1
        if not isinstance(answer, Frames) or answer.vectors.shape[2] != expected:
            raise ValueError(f"{type(model).__name__} must answer with {expected} scores a frame, "
                             f"of the blank and {self.num_symbols} symbols: give a Transcriber of "
                             "as many")
        transcript, frames = batch.targets[SEQUENCES], answer.mask.sum(1)  # (B, U), (B,)
        require_time(transcript, frames, batch.samples)
        logits = answer.vectors.to(torch.promote_types(answer.vectors.dtype, torch.float32))
        log_probs = logits.log_softmax(2).transpose(0, 1)  # (T′, B, 1 + symbols)
        symbols = (transcript != UNSCORED).sum(1)
        loss = F.ctc_loss(log_probs, transcript.clamp(min=BLANK), frames, symbols, BLANK,
                          reduction="sum")
        return {"ctc": loss}

    def check(self, transcript: Tensor, keys: Keys) -> None:
        """Raises where a transcript is empty, or holds what is no symbol."""
        given = transcript != UNSCORED
        strange = given & ((transcript < 1) | (transcript > self.num_symbols))
        behind = given & (given.long().cumprod(1) == 0)
        for wrong, said in ((~given.any(1), "has an empty transcript"),
                            (behind.any(1), f"has {UNSCORED} within its transcript"),
                            (strange.any(1), f"has a symbol outside 1 to {self.num_symbols} in its "
                                             f"transcript, where {BLANK} is the blank")):
            if wrong.any():
                raise ValueError(f"sample {keys.sample[int(wrong.long().argmax())]} {said}")


def require_time(transcript: Tensor, frames: Tensor, samples: np.ndarray) -> None:
    """Raises where a transcript is longer than its frames can say: its probability would be 0.

    Args:
        transcript: (B, U), −100 behind the last symbol.
        frames: (B,) how many frames each sample has.
        samples: (B,) their ids.
    """
    given = transcript != UNSCORED
    repeats = ((transcript[:, 1:] == transcript[:, :-1]) & given[:, 1:]).sum(1)
    needed = given.sum(1) + repeats  # (B,)
    short = needed > frames
    if short.any():
        row = int(short.long().argmax())
        name = f"sample {samples[row]}" if len(samples) else f"row {row}"
        raise ValueError(
            f"the transcript of {name} has {int(given[row].sum())} symbols, which take at least "
            f"{int(needed[row])} frames, a blank between two that are the same, and it has "
            f"{int(frames[row])}: take a model with a smaller stride, or leave the sample out")


# -------------------------------------------------------------- the recursion, as it is derived


def ctc_log_likelihood(log_probs: Tensor, symbols: Sequence[int]) -> Tensor:
    """log P(symbols): the log of the sum over all paths that collapse to them.

    The symbols with a blank before, between and behind them are the states. A path stays in its
    state, or goes on to the next, or leaves a blank out if the symbols beside it differ. The sum
    over all paths up to a frame that end in a state follows from those one frame earlier (Graves et
    al. 2006, section 4.1); here it is done in logarithms.

    Args:
        log_probs: (T, 1 + symbols) log-probabilities of the blank, 0, and of each symbol.
        symbols: U of them, 1, 2, …

    Returns:
        A scalar, −inf if T frames are too few.
    """
    states = torch.full((2 * len(symbols) + 1,), BLANK)
    states[1::2] = torch.as_tensor(symbols, dtype=torch.long)
    may_skip = torch.zeros(len(states), dtype=torch.bool)
    may_skip[2:] = (states[2:] != BLANK) & (states[2:] != states[:-2])
    alpha = log_probs.new_full((len(states),), -math.inf)
    alpha[:2] = log_probs[0, states[:2]]
    for frame in log_probs[1:]:
        one_before = F.pad(alpha, (1, 0), value=-math.inf)[:-1]
        two_before = F.pad(alpha, (2, 0), value=-math.inf)[:-2].masked_fill(~may_skip, -math.inf)
        alpha = torch.stack([alpha, one_before, two_before]).logsumexp(0) + frame[states]
    return alpha[-2:].logsumexp(0)


# -------------------------------------------------------------------------------------- decoding


def collapsed(path: Iterable[int]) -> list[int]:
    """What a path says: symbols that follow themselves are one, and blanks are left out."""
    return [symbol for symbol, _ in groupby(path) if symbol != BLANK]


def greedy_transcripts(frames: Frames) -> list[list[int]]:
    """What the likeliest path of each sound says; another transcript may have more paths.

    Args:
        frames: what a `Transcriber` answers.
    """
    best = frames.vectors.argmax(2)  # (B, T′)
    return [collapsed(path[real].tolist()) for path, real in zip(best, frames.mask, strict=True)]


def prefix_beam(log_probs: Tensor, width: int) -> tuple[list[int], float]:
    """The likeliest transcript that a search among prefixes finds, and its log-probability.

    The probability of having said a prefix is kept in two parts, paths that end in a blank and
    paths that end in its last symbol: only after a blank does the same symbol again lengthen it.
    After each frame the `width` likeliest prefixes stay. If all do, the answer is the likeliest of
    all transcripts; else its log-probability is a lower bound, for some paths are lost.

    Args:
        log_probs: (T, 1 + symbols) log-probabilities of the blank, 0, and of each symbol.
        width: prefixes to keep, at least 1.

    Source: Hannun, Maas, Jurafsky and Ng, "First-pass large vocabulary continuous speech
    recognition using bi-directional recurrent DNNs", 2014, without a language model.
    """
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    beam = {(): (0.0, -math.inf)}  # of each prefix, paths that end in a blank, and the others
    for frame in log_probs.tolist():
        longer: dict[tuple, list[float]] = defaultdict(lambda: [-math.inf, -math.inf])
        for prefix, (blank, symbol) in beam.items():
            both = log_add(blank, symbol)
            add(longer[prefix], 0, both + frame[BLANK])
            if prefix:
                add(longer[prefix], 1, symbol + frame[prefix[-1]])
            for new in range(1, len(frame)):
                before = blank if prefix and prefix[-1] == new else both
                if before > -math.inf:
                    add(longer[*prefix, new], 1, before + frame[new])
        best = sorted(longer, key=lambda prefix: log_add(*longer[prefix]), reverse=True)[:width]
        beam = {prefix: tuple(longer[prefix]) for prefix in best}
    best = max(beam, key=lambda prefix: log_add(*beam[prefix]))
    return list(best), log_add(*beam[best])


def log_add(a: float, b: float) -> float:
    """log(exp a + exp b)."""
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def add(parts: list[float], which: int, log_probability: float) -> None:
    parts[which] = log_add(parts[which], log_probability)
