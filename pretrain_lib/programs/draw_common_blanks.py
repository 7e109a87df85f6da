"""Draws the blanks that every text model of the course is scored on, in held-out addresses.

    python -m pretrain_lib.programs.draw_common_blanks     makes zoo/sotu-8192 anew

Twelve addresses of each era are held out. A tokenizer of 8192 WordPieces is trained on the others.
The blanks are drawn once: 15 of 100 tokens, of which 80 of 100 become [MASK], 10 a random token, and 10
stay as they are.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..data.keys import Keys
from ..data.text.document import Corpus
from ..data.text.load import load_text
from ..data.text.packing import PackedBlocks
from ..data.text.token_dataset import TokenDataset
from ..data.text.tokenizer import (
    load_tokenizer,
    save_tokenizer,
    special_ids,
    train_tokenizer,
    vocabulary_size,
)
from ..evaluation.common_blanks import NAME
from ..evaluation.masked import MaskedSet
from ..objectives.masked_lm import MaskedLM
from ..zoo import HELD_OUT, ZOO

SEED = 2026
EACH_ERA = 12
BLOCKS = 2048
LENGTH = 128


def choose_held_out(corpus: Corpus) -> list[str]:
    """The sources of twelve addresses of each era, drawn at random."""
    eras: dict[str, list[str]] = {}
    for document in corpus:
        eras.setdefault(document.labels["era"], []).append(document.source)
    chosen = []
    for number, era in enumerate(sorted(eras)):
        order = Keys.of(SEED, [number]).permutation("held out", len(eras[era]))[0]
        chosen += [eras[era][i] for i in order[:EACH_ERA].tolist()]
    return sorted(chosen)


def draw_common_blanks(corpus: Corpus, tokenizer, chosen: list[str]) -> MaskedSet:
    """Blanks in blocks of the held-out addresses."""
    texts = [document.text for document in corpus if document.source in set(chosen)]
    tokens = [np.array(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]
    dataset = TokenDataset.in_memory(tokens, vocabulary_size(tokenizer))
    blocks = PackedBlocks(dataset, LENGTH, special_ids(tokenizer))
    ids = Keys.of(SEED, [0]).permutation("blocks", len(blocks))[0][:BLOCKS].sort().values
    return MaskedSet.draw(blocks, MaskedLM.of(tokenizer), ids.numpy(), SEED)


def write_common_blanks(folder: Path) -> None:
    """Writes tokenizer, list of held-out addresses, and blanks."""
    corpus = load_text("sotu")
    chosen = choose_held_out(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / HELD_OUT).write_text(json.dumps(chosen, indent=1) + "\n", encoding="utf-8")
    training = (document.text for document in corpus if document.source not in set(chosen))
    tokenizer = train_tokenizer(training, 8192, "wordpiece", lowercase=True, strip_accents=True)
    save_tokenizer(tokenizer, folder)
    draw_common_blanks(corpus, load_tokenizer(folder), chosen).save(folder)


if __name__ == "__main__":
    write_common_blanks(ZOO / NAME)
