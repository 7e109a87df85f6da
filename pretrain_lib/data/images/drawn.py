"""Drawn scenes as data sets in memory, under names of their own."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...validation import require
from ..keys import Keys
from ..scenes.photographs import CREDITS, SPLITS
from ..scenes.scenes import SceneConfig, Scenes
from .dataset import ImageDataset

DRAWN = {
    "scenes": SceneConfig(size=48, objects=(1, 2), digit=(24, 31), number=4000),
    "coloured-digits": SceneConfig(size=32, objects=(1, 1), digit=(26, 32), number=8000),
}
TESTED_ON = 1000  # scenes of a split other than "train"
BATCH = 256


def load_drawn(name: str, split: str) -> ImageDataset:
    """All scenes of a split, with 256 steps to a colour.

    Args:
        name: "scenes" or "coloured-digits".
        split: "train", "test" or "shift".

    Raises:
        ValueError: for an unknown split.
    """
    require(split in SPLITS, "split", split, f"one of {', '.join(SPLITS)} for {name!r}")
    config = DRAWN[name]
    if split != "train":
        config = replace(config, number=TESTED_ON)
    scenes = Scenes(config, split)
    batches = [drawn(scenes, range(start, min(start + BATCH, len(scenes))))
               for start in range(0, len(scenes), BATCH)]
    columns = {column: torch.cat([batch[column] for batch in batches]) for column in batches[0]}
    about = f"digits of MNIST in {len(scenes)} drawn scenes. {CREDITS[split]}"
    return ImageDataset(**columns, classes=scenes.classes, name=name, about=about)


def drawn(scenes: Scenes, ids: range) -> dict[str, Tensor]:
    """Some of the scenes, in the types that they are kept in."""
    samples = scenes.take(Keys.of(0, ids))
    return samples | {"images": (255 * samples["images"]).round().byte(),
                      "masks": samples["masks"].short()}
