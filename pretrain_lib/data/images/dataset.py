"""Images of one size, in memory: checked when they come in, float32 in [0, 1] when taken."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..keys import Keys
from ..source import UNSCORED, Columns, Samples
from .annotations import check_boxes, check_masks
from .pictures import Square


class ImageDataset(Columns):
    """Images of one size with, where known, their labels, boxes and masks.

    Args:
        images: (N, C, H, W), uint8 or float in [0, 1].
        labels: (N,) integers below `len(classes)`, or None.
        classes: name of each class; its number by default.
        name: what the data set is called.
        about: one line on where it comes from and under which terms.
        boxes: (N, M, 4), the left, upper, right and lower edge of each object in pixels from the
            upper left corner, or None; zeros where an image has fewer than M.
        box_labels: (N, M), the class of each object, -100 where there is none.
        masks: (N, H, W), of each pixel 0 for the background, 1 + class for an object's, -100 for
            one that is not scored; or None.

    Raises:
        ValueError: for images of the wrong shape, type or range, or labels, boxes or masks that do
            not fit the images or the classes, naming the first sample at fault.
    """

    def __init__(
        self, images, labels=None, classes: Sequence[str] | None = None, name="images", about="",
        *, boxes=None, box_labels=None, masks=None,
    ):
        images = torch.as_tensor(images)
        check_images(images)
        columns = {"images": images}
        if labels is not None:
            columns["labels"] = whole(labels, "labels").long()
        if (boxes is None) != (box_labels is None):
            raise ValueError("boxes and box_labels belong together: give both, or neither")
        if boxes is not None:
            columns["boxes"] = torch.as_tensor(boxes).float()
            columns["box_labels"] = whole(box_labels, "box_labels").long()
        if masks is not None:
            columns["masks"] = whole(masks, "masks")
        super().__init__(**columns)
        self.classes = list(classes) if classes is not None else self.default_classes()
        self.name = name
        self.about = about
        if "labels" in self.columns:
            check_labels(self.labels, self.classes)
        self.check_annotations()

    def default_classes(self) -> list[str]:
        """As many numbers as the labels, the boxes and the masks need."""
        needed = [int(self.columns[name].max()) + offset
                  for name, offset in (("labels", 1), ("box_labels", 1), ("masks", 0))
                  if name in self.columns and self.columns[name].numel()]
        return [str(i) for i in range(max(needed, default=0))]

    def check_annotations(self):
        height, width = self.image_shape[1:]
        if "boxes" in self.columns:
            check_boxes(self.boxes, self.box_labels, len(self.classes), height, width)
        if "masks" in self.columns:
            check_masks(self.columns["masks"], len(self.classes), height, width)
            self.columns["masks"] = self.columns["masks"].short()  # a quarter of the memory

    @property
    def images(self) -> Tensor:
        """All images as (N, C, H, W) float32 in [0, 1]."""
        return to_float(self.columns["images"])

    @property
    def masks(self) -> Tensor:
        """All masks as (N, H, W) int64."""
        return super().__getattr__("masks").long()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return tuple(self.columns["images"].shape[1:])

    def take(self, keys: Keys) -> Samples:
        """The samples that the keys name.

        Returns:
            `images` (B, C, H, W) and, where known, `labels` (B,), `boxes` (B, M, 4) with
            `box_labels` (B, M), and `masks` (B, H, W).
        """
        samples = super().take(keys)
        samples["images"] = to_float(samples["images"])
        if "masks" in samples:
            samples["masks"] = samples["masks"].long()
        return samples

    def subset(self, ids) -> ImageDataset:
        """The samples `ids`, in that order, as a data set of their own."""
        return self.with_columns(super().subset(ids).columns)

    def with_columns(self, columns: Samples) -> ImageDataset:
        """A data set of these columns, with this one's classes and name."""
        return ImageDataset(**columns, classes=self.classes, name=self.name, about=self.about)

    def __repr__(self) -> str:
        kinds = f"{len(self.classes)} classes"
        more = "".join(f", {name}" for name in ("boxes", "masks") if name in self.columns)
        return f"ImageDataset({self.name}: {len(self)} images of {self.image_shape}, {kinds}{more})"


def whole(numbers, name: str) -> Tensor:
    """Numbers of classes as a tensor; raises where one is no whole number."""
    numbers = torch.as_tensor(numbers)
    if numbers.is_floating_point() and (numbers != numbers.round()).any():
        wrong = numbers[numbers != numbers.round()][0]
        raise ValueError(f"{name} must be whole numbers, got {wrong.item():.4g}")
    return numbers


def check_labels(labels: Tensor, classes: Sequence[str]):
    """Raises ValueError unless labels are numbers of classes, naming the first that is none."""
    wrong = (labels < 0) | (labels >= len(classes))
    if wrong.any():
        first = int(wrong.nonzero()[0])
        raise ValueError(f"labels must lie between 0 and {len(classes) - 1}, "
                         f"sample {first} has {int(labels[first])}")


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

    Bilinear, with the low-pass filter that shrinking needs; uint8 stays uint8. Boxes are scaled,
    and a mask has the class of the nearest pixel.
    """
    inner = Square(size, margin).inner
    images = dataset.columns["images"]
    images = F.interpolate(images, size=(inner, inner), mode="bilinear", antialias=True)
    if images.is_floating_point():
        images = images.clamp(0, 1)
    images = F.pad(images, [margin] * 4)  # (N, C, size, size)
    columns = dataset.columns | {"images": images}
    if "boxes" in columns:
        height, width = dataset.image_shape[1:]
        scale = torch.tensor([inner / width, inner / height]).repeat(2)
        there = (columns["box_labels"] != UNSCORED)[:, :, None]
        columns["boxes"] = ((columns["boxes"] * scale).clamp(max=inner) + margin) * there
    if "masks" in columns:
        masks = columns["masks"][:, None].float()
        masks = F.interpolate(masks, size=(inner, inner), mode="nearest-exact")
        columns["masks"] = F.pad(masks[:, 0].short(), [margin] * 4)  # the margin is background
    return dataset.with_columns(columns)
