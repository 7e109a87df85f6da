"""Texts written by a saved model: blanks of a prompt filled, or the prompt gone on with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ..data.keys import Keys
from ..data.text.tokenizer import load_tokenizer, special_ids, vocabulary_size
from ..evaluation.text_cost import is_causal
from ..models.protocol import TextEncoder
from ..pretrained import find, load_pretrained
from ..transfer.generate import Order, sample_causal, sample_masked
from ..validation import require, require_at_least

TOKENS = 32


@dataclass(frozen=True)
class Writing:
    """What to write, and how.

    Attributes:
        prompt: how the text begins. A model that fills blanks fills every [MASK] in it: what stands
            before and after a blank is read too.
        tokens: how many tokens to write after the prompt; left out, 32, or none if the prompt has a
            [MASK].
        samples: how many texts to write.
        steps: for a model that fills blanks: how often it is asked. Each time it fills an equal
            part of them, as if they did not depend on each other. Left out, it fills one after the
            other, which is slower and better.
        order: for a model that fills blanks: "random", which draws from what it learned, or
            "confident", what it is surest of first, which is easily read and says the same again.
        temperature: below 1 likely tokens become likelier, above 1 rare ones; 0 takes the
            likeliest.
        top_p: draw from the likeliest tokens that make up this share of the probability.
        seed: other seeds, other texts.
    """

    prompt: str = ""
    tokens: int | None = None
    samples: int = 1
    steps: int | None = None
    order: Order = "random"
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0


def generate(name: str | Path, writing: Writing) -> list[str]:
    """Texts that a model writes, each with its prompt.

    Args:
        name: a folder, a run's folder, or a name of the zoo.
        writing: what to write.

    Raises:
        ValueError: if the model cannot write that: it has no head, or there is nothing to fill; or
            naming a setting that is out of range.
    """
    require_at_least(writing, 1, "samples")
    require(writing.tokens is None or writing.tokens >= 0, "tokens", writing.tokens, "at least 0")
    model, tokenizer = load_pretrained(name), load_tokenizer(find(name))
    if not isinstance(model, TextEncoder) or getattr(model, "num_labels", None):
        raise ValueError(f"{type(model).__name__} writes no text: give a model that was pretrained "
                         "to predict tokens")
    special = special_ids(tokenizer)
    prompt = tokenizer.encode(writing.prompt, add_special_tokens=False).ids
    blanks, causal = prompt.count(special.mask), is_causal(model)
    if causal and blanks:
        raise ValueError(f"{type(model).__name__} writes from left to right and fills no [MASK]: "
                         "leave it out of the prompt")
    number = writing.tokens
    if number is None:
        number = 0 if blanks else TOKENS
    if not blanks + number:
        raise ValueError("there is nothing to write: set tokens above 0, or put a [MASK] into the "
                         "prompt of a model that fills blanks")
    common = {"special": special, "keys": Keys.of(writing.seed, writing.samples),
              "temperature": writing.temperature, "top_p": writing.top_p,
              "vocab_size": vocabulary_size(tokenizer)}
    if causal:
        rows = torch.tensor([[special.cls, *prompt]]).repeat(writing.samples, 1)
        texts = sample_causal(model, rows, number, **common)[:, 1:]
    else:
        row = [special.cls, *prompt, *[special.mask] * number, special.sep]
        rows = torch.tensor([row]).repeat(writing.samples, 1)
        texts = sample_masked(model, rows, steps=writing.steps, order=writing.order,
                              **common)[:, 1:-1]
    return tokenizer.decode_batch(texts.tolist(), skip_special_tokens=False)
