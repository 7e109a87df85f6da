"""Images with captions that a recipe trains on: the split "train", and another that is held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ...validation import require_at_least, require_kinds
from ..source import Data, alone
from ..tables.dialect import Dialect
from ..text.tokenizer import load_tokenizer, tokenizer_hash, vocabulary_size
from .captioned import LENGTH, CaptionedImages
from .load_captioned import load_captioned


@dataclass(frozen=True)
class CaptionedConfig:
    """Which images with captions, and how they are read.

    Attributes:
        name: what `load_captioned` takes: "letters", "digits", "captions.csv", "hub:owner/name".
        held_out: the split to hold out.
        size: side in pixels that images are brought to; 0 leaves them as they are.
        image: the column with the path, or on the Hub with the image.
        caption: the column with the caption.
        tokenizer: a folder or a name of the zoo; left empty, whole words of the training captions.
        length: tokens of a caption at most.
        unknown: whether captions may have words that the tokenizer does not know; those held out
            often do.
        seed: of drawn ones, which are drawn, and which combinations are held out.
        config: the Hub's configuration of a data set, where it has several.
        revision: the Hub's commit or tag; left empty, the newest.
        columns: the names of all columns, for a table whose first line is a row.
        separator: between the fields of a table; left empty, it is guessed and told, as are
        quote: the sign around fields, or "none" where quotes are part of the text, and
        encoding: such as "cp1252"; left empty, UTF-8 or UTF-16.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    name: str = "letters"
    held_out: str = "test"
    size: int = 0
    image: str = "image"
    caption: str = "caption"
    tokenizer: str = ""
    length: int = LENGTH
    unknown: bool = False
    seed: int = 0
    config: str = ""
    revision: str = ""
    columns: tuple[str, ...] = ()
    separator: str = ""
    quote: str = ""
    encoding: str = ""

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, 0, "size", "seed")
        require_at_least(self, 3, "length")
        self.dialect()

    def dialect(self) -> Dialect:
        """How a table is written, as far as it is said."""
        return Dialect(self.columns, self.separator, self.quote, self.encoding)


class CaptionedData(Data):
    """Images with captions, in two splits that share a tokenizer.

    Args:
        config: which, and how they are read.
        training: those to train on.
        held_out: those held out.
    """

    config_class = CaptionedConfig

    def __init__(self, config: CaptionedConfig, training: CaptionedImages,
                 held_out: CaptionedImages):
        self.config, self.training, self.held_out = config, training, held_out
        self.tokenizer = training.tokenizer
        channels, height, _ = training.image_shape
        self.model_fields = {"input_shape": training.image_shape, "num_channels": channels,
                             "image_size": height, "vocab_size": vocabulary_size(self.tokenizer)}

    @classmethod
    def open(cls, config: CaptionedConfig, beside: Path,
             on_first: Callable = alone) -> CaptionedData:
        """The images and captions; where they have to be fetched, the first process does."""
        def load(split: str) -> CaptionedImages:
            tokenizer = load_tokenizer(config.tokenizer) if config.tokenizer else None
            return load_captioned(
                config.name, split, config.size or None, image=config.image,
                caption=config.caption, tokenizer=tokenizer, length=config.length,
                unknown=config.unknown, seed=config.seed, config=config.config or None,
                revision=config.revision or None, dialect=config.dialect())

        splits, parts = ("train", config.held_out), []
        for split in splits:
            on_first(lambda split=split: parts.append(load(split)))
        return cls(config, *(parts or map(load, splits)))

    def about(self) -> dict:
        """Its settings, and what makes ids of its captions."""
        return asdict(self.config) | {"columns": list(self.config.columns),
                                      "tokenizer_hash": tokenizer_hash(self.tokenizer)}
