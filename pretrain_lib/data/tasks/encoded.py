"""Texts as rows of token ids, each padded to a common length: what an encoder is fine-tuned on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..keys import Keys
from ..source import Columns, Samples
from ..text.tokenizer import special_ids
from .labelled import LabelledText

if TYPE_CHECKING:
    from tokenizers import Tokenizer

OF_TOKENS = {"input_ids", "attention_mask", "token_type_ids", "tags", "entities"}


class EncodedText(Columns):
    """Texts with their token ids; a batch is no wider than its longest text.

    Args:
        sentences: N texts.
        classes: names of what `labels` or `tags` number, if they have names.
        **columns: `input_ids` and `attention_mask`, each (N, T); if known, `labels`, (N,), and what
            else there is of each token, `token_type_ids` and `tags`, (N, T).

    Raises:
        ValueError: if there is no text, or not one text a row.
    """

    def __init__(self, sentences: Sequence[str], classes: Sequence[str] = (), **columns):
        super().__init__(**columns)
        self.sentences = list(sentences)
        self.classes = list(classes)
        if len(self.sentences) != len(self):
            raise ValueError(f"{len(self.sentences)} sentences do not fit {len(self)} rows of ids")

    def take(self, keys: Keys) -> Samples:
        """The rows that the keys name, without the columns that are padding in all of them."""
        samples = super().take(keys)
        return cut_to_longest(samples, "attention_mask", OF_TOKENS & samples.keys())

    def token_counts(self) -> np.ndarray:
        """How often each token occurs, up to the highest that does; padding counts as [PAD]."""
        return np.bincount(self.columns["input_ids"].flatten().numpy())

    def subset(self, ids) -> EncodedText:
        """The rows `ids`, as a source of their own."""
        ids = np.asarray(ids)
        columns = {name: column[torch.from_numpy(ids)] for name, column in self.columns.items()}
        return EncodedText([self.sentences[i] for i in ids], self.classes, **columns)


def cut_to_longest(samples: Samples, mask: str, names: Iterable[str]) -> Samples:
    """The samples, of which some columns (N, T) lose the places that are padding in all rows."""
    width = max(1, int(samples[mask].sum(1).max()))
    return samples | {name: samples[name][:, :width] for name in names}


def encode_texts(sentences: Sequence[str], tokenizer: Tokenizer, length: int = 128,
                 **columns) -> EncodedText:
    """Texts as `[CLS] text [SEP]`, truncated to a length and padded at the end.

    Args:
        sentences: N texts.
        tokenizer: it stays as it is.
        length: tokens of a text at most, T, [CLS] and [SEP] included.
        **columns: what else is known of each text, (N, ...), and the names of its `classes`.

    Returns:
        A source with the columns `input_ids` and `attention_mask` (1 for tokens, 0 for padding).

    Raises:
        ValueError: if the length leaves no place for a token, or there is no text.
    """
    encodings = encode_batch(sentences, tokenizer, length)
    return EncodedText(sentences, **padded(encodings, tokenizer), **columns)


def encode_text_pairs(first: Sequence[str], second: Sequence[str], tokenizer: Tokenizer,
                      length: int = 128, **columns) -> EncodedText:
    """Pairs of texts as `[CLS] first [SEP] second [SEP]`, the longer of the two truncated.

    Args:
        first: N texts.
        second: N texts, one for each.
        tokenizer: it stays as it is.
        length: tokens of a pair at most, T.
        **columns: what else is known of each pair, such as its `labels`, (N, ...).

    Returns:
        A source with the columns of `encode_texts`, and `token_type_ids`: 1 for the second text and
        its [SEP].

    Raises:
        ValueError: if the length leaves no place for a token of each text, there is no text, or not
            one second text for each first.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} first texts do not fit {len(second)} second ones")
    if length < 5:
        raise ValueError("length must be at least 5, for [CLS], a token of each text and a [SEP] "
                         f"behind each, got {length}")
    encodings = encode_batch(list(zip(first, second, strict=True)), tokenizer, length)
    kinds = padded_rows([encoding.type_ids for encoding in encodings], 0)
    return EncodedText(first, token_type_ids=kinds, **padded(encodings, tokenizer), **columns)


def encode_batch(texts: list, tokenizer: Tokenizer, length: int, words: bool = False) -> list:
    """What a tokenizer makes of texts, of pairs of them, or of lists of words.

    Raises:
        ValueError: if the length leaves no place for a token, or there is no text.
    """
    if length < 3:
        raise ValueError(f"length must be at least 3, for [CLS], a token and [SEP], got {length}")
    if not len(texts):
        raise ValueError("there is no text to encode: give at least one sentence")
    own = type(tokenizer).from_str(tokenizer.to_str())
    own.enable_truncation(length)
    own.no_padding()
    return own.encode_batch(list(texts), is_pretokenized=words)


def padded(encodings: list, tokenizer: Tokenizer) -> dict[str, torch.Tensor]:
    """The columns `input_ids` and `attention_mask`, each (N, T)."""
    rows = [encoding.ids for encoding in encodings]
    return {"input_ids": padded_rows(rows, special_ids(tokenizer).pad),
            "attention_mask": padded_rows([[1] * len(row) for row in rows], 0)}


def padded_rows(rows: list[list[int]], padding: int) -> torch.Tensor:
    """Rows of unequal length, filled up at their ends: (N, T) int64."""
    filled = torch.full((len(rows), max(map(len, rows))), padding)
    for i, row in enumerate(rows):
        filled[i, : len(row)] = torch.tensor(row)
    return filled


def encode_labelled(text: LabelledText, tokenizer: Tokenizer, length: int = 128) -> EncodedText:
    """A labelled text as a source with the columns `input_ids`, `attention_mask` and `labels`.

    Args:
        text: N sentences of known classes.
        tokenizer: it stays as it is.
        length: tokens of a sentence at most, T.

    Raises:
        ValueError: as `encode_texts`.
    """
    return encode_texts(text.sentences, tokenizer, length, labels=text.labels,
                        classes=text.classes)
