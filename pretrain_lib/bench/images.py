"""How many images a second a source gives to training, as one worker of the loader draws them."""

from __future__ import annotations

from statistics import median

import torch

from ..data.images.view_data import ImageViewsConfig
from ..data.images.views import TwoViews
from ..data.keys import Keys
from ..data.scenes.scenes import SceneConfig, Scenes
from ..data.source import Source
from .timing import interleaved


def sources() -> dict[str, Source]:
    """What is timed, by name: drawn scenes, and two views of some."""
    digits = Scenes(SceneConfig(size=32, objects=(1, 1), digit=(26, 32)))
    return {
        "one digit, 32 × 32": digits,
        "two views of it": TwoViews(digits, ImageViewsConfig().transforms(3)),
        "1 or 2 digits, 48 × 48": Scenes(SceneConfig()),
        "3 to 6 letters, 96 × 96": Scenes(SceneConfig(size=96, objects=(3, 6), glyphs="letters")),
    }


def images_per_second(rounds: int, batch: int = 256) -> dict[str, float]:
    """Images a second of each source on one thread: the median over rounds.

    Args:
        rounds: how often each is timed.
        batch: how many images are asked for at a time.
    """
    keys = Keys.of(0, batch)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = interleaved({name: lambda source=source: source.take(keys)
                               for name, source in sources().items()}, rounds)
    finally:
        torch.set_num_threads(threads)
    return {name: batch / median(times) for name, times in seconds.items()}
