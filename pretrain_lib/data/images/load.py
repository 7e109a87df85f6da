"""Images: real ones that arrive with a pip package, the Hub's, or a folder of your own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from ..hub import hub_answers
from ..splits import split_ids
from .annotations import stack_objects
from .coco import coco_file, load_coco
from .dataset import ImageDataset, resize
from .drawn import DRAWN, load_drawn
from .folders import has_masks, load_folder, load_masked, stack_images
from .packaged import load_digits, load_mnist

logger = logging.getLogger(__name__)

PACKAGED = {"mnist": load_mnist, "digits": load_digits}
SPLITS = ("train", "test", "all")


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
    """Images by name: packaged, drawn, "hub:owner/name", or the path of a folder.

    Packaged are "mnist" and "digits". Drawn, with boxes and masks, are "coloured-digits", 8 000
    pictures of one digit, 32 × 32, and "scenes", 4 000 of one or two, 48 × 48; each has 1 000 in
    every other split.

    A folder holds PNG or JPEG files of one size and mode. Its sub-folders, if any, are the classes;
    or images/ and masks/ hold files of the same names, whose numbers are the classes of pixels (0
    background, 255 not scored); or a JSON file in the format of COCO names images, boxes and
    polygons. A set of the Hub with objects has their `bbox` as x, y, width and height.

    What has no test split of its own is split here: one sample in five, class by class, the same
    ones each time.

    Args:
        name: which images.
        split: "train", "test" or "all"; for drawn ones "train", "test" or "shift", which has the
            digits of "test" on a photograph of its own; for the Hub, any split that it has.
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
    elif name in DRAWN:
        dataset = load_drawn(name, split)
    else:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        whole = find_loader(name)()
        dataset = whole.subset(split_ids(whole.columns.get("labels"), len(whole), split))
    return dataset if size is None else resize(dataset, size, margin)


def find_loader(name: str) -> Callable[[], ImageDataset]:
    """The function that loads all images of a local name."""
    folder = Path(name)
    if name in PACKAGED:
        return PACKAGED[name]
    if folder.is_dir():
        annotations = coco_file(folder)
        if has_masks(folder):
            if annotations:
                raise ValueError(f"{folder} has masks in masks/ and annotations in "
                                 f"{annotations.name}: keep one, or make a folder for each")
            return lambda: load_masked(folder)
        return (lambda: load_coco(annotations)) if annotations else (lambda: load_folder(folder))
    if folder.name != name:
        raise ValueError(f"there is no folder {name!r}")
    names = [*PACKAGED, *DRAWN]
    near = get_close_matches(name.lower(), names, n=1, cutoff=0.4)
    guess = f"did you mean {near[0]!r}? " if near else ""
    known = ", ".join(map(repr, names))
    raise ValueError(
        f"unknown data set {name!r}: {guess}Known are {known}, 'hub:owner/name' and "
        "folders of images"
    )


def load_hub(repository: str, split: str, config: str | None, revision: str | None) -> ImageDataset:
    """A data set of the Hugging Face Hub: its first image column, and its objects or classes.

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
    """The images of a `datasets.Dataset` with its objects, or else with its first class column.

    Objects are a column with `bbox`, each x, y, width and height in pixels, and `category`.
    """
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
        kinds = fields(kind)
        if {"bbox", "category"} <= kinds.keys():
            objects = [columns_of(row) for row in table[name]]
            category = getattr(kinds["category"], "feature", kinds["category"])
            return ImageDataset(images, None, getattr(category, "names", None), repository, about,
                                **stack_objects(objects, *images.shape[2:]))
    for name, kind in table.features.items():
        if isinstance(kind, ClassLabel):
            return ImageDataset(images, table[name][:], kind.names, repository, about)
    return ImageDataset(images, name=repository, about=about)


def fields(kind) -> dict:
    """The fields of a column that holds a list of records, or records of lists; else none."""
    kind = getattr(kind, "feature", kind)
    return kind if isinstance(kind, dict) else {}


def columns_of(row: dict | list[dict] | None) -> tuple[list, list]:
    """The boxes and categories of one image, however its column nests them; None has none."""
    row = row or []
    if isinstance(row, dict):
        return row["bbox"], row["category"]
    return [one["bbox"] for one in row], [one["category"] for one in row]
