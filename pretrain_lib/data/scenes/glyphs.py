"""What the scenes show: handwritten digits, or capital letters of named fonts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..images.packaged import load_mnist
from ..splits import split_ids

FRAME, INK = 28, 20  # pixels: the side of a glyph's square, and of its larger extent, as in MNIST
LETTERS = "ACEFHKMPRT"  # none that looks like a digit
FONTS = {
    "train": ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono",
              "DejaVuSerif", "DejaVuSerif-Bold"),
    "test": ("DejaVuSans-BoldOblique", "DejaVuSansMono-Oblique", "DejaVuSerif-Italic",
             "DejaVuSerif-BoldItalic"),
}


@dataclass(frozen=True)
class Glyphs:
    """Signs in white on black.

    Attributes:
        pictures: (G, 28, 28) uint8.
        labels: (G,) int64, the class of each.
        classes: name of each class.
    """

    pictures: Tensor
    labels: Tensor
    classes: list[str]


@lru_cache(maxsize=4)
def load_glyphs(kind: str, split: str) -> Glyphs:
    """The glyphs of a split.

    Args:
        kind: "digits", those of MNIST, or "letters", capitals of DejaVu fonts.
        split: "train" or "test"; they share no digit and no font.
    """
    return draw_letters(split) if kind == "letters" else digits(split)


def digits(split: str) -> Glyphs:
    """The digits of `load_images("mnist", split)`."""
    mnist = load_mnist()
    part = mnist.subset(split_ids(mnist.labels.numpy(), len(mnist), split))
    return Glyphs(part.columns["images"][:, 0], part.labels, part.classes)


def draw_letters(split: str) -> Glyphs:
    """Each letter in each font of the split, as large and as central as a digit of MNIST."""
    pictures = [draw_letter(letter, font) for font in FONTS[split] for letter in LETTERS]
    labels = torch.arange(len(LETTERS)).repeat(len(FONTS[split]))
    return Glyphs(torch.stack(pictures), labels, list(LETTERS))


def draw_letter(letter: str, font: str) -> Tensor:
    """A letter of a font that matplotlib ships, (28, 28) uint8, its ink 20 pixels long."""
    import numpy as np
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    large = ImageFont.truetype(f"{get_data_path()}/fonts/ttf/{font}.ttf", size=8 * INK)
    page = Image.new("L", (16 * INK, 16 * INK))
    ImageDraw.Draw(page).text((4 * INK, 4 * INK), letter, fill=255, font=large)
    ink = page.crop(page.getbbox())
    scale = INK / max(ink.size)
    ink = ink.resize([max(1, round(scale * side)) for side in ink.size], Image.Resampling.BOX)
    frame = Image.new("L", (FRAME, FRAME))
    frame.paste(ink, ((FRAME - ink.width) // 2, (FRAME - ink.height) // 2))
    return torch.from_numpy(np.array(frame))
