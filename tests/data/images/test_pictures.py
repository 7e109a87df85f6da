"""Images of unlike sizes and modes become one tensor, as Pillow itself would cut and shrink them; so do their boxes and masks."""

import io
import json
import weakref
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pretrain_lib import ImageConfig, ImageData, ImageDataset, load_images
from pretrain_lib.data.images import pictures as module
from pretrain_lib.data.images.dataset import resize
from pretrain_lib.data.images.load import from_table
from pretrain_lib.data.splits import split_ids

ORIENTATION = 0x0112
COLOURED = ["RGB", "RGBA", "P", "CMYK"]
GREY = ["L", "LA", "1", "I;16"]


def picture(mode, width, height, seed=0):
    """Noise that is smooth enough to look different in each corner."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(256 * values[:, :, 0].astype(np.uint16) + values[:, :, 1])
    whole = Image.fromarray(values, "RGBA")
    return whole if mode == "RGBA" else whole.convert("RGB").convert(mode)


def save(path, image, orientation=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image.save(path, exif=exif, **({"quality": 90} if path.suffix == ".jpg" else {}))


def loaded(folder, **settings):
    """All images of a folder without classes, in the order of their files."""
    whole = load_images(folder, "all", **settings)
    return whole.subset(np.argsort(split_ids(None, len(whole), "all")))


def as_pillow_has_it(path, mode, size, margin=0):
    """(C, H, W), turned, cut, shrunk and framed by Pillow."""
    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):
            image = Image.fromarray((np.array(image) // 256).astype(np.uint8))
        image = ImageOps.fit(image.convert("RGBA").convert("RGB").convert(mode), (size - 2 * margin,) * 2, Image.Resampling.BILINEAR)
        array = np.array(ImageOps.expand(image, margin))
    return array.reshape(size, size, -1).transpose(2, 0, 1)


sides = st.integers(1, 40)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_photographs_of_any_size_mode_and_orientation_become_what_pillow_makes_of_them(tmp_path_factory, data):
    modes = data.draw(st.lists(st.sampled_from(COLOURED + GREY), min_size=1, max_size=5))
    margin = data.draw(st.integers(0, 2))
    size = 2 * margin + data.draw(st.integers(1, 24))
    here = tmp_path_factory.mktemp("images")
    for i, mode in enumerate(modes):
        suffix = "jpg" if mode == "CMYK" else "png"
        save(here / f"{i}.{suffix}", picture(mode, data.draw(sides), data.draw(sides), i), data.draw(st.integers(1, 8)))
    found = loaded(here, size=size, margin=margin)
    mode = "RGB" if set(modes) & set(COLOURED) else "L"
    assert found.columns["images"].dtype == torch.uint8 and found.columns["images"].is_contiguous()
    assert found.image_shape == (3 if mode == "RGB" else 1, size, size)
    for path, image in zip(sorted(here.iterdir()), found.columns["images"], strict=True):
        assert np.array_equal(image, as_pillow_has_it(path, mode, size, margin))


def test_the_shortest_side_is_scaled_and_the_centre_cut_out(tmp_path):
    wide, high = picture("RGB", 60, 24, 1), picture("RGB", 24, 48, 2)
    save(tmp_path / "0.png", wide)
    save(tmp_path / "1.png", high)
    found = loaded(tmp_path, size=8).columns["images"]
    shrunk = wide.resize((20, 8), Image.Resampling.BILINEAR).crop((6, 0, 14, 8))
    lowered = high.resize((8, 16), Image.Resampling.BILINEAR).crop((0, 4, 8, 12))
    for image, expected in zip(found.int(), (shrunk, lowered), strict=True):  # Pillow rounds between rows and columns, in either order
        assert np.abs(image.permute(1, 2, 0).numpy() - np.array(expected, dtype=int)).max() <= 1


def test_images_that_have_the_size_stay_as_they_are(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", picture("RGB", 9, 9, i))
    given_size = loaded(tmp_path, size=9).columns["images"]
    assert torch.equal(given_size, loaded(tmp_path).columns["images"])
    assert all(np.array_equal(given_size[i].permute(1, 2, 0), picture("RGB", 9, 9, i)) for i in range(3))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_an_image_is_turned_as_its_camera_said_with_size_and_without(tmp_path, orientation, suffix):
    save(tmp_path / f"0.{suffix}", picture("RGB", 12, 8), orientation)
    with Image.open(tmp_path / f"0.{suffix}") as image:
        upright = np.array(ImageOps.exif_transpose(image))
    assert upright.shape == ((12, 8, 3) if orientation >= 5 else (8, 12, 3))
    assert np.array_equal(loaded(tmp_path).columns["images"][0].permute(1, 2, 0), upright)
    assert loaded(tmp_path, size=5).image_shape == (3, 5, 5)


@pytest.mark.parametrize("nonsense", [0, 9, 262])
def test_an_orientation_that_there_is_not_turns_nothing(tmp_path, nonsense):
    save(tmp_path / "0.jpg", picture("RGB", 12, 8), nonsense)
    assert loaded(tmp_path).image_shape == (3, 8, 12)
    assert np.array_equal(loaded(tmp_path, size=4).columns["images"][0], as_pillow_has_it(tmp_path / "0.jpg", "RGB", 4))


def test_every_split_has_the_colours_of_all(tmp_path):
    for i in range(5):
        save(tmp_path / f"{i}.png", picture("L", 5 + i, 7, i))
    assert [load_images(tmp_path, split, size=4).image_shape[0] for split in ("train", "test", "all")] == [1, 1, 1]
    for coloured in range(5):
        save(tmp_path / f"{coloured}.png", picture("RGB", 6, 6, coloured))
        train, test, whole = (load_images(tmp_path, split, size=4).columns["images"] for split in ("train", "test", "all"))
        assert {len(train), len(test)} == {4, 1} and train.shape[1] == test.shape[1] == 3
        rows = lambda images: {image.numpy().tobytes() for image in images}  # noqa: E731
        assert rows(train) | rows(test) == rows(whole)
        save(tmp_path / f"{coloured}.png", picture("L", 5 + coloured, 7, coloured))


def test_sixteen_bits_beside_transparency(tmp_path):
    save(tmp_path / "0.png", Image.fromarray(np.full((4, 4), 51 * 256 + 255, dtype=np.uint16)))
    save(tmp_path / "1.png", Image.fromarray(np.array([[[10, 20, 30, 0]] * 4] * 4, dtype=np.uint8)))
    palette = Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).convert("P")
    palette.putpalette([7, 8, 9] * 256)
    palette.save(tmp_path / "2.png", transparency=bytes([0] * 256))
    found = loaded(tmp_path, size=2).columns["images"][:, :, 0, 0]
    assert found.tolist() == [[51, 51, 51], [10, 20, 30], [7, 8, 9]]


def test_a_recipe_reads_photographs_of_its_own(tmp_path):
    for kind in ("cat", "dog"):
        for i in range(5):
            save(tmp_path / "set" / kind / f"{i}.jpg", picture("RGB", 20 + i, 30 - i, i), 6)
    data = ImageData.open(ImageConfig(str(tmp_path / "set"), size=16), tmp_path / "run")
    assert (len(data.training), len(data.held_out)) == (8, 2) and data.training.classes == ["cat", "dog"]
    assert data.model_fields["input_shape"] == (3, 16, 16)
    assert data.training.columns["images"].dtype == torch.uint8
    with pytest.raises(ValueError, match="0.jpg is 30 × 20 RGB, .*1.jpg 29 × 21 RGB: give size"):
        ImageData.open(ImageConfig(str(tmp_path / "set")), tmp_path / "run")


# --- what is wrong --------------------------------------------------------------------------------


def test_the_size_is_checked_before_anything_is_read(tmp_path, monkeypatch):
    save(tmp_path / "0.png", picture("RGB", 5, 5))
    monkeypatch.setattr(module, "read_header", None)
    for size, margin in ((0, 0), (8, 4), (8, -1)):
        with pytest.raises(ValueError, match=f"leave room for the margin, got {size} and {margin}"):
            load_images(tmp_path, size=size, margin=margin)


@given(st.sampled_from(["png", "jpg"]), st.data())
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore")  # Pillow's about damaged metadata
def test_a_damaged_file_is_read_or_named(tmp_path_factory, suffix, data):
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture("RGB", 30, 20).save(stream, {"png": "PNG", "jpg": "JPEG"}[suffix], exif=exif)
    content = bytearray(stream.getvalue())
    if data.draw(st.booleans()):
        content = content[:data.draw(st.integers(0, len(content)))]
    for at in data.draw(st.lists(st.integers(0, 200), max_size=4)):
        if at < len(content):
            content[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("images") / f"damaged.{suffix}"
    path.write_bytes(content)
    try:
        assert load_images(path.parent, "all", size=8).image_shape[1:] == (8, 8)
    except ValueError as error:
        assert f"{path} cannot be read as an image" in str(error) and "\n" not in str(error)


def test_a_file_that_ends_early_is_named(tmp_path):
    save(tmp_path / "0.jpg", picture("RGB", 40, 40))
    path = tmp_path / "1.jpg"
    path.write_bytes((tmp_path / "0.jpg").read_bytes()[:-300])
    with pytest.raises(ValueError, match="1.jpg cannot be read as an image: image file is truncated"):
        load_images(tmp_path, "all", size=8)


# --- boxes and masks ------------------------------------------------------------------------------


def coco(folder, sizes, annotations, orientation=1):
    for i, (width, height) in enumerate(sizes):
        save(folder / f"{i}.png", picture("RGB", width, height, i), orientation)
    content = {"images": [{"id": i, "file_name": f"{i}.png"} for i in range(len(sizes))],
               "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
               "annotations": [{"id": k} | annotation for k, annotation in enumerate(annotations)]}
    (folder / "instances.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


BOXES = [  # of an image 40 × 20, of which 10 to 30 is kept, and of one 10 × 30, of which 10 to 20 is; 8 pixels of 10 with a margin of 1
    {"image_id": 0, "category_id": 1, "bbox": [15, 5, 10, 10]}, {"image_id": 0, "category_id": 2, "bbox": [0, 0, 20, 20]},
    {"image_id": 0, "category_id": 1, "bbox": [0, 0, 10, 20]}, {"image_id": 0, "category_id": 2, "bbox": [25, 10, 15.5, 10]},
    {"image_id": 1, "category_id": 2, "bbox": [0, 0, 10, 30]}, {"image_id": 1, "category_id": 1, "bbox": [0, 21, 5, 5]}]
PLACED = [[[1 + 2, 1 + 2, 1 + 6, 1 + 6], [1, 1, 1 + 4, 9], [0] * 4, [1 + 6, 1 + 4, 9, 9]], [[1, 1, 9, 9], [0] * 4, [0] * 4, [0] * 4]]
LABELS = [[0, 1, -100, 1], [1, -100, -100, -100]]


def test_boxes_of_coco_lie_where_the_cut_image_shows_them(tmp_path):
    found = loaded(coco(tmp_path, [(40, 20), (10, 30)], BOXES), size=10, margin=1)
    torch.testing.assert_close(found.boxes, torch.tensor(PLACED, dtype=torch.float32), atol=1e-6, rtol=0)
    assert found.box_labels.tolist() == LABELS and found.classes == ["cat", "dog"]


def test_boxes_of_the_hub_lie_where_the_cut_image_shows_them():
    datasets = pytest.importorskip("datasets")
    box = {"bbox": datasets.Sequence(datasets.Value("float32"), length=4), "category": datasets.Value("int64")}
    features = datasets.Features({"image": datasets.Image(), "objects": [box]})
    rows = [[{"bbox": b["bbox"], "category": b["category_id"] - 1} for b in BOXES if b["image_id"] == i] for i in range(2)]
    images = [picture("RGBA", 40, 20), picture("L", 10, 30)]
    table = datasets.Dataset.from_dict({"image": images, "objects": rows}, features=features)
    found = from_table(table, "someone/objects", module.Square(10, 1))
    torch.testing.assert_close(found.boxes, torch.tensor(PLACED, dtype=torch.float32), atol=1e-6, rtol=0)
    assert found.box_labels.tolist() == LABELS and found.image_shape == (3, 10, 10) and found.columns["images"].dtype == torch.uint8
    with pytest.raises(ValueError, match=r"sample 0 has mode RGBA: convert it to L \(grey\) or RGB, or give size"):
        from_table(table, "someone/objects")


def test_a_class_whose_every_object_is_cut_off_keeps_its_number():
    datasets = pytest.importorskip("datasets")
    box = {"bbox": datasets.Sequence(datasets.Value("float32"), length=4), "category": datasets.Value("int64")}
    features = datasets.Features({"image": datasets.Image(), "objects": [box]})
    rows = [[{"bbox": [0, 0, 5, 5], "category": 3}]]
    table = datasets.Dataset.from_dict({"image": [picture("RGB", 40, 20)], "objects": rows}, features=features)
    found = from_table(table, "someone/objects", module.Square(10))
    assert found.classes == list("0123") and found.box_labels.tolist() == [[-100]]


def test_a_table_of_the_hub_without_an_image():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image()})
    table = datasets.Dataset.from_dict({"image": [picture("L", 4, 4), None]}, features=features)
    with pytest.raises(ValueError, match="sample 1 has no image"):
        from_table(table, "someone/pictures", module.Square(10))
    with pytest.raises(ValueError, match="'someone/pictures' has no image in this split"):
        from_table(table.select([]), "someone/pictures")


@pytest.mark.parametrize("values", [np.full((4, 4), 0.5, dtype=np.float32), np.full((4, 4), 2**16, dtype=np.int32), np.full((4, 4), -1, dtype=np.int32)])
def test_numbers_that_are_no_colours_are_refused(values):
    datasets = pytest.importorskip("datasets")
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "TIFF")
    features = datasets.Features({"image": datasets.Image()})
    table = datasets.Dataset.from_dict({"image": [{"bytes": stream.getvalue(), "path": None}]}, features=features)
    with pytest.raises(ValueError, match="sample 0 cannot be read as an image: its numbers are no colours of 8 or 16 bits"):
        from_table(table, "someone/pictures", module.Square(4))


def test_a_box_that_lies_outside_its_image_is_refused_though_the_cut_would_hide_it(tmp_path):
    outside = BOXES[:1] + [{"image_id": 1, "category_id": 1, "bbox": [0, 25, 5, 7]}]
    with pytest.raises(ValueError, match="boxes must lie within images 10 pixels wide and 30 high, .*1.png has 0, 25, 5, 32"):
        load_images(coco(tmp_path, [(40, 20), (10, 30)], outside), "all", size=10)


def kept(side, other):
    """Where the part that is kept begins, and how long it is."""
    shortest = min(side, other)
    return Fraction(side - shortest, 2), shortest


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_outlines_are_filled_where_the_cut_image_shows_them(tmp_path_factory, data):
    width, height = data.draw(sides), data.draw(sides)
    margin = data.draw(st.integers(0, 2))
    inner = data.draw(st.integers(1, 16))
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    square = {"image_id": 0, "category_id": 2, "bbox": [x0, y0, x1 - x0, y1 - y0], "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]]}
    found = loaded(coco(tmp_path_factory.mktemp("images"), [(width, height)], [square]), size=inner + 2 * margin, margin=margin)
    expected = np.zeros((inner + 2 * margin,) * 2, dtype=int)
    (left, shortest), (upper, _) = kept(width, height), kept(height, width)
    for row in range(inner):
        for column in range(inner):
            x, y = (edge + Fraction(2 * k + 1, 2) * Fraction(shortest, inner) for edge, k in ((left, column), (upper, row)))
            assume(not {x, y} & {x0, x1, y0, y1})  # a centre on the edge itself belongs to either
            expected[margin + row, margin + column] = 2 * (x0 < x < x1 and y0 < y < y1)
    assert np.array_equal(found.masks[0], expected)
    edges = [(x0, left), (y0, upper), (x1, left), (y1, upper)]
    moved = [float(min(max((edge - start) * Fraction(inner, shortest), 0), inner)) for edge, start in edges]
    if moved[2] > moved[0] and moved[3] > moved[1]:
        torch.testing.assert_close(found.boxes[0, 0], torch.tensor(moved) + margin, atol=1e-5, rtol=0)
        assert found.box_labels.tolist() == [[1]]
    else:
        assert found.box_labels.tolist() == [[-100]] and not found.boxes.any()


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_a_mask_has_the_class_of_the_nearest_pixel(tmp_path_factory, data):
    width, height, orientation = data.draw(sides), data.draw(sides), data.draw(st.sampled_from([1, 6]))
    margin = data.draw(st.integers(0, 2))
    inner, here = data.draw(st.integers(1, 16)), tmp_path_factory.mktemp("images")
    mask = np.random.default_rng(width).choice([0, 1, 2, 255], (height, width)).astype(np.uint8)
    mask[0, 0] = 3
    save(here / "images" / "0.jpg", picture("RGB", width, height), orientation)
    upright = Image.fromarray(mask) if orientation == 1 else Image.fromarray(mask).transpose(Image.Transpose.ROTATE_270)
    save(here / "masks" / "0.png", upright)
    found = loaded(here, size=inner + 2 * margin, margin=margin)
    assert found.classes == ["1", "2", "3"]
    mask = np.where(np.array(upright) == 255, -100, np.array(upright).astype(int))
    (upper, shortest), (left, _) = kept(*mask.shape), kept(*mask.shape[::-1])

    def nearest(edge, k, side):
        centre = edge + Fraction(2 * k + 1, 2) * Fraction(shortest, inner)
        far = [abs(i + Fraction(1, 2) - centre) for i in range(side)]
        return {i for i in range(side) if far[i] == min(far)}

    seen = found.masks[0][margin:margin + inner, margin:margin + inner]
    for row in range(inner):
        for column in range(inner):
            places = [(r, c) for r in nearest(upper, row, mask.shape[0]) for c in nearest(left, column, mask.shape[1])]
            assert int(seen[row, column]) in {int(mask[place]) for place in places}
    frame = found.masks[0].clone()
    frame[margin:margin + inner, margin:margin + inner] = 0
    assert not frame.any()


def test_a_mask_is_as_large_as_its_image_is_once_turned(tmp_path):
    save(tmp_path / "images" / "0.jpg", picture("RGB", 12, 8), 6)
    save(tmp_path / "masks" / "0.png", Image.fromarray(np.ones((8, 12), dtype=np.uint8)))
    with pytest.raises(ValueError, match="0.png is 12 × 8, its image 8 × 12: a mask must be as large as its image"):
        load_images(tmp_path, "all", size=4)


# --- memory ---------------------------------------------------------------------------------------


def test_one_decoded_image_at_a_time_is_held(tmp_path, monkeypatch):
    for i in range(6):
        save(tmp_path / f"{i}.png", picture("RGB", 20 + i, 20, i))
    live, most, read = [], [], module.read_picture

    def counted(*arguments):
        most.append(sum(one() is not None for one in live))
        found = read(*arguments)
        live.append(weakref.ref(found))
        return found

    monkeypatch.setattr(module, "read_picture", counted)
    images = load_images(tmp_path, "train", size=8).columns["images"]
    assert len(live) == len(images) == 4 and max(most) == 0  # those of the split, and each is let go before the next
    assert images.untyped_storage().nbytes() == 4 * 3 * 8 * 8


def test_resized_bytes_stay_bytes():
    images = torch.randint(0, 256, (5, 3, 9, 7), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found, exact = resize(ImageDataset(images), 12, 2), resize(ImageDataset(images / 255), 12, 2)
    assert found.columns["images"].dtype == torch.uint8 and exact.columns["images"].dtype == torch.float32
    assert (found.images - exact.images).abs().max() <= 1 / 255 + 1e-6
