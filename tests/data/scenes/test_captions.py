"""Coloured digits and their captions: what is drawn is what is said, and nothing held out is ever seen."""

from collections import Counter
from functools import lru_cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib import load_captioned, load_images, wrong_captions
from pretrain_lib.data.images.pairs import DRAWN_SPLITS as SPLITS
from pretrain_lib.data.scenes.captions import COLOURS, NUMBERS, ColouredDigits, coloured_digits
from pretrain_lib.data.scenes.glyphs import Glyphs

KINDS = [(objects, split) for objects in (1, 2) for split in SPLITS]


@lru_cache
def digits(objects, split, seed=0):
    return ColouredDigits(objects, split, seed)


@lru_cache
def two(split):
    return load_captioned("two digits", split)


def combinations(objects, split, seed=0):
    colours, numbers = digits(objects, split, seed).described(range(1000))
    return set(zip(colours.flatten().tolist(), numbers.flatten().tolist()))


# --- what is held out ------------------------------------------------------------------------------


@pytest.mark.parametrize("objects", [1, 2])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_held_out_is_never_trained_on_and_each_half_of_it_is(objects, seed):
    train, test, held_out = (combinations(objects, split, seed) for split in SPLITS)
    assert len(held_out) == 16 and not held_out & (train | test) and test <= train
    assert {colour for colour, _ in train} == set(range(8)) and {number for _, number in train} == set(range(10))


def test_one_digit_and_two_hold_out_the_same_and_another_seed_others():
    assert combinations(1, "held out") == combinations(2, "held out") != combinations(1, "held out", 1)


def test_two_digits_differ_in_both_and_may_be_swapped_in_the_test():
    for split in SPLITS:
        colours, numbers = digits(2, split).described(range(1000))
        assert (colours[:, 0] != colours[:, 1]).all() and (numbers[:, 0] != numbers[:, 1]).all()
    colours, numbers = digits(2, "test").described(range(1000))
    swapped = set(zip(colours.flip(1).flatten().tolist(), numbers.flatten().tolist()))
    assert not swapped & combinations(1, "held out")


# --- what is drawn ---------------------------------------------------------------------------------


@pytest.mark.parametrize("objects, split", KINDS)
def test_each_part_of_a_picture_has_the_colour_that_is_said_and_no_other(objects, split):
    images = digits(objects, split).draw(range(60))
    colours, _ = digits(objects, split).described(range(60))
    named = torch.tensor(list(COLOURS.values()))
    for image, said in zip(images, colours, strict=True):
        for part, colour in zip(image.chunk(objects, dim=2), said.tolist(), strict=True):
            away = (part.flatten(1).T[:, None] - named).abs().amax(2).amin(0)  # (8,), the nearest pixel's
            assert away.argmin() == colour and away[colour] < 0.15  # thin strokes are no full ink


@pytest.mark.parametrize("objects, split", KINDS)
def test_each_part_of_a_picture_has_the_digit_that_is_said(objects, split):
    """With a grey of its own for each digit, its ink tells which it is."""
    drawn = ColouredDigits(objects, split)
    labels = drawn.scenes.glyphs.labels
    greys = (20 * (1 + labels)).byte()[:, None, None].expand(-1, 28, 28)
    drawn.scenes.glyphs = Glyphs(greys, labels, list(NUMBERS))
    _, numbers = drawn.described(range(100))
    for k in range(objects):
        ink = drawn.ink(k, numbers[:, k], range(100))
        assert torch.equal((ink.amax((1, 2)) * 255 / 20).round().long() - 1, numbers[:, k])
        part = drawn.scenes.config.size // objects
        assert (ink[:, :, :k * part] == 0).all() and (ink[:, :, (k + 1) * part:] == 0).all()


def test_digits_and_photographs_of_tests_are_others():
    for split, part in zip(SPLITS, ("train", "test", "test"), strict=True):
        scenes = digits(1, split).scenes
        assert torch.equal(scenes.glyphs.pictures, load_images("mnist", part).columns["images"][:, 0])
        assert scenes.split == part


def test_backgrounds_are_darker_than_every_colour():
    for objects, split in KINDS:
        ground = digits(objects, split).draw(range(50))[:, :, 0].max()  # the upper edge: digits have a margin
        assert ground <= 0.3 + 1e-6 < 0.44 < min(0.299 * r + 0.587 * g + 0.114 * b for r, g, b in COLOURS.values()) + 0.01


@given(st.lists(st.integers(0, 999), min_size=1, max_size=6), st.sampled_from(KINDS))
@settings(max_examples=12, deadline=None)
def test_a_picture_depends_on_its_number_alone(ids, kind):
    alone = torch.cat([digits(*kind).draw([i]) for i in ids])
    assert torch.equal(digits(*kind).draw(ids), alone)


def test_each_split_and_seed_has_pictures_of_its_own():
    drawn = [digits(1, split, seed).draw(range(4)) for split in SPLITS for seed in (0, 1)]
    assert all(not torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


# --- what is said ----------------------------------------------------------------------------------


def test_captions_say_what_the_columns_say():
    one = load_captioned("digits", "test")
    assert one.image_shape == (3, 32, 32) and two("test").image_shape == (3, 40, 40)
    for i in range(50):
        colour, number = one.names["colour"][one.colour[i]], one.names["digit"][one.digit[i]]
        assert one.captions[one.caption[i]] == f"a {colour} {number}"
        (left, right), (first, second) = two("test").colour[i].tolist(), two("test").digit[i].tolist()
        names = tuple(COLOURS)
        assert two("test").captions[two("test").caption[i]] == \
            f"a {names[left]} {NUMBERS[first]} left of a {names[right]} {NUMBERS[second]}"


def test_pictures_in_memory_are_those_that_are_drawn():
    pairs = coloured_digits(2, "test")
    assert torch.equal(pairs.images()[300:310], (255 * digits(2, "test").draw(range(300, 310))).round().byte())


@pytest.mark.parametrize("split", ["test", "held out"])
def test_wrong_captions_have_the_one_mistake_that_is_said(split):
    data = two(split)
    wrong = wrong_captions(data)
    right = [data.captions[i] for i in data.caption.tolist()]
    assert set(wrong) == {"colours swapped", "places swapped", "one wrong colour"}
    for i, caption in enumerate(right):
        a, one, first, left, of, also_a, other, second = caption.split()
        assert wrong["colours swapped"][i] == f"a {other} {first} left of a {one} {second}"
        assert wrong["places swapped"][i] == f"a {other} {second} left of a {one} {first}"
        differing = [(x, y) for x, y in zip(caption.split(), wrong["one wrong colour"][i].split(), strict=True) if x != y]
        (was, now), = differing
        assert was in (one, other) and now in COLOURS and now not in (one, other)
    for mistake in ("colours swapped", "places swapped"):
        assert all(Counter(x.split()) == Counter(y.split()) for x, y in zip(right, wrong[mistake]))
    for captions in wrong.values():
        data.encode(captions)


def test_in_the_test_a_wrong_colour_makes_no_combination_that_is_held_out():
    held_out = {(colour, number) for colour, number in (~digits(1, "train").seen).nonzero().tolist()}
    made = set(zip(two("test").wrong_colour.flatten().tolist(), two("test").digit.flatten().tolist()))
    assert not made & held_out


def test_wrong_captions_of_other_pictures_are_refused():
    with pytest.raises(ValueError, match="made of the columns of 'two digits', 'digits' has images, input_ids"):
        wrong_captions(load_captioned("digits", "test"))
    with pytest.raises(ValueError, match="split must be one of train, test, held out, got 'all'"):
        load_captioned("two digits", "all")
