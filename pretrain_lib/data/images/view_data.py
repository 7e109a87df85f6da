"""Views of each image that a recipe trains on, with what changes them said in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from ...validation import require
from .augment import Augmented, RandomFlip, RandomResizedCrop, Transform
from .dataset import ImageDataset
from .image_data import ImageConfig, ImageData
from .photometric import Blur, ColourJitter, RandomGrey, RandomInvert
from .views import TwoViews


@dataclass(frozen=True)
class ImageViewsConfig(ImageConfig):
    """Which images, how large, and how views of one may differ.

    The defaults are SimCLR's for CIFAR-10 (Chen et al., ICML 2020, appendix B.9).

    Attributes:
        name: what `load_images` takes: "mnist", "digits", a folder, "hub:owner/name".
        size: side in pixels that images are resized to; 0 leaves them as they are.
        margin: black pixels on each side within `size`.
        smallest_crop: least share of an image's area that a view shows, above 0; 1 for all of it.
        flip: how many views are flipped, 0 to 1; none of digits or letters should be.
        colour: how strongly colours change, 0 to 1; only brightness and contrast of grey images.
        grey: how many views lose their colour, 0 to 1.
        invert: how many views are negatives, 0 to 1.
        blur: how many views are blurred, 0 to 1.
        views: of each image, 1 or 2; objectives that hide something of an image need one.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    smallest_crop: float = 0.08
    flip: float = 0.5
    colour: float = 0.5
    grey: float = 0.2
    invert: float = 0.0
    blur: float = 0.0
    views: int = 2

    def __post_init__(self):
        super().__post_init__()
        require(0 < self.smallest_crop <= 1, "smallest_crop", self.smallest_crop,
                "above 0 and at most 1")
        for field in ("flip", "colour", "grey", "invert", "blur"):
            value = getattr(self, field)
            require(0 <= value <= 1, field, value, "between 0 and 1")
        require(self.views in (1, 2), "views", self.views, "1 or 2")

    def transforms(self, channels: int) -> list[Transform]:
        """What makes a view of an image of so many channels."""
        strong, coloured = 0.8 * self.colour, channels == 3
        jitter = ColourJitter(strong, strong, *((strong, 0.25 * strong) if coloured else (0, 0)))
        return [RandomResizedCrop(self.smallest_crop), RandomFlip(self.flip), jitter,
                *([RandomGrey(self.grey)] if coloured else []),
                RandomInvert(self.invert), Blur(rate=self.blur)]


class ImageViews(ImageData):
    """Views of each image, in two splits: the columns `images` and, of two, `other_images`.

    Args:
        config: which images, and how the views may differ.
        training: images to train on.
        held_out: images held out.
    """

    config_class = ImageViewsConfig

    def __init__(self, config: ImageViewsConfig, training: ImageDataset, held_out: ImageDataset):
        super().__init__(config, training, held_out)
        transforms = config.transforms(training.image_shape[0])
        view = TwoViews if config.views == 2 else Augmented
        self.training, self.held_out = (view(part, transforms) for part in (training, held_out))

    def recognised(self, about: dict) -> dict:
        """With the number of views, which were two until it could be said."""
        return {"views": 2} | about
