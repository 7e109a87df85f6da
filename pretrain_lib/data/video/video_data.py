"""Clips that a recipe trains on: those of a training split; the test split is held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...validation import require_at_least, require_kinds
from ..source import Data, alone
from .dataset import ClipDataset
from .load import load_clips


@dataclass(frozen=True)
class VideoConfig:
    """Which clips, how long and how large.

    Attributes:
        name: what `load_clips` takes: "motions", "events", "speeds", a folder.
        frames: of a clip, at least 2.
        size: side in pixels that frames are brought to; 0 leaves them as they are.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    name: str = "motions"
    frames: int = 8
    size: int = 0

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, 2, "frames")
        require_at_least(self, 0, "size")


class VideoData(Data):
    """Clips of one size, in two splits.

    Args:
        config: which clips.
        training: those to train on.
        held_out: those held out.
    """

    config_class = VideoConfig

    def __init__(self, config: VideoConfig, training: ClipDataset, held_out: ClipDataset):
        self.config = config
        self.training = training
        self.held_out = held_out
        frames, channels, height, _ = training.clip_shape
        self.model_fields = {"num_frames": frames, "num_channels": channels, "image_size": height}

    @classmethod
    def open(cls, config: VideoConfig, beside: Path, on_first: Callable = alone) -> VideoData:
        """The clips, which every process reads or draws for itself."""
        parts = (load_clips(config.name, split, config.frames, config.size or None)
                 for split in ("train", "test"))
        return cls(config, *parts)
