"""Images with a caption each, as text for a model that reads both."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from copy import copy
from difflib import get_close_matches
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..source import Columns, Samples
from ..tasks.encoded import EncodedText, encode_batch, padded
from ..text.tokenizer import special_ids
from ..text.words import word_tokenizer
from .dataset import ImageDataset

if TYPE_CHECKING:
    from tokenizers import Tokenizer

logger = logging.getLogger(__name__)

LENGTH = 64  # tokens of a caption at most, where nothing else is said


class CaptionedImages(ImageDataset):
    """Images of one size with a caption each.

    Its columns are `images` (N, C, H, W), `input_ids` and `attention_mask` (N, T), where T is the
    length of the longest caption, and `caption` (N,), the number in `captions` of what is said of
    the image. Two images with one caption have one number: each is a right answer for both.
    Captions of which the tokenizer makes the same ids count as one, whose first spelling is kept.

    Args:
        images: N images, uint8 or float in [0, 1].
        captions: N captions, one for each image.
        tokenizer: what makes ids of them. None takes whole words, those of these captions: give a
            test set the tokenizer of its training set.
        length: tokens of a caption at most, [CLS] and [SEP] included; what is cut is told.
        unknown: whether captions may have words that the tokenizer does not know, as [UNK].
        name: what the data set is called.
        about: one line on where it comes from and under which terms.
        columns: what else is known of each image, by name, (N, ...) each.
        names: what the numbers in such a column stand for.

    Raises:
        ValueError: for images that `ImageDataset` refuses, not one caption an image, a caption
            without a word, or with one that the tokenizer does not know.
    """

    def __init__(
        self, images, captions: Sequence[str], tokenizer: Tokenizer | None = None,
        length: int = LENGTH, *, unknown: bool = False, name: str = "captioned images",
        about: str = "", columns: Mapping[str, Tensor] | None = None,
        names: Mapping[str, Sequence[str]] | None = None,
    ):
        super().__init__(images, name=name, about=about)
        if len(captions) != len(self):
            raise ValueError(f"{len(captions)} captions do not fit {len(self)} images")
        check_captions(captions)
        self.tokenizer = tokenizer or word_tokenizer(captions)
        self.length = length
        self.names = {column: list(kinds) for column, kinds in (names or {}).items()}
        encoded = self.encode(captions, unknown).columns
        first, numbers = first_of_each(encoded["input_ids"])
        self.captions = [captions[i] for i in first]
        Columns.__init__(self, **self.columns, **encoded, caption=numbers, **(columns or {}))

    def encode(self, texts: Sequence[str], unknown: bool = False) -> EncodedText:
        """Other captions as this data set's are encoded, such as prompts.

        Args:
            texts: n captions.
            unknown: whether they may have words that the tokenizer does not know, as [UNK].

        Returns:
            A source with the columns `input_ids` and `attention_mask`, (n, T) each, where T is the
            length of the longest.

        Raises:
            ValueError: if there is none, one has no word, or has one that is not known.
        """
        check_captions(texts)
        encodings = encode_batch(list(texts), self.tokenizer, self.length)
        if not unknown:
            check_words(texts, encodings, self.tokenizer)
        cut = [i for i, encoding in enumerate(encodings) if encoding.overflowing]
        if cut:
            logger.warning("%d of %d captions are cut to length=%d tokens, the first is %r",
                           len(cut), len(texts), self.length, texts[cut[0]])
        return EncodedText(texts, **padded(encodings, self.tokenizer))

    def with_columns(self, columns: Samples) -> CaptionedImages:
        """A data set of these columns, with this one's captions, tokenizer and name."""
        other = copy(self)
        other.columns = dict(columns)
        return other

    def __repr__(self) -> str:
        return (f"CaptionedImages({self.name}: {len(self)} images of {self.image_shape}, "
                f"{len(self.captions)} different captions)")


def check_captions(captions: Sequence[str], places: Sequence[str] | None = None) -> None:
    """Captions are strings with a letter or a digit.

    Args:
        captions: N of them.
        places: what the error calls each; its number by default.

    Raises:
        ValueError: naming the first at fault.
    """
    if isinstance(captions, str):
        raise ValueError("captions must be several, got a single string: put it in a list")
    for i, caption in enumerate(captions):
        place = places[i] if places else f"caption {i}"
        if not isinstance(caption, str):
            raise ValueError(f"captions must be strings, {place} is {caption!r}")
        if not any(map(str.isalnum, caption)):
            raise ValueError(f"{place} has no word: {caption!r}")


def check_words(captions: Sequence[str], encodings: list, tokenizer: Tokenizer) -> None:
    """Raises ValueError for the first word that a tokenizer does not know."""
    unknown = special_ids(tokenizer).unk
    for caption, encoding in zip(captions, encodings, strict=True):
        if unknown in encoding.ids:
            start, end = encoding.offsets[encoding.ids.index(unknown)]
            word = caption[start:end]
            near = get_close_matches(word.lower(), tokenizer.get_vocab(), n=1)
            guess = f"did you mean {near[0]!r}? Else " if near else ""
            raise ValueError(
                f"the tokenizer does not know the word {word!r} of the caption {caption!r}: {guess}"
                "make it from texts that have the word, or allow unknown words with unknown=True")


def first_of_each(rows: Tensor) -> tuple[list[int], Tensor]:
    """Where each different row occurs first, in that order, and the number of each row, (N,)."""
    _, kind = torch.unique(rows, dim=0, return_inverse=True)
    first = torch.full((int(kind.max()) + 1,), len(rows)).scatter_reduce(
        0, kind, torch.arange(len(rows)), "amin")  # (K,)
    order = first.argsort()
    return first[order].tolist(), order.argsort()[kind]
