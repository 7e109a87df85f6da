"""Images in a folder: alone, with a class for each sub-folder, or with a mask for each image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..source import UNSCORED
from ..splits import split_ids
from .dataset import ImageDataset
from .pictures import Square, pictures_in, read_picture

SUFFIXES = (".png", ".jpg", ".jpeg")
VOID = 255  # in a mask of one's own: not scored, as in Pascal VOC


def image_files(folder: Path) -> list[Path]:
    """All PNG and JPEG files below a folder.

    Raises:
        ValueError: if there is none.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(f"no image in {folder}: expected files that end in {', '.join(SUFFIXES)}")
    return files


def load_folder(folder: Path, split: str = "all", square: Square | None = None) -> ImageDataset:
    """All PNG and JPEG files below a folder; the names of its sub-folders are the classes."""
    files = image_files(folder)
    kinds = [path.relative_to(folder).parts[0] if path.parent != folder else "" for path in files]
    classes = sorted(set(kinds))
    if "" in classes and len(classes) > 1:
        loose = files[kinds.index("")]
        raise ValueError(
            f"{loose} lies beside the sub-folders that name the classes: move it into one of them"
        )
    about = f"folder {folder}"
    if classes == [""]:
        ids = split_ids(None, len(files), split)
        return ImageDataset(pictures_in(files, square).read(ids), name=folder.name, about=about)
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith(".") and path.name not in classes:
            raise ValueError(f"{path} names a class and holds no image: fill it, or remove it")
    labels = np.searchsorted(classes, kinds)
    ids = split_ids(labels, len(files), split)
    images = pictures_in(files, square).read(ids)
    return ImageDataset(images, labels[ids], classes, folder.name, about)


def has_masks(folder: Path) -> bool:
    """Whether a folder holds the sub-folders images/ and masks/."""
    return (folder / "images").is_dir() and (folder / "masks").is_dir()


def load_masked(folder: Path, split: str = "all", square: Square | None = None) -> ImageDataset:
    """The files of images/, each with the PNG file of its name in masks/.

    The numbers of a mask, grey values or places in its palette, are the classes: 0 is the
    background, 255 is not scored.

    Raises:
        ValueError: for an image without a mask, a mask without an image, one of another size or
            mode, or masks that hold nothing but 0 and 255.
    """
    files = image_files(folder / "images")
    masks = {path.stem: path for path in sorted((folder / "masks").glob("*.png"))}
    own = []  # the mask of each image
    for path in files:
        if path.stem not in masks:
            raise ValueError(f"{path} has no mask: expected {folder / 'masks' / path.stem}.png")
        own.append(masks.pop(path.stem))
    if masks:
        spare = next(iter(masks.values()))
        raise ValueError(f"{spare} belongs to no image of {folder / 'images'}: remove it")
    pictures = pictures_in(files, square)
    values, highest = torch.zeros(len(files), *pictures.shape, dtype=torch.short), 0
    for i, path in enumerate(own):
        mask = read_mask(path, pictures.sizes[i])
        highest = max(highest, int(mask.max()))
        values[i] = pictures.nearest(i, mask)
    if highest < 1:
        raise ValueError(f"the masks in {folder / 'masks'} hold no class: write classes as 1, 2, … "
                         "up to 254; 0 is the background, 255 is not scored")
    classes = [str(value) for value in range(1, highest + 1)]
    ids = split_ids(None, len(files), split)
    return ImageDataset(pictures.read(ids), None, classes, folder.name, f"folder {folder}",
                        masks=values[ids])


def read_mask(path: Path, size: Tensor) -> Tensor:
    """The numbers of a PNG file with a palette or in grey, (H, W) int16, -100 where not scored.

    Args:
        path: the file.
        size: width and height of its image.
    """
    picture = read_picture(path, str(path))
    if picture.mode not in ("L", "P"):
        raise ValueError(
            f"{path} has mode {picture.mode}: save masks with a palette (P) or grey (L)"
        )
    width, height = size.int().tolist()
    if picture.size != (width, height):
        raise ValueError(f"{path} is {picture.width} × {picture.height}, its image {width} × "
                         f"{height}: a mask must be as large as its image")
    mask = torch.from_numpy(np.array(picture)).short()
    return torch.where(mask == VOID, UNSCORED, mask)
