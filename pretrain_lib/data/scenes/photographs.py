"""The photographs behind the scenes: whose they are, and which part is for which split."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SPLITS = ("train", "test", "shift")
TRAINING_PART = 0.7  # of a photograph's width, from the left; the rest is for the split "test"
SMALLEST_SIDE = 192  # of what is left for "test"; larger scenes lie on enlarged photographs


@dataclass(frozen=True)
class Photograph:
    """A photograph that a Python package ships.

    Attributes:
        file: its name there.
        package: which package.
        author: who took it.
        licence: under which terms it may be shown.
        source: where it was published.
    """

    file: str
    package: str
    author: str
    licence: str
    source: str

    @property
    def credit(self) -> str:
        """What to write below a figure that shows it."""
        return f"{self.file} by {self.author}, {self.licence} ({self.source})"


# scikit-learn's README names danielbuechele for both, and links to vultilion's page for the flower.
CHINA = Photograph("china.jpg", "scikit-learn", "danielbuechele", "CC BY 2.0",
                   "https://www.flickr.com/photos/danielbuechele/6061409035/")
FLOWER = Photograph("flower.jpg", "scikit-learn", "vultilion", "CC BY 2.0",
                    "https://www.flickr.com/photos/vultilion/6056698931/")
HOPPER = Photograph("grace_hopper.jpg", "matplotlib", "United States Navy", "public domain",
                    "https://commons.wikimedia.org/wiki/File:Grace_Hopper.jpg")  # says the file

PHOTOGRAPHS = {"train": (CHINA, FLOWER), "test": (CHINA, FLOWER), "shift": (HOPPER,)}
CREDITS = {split: "Backgrounds: faint crops of " + "; ".join(photo.credit for photo in photos) + "."
           for split, photos in PHOTOGRAPHS.items()}


@lru_cache(maxsize=3)
def read(photograph: Photograph) -> Tensor:
    """The whole photograph, (3, H, W) uint8."""
    if photograph.package == "scikit-learn":
        from sklearn.datasets import load_sample_image

        pixels = load_sample_image(photograph.file)
    else:
        from matplotlib.cbook import get_sample_data
        from PIL import Image

        with Image.open(get_sample_data(photograph.file, asfileobj=False)) as picture:
            pixels = np.array(picture.convert("RGB"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()


def parts(split: str, size: int) -> Tensor:
    """The parts of the photographs that a split's backgrounds are cut from.

    Training has the left 70 % of two photographs, "test" the rest of them, and "shift" all of a
    third one. They are enlarged by a whole factor where scenes would not fit in.

    Args:
        split: "train", "test" or "shift".
        size: side of the scenes, in pixels.

    Returns:
        (P, 3, H, W) float32 in [0, 1], H and W at least `size`.
    """
    whole = torch.stack([read(photograph) for photograph in PHOTOGRAPHS[split]])
    border = round(TRAINING_PART * whole.shape[-1])
    columns = {"train": slice(border), "test": slice(border, None), "shift": slice(None)}[split]
    part = whole[..., columns].float() / 255  # (P, 3, H, W)
    factor = -(-size // SMALLEST_SIDE)
    return F.interpolate(part, scale_factor=factor, mode="bilinear") if factor > 1 else part
