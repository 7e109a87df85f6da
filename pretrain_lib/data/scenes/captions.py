"""Coloured digits with captions in which everything is known: "a red three left of a blue seven".

They ask what Lewis et al. ask of CLIP ("Does CLIP bind concepts? Probing compositionality in large
image models", Findings of EACL 2024): whether a model names combinations that it never saw, and
whether it knows which colour belongs to which object.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import Tensor

from ..images.captioned import CaptionedImages
from ..images.pairs import DRAWN_SPLITS, Pairs, check_split
from ..keys import Keys
from ..splits import held_out_pairs
from .draw import between, place
from .photographs import CREDITS
from .scenes import SceneConfig, Scenes

COLOURS = {"red": (1.0, 0.2, 0.2), "pink": (1.0, 0.6, 0.8), "yellow": (1.0, 1.0, 0.2),
           "green": (0.2, 0.85, 0.2), "cyan": (0.2, 0.9, 0.95), "blue": (0.3, 0.5, 1.0),
           "purple": (0.7, 0.3, 1.0), "white": (1.0, 1.0, 1.0)}
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HELD_OUT = 0.2  # of the combinations of colour and digit
DARK = 0.3  # of full light, at most, is the background's; the darkest colour's is 0.44
SIZES = {1: (32, (26, 32)), 2: (40, (17, 20))}  # pixels, by objects: a picture's side, a digit's
TRAINED_ON, TESTED_ON = 8000, 1000  # pictures
BATCH = 256


class ColouredDigits:
    """One digit of MNIST in a colour that has a name, or two of them side by side.

    Of the 80 combinations of a colour and a digit, a fifth is held out, so that every colour and
    every digit is still seen with others. Two objects differ in colour and in digit, and each stays
    in its half of the picture. Backgrounds are dark, with a part of a photograph.

    A picture is a function of the seed, the split and its own number, as those of `Scenes` are.
    Number i has the same background in "test" and "held out".

    Args:
        objects: 1 or 2.
        split: "train" has no combination that is held out; "test" has the same combinations, with
            digits and backgrounds of its own; "held out" has the others, with those of "test". With
            two objects, "test" has pairs of which the combinations with colours swapped are seen in
            training, too: nothing but the binding of colour to digit tells the two apart.
        seed: which combinations are held out, and which pictures are drawn.

    Raises:
        ValueError: for an unknown split.
    """

    def __init__(self, objects: int, split: str, seed: int = 0):
        check_split(split, DRAWN_SPLITS)
        size, digit = SIZES[objects]
        config = SceneConfig(size=size, objects=(objects, objects), digit=digit, background=0.5,
                             number=TRAINED_ON if split == "train" else TESTED_ON, seed=seed)
        self.split = split
        self.scenes = Scenes(config, "train" if split == "train" else "test")
        self.seen = seen_combinations(seed)  # (8, 10)
        self.choices = choices(self.seen, objects, split)  # (P, objects, 2)
        self.by_digit = self.scenes.glyphs.labels.argsort(stable=True)
        self.of_each = torch.bincount(self.scenes.glyphs.labels)  # (10,)

    def __len__(self) -> int:
        return len(self.scenes)

    def uniform(self, use: str, ids, n: int) -> Tensor:
        """Random numbers in [0, 1) for a use, (B, n); each split has its own."""
        keys = Keys.of(self.scenes.config.seed, ids)
        return keys.uniform(f"captions.{self.split}.{use}", (n,))

    def described(self, ids) -> tuple[Tensor, Tensor]:
        """The colours and the digits in the pictures `ids`, (B, objects) each, from the left."""
        chance = self.uniform("combination", ids, 1)[:, 0]
        return self.choices[(chance * len(self.choices)).long()].unbind(2)

    def draw(self, ids) -> Tensor:
        """The pictures `ids`, (B, 3, S, S) float32 in [0, 1]."""
        colours, digits = self.described(ids)
        images = DARK * self.scenes.backgrounds(Keys.of(self.scenes.config.seed, ids))[1]
        paints = torch.tensor(list(COLOURS.values()))[colours]  # (B, objects, 3)
        for k in range(digits.shape[1]):
            ink = self.ink(k, digits[:, k], ids)  # (B, S, S)
            images = between(images, paints[:, k, :, None, None], ink[:, None])
        return images

    def ink(self, k: int, digits: Tensor, ids) -> Tensor:
        """A handwritten digit for each of `digits` (B,), in the part for object k: (B, S, S)."""
        config = self.scenes.config
        which, side, x, y = self.uniform(f"object.{k}", ids, 4).unbind(1)
        first = (self.of_each.cumsum(0) - self.of_each)[digits]
        glyphs = self.by_digit[first + (which * self.of_each[digits]).long()]
        low, high = config.digit
        sides = low + (side * (high - low + 1)).floor()
        width = config.size // config.objects[1]  # of the part
        corners = torch.stack([k * width + (x * (width - sides + 1)).floor(),
                               (y * (config.size - sides + 1)).floor()], dim=1)
        return place(self.scenes.glyphs.pictures[glyphs].float() / 255, sides, corners, config.size)

    def one_wrong(self, ids) -> Tensor:
        """The colours in the pictures `ids`, one of two exchanged for a third, (B, 2).

        Where there is one, it makes a combination of the kind that the split has.
        """
        colours, digits = self.described(ids)
        chance = self.uniform("wrong", ids, 1 + len(COLOURS))
        k = (chance[:, :1] * 2).long()  # (B, 1), which of the two
        of_this_kind = self.seen if self.split != "held out" else ~self.seen
        score = chance[:, 1:] + of_this_kind.T[digits.gather(1, k)[:, 0]]  # (B, 8)
        third = score.scatter(1, colours, -1.0).argmax(1, keepdim=True)
        return colours.scatter(1, k, third)


def seen_combinations(seed: int) -> Tensor:
    """Which colours are seen with which digits in training, (8, 10) bool."""
    colours, digits = np.divmod(np.arange(len(COLOURS) * len(NUMBERS)), len(NUMBERS))
    held_out = held_out_pairs(colours, digits, HELD_OUT, seed)
    return torch.from_numpy(~held_out).view(len(COLOURS), len(NUMBERS))


def choices(seen: Tensor, objects: int, split: str) -> Tensor:
    """What pictures of a split may show, (P, objects, 2): colour and digit of each object."""
    single = (seen if split != "held out" else ~seen).nonzero()  # (S, 2)
    if objects == 1:
        return single[:, None]
    pairs = torch.tensor(list(product(single.tolist(), repeat=2)))  # (S², 2, 2)
    pairs = pairs[(pairs[:, 0] != pairs[:, 1]).all(1)]
    if split != "test":
        return pairs
    colours, digits = pairs.unbind(2)
    return pairs[seen[colours.flip(1), digits].all(1)]


def captions_of(colours: Tensor, digits: Tensor) -> list[str]:
    """The captions of N pictures, by their objects' colours and digits, (N, objects) each."""
    names = tuple(COLOURS)
    objects = [[f"a {names[colour]} {NUMBERS[digit]}" for colour, digit in zip(*row, strict=True)]
               for row in zip(colours.tolist(), digits.tolist(), strict=True)]
    return [" left of ".join(from_the_left) for from_the_left in objects]


def coloured_digits(objects: int, split: str, seed: int = 0) -> Pairs:
    """All pictures of `ColouredDigits` with their captions, drawn when asked for, kept in 8 bits.

    What is known of each stands in the columns `colour` and `digit`, (N,) each, or (N, 2) from the
    left. With two objects, `wrong_colour` (N, 2) has the colours with one exchanged for a third.
    """
    digits = ColouredDigits(objects, split, seed)
    ids = range(len(digits))
    colour, digit = digits.described(ids)

    def images() -> Tensor:
        batches = [digits.draw(ids[start:start + BATCH]) for start in ids[::BATCH]]
        return torch.cat([(255 * batch).round().byte() for batch in batches])

    columns = {"colour": colour, "digit": digit}
    if objects == 1:
        columns = {name: column[:, 0] for name, column in columns.items()}
    else:
        columns["wrong_colour"] = digits.one_wrong(ids)
    names = {name: NUMBERS if name == "digit" else tuple(COLOURS) for name in columns}
    about = f"digits of MNIST in {len(digits)} drawn scenes. {CREDITS[digits.scenes.split]}"
    return Pairs(captions_of(colour, digit), images, about, columns, names)


def wrong_captions(pictures: CaptionedImages) -> dict[str, list[str]]:
    """Captions of two digits with one mistake each, for every picture.

    In the split "test" they too have only combinations that are seen in training. In "held out"
    most that are swapped are seen while the right ones are not, and a model may like them for that.

    Args:
        pictures: of "two digits", N of them.

    Returns:
        N captions for each mistake: "colours swapped", "places swapped", which have the very words
        of the right one, and "one wrong colour".

    Raises:
        ValueError: if the pictures are no two coloured digits.
    """
    if "wrong_colour" not in pictures.columns:
        raise ValueError("wrong captions are made of the columns of 'two digits', "
                         f"{pictures.name!r} has {', '.join(pictures.columns)}")
    colours, digits = pictures.colour, pictures.digit
    return {"colours swapped": captions_of(colours.flip(1), digits),
            "places swapped": captions_of(colours.flip(1), digits.flip(1)),
            "one wrong colour": captions_of(pictures.wrong_colour, digits)}
