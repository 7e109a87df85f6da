"""Where a text names something: spans of characters, and the tokens in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..tasks.encoded import EncodedText, encode_batch, padded, padded_rows

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NO_ENTITY = -1


class Span(NamedTuple):
    """Characters of a text that name something.

    Attributes:
        start: the first of them.
        end: the one behind the last.
        entity: the number of what they name; or of the phrase in its text, if nobody knows more.
    """

    start: int
    end: int
    entity: int


class SpannedText(NamedTuple):
    """A text, and what it names where.

    Attributes:
        text: the text.
        spans: in any order, none across another.
    """

    text: str
    spans: tuple[Span, ...]


def spans_of(text: str, names: Mapping[str, int]) -> Iterator[Span]:
    """Where a text has one of the names, as whole words; the longest that fits.

    Args:
        text: what is searched.
        names: the number of each.
    """
    ordered = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    for hit in re.finditer(rf"\b(?:{ordered})\b", text):
        yield Span(*hit.span(), names[hit[0]])


def encode_spans(texts: Sequence[SpannedText], tokenizer: Tokenizer, length: int = 128,
                 **columns) -> EncodedText:
    """Texts as `[CLS] text [SEP]`, and what each token names.

    Args:
        texts: N texts with their spans.
        tokenizer: it stays as it is.
        length: tokens of a text at most, T, [CLS] and [SEP] included.
        **columns: what else is known of each text, (N, ...), and the names of its `classes`.

    Returns:
        A source with the columns `input_ids`, `attention_mask`, and `entities`, (N, T): the number
        of what a token names, a part of it as well, and -1 where it names nothing.

    Raises:
        ValueError: if the length leaves no place for a token, there is no text, or a span is empty,
            reaches out of its text or into another.
    """
    encodings = encode_batch([text for text, _ in texts], tokenizer, length)
    rows = []
    for (text, spans), encoding in zip(texts, encodings, strict=True):
        require_spans(text, spans)
        rows.append([entity_at(start, end, spans) for start, end in encoding.offsets])
    return EncodedText([text for text, _ in texts], entities=padded_rows(rows, NO_ENTITY),
                       **padded(encodings, tokenizer), **columns)


def entity_at(start: int, end: int, spans: Sequence[Span]) -> int:
    """What the characters from start to end name a part of, -1 if nothing."""
    return next((span.entity for span in spans if max(start, span.start) < min(end, span.end)),
                NO_ENTITY)


def require_spans(text: str, spans: Sequence[Span]) -> None:
    """Raises where a span is none of a text's, or two have characters in common."""
    end = 0
    for span in sorted(spans):
        if not 0 <= span.start < span.end <= len(text):
            raise ValueError(f"{tuple(span)} is no span of a text of {len(text)} characters, "
                             f"{text[:40]!r}: it must begin before it ends, within the text")
        if span.entity < 0:
            raise ValueError(f"what a span names must have a number from 0 on, got {span.entity}")
        if span.start < end:
            raise ValueError(f"two spans of the text {text[:40]!r} have the character {span.start} "
                             "in common: leave one out")
        end = span.end

