"""Scenes: digits or letters on faint photographs, drawn when asked for, with everything known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ...validation import is_a, require, require_at_least, require_kinds
from ..keys import Keys
from ..source import UNSCORED, Samples
from .draw import between, contrasting, place, shared, tight_box
from .glyphs import FRAME, load_glyphs
from .photographs import SPLITS, parts

GAP = 0.3  # least distance in luminance of an object's colour from the background's
OVERLAP = 0.25  # of the boxes of two objects, the most that one has of the smaller
PLACES = 8  # how many are tried for an object


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
        for field in ("objects", "digit"):
            limits = getattr(self, field)
            object.__setattr__(self, field, tuple(limits) if isinstance(limits, list) else limits)
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
    valid = isinstance(limits, tuple) and len(limits) == 2
    valid = valid and all(is_a(int, limit) for limit in limits)
    valid = valid and least <= limits[0] <= limits[1] and (most is None or limits[1] <= most)
    require(valid, field, limits, f"a lowest and a highest whole number from {least}{highest}")


class Scenes:
    """A source of scenes, of which none is stored.

    A scene is a function of the configuration, the split and its own number: the same in every
    epoch, in every run, and beside any others. Its background is a colour with a faint part of a
    photograph. Its objects lie wholly within it, and later ones cover earlier ones. Of the boxes of
    two objects, at most a quarter of the smaller one is shared: an object is tried in up to eight
    places for that, and left out of a scene that is too crowded for it.

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
        boxes = torch.zeros(len(keys), high, 4)
        labels = torch.zeros(len(keys), high, dtype=torch.int64)
        for k in range(high):
            labels[:, k], ink = self.add(k, keys, meant > k, owners, boxes)
            paint = self.paint(k, keys, colour)[:, :, None, None]  # (B, 3, 1, 1)
            images = between(images, paint, ink[:, None])
        return self.columns(images, owners, labels)

    def columns(self, images: Tensor, owners: Tensor, labels: Tensor) -> Samples:
        """The samples, by whose each pixel is, (B, S, S), and the objects' classes, (B, M)."""
        objects = torch.arange(1, labels.shape[1] + 1)[:, None, None]
        boxes = tight_box(owners[:, None] == objects)  # (B, M, 4)
        values = F.pad(1 + labels, (1, 0))  # (B, 1 + M), those of the mask, first the background's
        masks = values.gather(1, owners.flatten(1)).view_as(owners)
        labels = torch.where(boxes[:, :, 2] > 0, labels, UNSCORED)
        samples = {"images": images, "boxes": boxes, "box_labels": labels, "masks": masks}
        return samples | ({"labels": labels[:, 0]} if self.config.objects == (1, 1) else {})

    def stream(self, use: str) -> str:
        """The name of the random numbers for a use; each split has its own."""
        return f"scenes.{self.split}.{use}"

    def backgrounds(self, keys: Keys) -> tuple[Tensor, Tensor]:
        """A colour (B, 3) for each scene, and it with some of a photograph, (B, 3, S, S)."""
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

    def add(
        self, k: int, keys: Keys, wanted: Tensor, owners: Tensor, boxes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Adds an object to scenes, where it leaves enough of each other to be seen.

        Args:
            k: its number; those before it are there.
            keys: of the scenes.
            wanted: (B,) bool, which scenes are to have it.
            owners: (B, S, S) int64, whose each pixel is; changed in place.
            boxes: (B, M, 4), around whole objects; changed in place.

        Returns:
            Its class (B,) and its ink (B, S, S) in [0, 1], none where it was left out.
        """
        labels, pictures, sides, places = self.choices(k, keys)
        ink = torch.zeros(owners.shape)
        waiting = wanted.nonzero()[:, 0]
        for corners in places.unbind(1):
            tried = place(pictures[waiting], sides[waiting], corners[waiting], self.config.size)
            box = tight_box(tried >= 0.5)
            fits = (shared(boxes[waiting, :k], box[:, None]) <= OVERLAP).all(1)
            rows = waiting[fits]
            ink[rows], boxes[rows, k] = tried[fits], box[fits]
            owners[rows] = torch.where(tried[fits] >= 0.5, k + 1, owners[rows])
            waiting = waiting[~fits]
            if not len(waiting):
                break
        return labels, ink

    def choices(self, k: int, keys: Keys) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Classes (B,), pictures (B, 28, 28), sides (B,) and places (B, 8, 2) of the objects k."""
        which, side = keys.uniform(self.stream(f"glyph.{k}"), (2,)).unbind(1)
        which = (which * len(self.glyphs.labels)).long()
        low, high = self.config.digit
        sides = low + (side * (high - low + 1)).floor()
        room = (self.config.size - sides + 1)[:, None, None]
        places = (keys.uniform(self.stream(f"places.{k}"), (PLACES, 2)) * room).floor()
        pictures = self.glyphs.pictures[which].float() / 255
        return self.glyphs.labels[which], pictures, sides, places
