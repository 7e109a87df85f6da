"""Images in a folder: alone, with a class for each sub-folder, or with a mask for each image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..source import UNSCORED
from .dataset import ImageDataset

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


def read_image(path: Path):
    """A file as a Pillow image, whatever its mode.

    Raises:
        ValueError: if it is none.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} cannot be read as an image: {error}") from None


def read_images(files: Sequence[Path]) -> Tensor:
    """Files of one size and mode as (N, C, H, W) uint8."""
    return stack_images(map(read_image, files), [str(path) for path in files])


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
        return ImageDataset(read_images(files), name=folder.name, about=about)
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith(".") and path.name not in classes:
            raise ValueError(f"{path} names a class and holds no image: fill it, or remove it")
    return ImageDataset(
        read_images(files), np.searchsorted(classes, kinds), classes, folder.name, about
    )


def has_masks(folder: Path) -> bool:
    """Whether a folder holds the sub-folders images/ and masks/."""
    return (folder / "images").is_dir() and (folder / "masks").is_dir()


def load_masked(folder: Path) -> ImageDataset:
    """The files of images/, each with the PNG file of its name in masks/.

    The numbers of a mask, grey values or places in its palette, are the classes: 0 is the
    background, 255 is not scored.

    Raises:
        ValueError: for an image without a mask, a mask without an image, one of another size or
            mode, or masks that hold nothing but 0 and 255.
    """
    files = image_files(folder / "images")
    masks = {path.stem: path for path in sorted((folder / "masks").glob("*.png"))}
    images = read_images(files)
    found = []
    for path in files:
        if path.stem not in masks:
            raise ValueError(f"{path} has no mask: expected {folder / 'masks' / path.stem}.png")
        found.append(read_mask(masks.pop(path.stem), tuple(images.shape[2:])))
    if masks:
        spare = next(iter(masks.values()))
        raise ValueError(f"{spare} belongs to no image of {folder / 'images'}: remove it")
    values = torch.stack(found).short()  # (N, H, W)
    values[values == VOID] = UNSCORED
    highest = int(values.max())
    if highest < 1:
        raise ValueError(f"the masks in {folder / 'masks'} hold no class: write classes as 1, 2, … "
                         "up to 254; 0 is the background, 255 is not scored")
    classes = [str(value) for value in range(1, highest + 1)]
    return ImageDataset(images, None, classes, folder.name, f"folder {folder}", masks=values)


def read_mask(path: Path, shape: tuple[int, int]) -> Tensor:
    """The numbers of a PNG file with a palette or in grey, (H, W) uint8."""
    picture = read_image(path)
    if picture.mode not in ("L", "P"):
        raise ValueError(
            f"{path} has mode {picture.mode}: save masks with a palette (P) or grey (L)"
        )
    if (picture.height, picture.width) != shape:
        raise ValueError(f"{path} is {picture.width} × {picture.height}, its image {shape[1]} × "
                         f"{shape[0]}: a mask must be as large as its image")
    return torch.from_numpy(np.array(picture))
