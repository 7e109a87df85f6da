"""Images: real ones that arrive with a pip package, the Hub's, or a folder of your own."""

from __future__ import annotations

import logging
from difflib import get_close_matches
from io import BytesIO
from pathlib import Path

from ..hub import hub_answers
from ..splits import split_ids
from .annotations import stack_objects
from .coco import coco_file, load_coco
from .dataset import ImageDataset, resize
from .drawn import DRAWN, load_drawn
from .folders import has_masks, load_folder, load_masked
from .packaged import load_digits, load_mnist
from .pictures import Pictures, Square

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

    A folder holds PNG or JPEG files. Its sub-folders, if any, are the classes; or images/ and
    masks/ hold files of the same names, whose numbers are the classes of pixels (0 background, 255
    not scored); or a JSON file in the format of COCO names images, boxes and polygons. A set of
    the Hub with objects has their `bbox` as x, y, width and height.

    Without `size`, files and images of the Hub must have one size and be all grey or all RGB.
    With it they may have any: as each is read, its shortest side is scaled to `size` (bilinear,
    with the low-pass filter that shrinking needs) and the centre is cut out. Boxes and polygons
    are scaled and cut likewise, those of which nothing is left are dropped, and a mask in a file
    gives each pixel the class of the nearest. All become grey if all are, else RGB, in 8 bits;
    transparency is dropped. Images are turned as their EXIF data say, with `size` and without.

    What has no test split of its own is split here: one sample in five, class by class, the same
    ones each time.

    Args:
        name: which images.
        split: "train", "test" or "all"; for drawn ones "train", "test" or "shift", which has the
            digits of "test" on a photograph of its own; for the Hub, any split that it has.
        size: side in pixels that images are brought to; None leaves them as they are.
        margin: black pixels on each side within `size`, as MNIST has 4 of them.
        config: the Hub's configuration of the data set.
        revision: the Hub's commit or tag.
        fallback: what to load, saying so, where the Hub cannot be reached; None raises instead.

    Raises:
        ValueError: for an unknown name, split or size, or images that do not fit together.
        ConnectionError: if the Hub cannot be reached and `fallback` is None.
    """
    name = str(name)
    square = None if size is None else Square(size, margin)
    if name.startswith("hub:"):
        try:
            return load_hub(name.removeprefix("hub:"), split, config, revision, square)
        except ConnectionError as error:
            if fallback is None:
                raise
            logger.warning("%s Using %r instead.", error, fallback)
            return load_images(fallback, split, size, margin, fallback=None)
    if name in DRAWN:
        dataset = load_drawn(name, split)
    elif split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    elif name not in PACKAGED:
        return load_own(name, split, square)
    else:
        whole = PACKAGED[name]()
        dataset = whole.subset(split_ids(whole.labels, len(whole), split))
    return dataset if size is None else resize(dataset, size, margin)


def load_own(name: str, split: str, square: Square | None) -> ImageDataset:
    """Images of a folder: with the annotations of a JSON file, with masks, or with classes."""
    folder = Path(name)
    if not folder.is_dir():
        raise unknown(name)
    annotations = coco_file(folder)
    if has_masks(folder):
        if annotations:
            raise ValueError(f"{folder} has masks in masks/ and annotations in "
                             f"{annotations.name}: keep one, or make a folder for each")
        return load_masked(folder, split, square)
    if annotations:
        return load_coco(annotations, split, square)
    return load_folder(folder, split, square)


def unknown(name: str) -> ValueError:
    """What is said of a name that is no data set and no folder."""
    if Path(name).name != name:
        return ValueError(f"there is no folder {name!r}")
    names = [*PACKAGED, *DRAWN]
    near = get_close_matches(name.lower(), names, n=1, cutoff=0.4)
    guess = f"did you mean {near[0]!r}? " if near else ""
    known = ", ".join(map(repr, names))
    return ValueError(
        f"unknown data set {name!r}: {guess}Known are {known}, 'hub:owner/name' and "
        "folders of images"
    )


def load_hub(repository: str, split: str, config: str | None, revision: str | None,
             square: Square | None) -> ImageDataset:
    """A data set of the Hugging Face Hub: its first image column, and its objects or classes.

    Raises:
        ConnectionError: if the Hub cannot be reached.
        ValueError: if the data set, the split or an image column does not exist.
    """
    return from_table(hub_table(repository, split, config, revision), repository, square)


def hub_table(repository: str, split: str, config: str | None, revision: str | None,
              instead: str = "mnist"):
    """A split of a data set of the Hub as a `datasets.Dataset`.

    Args:
        repository: "owner/name".
        split: any that it has, or "all" for "train" and "test".
        config: its configuration, if it has several.
        revision: commit or tag; None takes the newest.
        instead: what an error recommends where the Hub cannot be reached.

    Raises:
        ConnectionError: if the Hub cannot be reached.
        ValueError: if the data set or the split does not exist.
    """
    import datasets

    unreachable = ConnectionError(
        f"the Hub cannot be reached for {repository!r}: connect to the internet, set "
        "HF_HUB_OFFLINE=1 if it was downloaded before, or load a packaged data set such as "
        f"{instead!r}."
    )
    if not hub_answers():  # asked first, because `datasets` tries for half a minute
        raise unreachable
    try:
        wanted = "train+test" if split == "all" else split
        return datasets.load_dataset(repository, config, split=wanted, revision=revision)
    except ConnectionError:
        raise unreachable from None
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"the Hub has no such images: {error}") from None


def from_table(table, repository: str, square: Square | None = None) -> ImageDataset:
    """The images of a `datasets.Dataset` with its objects, or else with its first class column.

    Objects are a column with `bbox`, each x, y, width and height in pixels, and `category`.
    """
    from datasets import ClassLabel, Image

    found = [name for name, kind in table.features.items() if isinstance(kind, Image)]
    if not found:
        raise ValueError(
            f"{repository!r} holds no images, only the columns {', '.join(table.features)}"
        )
    if not len(table):
        raise ValueError(f"{repository!r} has no image in this split")
    pictures = pictures_of(table, found[0], square)
    everything = range(len(table))
    about = about_hub(table, repository)
    for name, kind in table.features.items():
        kinds = fields(kind)
        if {"bbox", "category"} <= kinds.keys():
            boxes, box_labels = stack_objects([columns_of(row) for row in table[name]])
            category = getattr(kinds["category"], "feature", kinds["category"])
            names = getattr(category, "names", range(int(box_labels.max()) + 1))
            placed = pictures.placed(boxes, box_labels)
            return ImageDataset(pictures.read(everything), None, list(map(str, names)), repository,
                                about, **placed)
    images = pictures.read(everything)
    for name, kind in table.features.items():
        if isinstance(kind, ClassLabel):
            return ImageDataset(images, table[name][:], kind.names, repository, about)
    return ImageDataset(images, name=repository, about=about)


def about_hub(table, repository: str) -> str:
    """One line on where a data set of the Hub comes from and under which terms."""
    licence = table.info.license or "licence: see there"
    return f"https://huggingface.co/datasets/{repository}, {licence}"


def pictures_of(table, column: str, square: Square | None) -> Pictures:
    """The images in a column of a `datasets.Dataset`."""
    from datasets import Image

    stored = table.select_columns(column).cast_column(column, Image(decode=False))

    def file_of(i: int) -> BytesIO | str:
        file = stored[i][column]
        if file is None:
            raise ValueError(f"sample {i} has no image")
        return file["path"] if file["bytes"] is None else BytesIO(file["bytes"])

    return Pictures([f"sample {i}" for i in range(len(table))], file_of, square)


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
