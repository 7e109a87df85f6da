"""Texts as rows of token ids, each padded to a common length: what an encoder is fine-tuned on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from .keys import Keys
from .labelled_text import LabelledText
from .source import Columns, Samples
from .tokenizer import special_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class EncodedText(Columns):
    """Texts with their token ids; a batch is no wider than its longest text.

    Args:
        sentences: N texts.
        **columns: `input_ids` and `attention_mask`, each (N, T), and `labels`, (N,), if known.

    Raises:
        ValueError: if there is no text, or not one text a row.
    """

    def __init__(self, sentences: Sequence[str], **columns):
        super().__init__(**columns)
        self.sentences = list(sentences)
        if len(self.sentences) != len(self):
            raise ValueError(f"{len(self.sentences)} sentences do not fit {len(self)} rows of ids")

    def take(self, keys: Keys) -> Samples:
        """The rows that the keys name, without the columns that are padding in all of them."""
        samples = super().take(keys)
        width = max(1, int(samples["attention_mask"].sum(1).max()))
        for name in ("input_ids", "attention_mask"):
            samples[name] = samples[name][:, :width]  # (B, T)
        return samples

    def subset(self, ids) -> EncodedText:
        """The rows `ids`, as a source of their own."""
        ids = np.asarray(ids)
        columns = {name: column[torch.from_numpy(ids)] for name, column in self.columns.items()}
        return EncodedText([self.sentences[i] for i in ids], **columns)


def encode_texts(sentences: Sequence[str], tokenizer: Tokenizer, length: int = 128,
                 **columns) -> EncodedText:
    """Texts as `[CLS] text [SEP]`, truncated to a length and padded at the end.

    Args:
        sentences: N texts.
        tokenizer: it stays as it is.
        length: tokens of a text at most, T, [CLS] and [SEP] included.
        **columns: what else is known of each text, (N, ...).

    Returns:
        A source with the columns `input_ids` and `attention_mask` (1 for tokens, 0 for padding).

    Raises:
        ValueError: if the length leaves no place for a token, or there is no text.
    """
    if length < 3:
        raise ValueError(f"length must be at least 3, for [CLS], a token and [SEP], got {length}")
    if not len(sentences):
        raise ValueError("there is no text to encode: give at least one sentence")
    own = type(tokenizer).from_str(tokenizer.to_str())
    own.enable_truncation(length)
    own.no_padding()
    rows = [encoding.ids for encoding in own.encode_batch(list(sentences))]
    width = max(map(len, rows))
    input_ids = torch.full((len(rows), width), special_ids(tokenizer).pad)
    attention_mask = torch.zeros(len(rows), width, dtype=torch.int64)
    for i, row in enumerate(rows):
        input_ids[i, : len(row)] = torch.tensor(row)
        attention_mask[i, : len(row)] = 1
    return EncodedText(sentences, input_ids=input_ids, attention_mask=attention_mask, **columns)


def encode_labelled(text: LabelledText, tokenizer: Tokenizer, length: int = 128) -> EncodedText:
    """A labelled text as a source with the columns `input_ids`, `attention_mask` and `labels`.

    Args:
        text: N sentences of known classes.
        tokenizer: it stays as it is.
        length: tokens of a sentence at most, T.

    Raises:
        ValueError: as `encode_texts`.
    """
    return encode_texts(text.sentences, tokenizer, length, labels=text.labels)
