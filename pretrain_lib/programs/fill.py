"""The command `fill`: a text with blanks in, the likeliest tokens for each of them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from ..data.tasks.encoded import encode_texts
from ..data.text.tokenizer import load_tokenizer, special_ids, vocabulary_size
from ..models.bert import BertForMaskedLM, token_logits
from ..models.modern import ModernBertForMaskedLM
from ..models.precision import answering
from ..models.protocol import TextEncoder
from ..objectives.text import require_head
from ..pretrained import find, load_pretrained
from ..validation import require_at_least
from .usage import with_two_words

USAGE = """\
usage: python -m pretrain_lib fill MODEL "The state of the [MASK] is strong."

MODEL: a masked language model: a folder, a run's folder, or a zoo name

python -m pretrain_lib fill --help tells the options"""


@dataclass(frozen=True)
class FillConfig:
    """What is asked.

    Attributes:
        model: a masked language model: a folder, a run's folder, or a zoo name.
        text: with one [MASK] for each token that is to be found.
        top: how many tokens are named for each.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    model: str
    text: str
    top: int = 5

    def __post_init__(self):
        require_at_least(self, 1, "top")


class Guess(NamedTuple):
    """A token for a blank, and its probability."""

    token: str
    probability: float


@torch.no_grad()
def guesses(config: FillConfig) -> list[list[Guess]]:
    """The likeliest tokens for each blank, by itself: where several are hidden, none knows another.

    Raises:
        FileNotFoundError: if there is no such model.
        ValueError: if it has no head for masked tokens, or the text has no blank.
    """
    model = load_pretrained(config.model)
    if not isinstance(model, TextEncoder):
        raise ValueError(f"{config.model} holds {type(model).__name__}, which reads no text")
    require_head(model)
    if not isinstance(model, BertForMaskedLM | ModernBertForMaskedLM):
        raise ValueError(f"{config.model} holds {type(model).__name__}, which fills no blanks")
    tokenizer = load_tokenizer(find(config.model))
    longest = vars(model.encoder.config)["max_position_embeddings"]
    text = encode_texts([config.text], tokenizer, longest)
    blanks = (text.input_ids == special_ids(tokenizer).mask).nonzero()[:, 1]  # (K,)
    if not len(blanks):
        raise ValueError(f"the text has no [MASK] among its first {longest} tokens: {config.text!r}")
    with answering(model):
        logits = token_logits(model(text.input_ids, text.attention_mask, positions=blanks[None]))
    of_tokens = logits[0].float().softmax(1)[:, : vocabulary_size(tokenizer)]  # (K, V)
    shares, ids = of_tokens.topk(min(config.top, of_tokens.shape[1]))  # (K, top)
    return [[Guess(tokenizer.id_to_token(i), share) for i, share in zip(*row, strict=True)]
            for row in zip(ids.tolist(), shares.tolist(), strict=True)]


def fill(words: list[str]) -> None:
    """Says what a masked language model would put into the blanks of a text."""
    import tyro

    words = with_two_words(words, USAGE, ("MODEL", "TEXT"))
    config = tyro.cli(FillConfig, args=words[2:], default=FillConfig(*words[:2]),
                      prog="python -m pretrain_lib fill MODEL TEXT")
    for number, row in enumerate(guesses(config), start=1):
        print(f"blank {number}: " + ", ".join(f"{guess.token} {guess.probability:.1%}" for guess in row))
