"""Clips of one size, in memory: checked when they come in, float32 in [0, 1] when taken."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..images.dataset import check_images, check_labels, to_float, whole
from ..keys import Keys
from ..source import Columns, Samples


class ClipDataset(Columns):
    """Clips of as many frames of one size, with their labels where known.

    Args:
        clips: (N, T, C, H, W), uint8 or float in [0, 1].
        labels: (N,) integers below `len(classes)`, or None.
        classes: name of each class; its number by default.
        name: what the data set is called.
        about: one line on where it comes from and under which terms.

    Raises:
        ValueError: for clips of the wrong shape, type or range, or labels that do not fit them or
            the classes, naming the first sample at fault.
    """

    def __init__(self, clips, labels=None, classes: Sequence[str] | None = None, name="clips",
                 about=""):
        clips = torch.as_tensor(clips)
        if clips.ndim != 5:
            raise ValueError(f"clips must be (N, T, C, H, W), got {tuple(clips.shape)}")
        check_images(clips.transpose(1, 2).flatten(2, 3))  # (N, C, T · H, W)
        labelled = {} if labels is None else {"labels": whole(labels, "labels").long()}
        super().__init__(clips=clips, **labelled)
        if classes is None:
            classes = [str(i) for i in range(int(self.labels.max()) + 1 if labelled else 0)]
        self.classes, self.name, self.about = list(classes), name, about
        if labelled:
            check_labels(self.labels, self.classes)

    @property
    def clips(self) -> Tensor:
        """All clips as (N, T, C, H, W) float32 in [0, 1]."""
        return to_float(self.columns["clips"])

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """(T, C, H, W)."""
        return tuple(self.columns["clips"].shape[1:])

    def take(self, keys: Keys) -> Samples:
        """The samples that the keys name: `clips` (B, T, C, H, W) and, where known, `labels`."""
        samples = super().take(keys)
        return samples | {"clips": to_float(samples["clips"])}

    def subset(self, ids) -> ClipDataset:
        """The samples `ids`, in that order, as a data set of their own."""
        return ClipDataset(**super().subset(ids).columns, classes=self.classes, name=self.name,
                           about=self.about)

    def __repr__(self) -> str:
        return (f"ClipDataset({self.name}: {len(self)} clips of {self.clip_shape}, "
                f"{len(self.classes)} classes)")
