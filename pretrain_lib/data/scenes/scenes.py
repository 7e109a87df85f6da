"""Scenes: digits or letters on faint photographs, drawn when asked for, with everything known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ...validation import is_a, require, require_at_least, require_kinds
from ..keys import Keys
from ..source import UNSCORED, Samples
from .draw import areas, between, contrasting, place, tight_boxes
from .glyphs import FRAME, load_glyphs
from .photographs import SPLITS, parts

GAP = 0.3  # least distance in luminance of an object's colour from the background's
PLACES = 4  # how many places are tried for an object


@dataclass(frozen=True)
class SceneConfig:
    """What is drawn.

    Attributes:
        size: side of a scene, in pixels.
        objects: fewest and most objects in a scene.
        digit: smallest and largest side of the square in which a glyph lies, in pixels; its ink
            fills 20/28 of it. At least 14, where strokes are a pixel wide.
        background: how much of a photograph is added to the background's colour, 0 to 1.
        glyphs: "digits", those of MNIST, or "letters", capitals of DejaVu fonts.
        number: how many scenes there are.
        seed: which scenes.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    size: int = 48
    objects: tuple[int, int] = (1, 2)
    digit: tuple[int, int] = (24, 31)
    background: float = 0.25
    glyphs: Literal["digits", "letters"] = "digits"
    number: int = 4000
    seed: int = 0

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, FRAME // 2, "size")
        require_at_least(self, 1, "number")
        require_range("objects", self.objects, 0, None)
        require(self.objects[1] >= 1, "objects", self.objects, "one object or more at most")
        require_range("digit", self.digit, FRAME // 2, self.size)
        require(0 <= self.background <= 1, "background", self.background, "between 0 and 1")
        require(0 <= self.seed < 2**32, "seed", self.seed, "between 0 and 2**32 - 1")


def require_range(field: str, limits, least: int, most: int | None) -> None:
    """A field is a lowest and a highest whole number."""
    highest = "" if most is None else f" up to {most}, the scene's size"
    valid = len(limits) == 2 and all(is_a(int, limit) for limit in limits)
    valid = valid and least <= limits[0] <= limits[1] <= (limits[1] if most is None else most)
    require(valid, field, limits, f"a lowest and a highest whole number from {least}{highest}")


class Scenes:
    """A source of scenes, of which none is stored.

    A scene is a function of the configuration, the split and its own number: the same in every
    epoch, in every run, and beside any others. Its background is a colour with a faint part of a
    photograph. Its objects lie wholly within it. Later ones cover earlier ones, by half at most: an
    object that would cover more is placed anew, up to four times, and then left out, so that a
    crowded scene may hold fewer than it was meant to.

    A pixel is an object's if half of it or more is ink. Mask and box are those of what is seen.

    Args:
        config: what is drawn.
        split: "train", "test" or "shift". "test" has other digits (for letters: other fonts), and
            other parts of the two photographs; "shift" has those digits on a photograph of its own.

    Raises:
        ValueError: for an unknown split.
    """

    def __init__(self, config: SceneConfig, split: str = "train"):
        require(split in SPLITS, "split", split, f"one of {', '.join(SPLITS)}")
        self.config = config
        self.split = split
        self.glyphs = load_glyphs(config.glyphs, "train" if split == "train" else "test")
        self.photographs = parts(split, config.size)  # (P, 3, H, W)
        self.classes = self.glyphs.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return (3, self.config.size, self.config.size)

    def __len__(self) -> int:
        return self.config.number

    def take(self, keys: Keys) -> Samples:
        """The scenes that the keys name.

        Returns:
            `images` (B, 3, S, S) float32 in [0, 1]; `boxes` (B, M, 4), left, upper, right, lower
            edge in pixels, and `box_labels` (B, M), zeros and -100 where a scene has fewer than M
            objects; `masks` (B, S, S), 0 for the background and 1 + its class for an object; and
            `labels` (B,) if every scene holds exactly one object.
        """
        keys = Keys.of(self.config.seed, keys.sample)
        colour, images = self.backgrounds(keys)
        low, high = self.config.objects
        meant = low + (keys.uniform(self.stream("objects")) * (high - low + 1)).long()  # (B,)
        owners = torch.zeros(len(keys), *self.image_shape[1:], dtype=torch.int64)
        whole = torch.zeros(len(keys), high, dtype=torch.int64)
        labels = torch.zeros_like(whole)
        for k in range(high):
            labels[:, k], ink = self.add(k, keys, meant > k, owners, whole)
            paint = self.paint(k, keys, colour)[:, :, None, None]  # (B, 3, 1, 1)
            images = between(images, paint, ink[:, None])
        return self.columns(images, owners, torch.where(whole > 0, labels, UNSCORED))

    def columns(self, images: Tensor, owners: Tensor, classes: Tensor) -> Samples:
        """Boxes and masks, by whose each pixel is, (B, S, S), and the objects' classes, (B, M)."""
        names = torch.cat([torch.full((len(classes), 1), -1), classes], dim=1)  # the background's
        samples = {"images": images, "boxes": tight_boxes(owners, classes.shape[1]),
                   "box_labels": classes,
                   "masks": 1 + names.gather(1, owners.flatten(1)).view_as(owners)}
        if self.config.objects == (1, 1):
            samples["labels"] = classes[:, 0]
        return samples

    def stream(self, use: str) -> str:
        return f"scenes.{self.split}.{use}"

    def backgrounds(self, keys: Keys) -> tuple[Tensor, Tensor]:
        """A colour (B, 3) for each scene, and images (B, 3, S, S) of it and some of a photograph."""
        size, strength = self.config.size, self.config.background
        colour = keys.uniform(self.stream("background"), (3,))
        windows = self.photographs.unfold(2, size, 1).unfold(3, size, 1)  # (P, 3, rows, columns, …)
        chance = keys.uniform(self.stream("photograph"), (3,))
        places = torch.tensor([windows.shape[axis] for axis in (0, 2, 3)])
        photograph, row, column = (chance * places).long().unbind(1)
        crop = windows[photograph, :, row, column]  # (B, 3, S, S)
        return colour, (colour[:, :, None, None] + strength * (crop - 0.5)).clamp(0, 1)

    def paint(self, k: int, keys: Keys, background: Tensor) -> Tensor:
        """The colours (B, 3) of the objects k, apart from the background's (B, 3) in luminance."""
        chance = keys.uniform(self.stream(f"paint.{k}"), (4,))
        return contrasting(chance[:, :3], background, chance[:, 3], GAP)

    def add(self, k: int, keys: Keys, wanted: Tensor, owners: Tensor, whole: Tensor):
        """Adds an object to scenes, where at least half of each other can still be seen.

        Args:
            k: its number; those before it are there.
            keys: of the scenes.
            wanted: (B,) bool, which scenes are to have it.
            owners: (B, S, S) int64, whose each pixel is; changed in place.
            whole: (B, M) int64, pixels of each object before it was covered; changed in place.

        Returns:
            Its class (B,) and its ink (B, S, S) in [0, 1], none where it was left out.
        """
        which, side = keys.uniform(self.stream(f"glyph.{k}"), (2,)).unbind(1)
        which = (which * len(self.glyphs.labels)).long()
        low, high = self.config.digit
        side = low + (side * (high - low + 1)).floor()  # (B,)
        room = (self.config.size - side + 1)[:, None, None]
        places = (keys.uniform(self.stream(f"places.{k}"), (PLACES, 2)) * room).floor()
        ink = torch.zeros(owners.shape)
        waiting = wanted.nonzero()[:, 0]
        for corners in places.unbind(1):
            pictures = self.glyphs.pictures[which[waiting]].float() / 255
            tried = place(pictures, side[waiting], corners[waiting], self.config.size)
            covered = torch.where(tried >= 0.5, k + 1, owners[waiting])
            seen = areas(covered, whole.shape[1])
            fits = (2 * seen[:, :k] >= whole[waiting, :k]).all(1)
            rows = waiting[fits]
            ink[rows], owners[rows], whole[rows, k] = tried[fits], covered[fits], seen[fits, k]
            waiting = waiting[~fits]
            if not len(waiting):
                break
        return self.glyphs.labels[which], ink
