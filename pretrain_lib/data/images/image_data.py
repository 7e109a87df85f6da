"""Images that a recipe trains on: those of a data set's training split; its test split is held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...validation import require_at_least, require_kinds
from ..source import Data, alone
from .dataset import ImageDataset
from .load import load_images


@dataclass(frozen=True)
class ImageConfig:
    """Which images, and how large.

    Attributes:
        name: what `load_images` takes: "mnist", "scenes", a folder, "hub:owner/name".
        size: side in pixels that images are brought to, of which the centre is cut out where they
            are not square; 0 leaves them as they are: files must then have one size and mode.
        margin: black pixels on each side within `size`.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    name: str = "mnist"
    size: int = 0
    margin: int = 0

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, 0, "size", "margin")


class ImageData(Data):
    """Images of one size, in two splits.

    Args:
        config: which images, and how large.
        training: those to train on.
        held_out: those held out.
    """

    config_class = ImageConfig

    def __init__(self, config: ImageConfig, training: ImageDataset, held_out: ImageDataset):
        self.config = config
        self.training = training
        self.held_out = held_out
        channels, height, _ = training.image_shape
        self.model_fields = {"input_shape": training.image_shape, "num_channels": channels,
                             "image_size": height}

    @classmethod
    def open(cls, config: ImageConfig, beside: Path, on_first: Callable = alone) -> ImageData:
        """The images; where they have to be fetched, the first process does."""
        load = partial(load_images, config.name, size=config.size or None, margin=config.margin)
        parts = []
        for split in ("train", "test"):
            on_first(lambda split=split: parts.append(load(split)))
        return cls(config, *(parts or map(load, ("train", "test"))))
