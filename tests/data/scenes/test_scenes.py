"""Scenes: exact boxes and masks, splits that share nothing, and samples that depend on their number alone."""

import gc
import pickle
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from pretrain_lib import Keys, SceneConfig, Scenes, load_images
from pretrain_lib.data.images.drawn import DRAWN, TESTED_ON
from pretrain_lib.data.scenes import glyphs, photographs
from pretrain_lib.data.scenes.draw import luminance, place, tight_box
from pretrain_lib.data.scenes.scenes import GAP, OVERLAP, PLACES

ONE = SceneConfig(size=32, objects=(1, 1), digit=(26, 32))
CROWD = SceneConfig(size=64, objects=(0, 5), digit=(14, 40))


def union(boxes):
    return [*boxes[:, :2].min(0).values.tolist(), *boxes[:, 2:].max(0).values.tolist()]


def check(config, samples, number):
    """What holds for any scenes of a configuration."""
    size, most = config.size, config.objects[1]
    shapes = {"images": (3, size, size), "boxes": (most, 4), "box_labels": (most,), "masks": (size, size)}
    shapes |= {"labels": ()} if config.objects == (1, 1) else {}
    assert {name: tuple(column.shape) for name, column in samples.items()} == {k: (number, *v) for k, v in shapes.items()}
    assert samples["images"].dtype == samples["boxes"].dtype == torch.float32
    assert samples["box_labels"].dtype == samples["masks"].dtype == torch.int64
    assert samples["images"].min() >= 0 and samples["images"].max() <= 1
    for boxes, labels, mask in zip(samples["boxes"], samples["box_labels"], samples["masks"]):
        there = labels >= 0
        assert (labels[~there] == -100).all() and (boxes[~there] == 0).all()
        assert there.sum() <= most
        assert set(mask.unique().tolist()) - {0} == {1 + label for label in labels[there].tolist()}
        for label in labels[there].unique().tolist():
            rows, columns = np.nonzero((mask == 1 + label).numpy())
            tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert union(boxes[labels == label]) == tight
    if "labels" in samples:
        assert torch.equal(samples["labels"], samples["box_labels"][:, 0]) and samples["labels"].min() >= 0


@pytest.mark.parametrize("kind", ["digits", "letters"])
@pytest.mark.parametrize("split", ["train", "test", "shift"])
def test_boxes_are_tight_around_masks(kind, split):
    for config in (SceneConfig(size=32, objects=(1, 1), digit=(26, 32), glyphs=kind),
                   SceneConfig(size=64, objects=(0, 5), digit=(14, 40), glyphs=kind)):
        check(config, Scenes(config, split).take(Keys.of(0, 60)), 60)


@st.composite
def configs(draw):
    size = draw(st.integers(14, 40))
    low, high = sorted(draw(st.lists(st.integers(14, size), min_size=2, max_size=2)))
    few, many = sorted([draw(st.integers(0, 3)), draw(st.integers(1, 4))])
    return SceneConfig(size=size, objects=(few, many), digit=(low, high), background=draw(st.floats(0, 1)),
                       glyphs=draw(st.sampled_from(["digits", "letters"])), seed=draw(st.integers(0, 2**32 - 1)))


@given(configs(), st.sampled_from(["train", "test", "shift"]), st.integers(0, 2**40))
@settings(max_examples=40, deadline=None)
def test_every_configuration_that_is_allowed_can_be_drawn(config, split, start):
    check(config, Scenes(config, split).take(Keys.of(0, range(start, start + 3))), 3)


def test_a_mask_is_where_ink_is_half_or_more():
    scenes = Scenes(SceneConfig(size=40, objects=(1, 1), digit=(20, 36), background=0.0))
    keys = Keys.of(0, 50)
    samples = scenes.take(keys)
    colour, ground = scenes.backgrounds(Keys.of(0, 50))
    paint = scenes.paint(0, keys, colour)
    assert torch.equal(ground, colour[:, :, None, None].expand(-1, -1, 40, 40))
    way = (paint - colour).double()[:, :, None, None]
    ink = ((samples["images"] - ground) * way).sum(1) / way.square().sum(1)
    sure = (ink - 0.5).abs() > 1e-4
    assert torch.equal((ink >= 0.5)[sure], (samples["masks"] > 0)[sure]) and sure.float().mean() > 0.99


def test_no_scene_has_objects_that_cover_each_other_much():
    scenes = Scenes(SceneConfig(size=64, objects=(4, 4), digit=(28, 28)))
    samples = scenes.take(Keys.of(0, 100))
    whole = Scenes(SceneConfig(size=64, objects=(1, 4), digit=(28, 28)))
    assert not torch.equal(samples["boxes"], whole.take(Keys.of(0, 100))["boxes"])
    owners, boxes = torch.zeros(100, 64, 64, dtype=torch.int64), torch.zeros(100, 4, 4)
    for k in range(4):
        scenes.add(k, Keys.of(0, 100), torch.ones(100, dtype=torch.bool), owners, boxes)
    for image in boxes.tolist():
        pixels = [{(x, y) for x in range(int(a), int(c)) for y in range(int(b), int(d))} for a, b, c, d in image]
        for i, one in enumerate(pixels):
            for other in filter(None, pixels[:i] if one else []):
                assert len(one & other) <= 0.25 * min(len(one), len(other))
    placed = (samples["box_labels"] >= 0).sum(1)
    assert placed.min() >= 1 and placed.float().mean() > 3.5


def test_later_objects_cover_earlier_ones():
    scenes = Scenes(SceneConfig(size=48, objects=(2, 2)))
    keys = Keys.of(0, 100)
    owners, boxes = torch.zeros(100, 48, 48, dtype=torch.int64), torch.zeros(100, 2, 4)
    wanted = torch.ones(100, dtype=torch.bool)
    inks = [scenes.add(k, keys, wanted, owners, boxes)[1] >= 0.5 for k in range(2)]
    assert torch.equal(owners == 2, inks[1]) and torch.equal(owners == 1, inks[0] & ~inks[1])
    assert (inks[0] & inks[1]).any()


def test_objects_stand_out_from_every_pixel_around_them():
    for split in ("train", "test", "shift"):
        scenes = Scenes(SceneConfig(size=32, objects=(3, 3), digit=(14, 20)), split)
        keys = Keys.of(0, 300)
        colour, ground = scenes.backgrounds(keys)
        light = luminance(ground.permute(0, 2, 3, 1))
        for k in range(3):
            paint = scenes.paint(k, keys, colour)
            assert (luminance(paint) - luminance(colour)).abs().min() > 0.3 - 1e-5
            assert (luminance(paint)[:, None, None] - light).abs().min() > 0.3 - 0.25 / 2 - 1e-5


# --- a function of the configuration, the split and the number -------------------------------------


@lru_cache
def first_scenes(config):
    return Scenes(config).take(Keys.of(0, 64))


@given(st.lists(st.integers(0, 63), min_size=1, max_size=9), st.integers(0, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_a_scene_depends_neither_on_its_batch_nor_on_epoch_or_run(ids, epoch, seed):
    for config in (ONE, CROWD):
        whole = first_scenes(config)
        some = Scenes(config).take(Keys.of(seed, ids, epoch, progress=0.5))
        assert all(torch.equal(some[name], column[ids]) for name, column in whole.items())


def test_workers_and_threads_draw_the_same():
    scenes = Scenes(CROWD)
    batches = [[5, 3], [8, 0, 1], [2], [4, 7, 6]]
    whole = scenes.take(Keys.of(0, 9))
    loader = DataLoader(Numbered(scenes, batches), batch_size=None, num_workers=2)
    for ids, samples in zip(batches, loader, strict=True):
        assert all(torch.equal(samples[name], column[ids]) for name, column in whole.items())
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        again = scenes.take(Keys.of(0, 9))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(again[name], column) for name, column in whole.items())


class Numbered:
    def __init__(self, scenes, batches):
        self.scenes, self.batches = scenes, batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, i):
        return self.scenes.take(Keys.of(1, self.batches[i]))


def test_each_seed_and_each_split_has_scenes_of_its_own():
    drawn = [Scenes(SceneConfig(size=32, objects=(1, 1), digit=(26, 32), seed=seed), split).take(Keys.of(0, 8))["images"]
             for seed in (0, 1) for split in ("train", "test", "shift")]
    assert all(not torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


def test_a_scene_keeps_its_first_objects_if_there_may_be_more():
    few, many = (Scenes(SceneConfig(size=64, objects=(n, n))).take(Keys.of(0, 20)) for n in (1, 3))
    assert torch.equal(few["box_labels"][:, 0], many["box_labels"][:, 0])


def test_memory_does_not_grow_with_the_number_of_scenes():
    few, endless = (Scenes(SceneConfig(number=number)) for number in (10, 10**12))
    assert len(endless) == 10**12
    last = endless.take(Keys.of(0, [10**12 - 1, 10**12 - 2]))["images"]
    assert not torch.equal(last[0], last[1])
    sizes = [len(pickle.dumps(scenes)) for scenes in (few, endless)]
    assert abs(sizes[0] - sizes[1]) < 100 and sizes[0] < 20e6


def held() -> int:
    """Bytes of all tensors that are alive."""
    gc.collect()
    storages = [thing.untyped_storage() for thing in gc.get_objects() if type(thing) is torch.Tensor]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def test_drawing_keeps_no_scene():
    scenes = Scenes(SceneConfig(number=10**12))
    scenes.take(Keys.of(0, 8))
    before, drawn = held(), scenes.take(Keys.of(0, 8))
    assert held() >= before + drawn["images"].nbytes
    del drawn
    for start in (8, 10**6, 10**11):
        scenes.take(Keys.of(0, range(start, start + 32)))
    assert held() <= before


def test_numbers_and_classes_are_uniform():
    samples = Scenes(SceneConfig(size=64, objects=(0, 3), digit=(14, 14))).take(Keys.of(0, 1200))
    numbers = torch.bincount((samples["box_labels"] >= 0).sum(1), minlength=4)
    assert (numbers - 300).abs().max() < 60
    labels = samples["box_labels"][samples["box_labels"] >= 0]
    assert (torch.bincount(labels) / len(labels) - 0.1).abs().max() < 0.025


# --- splits share nothing -------------------------------------------------------------------------


def pictures(split, kind="digits"):
    return [row.numpy().tobytes() for row in glyphs.load_glyphs(kind, split).pictures]


def test_digits_are_those_of_the_same_split_of_mnist():
    for split in ("train", "test"):
        mnist, found = load_images("mnist", split), glyphs.load_glyphs("digits", split)
        assert torch.equal(mnist.columns["images"][:, 0], found.pictures) and torch.equal(mnist.labels, found.labels)
    assert not set(pictures("train")) & set(pictures("test"))
    assert torch.equal(Scenes(ONE, "shift").glyphs.pictures, Scenes(ONE, "test").glyphs.pictures)


def test_letters_of_the_splits_are_of_other_fonts():
    assert not set(glyphs.FONTS["train"]) & set(glyphs.FONTS["test"])
    train, test = set(pictures("train", "letters")), set(pictures("test", "letters"))
    assert len(train) == 60 and len(test) == 40 and not train & test
    assert Scenes(SceneConfig(glyphs="letters")).classes == list(glyphs.LETTERS)


def test_letters_are_as_large_as_digits():
    for split in ("train", "test"):
        found = glyphs.load_glyphs("letters", split).pictures
        boxes = tight_box(found > 0)
        extents = (boxes[:, 2:] - boxes[:, :2]).max(1).values
        assert (extents == 20).all() and found.flatten(1).max(1).values.min() > 200
        assert ((boxes[:, :2] + boxes[:, 2:]) / 2 - 14).abs().max() <= 0.5


@pytest.mark.parametrize("kind", ["digits", "letters"])
@pytest.mark.parametrize("side", [14, 17, 28])
def test_every_glyph_is_seen_at_every_side(kind, side):
    for split in ("train", "test"):
        found = glyphs.load_glyphs(kind, split).pictures.float() / 255
        n = len(found)
        ink = place(found, torch.full((n,), side), torch.zeros(n, 2), side)
        assert ((ink >= 0.5).flatten(1).sum(1) > 0).all()


def test_training_and_testing_see_other_parts_of_the_photographs():
    train, test, shift = (photographs.parts(split, 48) for split in photographs.SPLITS)
    whole = torch.stack([photographs.read(photo) for photo in photographs.PHOTOGRAPHS["train"]])
    assert torch.equal((255 * torch.cat([train, test], dim=3)).round().byte(), whole)
    assert train.shape[3] == round(0.7 * whole.shape[3])
    assert torch.equal((255 * shift[0]).round().byte(), photographs.read(photographs.HOPPER))
    for split, part in zip(photographs.SPLITS, (train, test, shift)):
        assert torch.equal(Scenes(SceneConfig(), split).photographs, part)


def test_backgrounds_are_windows_of_the_part():
    scenes = Scenes(SceneConfig(size=32, digit=(14, 14), background=0.25), "test")
    rows, columns = scenes.photographs.shape[2:]
    place = torch.arange(rows * columns).reshape(rows, columns) / (rows * columns)  # a photograph that tells where it is
    scenes.photographs = place.expand(2, 3, -1, -1).double()
    colour, images = scenes.backgrounds(Keys.of(0, 400))
    inside = ((images > 0) & (images < 1)).all(1)
    at = ((images - colour[:, :, None, None]) / 0.25 + 0.5).mean(1) * rows * columns
    sure = inside.flatten(1).all(1)
    corner = at[sure, 0, 0].round().long()
    y, x = corner // columns, corner % columns
    assert sure.sum() > 30 and y.max() <= rows - 32 and x.max() <= columns - 32
    window = (y[:, None, None] + torch.arange(32)[:, None]) * columns + x[:, None, None] + torch.arange(32)
    assert (at[sure] - window).abs().max() < 0.5


def test_large_scenes_lie_on_enlarged_photographs():
    samples = Scenes(SceneConfig(size=224, digit=(40, 80)), "test").take(Keys.of(0, 2))
    assert samples["images"].shape == (2, 3, 224, 224)
    assert photographs.parts("test", 192).shape[3] == 192 and photographs.parts("test", 193).shape[3] == 384


def test_every_photograph_is_credited():
    for split, photos in photographs.PHOTOGRAPHS.items():
        for photo in photos:
            assert all(word in photographs.CREDITS[split] for word in (photo.file, photo.author, photo.licence, photo.source))
    assert photographs.CHINA.licence == photographs.FLOWER.licence == "CC BY 2.0"


CARD = Path(__file__).parents[3] / "docs" / "scenes.md"


def test_the_data_card_says_what_is_drawn_and_whose_the_photographs_are():
    card = CARD.read_text(encoding="utf-8")
    for photo in {photo for photos in photographs.PHOTOGRAPHS.values() for photo in photos}:
        row = f"| {photo.file} | {photo.author} | {photo.licence} | {photo.package} | <{photo.source}> |"
        assert row in card
    digits, scenes = DRAWN["coloured-digits"], DRAWN["scenes"]
    for config in (digits, scenes):
        assert f"{config.size} × {config.size}" in card and "{} to {}".format(*config.digit) in card
    assert f"{digits.number:,} and {scenes.number:,} pictures" in card and f"{TESTED_ON:,} each" in card
    assert GAP == 0.3 and OVERLAP == 0.25 and PLACES == 8 and SceneConfig().background == 0.25


def test_the_card_shows_what_its_code_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(CARD.read_text(encoding="utf-8").split("```python")[1].split("```")[0], {})
    found, shown = (np.asarray(Image.open(path), dtype=int) for path in ("scenes.png", CARD.with_name("scenes.png")))
    assert np.abs(found - shown).max() <= 1


def test_the_packages_still_say_so():
    import sklearn.datasets

    readme = (Path(sklearn.datasets.__file__).parent / "images" / "README.txt").read_text(encoding="utf-8")
    assert "creativecommons.org/licenses/by/2.0" in readme
    for photo in (photographs.CHINA, photographs.FLOWER):
        assert photo.file in readme and photo.author in readme and photo.source in readme


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("fields, message", [
    ({"size": 13}, "size must be an integer of at least 14, got 13"),
    ({"size": 32, "digit": (20, 33)}, r"digit must be a lowest and a highest whole number from 14 up to 32, the scene's size, got \(20, 33\)"),
    ({"digit": (13, 20)}, "digit must be"), ({"digit": (30, 20)}, "digit must be"), ({"digit": (20,)}, "digit must be"),
    ({"digit": (20.5, 24)}, "digit must be"), ({"digit": 20}, "digit must be a lowest and a highest"),
    ({"objects": (2, 1)}, r"objects must be a lowest and a highest whole number from 0, got \(2, 1\)"),
    ({"objects": (-1, 1)}, "objects must be"), ({"objects": (0, 0)}, "objects must be one object or more at most"),
    ({"background": 1.1}, "background must be between 0 and 1, got 1.1"),
    ({"glyphs": "words"}, "glyphs must be one of digits, letters, got 'words'"),
    ({"number": 0}, "number must be an integer of at least 1, got 0"),
    ({"seed": -1}, "seed must be between 0 and 2")])
def test_nonsense_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        SceneConfig(**fields)


def test_limits_may_come_as_lists_from_a_file():
    assert SceneConfig(objects=[1, 1], digit=[24, 30]) == SceneConfig(objects=(1, 1), digit=(24, 30))


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="split must be one of train, test, shift, got 'valid'"):
        Scenes(SceneConfig(), "valid")
