"""Two views of a picture: what a network learns to know again must be what they share."""

from __future__ import annotations

from collections.abc import Sequence

from ..keys import Keys
from ..source import Samples, Source
from .augment import Augmented, Transform, augmented, still_true


class TwoViews(Augmented):
    """A view of a source in which each sample's images are changed twice, independently.

    The first view takes the place of the images; the second is a column besides, whose name is
    "other_" and that of the first. Other columns stay, but boxes and masks only where no transform
    moves pixels.

    Args:
        source: any source with images.
        transforms: what to do to each view, in this order.
        column: the column that holds the images, (B, C, H, W).
        stream: name of this use of random numbers.

    Source: Chen et al., "A simple framework for contrastive learning of visual representations",
    ICML 2020, section 2.1.
    """

    def __init__(self, source: Source, transforms: Sequence[Transform], column: str = "images",
                 stream: str = "views"):
        super().__init__(source, transforms, column, stream)

    def take(self, keys: Keys) -> Samples:
        """The source's samples that the keys name, each with two views."""
        samples = self.source.take(keys)
        first, second = (augmented(samples[self.column], self.transforms, keys,
                                   f"{self.stream}.{which}") for which in ("first", "second"))
        views = {self.column: first, f"other_{self.column}": second}
        return still_true(samples, self.transforms) | views
