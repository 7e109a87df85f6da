"""Augmentation of colours and of sharpness, which moves no pixel.

Colours are changed in YIQ, the coordinates of American colour television: Y is how bright a pixel
is, (I, Q) its colour as a vector whose direction is the hue and whose length the saturation. There
all changes of `ColourJitter` are linear, and a change of hue leaves the brightness alone, as it
does not in HSV, where a full yellow and a full blue are equally bright.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite, tau

import torch
from torch import Tensor
from torch.nn import functional as F

from ...validation import require
from ..keys import Keys
from .augment import Transform

TO_YIQ = [[0.299, 0.587, 0.114],
          [0.595716, -0.274453, -0.321263],
          [0.211456, -0.522591, 0.311135]]  # from red, green, blue
TO_RGB = torch.tensor(TO_YIQ, dtype=torch.float64).inverse().tolist()


def combined(rows: Sequence[Sequence[float]], channels: Sequence[Tensor]) -> list[Tensor]:
    """Weighted sums of channels, (B, H, W) each: one for each row of weights."""
    return [sum(weight * channel for weight, channel in zip(row, channels)) for row in rows]


def luma(images: Tensor) -> Tensor:
    """How bright each pixel is, (B, 1, H, W), of images (B, 3, H, W)."""
    return combined(TO_YIQ[:1], images.unbind(1))[0][:, None]


def exact_mean(images: Tensor) -> Tensor:
    """The mean of each image, (B, 1, 1, 1), of numbers from 0 to 1 to 24 binary places.

    A sum of whole numbers has no rounding, so it does not depend on the order in which it is taken,
    which may be another one in another batch.
    """
    whole = (images.double() * 2**24).round()
    return (whole.mean((1, 2, 3), keepdim=True) / 2**24).to(images.dtype)


def chosen(keys: Keys, stream: str, rate: float) -> Tensor:
    """Which of the samples are changed, at a rate: (B,) bool."""
    return keys.uniform(f"{stream}.chosen") < rate


def require_colours(images: Tensor, transform: Transform) -> None:
    """Raises where images are not red, green and blue."""
    if images.shape[1] != 3:
        raise ValueError(f"{type(transform).__name__} changes colours, and the images have "
                         f"{images.shape[1]} channels: it needs red, green and blue")


def require_rate(rate: float) -> None:
    require(0 <= rate <= 1, "rate", rate, "between 0 and 1")


@dataclass(frozen=True)
class ColourJitter(Transform):
    """Changes brightness, contrast, saturation and hue of some of the images, in this order.

    The first three multiply: all of the image, its difference from the image's mean grey, and each
    pixel's difference from its own grey. The fourth turns the hue, at constant brightness. What
    leaves [0, 1] in the end is cut off. Images of one channel have no hue and no saturation: with
    both at 0 they can be jittered too.

    Attributes:
        brightness: a factor is drawn between 1 − brightness and 1 + brightness; 0 to 1.
        contrast: the same for contrast.
        saturation: the same for saturation.
        hue: largest turn, either way, as a share of a full circle; 0 to 0.5.
        rate: probability that an image is changed, 0 to 1.

    Source: Chen et al., "A simple framework for contrastive learning of visual representations",
    ICML 2020, appendix A, whose numbers these are; the paper draws the order, too.
    """

    brightness: float = 0.8
    contrast: float = 0.8
    saturation: float = 0.8
    hue: float = 0.2
    rate: float = 0.8
    name = "colour"
    reads_colours = True

    def __post_init__(self):
        for field in ("brightness", "contrast", "saturation"):
            value = getattr(self, field)
            require(0 <= value <= 1, field, value, "between 0 and 1")
        require(0 <= self.hue <= 0.5, "hue", self.hue, "between 0 and 0.5, half a circle")
        require_rate(self.rate)

    def __call__(self, images: Tensor, keys: Keys, stream: str) -> Tensor:
        if self.saturation or self.hue or images.shape[1] != 1:
            require_colours(images, self)
        drawn = 2 * keys.uniform(stream, (4,)) - 1  # (B, 4)
        drawn = torch.where(chosen(keys, stream, self.rate)[:, None], drawn, 0)
        brightness, contrast, saturation, turn = drawn[..., None, None].unbind(1)  # (B, 1, 1)
        brightness, contrast = 1 + self.brightness * brightness, 1 + self.contrast * contrast
        angle = tau * self.hue * turn.double()  # whose cosine rounds alike in every batch
        if images.shape[1] == 1:
            middle = exact_mean(images)[:, 0]
            grey = brightness * (middle + contrast * (images[:, 0] - middle))
            return grey[:, None].clamp(0, 1)
        y, i, q = combined(TO_YIQ, images.unbind(1))  # (B, H, W)
        middle = exact_mean(y[:, None])[:, 0]
        y = brightness * (middle + contrast * (y - middle))
        length = brightness * contrast * (1 + self.saturation * saturation)
        cos, sin = angle.cos().to(y.dtype), angle.sin().to(y.dtype)
        i, q = length * (cos * i - sin * q), length * (sin * i + cos * q)
        return torch.stack(combined(TO_RGB, (y, i, q)), 1).clamp(0, 1)


@dataclass(frozen=True)
class RandomGrey(Transform):
    """Takes the colour out of some of the images, which keep their three channels.

    Attributes:
        rate: probability that an image turns grey, 0 to 1.
    """

    rate: float = 0.2
    name = "grey"
    reads_colours = True

    def __post_init__(self):
        require_rate(self.rate)

    def __call__(self, images: Tensor, keys: Keys, stream: str) -> Tensor:
        require_colours(images, self)
        grey = chosen(keys, stream, self.rate)[:, None, None, None]
        return torch.where(grey, luma(images).clamp(0, 1), images)


@dataclass(frozen=True)
class RandomInvert(Transform):
    """Makes of some of the images their negatives: what was bright is dark.

    No turn of the hue and no change of contrast does that, so without it two views of a bright
    digit on a dark ground are told from others by that alone.

    Attributes:
        rate: probability that an image is inverted, 0 to 1.
    """

    rate: float = 0.5
    name = "invert"

    def __post_init__(self):
        require_rate(self.rate)

    def __call__(self, images: Tensor, keys: Keys, stream: str) -> Tensor:
        inverted = chosen(keys, stream, self.rate)[:, None, None, None]
        return torch.where(inverted, 1 - images, images)


@dataclass(frozen=True)
class Blur(Transform):
    """Blurs some of the images with a Gaussian of random width; beyond its edge, an edge goes on.

    Attributes:
        narrowest: smallest standard deviation, in pixels, above 0.
        widest: largest standard deviation, in pixels; the Gaussian ends at three of these.
        rate: probability that an image is blurred, 0 to 1.

    Source: Chen et al. 2020, appendix A, whose numbers these are, for images of 224 pixels.
    """

    narrowest: float = 0.1
    widest: float = 2.0
    rate: float = 0.5
    name = "blur"

    def __post_init__(self):
        require(self.narrowest > 0, "narrowest", self.narrowest, "above 0")
        valid = self.narrowest <= self.widest and isfinite(self.widest)
        require(valid, "widest", self.widest, f"at least narrowest, {self.narrowest}")
        require_rate(self.rate)

    def __call__(self, images: Tensor, keys: Keys, stream: str) -> Tensor:
        some = chosen(keys, stream, self.rate)  # (B,)
        width = self.narrowest + (self.widest - self.narrowest) * keys.uniform(stream)[some]
        blurred = images.clone()
        blurred[some] = gaussian_blur(images[some], width, ceil(3 * self.widest))
        return blurred


def gaussian_blur(images: Tensor, width: Tensor, radius: int) -> Tensor:
    """Each image under a Gaussian of its own width, first along columns, then along rows.

    Args:
        images: (B, C, H, W).
        width: (B,) standard deviations, in pixels.
        radius: where the Gaussian ends, in pixels.
    """
    offsets = torch.arange(-radius, radius + 1)
    heights = torch.exp(-0.5 * (offsets / width.double()[:, None]).square())  # (B, 2 · radius + 1)
    heights = (heights / heights.sum(1, keepdim=True)).to(images.dtype)
    weights = [height[:, None, None, None] for height in heights.unbind(1)]
    for axis, ends in ((2, (0, 0, radius, radius)), (3, (radius, radius, 0, 0))):
        longer = F.pad(images, ends, mode="replicate")
        images = sum(weight * longer.narrow(axis, start, images.shape[axis])
                     for start, weight in enumerate(weights))
    return images
