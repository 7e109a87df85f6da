"""What a model that training goes on with learns of new texts, and forgets of others.

Both are masked losses on texts that are held out, before the first update and after the last, on
the same blanks; of new texts so in Gururangan et al., "Don't Stop Pretraining", ACL 2020, table 1.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ..data.text.packing import PackedBlocks
from ..data.text.text_data import TextConfig, TextData, prepared
from ..data.text.token_dataset import TokenDataset
from ..data.text.tokenizer import special_ids
from ..evaluation.masked import MaskedSet, masked_scores
from ..models.state import device_of
from ..objectives.base import Objective
from ..objectives.masked_diffusion import MaskedDiffusion
from ..objectives.masked_lm import MaskedLM
from .recipe import Recipe

BLOCKS = 256  # with blanks, at most


def masking_of(objective: Objective, tokenizer) -> MaskedLM | None:
    """How blanks are drawn for a model of this objective; None where it fills none."""
    if isinstance(objective, MaskedDiffusion):
        return MaskedLM.of(tokenizer)
    return getattr(objective, "masked_lm", None)


def blanks_in(documents: TokenDataset, tokenizer, length: int, masked_lm: MaskedLM) -> MaskedSet:
    """Blanks in the first blocks of some documents, the same ones whenever they are drawn."""
    blocks = PackedBlocks(documents, length, special_ids(tokenizer))
    return MaskedSet.draw(blocks, masked_lm, range(min(len(blocks), BLOCKS)))


def masked_losses(model: nn.Module, recipe: Recipe, data: TextData, masked_lm: MaskedLM,
                  beside: Path, device: torch.device) -> dict[str, float]:
    """The masked loss in nats on what is held out of the new text, and of the one in the eye.

    Args:
        model: answers on a device and goes back to its own.
        recipe: says which other text is kept an eye on, if any.
        data: the new text.
        masked_lm: what is hidden.
        beside: the run's folder; the other text's tokens are kept where runs keep theirs.
        device: where the model answers.
    """
    documents = {data.config.corpus: data.documents[1]}
    if recipe.keep_an_eye_on:
        documents[recipe.keep_an_eye_on] = held_out_of(recipe.keep_an_eye_on, data.config, beside)
    blanks = {name: blanks_in(part, data.tokenizer, data.config.length, masked_lm)
              for name, part in documents.items()}
    home = device_of(model)
    losses = {name: masked_scores(model.to(device), part).loss for name, part in blanks.items()}
    model.to(home)
    return losses


def held_out_of(corpus: str, config: TextConfig, beside: Path) -> TokenDataset:
    """The held-out documents of another text, cut into the tokens of the new one.

    Raises:
        ValueError: if they do not suffice for a block.
    """
    other = TextConfig(corpus, tokenizer=config.tokenizer, length=config.length,
                       keep_lines=config.keep_lines, new_words=config.new_words)
    tokenizer, documents = prepared(other, beside)
    try:
        return TextData(other, tokenizer, documents).documents[1]
    except ValueError as error:
        raise ValueError(f"no eye can be kept on {corpus}: {error}") from None


def before_and_after(measured: dict) -> str:
    """A line a text, for people: "sotu: 2.86 → 3.31 nats (what it knew: +0.45)".

    Args:
        measured: losses by text, "before" and "after", and "new_head": whether before the first
            update the model knew no token yet.
    """
    lines = [f"{name}: {before:.2f} → {measured['after'][name]:.2f} nats"
             for name, before in measured["before"].items()]
    for number, name in list(enumerate(measured["before"]))[1:]:
        change = measured["after"][name] - measured["before"][name]
        lines[number] += (" (before, its head for tokens was new)" if measured["new_head"] else
                          f" (what it knew: {change:+.2f})")
    return "\n".join(lines)
