"""Letters of the fonts that matplotlib ships, each with its Unicode name as a caption."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..images.pairs import DRAWN_SPLITS, Pairs, check_split
from ..splits import held_out_pairs
from .glyphs import FONTS as ALL_FONTS

NAME = re.compile(r"latin (capital|small) letter ([a-z])(?: with (?!small letter)(.+))?")
TEST_FONTS = ("DejaVuSans-BoldOblique", "DejaVuSansMono-Oblique", "DejaVuSerif-BoldItalic")
FONTS = tuple(font for fonts in ALL_FONTS.values() for font in fonts if font not in TEST_FONTS)
CASES = ("capital", "small")
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
NO_MARK = ""
SIZE, EM, BASELINE = 32, 20, 25  # pixels: a picture's side, a font's size, from the upper edge
HELD_OUT = 0.15  # of the combinations of letter and mark


class Letter(NamedTuple):
    """What a caption says of a letter.

    Attributes:
        case: "capital" or "small".
        letter: "a" to "z".
        mark: such as "circumflex and acute"; "" where there is none.
    """

    case: str
    letter: str
    mark: str


def letter_of(caption: str) -> Letter | None:
    """What "latin small letter e with circumflex" says; None for the name of anything else."""
    found = NAME.fullmatch(caption)
    return Letter(found[1], found[2], found[3] or NO_MARK) if found else None


def letters(split: str, seed: int = 0) -> Pairs:
    """Latin letters, with and without marks, and their names in Unicode.

    Of the combinations of a letter and a mark, 15 % are held out, in both cases and all fonts, so
    that every letter and every mark is still seen with others. Pictures are 32 × 32, white on
    black, in one size on one line, for size tells a capital o from a small one. What is known of
    each stands in the columns `case`, `letter`, `mark` and `font`.

    Args:
        split: "train" has seven fonts and no combination that is held out; "test" has the same
            combinations in three other fonts, bold and slanted or monospaced and slanted, which
            training knows one by one; "held out" has the others, in the fonts of "test".
        seed: which combinations are held out.

    Raises:
        ValueError: for an unknown split.
    """
    check_split(split, DRAWN_SPLITS)
    seen = {letter for font in FONTS for _, letter in letters_in(font)}
    order = sorted(seen, key=lambda each: (each.letter, each.mark, each.case))
    marked = [each for each in order if each.mark]
    apart = held_out_pairs(np.array([each.letter for each in marked]),
                           np.array([each.mark for each in marked]), HELD_OUT, seed)
    held_out = {each for each, out in zip(marked, apart, strict=True) if out}
    fonts = FONTS if split == "train" else TEST_FONTS
    wanted = held_out if split == "held out" else seen - held_out
    found = [(sign, letter, font) for font in fonts for sign, letter in letters_in(font)
             if letter in wanted]
    names = {"case": CASES, "letter": tuple(ALPHABET), "mark": sorted({each.mark for each in seen}),
             "font": FONTS + TEST_FONTS}
    known = [(*letter, font) for _, letter, font in found]
    columns = {name: torch.tensor([names[name].index(row[k]) for row in known])
               for k, name in enumerate(names)}
    return Pairs(
        captions=[unicodedata.name(sign).lower() for sign, _, _ in found],
        images=lambda: torch.stack([draw(sign, font) for sign, _, font in found])[:, None],
        about="Letters of the DejaVu fonts (Bitstream Vera's licence), as matplotlib ships them",
        columns=columns, names=names)


@lru_cache(maxsize=16)
def letters_in(font: str) -> tuple[tuple[str, Letter], ...]:
    """The signs of a font that are Latin letters from A to Z, with or without marks."""
    from matplotlib.ft2font import FT2Font

    signs = map(chr, sorted(FT2Font(path_of(font)).get_charmap()))
    named = ((sign, letter_of(unicodedata.name(sign, "").lower())) for sign in signs)
    return tuple((sign, letter) for sign, letter in named if letter)


def path_of(font: str) -> str:
    """The file of a font that matplotlib ships."""
    from matplotlib import get_data_path

    return f"{get_data_path()}/fonts/ttf/{font}.ttf"


@lru_cache(maxsize=16)
def opened(font: str):
    """A font in the size that letters are drawn in."""
    from PIL import ImageFont

    return ImageFont.truetype(path_of(font), EM, layout_engine=ImageFont.Layout.BASIC)


def draw(sign: str, font: str) -> Tensor:
    """A sign in white on black, in the middle of its line, (32, 32) uint8."""
    from PIL import Image, ImageDraw

    page = Image.new("L", (SIZE, SIZE))
    ImageDraw.Draw(page).text((SIZE // 2, BASELINE), sign, fill=255, font=opened(font), anchor="ms")
    return torch.from_numpy(np.array(page))
