"""Images and captions before they are brought together: captions at once, images when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ...validation import require

DRAWN_SPLITS = ("train", "test", "held out")  # the last has combinations of its own


@dataclass(frozen=True)
class Pairs:
    """Images with a caption each.

    Attributes:
        captions: N of them.
        images: gives the N images, (N, C, H, W), when it is called.
        about: one line on where they come from and under which terms.
        columns: what else is known of each image, by name, (N, ...) each.
        names: what the numbers in such a column stand for.
    """

    captions: Sequence[str]
    images: Callable[[], Tensor]
    about: str = ""
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)


def check_split(split: str, known: Sequence[str]) -> None:
    """Raises the one-line error for a split that is none of those known."""
    require(split in known, "split", split, f"one of {', '.join(known)}")
