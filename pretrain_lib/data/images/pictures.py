"""Image files, read one at a time into one tensor; of any size and mode where a size is given."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..source import UNSCORED
from .annotations import check_edges, cut

GREY = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"}  # modes of Pillow
TURNS = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
         6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}  # what undoes an orientation of EXIF
ORIENTATION = 0x0112  # its tag
BROKEN = (OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error, zlib.error)


@dataclass(frozen=True)
class Square:
    """What images are brought to.

    Attributes:
        size: its side in pixels.
        margin: black pixels on each side within `size`.

    Raises:
        ValueError: if the margin leaves no room.
    """

    size: int
    margin: int = 0

    def __post_init__(self):
        if self.margin < 0 or self.inner < 1:
            raise ValueError("size must be at least 1 and leave room for the margin, got "
                             f"{self.size} and {self.margin}")

    @property
    def inner(self) -> int:
        """The side of what the margin surrounds."""
        return self.size - 2 * self.margin


class Pictures:
    """Images in files: sizes and modes are read at once, pixels when they are asked for.

    Every image is turned as its EXIF data say. To fill a square, its shortest side is scaled to the
    square's and the centre is cut out; boxes, polygons and masks follow. All become grey if all
    are, else RGB: transparency is dropped, and of 16 bits the upper 8 are kept.

    Args:
        names: what errors call each image.
        file_of: the file of the image with a number, a path or what can be read.
        square: what to bring them to; None if they have one size and are all grey or all RGB.

    Attributes:
        sizes: (N, 2), width and height of each in pixels.
        shape: height and width of all, once they are read.

    Raises:
        ValueError: naming the image that cannot be read, or two that differ without a square.
    """

    def __init__(self, names: Sequence[str], file_of: Callable[[int], Path | str | BytesIO],
                 square: Square | None = None):
        self.names, self.file_of = names, file_of
        modes, sizes = zip(*(read_header(file_of(i), name) for i, name in enumerate(names)),
                           strict=True)
        self.mode = "L" if GREY.issuperset(modes) else "RGB"
        self.sizes = self.kept = torch.tensor(sizes).double()
        if square is None:
            check_alike(names, modes, sizes)
            self.inner, self.margin = sizes[0], 0
        else:
            self.kept = self.sizes.amin(dim=1, keepdim=True).expand(-1, 2)
            self.inner, self.margin = (square.inner, square.inner), square.margin
        self.corners = (self.sizes - self.kept) / 2  # (N, 2), left and upper edge of what is kept
        self.scales = torch.tensor(self.inner) / self.kept
        self.shape = tuple(side + 2 * self.margin for side in reversed(self.inner))

    def read(self, ids: Sequence[int]) -> Tensor:
        """The images `ids` as (n, C, H, W) uint8: bilinear, with a low-pass filter to shrink."""
        width, height = self.inner
        channels = 1 if self.mode == "L" else 3
        images = torch.zeros(len(ids), channels, *self.shape, dtype=torch.uint8)
        inside = images[:, :, self.margin:, self.margin:][:, :, :height, :width]
        for row, i in enumerate(ids):
            inside[row] = self.pixels(i)
        return images

    def pixels(self, i: int) -> Tensor:
        """An image without its margin, (C, H, W) uint8."""
        from PIL import Image

        picture = read_picture(self.file_of(i), self.names[i], self.mode)
        box = torch.cat([self.corners[i], self.corners[i] + self.kept[i]]).tolist()
        picture = picture.resize(self.inner, Image.Resampling.BILINEAR, box=box)
        return torch.from_numpy(np.array(picture)).reshape(*self.inner[::-1], -1).permute(2, 0, 1)

    def moved(self, i: int, points) -> Tensor:
        """Where points (P, 2), x and y in pixels of an image, lie within the margin."""
        return (torch.as_tensor(points) - self.corners[i]) * self.scales[i]

    def placed(self, boxes: Tensor, box_labels: Tensor) -> dict[str, Tensor]:
        """Objects of all images where they are seen, without those of which nothing is.

        Args:
            boxes: (N, M, 4), left, upper, right and lower edge in pixels of the image.
            box_labels: (N, M), -100 where there is no object.

        Raises:
            ValueError: for a box that is empty or lies outside, naming its image.
        """
        there, boxes = box_labels != UNSCORED, cut(boxes, self.sizes)
        check_edges(boxes, there, self.sizes, self.names)
        corners, scales = (pair.repeat(1, 2)[:, None] for pair in (self.corners, self.scales))
        boxes = ((boxes - corners) * scales).clamp(min=0).minimum(torch.tensor(self.inner * 2))
        boxes = (boxes + self.margin).float()
        left, upper, right, lower = boxes.unbind(2)
        seen = there & (right > left) & (lower > upper)
        return {"boxes": boxes * seen[:, :, None], "box_labels": box_labels.where(seen, UNSCORED)}

    def nearest(self, i: int, mask: Tensor) -> Tensor:
        """The mask (H, W) of an image, as large as `shape`, with the class of the nearest pixel."""
        columns, rows = (
            (corner + (torch.arange(side) + 0.5) * (kept / side)).long()
            for corner, kept, side in zip(self.corners[i], self.kept[i], self.inner, strict=True)
        )
        return self.framed(mask[rows[:, None], columns])

    def framed(self, mask: Tensor) -> Tensor:
        """A mask with its margin, which is background."""
        return F.pad(mask, [self.margin] * 4)


def pictures_in(files: Sequence[Path], square: Square | None = None) -> Pictures:
    """The images in some files."""
    return Pictures([str(path) for path in files], files.__getitem__, square)


def check_alike(names: Sequence[str], modes: Sequence[str], sizes: Sequence[tuple]) -> None:
    """Raises ValueError, naming the first at fault, unless all are grey or RGB and of one size."""
    for name, mode, size in zip(names, modes, sizes, strict=True):
        if mode not in ("L", "RGB"):
            raise ValueError(f"{name} has mode {mode}: convert it to L (grey) or RGB, or give size")
        if (mode, size) != (modes[0], sizes[0]):
            raise ValueError(
                f"images must have one size and mode: {names[0]} is {sizes[0][0]} × {sizes[0][1]} "
                f"{modes[0]}, {name} {size[0]} × {size[1]} {mode}: give size to bring them to one"
            )


def read_header(file: Path | str | BytesIO, name: str) -> tuple[str, tuple[int, int]]:
    """The mode of an image, and its width and height once it is turned."""
    with readable(file, name) as picture:
        return picture.mode, picture.size[::-1] if orientation(picture) >= 5 else picture.size


def read_picture(file: Path | str | BytesIO, name: str, mode: str | None = None):
    """An image as Pillow has it, turned, and brought to a mode, "L" or "RGB", if one is given."""
    from PIL import Image

    with readable(file, name) as picture:
        turn = TURNS.get(orientation(picture))
        picture.load()
        if mode is not None:
            picture = in_8_bits(picture)
            picture.info.pop("transparency", None)  # else Pillow looks for a colour to stand for it
            picture = picture.convert(mode)
        return picture.transpose(getattr(Image.Transpose, turn)) if turn else picture


@contextmanager
def readable(file: Path | str | BytesIO, name: str) -> Iterator:
    """A file opened by Pillow; whatever goes wrong within is one error with its name."""
    from PIL import Image

    try:
        with Image.open(file) as picture:
            yield picture
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} cannot be read as an image: {error}") from None


def orientation(picture) -> int:
    """How the camera was held, 1 to 8, as the header says in EXIF or XMP; 1, upright, if unknown."""
    from PIL import Image

    said = Image.Image.getexif(picture).get(ORIENTATION)  # PNG's own would decode all pixels first
    return said if said in TURNS else 1


def in_8_bits(picture):
    """An image of 16 bits without the lower 8, others as they are."""
    from PIL import Image

    if picture.mode != "F" and not picture.mode.startswith("I"):
        return picture
    values = np.array(picture)
    if picture.mode == "F" or values.min() < 0 or values.max() >= 2**16:
        raise ValueError("its numbers are no colours of 8 or 16 bits: save it in one of them")
    return Image.fromarray((values >> 8).astype(np.uint8))
