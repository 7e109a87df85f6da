"""Masked language modelling: hide some tokens of a text, predict them from the rest.

Devlin et al., NAACL 2019, section 3.1 (single tokens); whole words, as in the authors' later code;
spans as in Joshi et al., "SpanBERT", TACL 2020, section 3.1; entities as in Sun et al., "ERNIE:
Enhanced representation through knowledge integration", 2019, section 3.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.source import UNSCORED, Samples
from ..data.text.tokenizer import SpecialIds, continues_word, special_ids, vocabulary_size
from ..models.layers import require_known
from ..validation import require, require_kinds
from .base import Batch, Objective, take_column
from .text import require_head, require_vocabulary, text_inputs, token_loss

Unit = Literal["token", "word", "span", "entity"]
LONGEST_SPAN = 10
LONGEST = {"token": 1, "word": 8, "span": 8 + LONGEST_SPAN, "entity": 8 + LONGEST_SPAN}  # tokens
SPAN_ENDS = 0.2
OF_WORDS = ("word", "span")
ENOUGH = 20  # expected blanks of a batch, above which there are some
ROUNDING = 1e-9


@dataclass(frozen=True)
class MaskedLMConfig:
    """What is hidden of a text.

    Attributes:
        rate: share of the tokens that is hidden, between 0 and 1.
        unit: what is hidden as a whole: a token, a word (`continues_word` says what a tokenizer
            makes one of: a character in Chinese, or a clause), a span of words, or an entity, which
            the column `entities` of the samples numbers token by token; a token outside of all of
            them, -1, is hidden alone.
        masked: share of the hidden tokens that become [MASK].
        random: share of them that become a random token; the rest stay as they are.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    rate: float = 0.15
    unit: Unit = "token"
    masked: float = 0.8
    random: float = 0.1

    def __post_init__(self):
        require_kinds(self)
        require(0 < self.rate < 1, "rate", self.rate, "above 0 and below 1")
        require(0 <= self.masked <= 1, "masked", self.masked, "between 0 and 1")
        most = max(1 - self.masked, 0.0)
        require(0 <= self.random <= most + ROUNDING, "random", self.random,
                f"between 0 and {most:g}, what masked={self.masked} leaves")

    @property
    def replace(self) -> tuple[float, float, float]:
        """Shares of the hidden tokens that become [MASK], become random, and stay."""
        return self.masked, self.random, max(1 - self.masked - self.random, 0.0)


class Masked(NamedTuple):
    """What masking leaves of a batch.

    Attributes:
        input_ids: (B, T) the corrupted tokens.
        positions: (B, S) the positions chosen; 0 in slots that are not used.
        labels: (B, S) the tokens that stood there; -100 in slots that are not used.
    """

    input_ids: Tensor
    positions: Tensor
    labels: Tensor


def choose_positions(keys: Keys, units: Tensor, rate: float, slots: int) -> tuple[Tensor, Tensor]:
    """Chooses whole units at random until a share of the tokens is reached.

    Of a sequence with n tokens that may be chosen, rate · n are, rounded up or down at random so
    that the expected number is exactly this. Units are drawn without replacement; the one that
    crosses the target is taken with the probability that keeps the expectation, and left out if it
    does not fit in the slots.

    Args:
        keys: keys of B samples.
        units: (B, T) number of the unit each token belongs to, from 0 to T - 1; -1 where it may not
            be chosen.
        rate: share of the tokens to choose.
        slots: S, the most tokens to choose from one sequence.

    Returns:
        positions (B, S) in rising order, 0 where unused; and used (B, S) bool.
    """
    batch, length = units.shape
    allowed = units >= 0
    own = units.clamp(min=0)
    priority = keys.uniform("unit", (length,)).double()  # one number a unit, (B, T)
    size = torch.zeros(batch, length, dtype=torch.double).scatter_add_(1, own, allowed.double())
    order = priority.masked_fill(size == 0, 2.0).argsort(dim=1, stable=True)  # units, (B, T)
    end = size.gather(1, order).cumsum(1)  # tokens up to and with each unit
    start = end - size.gather(1, order)
    target = rate * allowed.double().sum(1, keepdim=True)  # (B, 1)
    wanted = keys.uniform("round", (1,)).double() * (end - start) < target - start
    taken = wanted & (end <= slots)
    taken = torch.zeros_like(taken).scatter_(1, order, taken)  # by unit, (B, T)
    chosen = taken.gather(1, own) & allowed  # by token
    positions = chosen.int().argsort(dim=1, descending=True, stable=True)[:, :slots]
    used = chosen.gather(1, positions)
    return positions * used, used


class MaskedLM(Objective):
    """Hides a share of the tokens and scores the model on those alone.

    A chosen token becomes [MASK], or a random token, or stays as it is, in the shares of `replace`,
    so that the model cannot know which of the tokens it sees are right (ibid., section 3.1 and
    appendix C.2). The slots for what is chosen are the same number in every batch.

    The model is called with what is left of the sample's columns and `positions` (B, S), and
    answers with logits (B, S, V).

    Args:
        special: ids of [PAD], [UNK], [CLS], [SEP], [MASK]; none of them is ever chosen.
        vocab_size: V; random tokens are drawn from all V.
        rate: share of the tokens that is chosen, strictly between 0 and 1.
        unit: what is hidden as a whole: a token, a word (`continues_word` says what a tokenizer
            makes one of: a character in Chinese, or a clause), a span of words, or an entity, which
            the column `entities` of the samples numbers token by token; a token outside of all of
            them, -1, is hidden alone.
        replace: shares of the chosen tokens that become [MASK], become random, and stay.
        continues: (V,) bool, which tokens continue the word before them; for words and spans.

    Raises:
        ValueError: for a rate outside (0, 1), an unknown unit, shares that do not sum to 1, or
            words and spans without `continues`.
    """

    config_class = MaskedLMConfig

    def __init__(self, special: SpecialIds, vocab_size: int, rate: float = 0.15,
                 unit: Unit = "token", replace: tuple[float, float, float] = (0.8, 0.1, 0.1),
                 continues: Tensor | None = None):
        super().__init__()
        if not 0 < rate < 1:
            raise ValueError(f"rate must lie strictly between 0 and 1, got {rate}: it is the share "
                             "of the tokens that is hidden")
        if unit not in get_args(Unit):
            raise ValueError(f"unit must be one of {', '.join(get_args(Unit))}, got {unit!r}")
        if len(replace) != 3 or min(replace) < 0 or not math.isclose(sum(replace), 1):
            raise ValueError("replace must be three shares that sum to 1 (masked, random, kept), "
                             f"got {replace}")
        if unit in OF_WORDS and continues is None:
            raise ValueError(f"unit={unit!r} needs to know which tokens continue a word: "
                             "give continues=continues_word(tokenizer)")
        self.special = special
        self.vocab_size = vocab_size
        self.rate = rate
        self.unit = unit
        self.masked_share, self.random_share, self.kept_share = replace
        self.continues = continues
        self.fixed = torch.tensor(list(special))

    @classmethod
    def of(cls, tokenizer, **settings) -> MaskedLM:
        """The objective for texts of this tokenizer; settings are those of the class.

        Raises:
            ValueError: for words or spans, if its tokens do not tell where words begin.
        """
        words = settings.get("unit", "token") in OF_WORDS
        return cls(special_ids(tokenizer), vocabulary_size(tokenizer),
                   continues=continues_word(tokenizer) if words else None, **settings)

    @classmethod
    def from_config(cls, config: MaskedLMConfig, tokenizer=None) -> MaskedLM:
        return cls.of(tokenizer, rate=config.rate, unit=config.unit, replace=config.replace)

    @property
    def masked_lm(self) -> MaskedLM:
        """How tokens are masked: by itself. Objectives that mask besides have another one here."""
        return self

    def slots(self, length: int) -> int:
        """S: the most tokens that are chosen from a sequence of `length`."""
        return min(length, math.ceil(self.rate * length) + LONGEST[self.unit] - 1)

    def units(self, input_ids: Tensor, keys: Keys, entities: Tensor | None = None) -> Tensor:
        """(B, T) number of the unit that each token belongs to; -1 where it may not be hidden.

        Args:
            input_ids: (B, T).
            keys: keys of B samples.
            entities: (B, T) what each token names, -1 for nothing; for entities alone.

        Raises:
            ValueError: if entities should be hidden and nobody says where they are.
        """
        allowed = ~torch.isin(input_ids, self.fixed)
        if self.unit == "token":
            number = torch.arange(input_ids.shape[1]).expand_as(input_ids)
        elif self.unit == "entity":
            if entities is None:
                raise ValueError('unit="entity" needs the column entities, which says what each '
                                 "token names: encode the texts with encode_spans")
            goes_on = (entities[:, 1:] == entities[:, :-1]) & (entities[:, 1:] >= 0)
            number = F.pad((~goes_on).long(), (1, 0)).cumsum(1)
        else:
            starts = ~(self.continues[input_ids] & allowed)
            starts[:, 0] = True
            number = starts.long().cumsum(1) - 1
        if self.unit == "span":
            number = self.spans(number, allowed, keys)
        return torch.where(allowed, number, -1)

    def spans(self, word: Tensor, allowed: Tensor, keys: Keys) -> Tensor:
        """Cuts each sequence into runs of 1 to 10 words, of geometric length with p = 0.2.

        Lengths above 10 are not drawn, which makes the mean 3.8 words (Joshi et al., section 3.1).

        Args:
            word: (B, T) number of the word that each token belongs to.
            allowed: (B, T) whether the token is part of a text; spans end where it is not.
        """
        batch, length = word.shape
        u = keys.uniform("span", (length,)).double()  # (B, T), one number a span
        u = u * (1 - (1 - SPAN_ENDS) ** LONGEST_SPAN)
        lengths = (torch.log1p(-u) / math.log(1 - SPAN_ENDS)).floor().long() + 1
        first_words = lengths.cumsum(1)  # word at which span 1, 2, … begins
        number = torch.searchsorted(first_words, word.contiguous(), right=True)
        cut = torch.ones_like(word, dtype=torch.bool)
        same = (number[:, 1:] == number[:, :-1]) & allowed[:, 1:] & allowed[:, :-1]
        cut[:, 1:] = ~same
        return cut.long().cumsum(1) - 1

    def fate(self, unit: Tensor, keys: Keys) -> Tensor:
        """A number in [0, 1) for each slot, which decides what becomes of the token.

        Tokens of a word are treated one by one, those of a span all alike (Joshi et al., section
        3.1), and so are those of an entity, or one that stays would tell the others.

        Args:
            unit: (B, S) number of the unit that the token in each slot belongs to.
        """
        if self.unit in ("token", "word"):
            return keys.uniform("fate", unit.shape[1:])
        number = int(unit.max()) + 1
        return keys.uniform("fate", (max(number, 1),)).gather(1, unit.clamp(min=0))

    def mask(self, input_ids: Tensor, keys: Keys, entities: Tensor | None = None) -> Masked:
        """Chooses tokens, remembers them, and corrupts them; arguments are those of `units`."""
        slots = self.slots(input_ids.shape[1])
        units = self.units(input_ids, keys, entities)
        positions, used = choose_positions(keys, units, self.rate, slots)
        truth = input_ids.gather(1, positions)
        fate = self.fate(units.gather(1, positions), keys)
        random = (keys.uniform("random token", (slots,)).double() * self.vocab_size).long()
        shown = torch.where(fate < self.masked_share, self.special.mask, truth)
        shown = torch.where(fate >= 1 - self.random_share, random, shown)
        corrupted = input_ids.clone()
        row, slot = used.nonzero(as_tuple=True)
        corrupted[row, positions[row, slot]] = shown[row, slot]
        return Masked(corrupted, positions, truth.masked_fill(~used, UNSCORED))

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        input_ids = take_column(samples, "input_ids")
        require_known(input_ids, self.vocab_size)
        masked = self.mask(input_ids, keys, samples.get("entities"))
        inputs = text_inputs(samples) | {"input_ids": masked.input_ids,
                                         "positions": masked.positions}
        counts = {"masked_lm": float((masked.labels != UNSCORED).sum())}
        if not counts["masked_lm"]:
            self.require_short_units(input_ids)
        return Batch(inputs, {"labels": masked.labels}, counts)

    def require_short_units(self, input_ids: Tensor) -> None:
        """Raises where a batch has so many tokens that some must be hidden, and none fits."""
        tokens = int((~torch.isin(input_ids, self.fixed)).sum())
        if self.rate * tokens >= ENOUGH:
            cure = ("continues must be that of the text's tokenizer" if self.unit in OF_WORDS else
                    "entities must be the numbers of what single tokens name")
            raise ValueError(f"of {tokens} tokens none could be hidden: every {self.unit} is "
                             f"longer than the {self.slots(input_ids.shape[1])} slots of a text: "
                             f"{cure}, or unit=\"token\"")

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        require_head(model)
        logits = model(**batch.inputs)
        require_vocabulary(logits, self.vocab_size)
        return {"masked_lm": token_loss(logits, batch.targets["labels"])}
