"""Augmentation: random changes that leave what an image shows as it is.

`Augmented` is a view: it wraps a source of images and changes each sample as its key says, so the
same key gives the same image on any machine, and every epoch shows a new variant. Transforms that
move pixels are matrices; neighbours among them are multiplied first and interpolate only once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import groupby
from math import isfinite, log, radians

import torch
from torch import Tensor
from torch.nn import functional as F

from ...validation import require
from ..keys import Keys
from ..source import Samples, Source

PLACES = ("boxes", "box_labels", "masks")  # columns that say where in an image something is


class Transform:
    """A random change of images; its `name` is part of the stream that its numbers come from.

    Attributes:
        moves_pixels: whether what the image shows lies elsewhere afterwards.
        reads_colours: whether the channels are colours to it, or any number of pictures.
    """

    name = "transform"
    moves_pixels = False
    reads_colours = False

    def __call__(self, images: Tensor, keys: Keys, stream: str) -> Tensor:
        """Images (B, C, H, W), changed as the keys of the B samples say, in the same shape."""
        raise NotImplementedError


class Affine(Transform):
    """A transform that moves pixels: each output position reads the input at matrix · position."""

    moves_pixels = True

    def matrix(self, keys: Keys, stream: str, sides: tuple[int, int]) -> Tensor:
        """(B, 3, 3), acting on (x, y, 1) in pixels from the image's centre, y downwards.

        Args:
            keys: of B samples.
            stream: where the random numbers come from.
            sides: the images' height and width, in pixels.
        """
        raise NotImplementedError

    def __call__(self, images: Tensor, keys: Keys, stream: str) -> Tensor:
        return warp(images, self.matrix(keys, stream, tuple(images.shape[-2:])))


def affine(a: Tensor, b: Tensor, c: Tensor, d: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The matrices [[a, b, x], [c, d, y], [0, 0, 1]], (B, 3, 3), from vectors (B,)."""
    zero, one = torch.zeros_like(a), torch.ones_like(a)
    return torch.stack([a, b, x, c, d, y, zero, zero, one], dim=1).reshape(-1, 3, 3)


def compose(first: Tensor, second: Tensor) -> Tensor:
    """The matrices (B, 3, 3) of two moves in turn.

    A sum of products, since a library's matrix product may round differently in another batch.
    """
    return (first[:, :, :, None] * second[:, None]).sum(2)


def warp(images: Tensor, matrix: Tensor) -> Tensor:
    """Reads each image at matrix · position, bilinearly; outside the image is 0.

    Whole-pixel moves are exact, and the result for an image does not depend on its batch, to the
    last bit: `torch.nn.functional.grid_sample` promises neither.

    Args:
        images: (B, C, H, W).
        matrix: (B, 3, 3), from output to input positions, in pixels from the centre.

    Returns:
        (B, C, H, W).
    """
    channels, height, width = images.shape[1:]
    y = (torch.arange(height) - (height - 1) / 2).repeat_interleave(width)  # (H · W,)
    x = (torch.arange(width) - (width - 1) / 2).repeat(height)
    rows = matrix[:, :2, :, None].unbind(2)  # three times (B, 2, 1)
    at_x, at_y = (rows[0] * x + rows[1] * y + rows[2]).unbind(1)  # (B, H · W)
    at_x = (at_x + (width + 1) / 2).clamp(0, width + 1)  # pixels from the corner of a black frame
    at_y = (at_y + (height + 1) / 2).clamp(0, height + 1)
    left, top = at_x.floor().clamp(max=width), at_y.floor().clamp(max=height)
    corner = (top * (width + 2) + left).long()[:, None].expand(-1, channels, -1)
    framed = F.pad(images, (1, 1, 1, 1)).flatten(2)  # (B, C, (H + 2) · (W + 2))
    right_by, down_by = (at_x - left)[:, None], (at_y - top)[:, None]

    def row(start: int) -> Tensor:
        return torch.lerp(
            framed.gather(2, corner + start), framed.gather(2, corner + start + 1), right_by
        )

    return torch.lerp(row(0), row(width + 2), down_by).reshape(images.shape)


@dataclass(frozen=True)
class RandomCrop(Affine):
    """Pads with black, then cuts out a window of the old size: a shift by whole pixels.

    Attributes:
        padding: largest shift, in pixels, in each direction.
    """

    padding: int = 2
    name = "crop"

    def __post_init__(self):
        valid = isinstance(self.padding, int) and self.padding >= 0
        require(valid, "padding", self.padding, "a whole number of pixels, at least 0")

    def matrix(self, keys: Keys, stream: str, sides: tuple[int, int]) -> Tensor:
        places = 2 * self.padding + 1
        shift = (keys.uniform(stream, (2,)) * places).floor() - self.padding  # (B, 2)
        one, zero = torch.ones(len(keys)), torch.zeros(len(keys))
        return affine(one, zero, zero, one, *shift.unbind(1))


@dataclass(frozen=True)
class RandomResizedCrop(Affine):
    """Enlarges a random window of the image to the size of the whole.

    The window's area is uniform between two shares of the image's, the logarithm of its aspect
    ratio uniform as well, its place anywhere inside: black from outside the image never shows. The
    centres of the corner pixels count as the image's corners. Where a window of that area would not
    fit, the range of ratios is narrowed until it does.

    Attributes:
        smallest: least area of the window, as a share of the image's, above 0.
        largest: greatest area, at most 1.
        stretch: how many times as wide, against its height, as the image a window may be, or the
            other way round; at least 1.

    Source: Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6; with these
    numbers Chen et al., "A simple framework for contrastive learning", ICML 2020, appendix A.
    """

    smallest: float = 0.08
    largest: float = 1.0
    stretch: float = 4 / 3
    name = "resized crop"

    def __post_init__(self):
        require(0 < self.smallest <= 1, "smallest", self.smallest, "above 0 and at most 1")
        require(
            self.smallest <= self.largest <= 1,
            "largest",
            self.largest,
            f"between smallest, {self.smallest}, and 1",
        )
        valid = self.stretch >= 1 and isfinite(self.stretch)
        require(valid, "stretch", self.stretch, "at least 1")

    def matrix(self, keys: Keys, stream: str, sides: tuple[int, int]) -> Tensor:
        of_area, of_ratio, *of_place = keys.uniform(stream, (4,)).double().unbind(1)  # (B,) each
        area = self.smallest + (self.largest - self.smallest) * of_area
        widest = (-area.log()).clamp(max=log(self.stretch))  # a window as wide as the image
        half = widest * (of_ratio - 0.5)
        zoom = [area.sqrt() * half.exp(), area.sqrt() / half.exp()]  # of x and y, at most 1
        shift = [
            (1 - z) * (side - 1) * (u - 0.5) for z, side, u in zip(zoom, reversed(sides), of_place)
        ]
        zero = torch.zeros_like(area)
        return affine(zoom[0], zero, zero, zoom[1], *shift).float()


@dataclass(frozen=True)
class RandomScale(Affine):
    """Enlarges the image about its centre by a random factor.

    Attributes:
        low: smallest factor; below 1 shrinks.
        high: largest factor.
    """

    low: float = 0.9
    high: float = 1.1
    name = "scale"

    def __post_init__(self):
        require(self.low > 0, "low", self.low, "above 0")
        require(
            self.low <= self.high and isfinite(self.high),
            "high",
            self.high,
            f"at least low, {self.low}",
        )

    def matrix(self, keys: Keys, stream: str, sides: tuple[int, int]) -> Tensor:
        inverse = 1 / (self.low + (self.high - self.low) * keys.uniform(stream))  # (B,)
        zero = torch.zeros_like(inverse)
        return affine(inverse, zero, zero, inverse, zero, zero)


@dataclass(frozen=True)
class RandomRotate(Affine):
    """Turns the image about its centre by a random angle, either way.

    Attributes:
        degrees: largest angle, 0 to 180.
    """

    degrees: float = 10.0
    name = "rotate"

    def __post_init__(self):
        require(0 <= self.degrees <= 180, "degrees", self.degrees, "between 0 and 180")

    def matrix(self, keys: Keys, stream: str, sides: tuple[int, int]) -> Tensor:
        return rotation_matrix(radians(self.degrees) * (2 * keys.uniform(stream) - 1))


def rotation_matrix(angle: Tensor) -> Tensor:
    """Matrices (B, 3, 3) that turn an image counter-clockwise by `angle` (B,) in radians."""
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    return affine(cos, -sin, sin, cos, zero, zero)


@dataclass(frozen=True)
class RandomFlip(Transform):
    """Swaps left and right in some of the images. Not for digits or letters: a 2 is not a 2 then.

    Attributes:
        rate: probability of a flip, 0 to 1.
    """

    rate: float = 0.5
    name = "flip"
    moves_pixels = True

    def __post_init__(self):
        require(0 <= self.rate <= 1, "rate", self.rate, "between 0 and 1")

    def __call__(self, images: Tensor, keys: Keys, stream: str) -> Tensor:
        chosen = keys.uniform(stream) < self.rate  # (B,)
        return torch.where(chosen[:, None, None, None], images.flip(-1), images)


@dataclass(frozen=True)
class Noise(Transform):
    """Adds normal noise to every pixel and keeps the result in [0, 1].

    Attributes:
        std: standard deviation of the noise, at least 0.
    """

    std: float = 0.05
    name = "noise"

    def __post_init__(self):
        require(self.std >= 0 and isfinite(self.std), "std", self.std, "at least 0")

    def __call__(self, images: Tensor, keys: Keys, stream: str) -> Tensor:
        return (images + self.std * keys.normal(stream, tuple(images.shape[1:]))).clamp(0, 1)


class Augmented:
    """A view of a source in which the images of each sample are changed at random.

    Boxes and masks do not follow: where a transform moves pixels, they are left out.

    Args:
        source: any source with images.
        transforms: what to do, in this order.
        column: the column that holds the images, (B, C, H, W), or clips, (B, T, C, H, W), all of
            whose frames are moved and coloured alike.
        stream: name of this view's randomness; two views of one source need two names.
    """

    def __init__(
        self,
        source: Source,
        transforms: Sequence[Transform],
        column: str = "images",
        stream: str = "augment",
    ):
        self.source = source
        self.transforms = list(transforms)
        self.column = column
        self.stream = stream

    def __len__(self) -> int:
        return len(self.source)

    def take(self, keys: Keys) -> Samples:
        """The source's samples that the keys name, augmented."""
        samples = self.source.take(keys)
        images = augmented(samples[self.column], self.transforms, keys, self.stream)
        return still_true(samples, self.transforms) | {self.column: images}


def still_true(samples: Samples, transforms: Sequence[Transform]) -> Samples:
    """Samples without the columns that are wrong once transforms have moved pixels."""
    moved = PLACES if any(transform.moves_pixels for transform in transforms) else ()
    return {name: column for name, column in samples.items() if name not in moved}


def augmented(
    images: Tensor, transforms: Sequence[Transform], keys: Keys, stream: str
) -> Tensor:
    """Images (B, C, H, W) after transforms in turn; moves in a row interpolate once.

    Of clips, (B, T, C, H, W), all frames are moved and coloured alike.

    Args:
        images: of the B samples that the keys name.
        transforms: what to do, in this order.
        keys: what the random numbers are a function of.
        stream: name of this use of them.

    Raises:
        ValueError: if the images are of another shape or type.
    """
    if images.ndim not in (4, 5) or images.dtype != torch.float32:
        raise ValueError("images must be (B, C, H, W) and float32 to be augmented, as those of an "
                         f"ImageDataset are, got {tuple(images.shape)} and {images.dtype}")
    sides = tuple(images.shape[-2:])
    named = [(t, f"{stream}.{i}.{t.name}") for i, t in enumerate(transforms)]
    for moves, group in groupby(named, key=lambda pair: isinstance(pair[0], Affine)):
        if moves:
            matrix = reduce(compose, [move.matrix(keys, own, sides) for move, own in group])
            images = as_channels(images, lambda pictures, matrix=matrix: warp(pictures, matrix))
        else:
            for transform, own in group:
                folded = below_one_another if transform.reads_colours else as_channels
                images = folded(images, partial(transform, keys=keys, stream=own))
    return images


def as_channels(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Images after a change; of clips the frames are channels of one image, (B, T · C, H, W)."""
    if images.ndim == 4:
        return change(images)
    return change(images.flatten(1, 2)).unflatten(1, images.shape[1:3])


def below_one_another(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Images after a change; of clips the frames are one image, (B, C, T · H, W)."""
    if images.ndim == 4:
        return change(images)
    tall = change(images.transpose(1, 2).flatten(2, 3))
    return tall.unflatten(2, (images.shape[1], -1)).transpose(1, 2)
