"""Images with boxes and outlines in the format of COCO (Lin et al., ECCV 2014; cocodataset.org)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ...validation import is_a
from ..source import UNSCORED
from .annotations import polygon_mask, stack_objects
from .dataset import ImageDataset
from .folders import read_images

PARTS = ("images", "annotations", "categories")


def coco_file(folder: Path) -> Path | None:
    """The JSON file of a folder that says what is in its images; None if there is none.

    Raises:
        ValueError: if there are several.
    """
    found = [path for path in sorted(folder.glob("*.json")) if read_coco(path) is not None]
    if len(found) > 1:
        raise ValueError(f"{folder} has annotations in {found[0].name} and {found[1].name}: keep "
                         "one, or make a folder for each")
    return found[0] if found else None


def read_coco(path: Path) -> dict | None:
    """What a JSON file holds, if that is images, annotations and categories."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from None
    there = [part for part in PARTS if isinstance(content, dict) and part in content]
    if len(there) == 2:
        missing = next(part for part in PARTS if part not in there)
        raise ValueError(f"{path} has {' and '.join(there)} and no {missing}: COCO's format has "
                         "all three")
    return content if len(there) == 3 else None


def load_coco(path: Path) -> ImageDataset:
    """The images that a file in COCO's format names, with boxes and, where outlined, masks.

    A category need not occur. Crowds are no objects: their boxes are left out, and masks do not
    score them. Masks are filled where every object has polygons; later objects cover earlier ones.

    Args:
        path: the file. `file_name` of an image is looked for beside it and in images/ there.

    Raises:
        ValueError: for what is missing, unknown or given twice, and for masks in run lengths.
    """
    content = read_coco(path)
    images, categories = (by_id(content[part], part, path) for part in ("images", "categories"))
    classes = {number: i for i, number in enumerate(sorted(categories))}
    of_image = {number: [] for number in images}
    for annotation in records(content["annotations"], "annotations", path):
        where = f"{path}: annotation {annotation.get('id', '')}".rstrip()
        for key, known, part in (("image_id", images, "images"),
                                 ("category_id", categories, "categories")):
            number = annotation.get(key)
            if not is_a(int, number) or number not in known:
                raise ValueError(f"{where} has {key} {number}, which is not among the {part}")
        if not are_numbers(annotation.get("bbox")) or len(annotation["bbox"]) != 4:
            raise ValueError(f"{where} has no bbox of x, y, width and height")
        of_image[annotation["image_id"]].append(annotation)
    if not images:
        raise ValueError(f"{path} names no image")
    pixels = read_images([find(path, image) for image in images.values()])
    height, width = pixels.shape[2:]
    check_sizes(images, height, width, path)
    objects = [[a for a in annotations if not a.get("iscrowd")]
               for annotations in of_image.values()]
    columns = stack_objects([([a["bbox"] for a in some],
                              [classes[a["category_id"]] for a in some]) for some in objects],
                            height, width)
    if outlined(objects, path):
        columns["masks"] = np.stack([fill(annotations, classes, height, width)
                                     for annotations in of_image.values()])
    names = [name_of(categories[number], "name", f"{path}: category {number}")
             for number in classes]
    return ImageDataset(pixels, None, names, path.parent.name, f"folder {path.parent}", **columns)


def records(entries, part: str, path: Path) -> list[dict]:
    """A part of the file; raises where it is no list of records."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{path}: {part} must be a list of records, in braces")
    return entries


def by_id(entries, part: str, path: Path) -> dict[int, dict]:
    """Entries by their id, in their order."""
    found = {}
    for entry in records(entries, part, path):
        number = entry.get("id")
        if not is_a(int, number):
            raise ValueError(f"{path}: one of the {part} has the id {number!r}: ids are integers")
        if number in found:
            raise ValueError(f"{path}: two of the {part} have the id {number}")
        found[number] = entry
    return found


def are_numbers(values) -> bool:
    """Whether values are a list of finite numbers."""
    return isinstance(values, list) and all(is_a(float, value) for value in values)


def name_of(entry: dict, field: str, where: str) -> str:
    """The text that a field of an entry holds."""
    if not isinstance(entry.get(field), str) or not entry[field]:
        raise ValueError(f"{where} has no {field}")
    return entry[field]


def find(path: Path, image: dict) -> Path:
    """Where an image lies: beside the annotations, or in images/ there."""
    name = name_of(image, "file_name", f"{path}: image {image['id']}")
    for place in (path.parent / name, path.parent / "images" / name):
        if place.is_file():
            return place
    raise ValueError(f"there is no image {name} beside {path}, nor in images/ there")


def check_sizes(images: dict, height: int, width: int, path: Path) -> None:
    """The images are as large as the file says; else their boxes would be in another scale."""
    for image in images.values():
        said = image.get("width", width), image.get("height", height)
        if said != (width, height):
            raise ValueError(f"{path}: image {image['id']} is said to be {said[0]} × {said[1]}, "
                             f"{image['file_name']} is {width} × {height}")


def outlined(objects: list[list[dict]], path: Path) -> bool:
    """Whether every object has polygons.

    Raises:
        ValueError: if one has run lengths, or some have polygons and some have not.
    """
    everything = [annotation for some in objects for annotation in some]
    polygons = [annotation.get("segmentation") for annotation in everything]
    for annotation, outline in zip(everything, polygons, strict=True):
        if isinstance(outline, dict):
            raise ValueError(f"{path}: annotation {annotation.get('id')} has its mask in run "
                             "lengths (RLE), which are not read: give polygons, or masks as PNG")
        if outline and not (isinstance(outline, list) and all(map(is_polygon, outline))):
            raise ValueError(f"{path}: annotation {annotation.get('id')} has a polygon that is not "
                             "x and y of at least 3 corners")
    with_outline = [bool(outline) for outline in polygons]
    if any(with_outline) and not all(with_outline):
        without = everything[with_outline.index(False)].get("id")
        raise ValueError(f"{path}: annotation {without} has no polygon, others have: outline "
                         "every object, or none")
    return any(with_outline)


def is_polygon(points) -> bool:
    """Whether points are x and y of at least 3 corners, one after the other."""
    return are_numbers(points) and len(points) >= 6 and len(points) % 2 == 0


def fill(annotations: list[dict], classes: dict, height: int, width: int) -> np.ndarray:
    """The mask (H, W) of an image's objects and crowds."""
    mask = np.zeros((height, width), dtype=np.int16)
    for annotation in sorted(annotations, key=lambda a: not a.get("iscrowd")):  # crowds first
        if annotation.get("iscrowd"):
            x, y, w, h = annotation["bbox"]
            corners, value = [[x, y, x + w, y, x + w, y + h, x, y + h]], UNSCORED
        else:
            corners, value = annotation["segmentation"], 1 + classes[annotation["category_id"]]
        for polygon in corners:
            mask[polygon_mask(np.reshape(polygon, (-1, 2)), height, width)] = value
    return mask
