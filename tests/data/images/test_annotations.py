"""Boxes and masks of images: kept right by every view, checked, and read from folders and tables."""

import json
from collections import Counter
from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pretrain_lib import ImageDataset, Keys, SceneConfig, Scenes, labelled_subset, load_images
from pretrain_lib.data.images.annotations import polygon_mask, stack_objects
from pretrain_lib.data.images.dataset import resize
from pretrain_lib.data.images.load import from_table


def pictures(n=3, height=6, width=8):
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(0))


def dataset(**columns):
    boxes = torch.zeros(3, 2, 4)
    boxes[:, 0] = torch.tensor([1, 2, 5, 6])
    boxes[1, 1] = torch.tensor([0, 0, 8, 3])
    box_labels = torch.tensor([[0, -100], [1, 0], [1, -100]])
    masks = torch.zeros(3, 6, 8, dtype=torch.uint8)
    masks[:, 2:6, 1:5] = 2
    return ImageDataset(**{"images": pictures(), "classes": ["a", "b"], "boxes": boxes, "box_labels": box_labels, "masks": masks} | columns)


def test_taken_samples_have_the_agreed_types():
    samples = dataset(labels=[0, 1, 0]).take(Keys.of(0, [2, 0]))
    assert {name: (tuple(column.shape), column.dtype) for name, column in samples.items()} == {
        "images": ((2, 3, 6, 8), torch.float32), "labels": ((2,), torch.int64), "boxes": ((2, 2, 4), torch.float32),
        "box_labels": ((2, 2), torch.int64), "masks": ((2, 6, 8), torch.int64)}
    assert samples["box_labels"].tolist() == [[1, -100], [0, -100]]
    assert dataset().masks.dtype == torch.int64 and "boxes, masks" in repr(dataset())
    with pytest.raises(AttributeError, match="no column or attribute 'masks'"):
        ImageDataset(pictures()).masks


def test_a_subset_keeps_what_belongs_to_each_image():
    whole = dataset(labels=[0, 1, 0])
    some = labelled_subset(whole, 1).subset([1, 0])
    assert some.classes == ["a", "b"] and set(some.columns) == set(whole.columns)
    part = whole.subset([2, 0])
    for name, column in whole.columns.items():
        assert torch.equal(part.columns[name], column[[2, 0]])


def test_classes_are_counted_where_none_are_named():
    assert ImageDataset(pictures(), boxes=torch.tensor([[[0, 0, 1, 1.0]]] * 3), box_labels=[[0], [4], [2]]).classes == list("01234")
    assert ImageDataset(pictures(), masks=torch.full((3, 6, 8), 3)).classes == list("012")
    assert ImageDataset(pictures(), masks=torch.full((3, 6, 8), -100)).classes == []


@lru_cache
def some_scenes():
    return Scenes(SceneConfig(size=32, objects=(0, 3), digit=(14, 20), glyphs="letters"))


@given(st.integers(0, 1000), st.integers(8, 40), st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_resized_boxes_and_masks_still_fit(seed, size, margin):
    scenes = some_scenes()
    samples = scenes.take(Keys.of(0, range(seed, seed + 4)))
    before = ImageDataset(**samples, classes=scenes.classes)
    after = resize(before, size, margin)
    assert after.image_shape == (3, size, size) and after.classes == before.classes
    scale = (size - 2 * margin) / 32
    there = before.box_labels >= 0
    torch.testing.assert_close(after.boxes[there], before.boxes[there] * scale + margin, atol=1e-4, rtol=0)
    assert (after.boxes[~there] == 0).all() and torch.equal(after.box_labels, before.box_labels)
    inner = size - 2 * margin
    nearest = ((torch.arange(inner) + 0.5) * 32 / inner).floor().long()
    masks = after.masks[:, margin:size - margin, margin:size - margin]
    exact = ((torch.arange(inner) + 0.5) * 32 / inner) % 1 > 1e-3  # elsewhere two pixels are as near
    assert torch.equal(masks[:, exact][:, :, exact], before.masks[:, nearest][:, :, nearest][:, exact][:, :, exact])
    assert after.masks.sum() == masks.sum()


def test_images_that_are_not_square_are_scaled_in_both_directions():
    after = resize(dataset(), 24, 4)
    torch.testing.assert_close(after.boxes[0, 0], torch.tensor([1 * 2 + 4, 2 * 16 / 6 + 4, 5 * 2 + 4, 20.0]))
    unscored = dataset(masks=torch.full((3, 6, 8), -100))
    assert (resize(unscored, 10).masks == -100).all()


def with_box(*box):
    boxes = dataset().boxes.clone()
    boxes[1, 0] = torch.tensor(box)
    return {"boxes": boxes}


@pytest.mark.parametrize("columns, message", [
    (with_box(0, 0, 9, 3), "boxes must lie within images 8 pixels wide and 6 high, sample 1 has 0, 0, 9, 3"),
    (with_box(-0.5, 0, 5, 3), "sample 1 has -0.5, 0, 5, 3"), (with_box(0, 0, 5, 6.5), "sample 1 has 0, 0, 5, 6.5"),
    (with_box(0, float("nan"), 5, 6), "sample 1 has 0, nan, 5, 6"),
    (with_box(5, 0, 5, 3), "boxes must be x0, y0, x1, y1 with x0 < x1 and y0 < y1, sample 1 has 5, 0, 5, 3"),
    (with_box(2, 4, 5, 3), "sample 1 has 2, 4, 5, 3"),
    ({"box_labels": [[0, -100], [1, 0], [2, -100]]}, "box_labels must lie between 0 and 1, or be -100 where there is no object, sample 2 has 2"),
    ({"box_labels": [[0, -100], [1, 0]]}, "boxes must be|one length"), ({"box_labels": None}, "give both, or neither"),
    ({"boxes": torch.zeros(3, 4)}, r"boxes must be \(N, M, 4\) and box_labels \(N, M\), got \(3, 4\) and \(3, 2\)"),
    ({"masks": torch.zeros(3, 8, 6)}, r"masks must be as large as the images, \(N, 6, 8\), got \(3, 8, 6\)"),
    ({"masks": torch.zeros(2, 6, 8)}, "one length"),
    ({"masks": torch.eye(3)[:, :, None, None].argmax(1).expand(3, 6, 8) * 2}, r"1 to 2 for the classes, or -100 for what is not scored, sample 2 has 4"),
    ({"masks": torch.full((3, 6, 8), 65538)}, "sample 0 has 65538"),
    ({"masks": torch.full((3, 6, 8), 0.5)}, "masks must be whole numbers, got 0.5"), ({"masks": torch.full((3, 6, 8), torch.nan)}, "masks must be whole numbers, got nan"),
    ({"box_labels": torch.full((3, 2), 0.5)}, "box_labels must be whole numbers, got 0.5"), ({"labels": [0, 1, 0.5]}, "labels must be whole numbers, got 0.5"),
    ({"masks": torch.full((3, 6, 8), -1)}, "sample 0 has -1")])
def test_the_first_sample_at_fault_is_named(columns, message):
    with pytest.raises(ValueError, match=message) as error:
        dataset(**columns)
    assert "\n" not in str(error.value)


def test_drawn_sets_are_the_scenes():
    for name, config in (("scenes", SceneConfig()), ("coloured-digits", SceneConfig(size=32, objects=(1, 1), digit=(26, 32)))):
        for split in ("test", "shift"):
            loaded, drawn = load_images(name, split), Scenes(config, split).take(Keys.of(0, range(40)))
            assert len(loaded) == 1000 and loaded.classes == list("0123456789") and "by" in loaded.about
            taken = loaded.take(Keys.of(0, 40))
            assert (taken.pop("images") - drawn.pop("images")).abs().max() <= 0.5 / 255 + 1e-6
            assert taken.keys() == drawn.keys() and all(torch.equal(taken[key], drawn[key]) for key in drawn)
        with pytest.raises(ValueError, match="split must be one of train, test, shift"):
            load_images(name, "all")


# --- folders --------------------------------------------------------------------------------------


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, dtype=np.uint8)).save(path)


COCO = {
    "images": [{"id": 7, "file_name": "b.png", "width": 8, "height": 6}, {"id": 3, "file_name": "a.png"}, {"id": 9, "file_name": "c.png"}],
    "categories": [{"id": 20, "name": "dog"}, {"id": 5, "name": "cat"}, {"id": 30, "name": "unseen"}],
    "annotations": [
        {"id": 1, "image_id": 3, "category_id": 20, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 4, 2, 4, 6, 1, 6]]},
        {"id": 2, "image_id": 7, "category_id": 5, "bbox": [0, 0, 8.4, 6], "segmentation": [[0, 0, 8, 0, 0, 6]]},
        {"id": 3, "image_id": 3, "category_id": 5, "bbox": [0, 0, 2, 3], "segmentation": [[0, 0, 2, 0, 2, 3, 0, 3], [6, 0, 8, 0, 8, 1, 6, 1]]},
        {"id": 4, "image_id": 3, "category_id": 5, "iscrowd": 1, "bbox": [0, 0, 8, 1], "segmentation": {"counts": [1], "size": [6, 8]}}]}


def coco_folder(folder, content=COCO, images="images"):
    for i, name in enumerate("abc"):
        save(folder / images / f"{name}.png", np.full((6, 8), i))
    (folder / "instances.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.mark.parametrize("place", ["images", "."])
def test_a_folder_in_the_format_of_coco(tmp_path, place):
    found = load_images(coco_folder(tmp_path, images=place), "all")
    order = np.argsort([int(image[0, 0, 0]) for image in found.columns["images"]])
    a, b, c = (found.subset([i]) for i in order)
    assert found.classes == ["cat", "dog", "unseen"] and len(found) == 3
    assert a.box_labels.tolist() == [[1, 0]] and a.boxes.tolist() == [[[1, 2, 4, 6], [0, 0, 2, 3]]]
    assert b.box_labels.tolist() == [[0, -100]] and b.boxes.tolist() == [[[0, 0, 8, 6], [0, 0, 0, 0]]]
    assert c.box_labels.tolist() == [[-100, -100]] and not c.boxes.any() and not c.masks.any()
    mask = np.zeros((6, 8), dtype=int)
    mask[0] = -100  # the crowd; objects lie upon it
    mask[2:6, 1:4] = 2
    mask[:3, :2] = mask[:1, 6:] = 1
    assert np.array_equal(a.masks[0], mask)
    triangle = [[x + 0.5 < 8 - (y + 0.5) * 8 / 6 for x in range(8)] for y in range(6)]
    assert np.array_equal(b.masks[0], np.array(triangle, dtype=int))


def test_without_outlines_there_are_boxes_alone(tmp_path):
    content = COCO | {"annotations": [{k: v for k, v in a.items() if k != "segmentation"} for a in COCO["annotations"]]}
    assert set(load_images(coco_folder(tmp_path, content), "all").columns) == {"images", "boxes", "box_labels"}


def changed(part, i, **fields):
    entries = [dict(entry) for entry in COCO[part]]
    entries[i] |= fields
    return COCO | {part: entries}


@pytest.mark.parametrize("content, message", [
    (changed("annotations", 1, image_id=70), "annotation 2 has image_id 70, which is not among the images"),
    (changed("annotations", 1, category_id=70), "annotation 2 has category_id 70, which is not among the categories"),
    (changed("annotations", 1, bbox=[1, 2]), "annotation 2 has no bbox of x, y, width and height"),
    (changed("annotations", 1, bbox=[0, 0, 9.5, 6]), "boxes must lie within images 8 pixels wide and 6 high, sample"),
    (changed("annotations", 1, bbox=[0, 0, 0, 6]), "x0 < x1 and y0 < y1, sample"),
    (changed("annotations", 1, segmentation={"counts": "abc", "size": [6, 8]}), r"annotation 2 has its mask in run lengths \(RLE\), which are not read"),
    (changed("annotations", 1, segmentation=[]), "annotation 2 has no polygon, others have: outline every object, or none"),
    (changed("annotations", 1, segmentation=[[1, 2, 3, 4]]), "annotation 2 has a polygon that is not x and y of at least 3 corners"),
    (changed("images", 1, file_name="z.png"), "there is no image z.png beside"),
    (changed("images", 1, file_name=None), "image 3 has no file_name"),
    (changed("images", 1, id=7), "two of the images have the id 7"),
    (changed("categories", 1, id=20), "two of the categories have the id 20"),
    (changed("annotations", 1, segmentation=[1, 2, 4, 2, 4, 6]), "annotation 2 has a polygon that is not"),
    (changed("annotations", 1, segmentation=[[1, 2, 4, 2, float("nan"), 6]]), "annotation 2 has a polygon that is not"),
    (changed("annotations", 1, segmentation=[[[1, 2], [4, 2], [4, 6], [1, 6], [1, 5], [1, 4]]]), "annotation 2 has a polygon that is not"),
    (changed("annotations", 1, bbox=None), "annotation 2 has no bbox"), (changed("annotations", 1, bbox=["0", "0", "8", "6"]), "annotation 2 has no bbox"),
    (changed("annotations", 1, bbox=[0, 0, float("nan"), 6]), "annotation 2 has no bbox"),
    (changed("annotations", 1, category_id=[5]), r"annotation 2 has category_id \[5\], which is not among"),
    (changed("categories", 1, id="5"), "one of the categories has the id '5': ids are integers"),
    (changed("categories", 1, name=None), "category 5 has no name"), (changed("images", 1, file_name=3), "image 3 has no file_name"),
    (COCO | {"categories": None}, "categories must be a list of records"), (COCO | {"annotations": {"1": {}}}, "annotations must be a list"),
    (COCO | {"images": ["a.png"]}, "images must be a list of records"),
    ({k: v for k, v in COCO.items() if k != "categories"}, "instances.json has images and annotations and no categories"),
    ({k: v for k, v in COCO.items() if k != "annotations"}, "has images and categories and no annotations"),
    (changed("images", 0, width=16), "image 7 is said to be 16 × 6, b.png is 8 × 6"),
    (COCO | {"images": [], "annotations": []}, "names no image")])
def test_what_is_wrong_in_annotations_is_said_in_a_line(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as error:
        load_images(coco_folder(tmp_path, content), "all")
    assert "\n" not in str(error.value)


def test_one_file_says_what_is_in_a_folder(tmp_path):
    coco_folder(tmp_path)
    (tmp_path / "other.json").write_text('{"version": 1}', encoding="utf-8")
    assert len(load_images(tmp_path, "all")) == 3
    (tmp_path / "second.json").write_text(json.dumps(COCO), encoding="utf-8")
    with pytest.raises(ValueError, match="annotations in instances.json and second.json: keep one"):
        load_images(tmp_path)
    (tmp_path / "second.json").unlink()
    save(tmp_path / "masks" / "a.png", np.ones((6, 8)))
    with pytest.raises(ValueError, match="has masks in masks/ and annotations in instances.json: keep one"):
        load_images(tmp_path)
    (tmp_path / "second.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="second.json cannot be read as JSON"):
        load_images(tmp_path)


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools
def test_boxes_and_masks_are_what_pycocotools_reads(tmp_path):
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO as Reader

    content = COCO | {"annotations": [{"iscrowd": 0} | a for a in COCO["annotations"]]}
    content["images"] = [{"width": 8, "height": 6} | image for image in COCO["images"]]
    found = load_images(coco_folder(tmp_path, content), "all")
    theirs = Reader(str(tmp_path / "instances.json"))
    boxes = Counter((theirs.loadCats(a["category_id"])[0]["name"], *a["bbox"]) for a in theirs.loadAnns(theirs.getAnnIds(iscrowd=False)))
    ours = Counter()
    for some, labels in zip(found.boxes.tolist(), found.box_labels.tolist()):
        ours.update((found.classes[k], x0, y0, x1 - x0, y1 - y0) for (x0, y0, x1, y1), k in zip(some, labels) if k >= 0)
    assert ours.keys() - boxes.keys() == {("cat", 0.0, 0.0, 8.0, 6.0)}  # what stuck out is cut
    for annotation in theirs.loadAnns([1, 3]):  # outlines along pixels; along others the two round differently
        outline = sum(polygon_mask(np.reshape(polygon, (-1, 2)), 6, 8) for polygon in annotation["segmentation"])
        assert np.array_equal(theirs.annToMask(annotation), outline)


@given(st.lists(st.tuples(st.integers(-2, 9), st.integers(-2, 9)), min_size=3, max_size=8))
@settings(max_examples=100, deadline=None)
def test_a_polygon_is_filled_where_a_ray_crosses_it_an_odd_number_of_times(corners):
    from fractions import Fraction

    expected = np.zeros((7, 7), dtype=bool)
    unsure = np.zeros((7, 7), dtype=bool)
    for row in range(7):
        for column in range(7):
            x, y, crossings = column + Fraction(1, 2), row + Fraction(1, 2), 0
            for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1]):
                if (y0 < y) != (y1 < y):
                    at = x0 + (y - y0) * Fraction(x1 - x0, y1 - y0)
                    unsure[row, column] |= at == x  # the centre lies on the edge itself
                    crossings += at < x
            expected[row, column] = crossings % 2
    found = polygon_mask(np.array(corners), 7, 7)
    assert np.array_equal(found[~unsure], expected[~unsure])


def test_a_polygon_is_filled_as_matplotlib_does():
    from matplotlib.path import Path

    centres = np.stack(np.meshgrid(np.arange(30) + 0.5, np.arange(20) + 0.5), axis=-1).reshape(-1, 2)
    for seed in range(5):
        angles = np.sort(np.random.default_rng(seed).uniform(0, 2 * np.pi, 9))
        radii = np.random.default_rng(seed + 10).uniform(2, 12, 9)
        star = np.stack([14.3 + radii * np.cos(angles), 9.7 + radii * np.sin(angles)], axis=1)
        assert np.array_equal(polygon_mask(star, 20, 30).ravel(), Path(star).contains_points(centres))


def masked_folder(folder, masks, mode="L"):
    for i, mask in enumerate(masks):
        save(folder / "images" / f"{i}.png", np.full((6, 8, 3), i))
        picture = Image.fromarray(np.asarray(mask, dtype=np.uint8))
        if mode == "P":
            picture.putpalette([channel for k in range(256) for channel in (255 - k, k, 0)])
        (folder / "masks").mkdir(exist_ok=True)
        picture.save(folder / "masks" / f"{i}.png")
    return folder


@pytest.mark.parametrize("mode", ["L", "P"])
def test_a_folder_with_masks(tmp_path, mode):
    rng = np.random.default_rng(0)
    masks = rng.choice([0, 1, 4, 255], size=(5, 6, 8))
    found = load_images(masked_folder(tmp_path, masks, mode), "all")
    assert found.classes == ["1", "2", "3", "4"] and set(found.columns) == {"images", "masks"}
    for image, mask in zip(found.columns["images"], found.masks):
        expected = masks[int(image[0, 0, 0])]
        assert np.array_equal(mask, np.where(expected == 255, -100, expected))
    assert len(load_images(tmp_path, "train")) == 4 and len(load_images(tmp_path, "test")) == 1


def test_wrong_masks_are_refused(tmp_path):
    ones = np.ones((3, 6, 8))
    folder = masked_folder(tmp_path / "binary", 255 * ones)
    with pytest.raises(ValueError, match="hold no class: write classes as 1, 2, … up to 254"):
        load_images(folder)
    folder = masked_folder(tmp_path / "wrong", ones)
    save(folder / "masks" / "1.png", np.ones((8, 6)))
    with pytest.raises(ValueError, match="1.png is 6 × 8, its image 8 × 6: a mask must be as large as its image"):
        load_images(folder)
    save(folder / "masks" / "1.png", np.ones((6, 8, 3)))
    with pytest.raises(ValueError, match=r"1.png has mode RGB: save masks with a palette \(P\) or grey \(L\)"):
        load_images(folder)
    (folder / "masks" / "1.png").unlink()
    with pytest.raises(ValueError, match="1.png has no mask: expected .*masks.1.png"):
        load_images(folder)
    save(folder / "masks" / "1.png", ones[0])
    save(folder / "masks" / "more.png", ones[0])
    with pytest.raises(ValueError, match="more.png belongs to no image of"):
        load_images(folder)


def test_a_class_without_images_is_told(tmp_path):
    save(tmp_path / "cat" / "1.png", np.zeros((4, 4)))
    (tmp_path / "dog").mkdir()
    (tmp_path / ".cache").mkdir()
    with pytest.raises(ValueError, match="dog names a class and holds no image: fill it, or remove it"):
        load_images(tmp_path)


# --- the Hub --------------------------------------------------------------------------------------


@pytest.mark.parametrize("nested", ["records of lists", "lists of records"])
@pytest.mark.parametrize("named", [True, False])
def test_objects_of_a_table_of_the_hub(nested, named):
    datasets = pytest.importorskip("datasets")
    category = datasets.ClassLabel(names=["cat", "dog", "cow"]) if named else datasets.Value("int64")
    box = datasets.Sequence(datasets.Value("float32"), length=4)
    rows = [[], [([1, 2, 3, 4], 1), ([0, 0, 8, 1], 0)], [([0, 0, 8, 6], 1)]]
    if nested == "records of lists":
        kind = {"id": datasets.Sequence(datasets.Value("int64")), "bbox": datasets.Sequence(box), "category": datasets.Sequence(category)}
        objects = [{"id": [0] * len(row), "bbox": [b for b, _ in row], "category": [c for _, c in row]} for row in rows]
    else:
        kind = [{"bbox": box, "category": category}]
        objects = [[{"bbox": b, "category": c} for b, c in row] or None for row in rows]
    features = datasets.Features({"image": datasets.Image(), "scene": datasets.ClassLabel(names=["in", "out"]), "objects": kind})
    images = [Image.fromarray(np.full((6, 8), i, dtype=np.uint8)) for i in range(3)]
    table = datasets.Dataset.from_dict({"image": images, "scene": [0, 1, 0], "objects": objects}, features=features)
    found = from_table(table, "someone/objects")
    assert found.classes == (["cat", "dog", "cow"] if named else ["0", "1"]) and "labels" not in found.columns
    assert found.box_labels.tolist() == [[-100, -100], [1, 0], [1, -100]]
    assert found.boxes[1:].tolist() == [[[1, 2, 4, 6], [0, 0, 8, 1]], [[0, 0, 8, 6], [0, 0, 0, 0]]]
    assert not found.boxes[0].any()


def test_images_without_any_object_keep_a_place_for_one():
    columns = stack_objects([([], []), ([], [])], 6, 8)
    assert columns["boxes"].shape == (2, 1, 4) and (columns["box_labels"] == -100).all()


@pytest.mark.parametrize("edges, kept", [
    ((-0.9, -0.4, 8.9, 6.4), (0, 0, 8, 6)), ((1, 2, 8, 6), (1, 2, 8, 6)), ((0, 0, 8, 6.001), (0, 0, 8, 6)),
    ((-1, 0, 4, 4), None), ((1, 2, 9, 6), None), ((9, 7, 12, 12), None), ((8.2, 1, 8.4, 3), None)])
def test_a_box_of_the_hub_is_cut_where_it_was_rounded_and_refused_where_it_is_wrong(edges, kept):
    datasets = pytest.importorskip("datasets")
    box = datasets.Sequence(datasets.Value("float32"), length=4)
    features = datasets.Features({"image": datasets.Image(), "objects": [{"bbox": box, "category": datasets.Value("int64")}]})
    x0, y0, x1, y1 = edges
    row = [{"bbox": [x0, y0, x1 - x0, y1 - y0], "category": 0}]
    table = datasets.Dataset.from_dict({"image": [Image.fromarray(np.zeros((6, 8), dtype=np.uint8))], "objects": [row]}, features=features)
    if kept:
        torch.testing.assert_close(from_table(table, "someone/objects").boxes, torch.tensor([[kept]], dtype=torch.float32))
    else:
        with pytest.raises(ValueError, match="boxes must .*sample 0 has") as error:
            from_table(table, "someone/objects")
        assert "\n" not in str(error.value)
