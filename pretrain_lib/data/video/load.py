"""Clips: drawn ones by name, or those of a folder of your own."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import torch

from ...validation import nearest, require
from ..images.load import SPLITS
from ..images.pictures import Square
from ..keys import Keys
from ..scenes import photographs
from ..scenes.video import ClipConfig, Clips, Task
from .dataset import ClipDataset
from .folders import load_folder

DRAWN = get_args(Task)
TRAINED_ON, TESTED_ON, BATCH = 4000, 1000, 250  # clips


def load_clips(name: str | Path, split: str = "train", frames: int = 8,
               size: int | None = None) -> ClipDataset:
    """Clips by name: drawn ones, or those of a folder.

    Drawn are "motions", "events" and "speeds", which `ClipConfig` describes: 4 000 clips of one
    digit, 24 × 24 without `size`, and 1 000 in every other split.

    In a folder, a clip is a folder of PNG or JPEG files, sorted by the numbers in their names, or a
    video, which needs PyAV (pip install av). Folders around clips, if any, are the classes. Of each
    clip `frames` are taken, as evenly as they come, the first and the last among them; its frames
    have one size. Without `size`, those of all clips have; with it, the shortest side is scaled to
    `size` and the centre is cut out, as `load_images` does it. What a folder holds is split here:
    one clip in five, class by class, is for testing, the same ones each time.

    Args:
        name: which clips.
        split: "train", "test" or "all"; for drawn ones "train", "test" or "shift", which has the
            digits of "test" on a photograph of its own.
        frames: of a clip, at least 2.
        size: side in pixels that frames are brought to; None leaves them as they are.

    Raises:
        ValueError: for an unknown name, split, number of frames or size, or a clip with too few
            frames or frames of different sizes.
        ImportError: for a video where PyAV is not installed.
    """
    name = str(name)
    if name in DRAWN:
        size = 24 if size is None else size
        return load_drawn(ClipConfig(name, frames, size, (14, size)), split)
    require(split in SPLITS, "split", split, f"one of {', '.join(SPLITS)}")
    require(frames >= 2, "frames", frames, "at least 2")
    folder = Path(name)
    if not folder.is_dir():
        raise ValueError(f"there is neither a folder {name!r} nor such clips: "
                         f"{nearest(name, DRAWN)}")
    return load_folder(folder, split, frames, None if size is None else Square(size))


def load_drawn(config: ClipConfig, split: str) -> ClipDataset:
    """All clips of a split, with 256 steps from black to white."""
    clips = Clips(config, split)
    number = TRAINED_ON if split == "train" else TESTED_ON
    batches = [clips.take(Keys.of(0, range(start, start + BATCH)))
               for start in range(0, number, BATCH)]
    shown = torch.cat([(255 * batch["clips"]).round().byte() for batch in batches])
    labels = torch.cat([batch["labels"] for batch in batches])
    about = f"digits of MNIST in {number} drawn clips. {photographs.CREDITS[split]}"
    return ClipDataset(shown, labels, clips.classes, config.task, about)
