"""Images of one size, in memory: checked when they come in, float32 in [0, 1] when taken."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..keys import Keys
from ..source import Columns, Samples


class ImageDataset(Columns):
    """Images of one size with, where known, their labels.

    Args:
        images: (N, C, H, W), uint8 or float in [0, 1].
        labels: (N,) integers below `len(classes)`, or None.
        classes: name of each label; its number by default.
        name: what the data set is called.
        about: one line on where it comes from and under which terms.

    Raises:
        ValueError: for images of the wrong shape, type or range (naming the first sample at
            fault), or labels that do not fit the images or the classes.
    """

    def __init__(
        self, images, labels=None, classes: Sequence[str] | None = None, name="images", about=""
    ):
        images = torch.as_tensor(images)
        check_images(images)
        columns = {"images": images}
        if labels is not None:
            columns["labels"] = torch.as_tensor(labels).long()
        super().__init__(**columns)
        self.classes = list(classes) if classes is not None else self.default_classes()
        self.name = name
        self.about = about
        self.check_labels()

    def default_classes(self) -> list[str]:
        return (
            [str(i) for i in range(int(self.labels.max()) + 1)] if "labels" in self.columns else []
        )

    def check_labels(self):
        if "labels" not in self.columns:
            return
        wrong = (self.labels < 0) | (self.labels >= len(self.classes))
        if wrong.any():
            first = int(wrong.nonzero()[0])
            raise ValueError(
                f"labels must lie between 0 and {len(self.classes) - 1}, "
                f"sample {first} has {int(self.labels[first])}"
            )

    @property
    def images(self) -> Tensor:
        """All images as (N, C, H, W) float32 in [0, 1]."""
        return to_float(self.columns["images"])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return tuple(self.columns["images"].shape[1:])

    def take(self, keys: Keys) -> Samples:
        """The samples that the keys name: images (B, C, H, W) and, where known, labels (B,)."""
        samples = super().take(keys)
        return samples | {"images": to_float(samples["images"])}

    def subset(self, ids) -> ImageDataset:
        """The samples `ids`, in that order, as a data set of their own."""
        columns = super().subset(ids).columns
        return ImageDataset(
            columns["images"], columns.get("labels"), self.classes, self.name, self.about
        )

    def __repr__(self) -> str:
        kinds = f"{len(self.classes)} classes"
        return f"ImageDataset({self.name}: {len(self)} images of {self.image_shape}, {kinds})"


def to_float(images: Tensor) -> Tensor:
    """Images as float32 in [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def check_images(images: Tensor):
    """Raises ValueError unless images are (N, C, H, W), uint8 or float in [0, 1]."""
    shape = tuple(images.shape)
    if images.ndim == 3:
        raise ValueError(
            f"images must be (N, C, H, W), got {shape}: add the channel with images[:, None]"
        )
    if images.ndim != 4 or 0 in shape[1:]:
        raise ValueError(f"images must be (N, C, H, W), got {shape}")
    if shape[1] > 4:
        last = (
            "; move a last channel axis to the front with images.permute(0, 3, 1, 2)"
            if shape[3] <= 4
            else ""
        )
        raise ValueError(f"images must be (N, C, H, W) with 1 to 4 channels, got {shape}{last}")
    if images.dtype == torch.uint8:
        return
    if not images.is_floating_point():
        raise ValueError(f"images must be uint8 or float, got {images.dtype}")
    low, high = images.flatten(1).aminmax(dim=1)  # (N,), NaN where a sample holds one
    wrong = ~((low >= 0) & (high <= 1))
    if wrong.any():
        first = int(wrong.nonzero()[0])
        if images[first].isnan().any():
            raise ValueError(f"images must be numbers, sample {first} holds NaN")
        raise ValueError(
            f"float images must lie in [0, 1], sample {first} spans {low[first]:.4g} to "
            f"{high[first]:.4g}: rescale it, or store 0 to 255 as uint8"
        )


def resize(dataset: ImageDataset, size: int, margin: int = 0) -> ImageDataset:
    """The same data set with images of `size` × `size` pixels, a black margin included.

    Bilinear, with the low-pass filter that shrinking needs.
    """
    inner = size - 2 * margin
    if margin < 0 or inner < 1:
        raise ValueError(
            f"size must be at least 1 and leave room for the margin, got {size} and {margin}"
        )
    images = F.interpolate(dataset.images, size=(inner, inner), mode="bilinear", antialias=True)
    images = F.pad(images.clamp(0, 1), [margin] * 4)  # (N, C, size, size)
    return ImageDataset(
        images, dataset.columns.get("labels"), dataset.classes, dataset.name, dataset.about
    )
