"""Colours and sharpness: against colorsys and scipy, the same for a sample whatever its batch."""

import colorsys
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pretrain_lib.data.images.augment import augmented
from pretrain_lib.data.images.photometric import Blur, ColourJitter, RandomGrey, RandomInvert, gaussian_blur, luma
from pretrain_lib.data.keys import Keys

EVERYTHING = [ColourJitter(rate=0.7), RandomGrey(0.3), RandomInvert(), Blur(0.2, 1.5)]


def pictures(n=6, channels=3, height=9, width=11, seed=0, low=0.0, high=1.0):
    return low + (high - low) * torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(seed))


def through(images, *transforms, seed=0):
    return augmented(images, transforms, Keys.of(seed, len(images)), "t")


def yiq(images):
    """By Python's colorsys, whose coefficients are rounded to two places."""
    pixels = images.permute(0, 2, 3, 1).reshape(-1, 3).tolist()
    return torch.tensor([colorsys.rgb_to_yiq(*pixel) for pixel in pixels])


@pytest.mark.parametrize("transform", EVERYTHING, ids=lambda t: t.name)
def test_shape_range_purity_and_change(transform):
    images = pictures(16)
    before = images.clone()
    changed = through(images, transform)
    assert changed.shape == images.shape and changed.dtype == torch.float32
    assert changed.min() >= 0 and changed.max() <= 1
    assert torch.equal(images, before) and torch.equal(through(images, transform), changed)
    assert not torch.equal(changed, images) and not torch.equal(through(images, transform, seed=1), changed)


@pytest.mark.parametrize("nothing", [ColourJitter(0, 0, 0, 0), ColourJitter(rate=0), RandomGrey(0), RandomInvert(0), Blur(rate=0)],
                         ids=lambda t: f"{t.name} {t.rate}")
def test_no_strength_changes_nothing(nothing):
    images = pictures()
    torch.testing.assert_close(through(images, nothing), images, atol=1e-6, rtol=0)


@given(st.lists(st.integers(0, 31), min_size=1, max_size=9), st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_a_sample_does_not_depend_on_its_batch_to_the_last_bit(ids, epoch):
    images = pictures(32, height=33, width=31)
    whole = augmented(images, EVERYTHING, Keys.of(5, 32, epoch), "t")
    assert torch.equal(augmented(images[ids], EVERYTHING, Keys.of(5, ids, epoch), "t"), whole[ids])


def test_nor_where_several_threads_share_out_the_mean_of_one_large_image():
    images = pictures(5, height=224, width=224)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        jitter = ColourJitter(0, 0.8, 0, 0, rate=1)
        assert torch.equal(jitter(images[:1], Keys.of(0, 1), "s"), jitter(images, Keys.of(0, 5), "s")[:1])
    finally:
        torch.set_num_threads(before)


# ---------------------------------------------------------------------------------------- colour


def test_hue_turns_colour_vectors_and_keeps_brightness_and_their_lengths():
    images = pictures(40, low=0.4, high=0.6)  # so that no colour leaves the range
    before, after = yiq(images), yiq(through(images, ColourJitter(0, 0, 0, 0.5, rate=1)))
    torch.testing.assert_close(after[:, 0], before[:, 0], atol=0.005, rtol=0)
    was, now = (torch.view_as_complex(each[:, 1:].contiguous()).reshape(40, -1) for each in (before, after))
    turn = (now * was.conj()).sum(1) / was.abs().square().sum(1)  # by least squares, one an image
    torch.testing.assert_close(turn.abs(), torch.ones(40), atol=0.03, rtol=0)
    assert (now - turn[:, None] * was).abs().max() < 0.01
    assert turn.angle().min() < -2.5 and turn.angle().max() > 2.5 and turn.angle().abs().min() < 0.3  # all of the circle


@pytest.mark.parametrize("settings_of", [dict(brightness=0.5), dict(contrast=0.5), dict(saturation=0.5)], ids=str)
def test_each_factor_is_its_definition(settings_of):
    images = pictures(200, low=0.4, high=0.6)
    changed = through(images, ColourJitter(**{"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "rate": 1, **settings_of}))
    grey = 0.299 * images[:, :1] + 0.587 * images[:, 1:2] + 0.114 * images[:, 2:]
    centre = {"brightness": torch.zeros(()), "contrast": grey.mean((1, 2, 3), keepdim=True), "saturation": grey}[next(iter(settings_of))]
    factors = ((changed - centre) * (images - centre)).sum((1, 2, 3)) / (images - centre).square().sum((1, 2, 3))
    torch.testing.assert_close(changed, centre + factors[:, None, None, None] * (images - centre), atol=1e-5, rtol=0)
    assert 0.5 <= factors.min() < 0.52 and 1.48 < factors.max() <= 1.5


def test_all_four_in_turn_are_the_four_after_each_other():
    """Of one draw: a factor each, and an angle, which are those of the jitter with that one alone."""
    images = pictures(30, low=0.45, high=0.55).double()
    alone = [ColourJitter(0.3, 0, 0, 0, 1), ColourJitter(0, 0.3, 0, 0, 1), ColourJitter(0, 0, 0.3, 0, 1), ColourJitter(0, 0, 0, 0.2, 1)]
    keys, step = Keys.of(0, 30), images
    for jitter in alone:
        step = jitter(step, keys, "s")
    torch.testing.assert_close(ColourJitter(0.3, 0.3, 0.3, 0.2, 1)(images, keys, "s"), step, atol=1e-6, rtol=0)


def test_the_rate_is_how_many_are_changed():
    images = pictures(400, height=3, width=3)
    for transform, rate in ((ColourJitter(rate=0.8), 0.8), (RandomGrey(0.2), 0.2), (RandomInvert(0.5), 0.5), (Blur(1, 1, rate=0.5), 0.5)):
        changed = (through(images, transform) - images).flatten(1).abs().amax(1) > 1e-5
        assert changed.float().mean().item() == pytest.approx(rate, abs=0.08)


def test_grey_is_the_brightness_in_all_three_channels():
    images = pictures()
    grey = through(images, RandomGrey(1))
    expected = yiq(images)[:, 0].reshape(6, 9, 11)
    for channel in range(3):
        torch.testing.assert_close(grey[:, channel], expected, atol=0.02, rtol=0)
    torch.testing.assert_close(luma(grey), luma(images), atol=1e-6, rtol=0)


def test_inverted_twice_is_what_it_was():
    images = pictures()
    torch.testing.assert_close(through(images, RandomInvert(1)), 1 - images)
    torch.testing.assert_close(through(images, RandomInvert(1), RandomInvert(1)), images)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_an_image_of_one_colour_stays_one(value):
    images = torch.full((8, 3, 6, 5), value)
    changed = through(images, *EVERYTHING)
    assert changed.isfinite().all()
    assert (changed - changed[:, :, :1, :1]).abs().max() < 1e-6


# ------------------------------------------------------------------------------------- one channel


def test_grey_images_have_brightness_and_contrast():
    images = pictures(channels=1)
    jitter = ColourJitter(0.4, 0.4, 0, 0, rate=1)
    coloured = through(images.expand(-1, 3, -1, -1), jitter)
    torch.testing.assert_close(through(images, jitter), coloured[:, :1], atol=1e-6, rtol=0)
    assert through(images, RandomInvert(), Blur()).shape == images.shape


@pytest.mark.parametrize("channels, transform, message", [
    (1, ColourJitter(), "ColourJitter changes colours, and the images have 1 channels"),
    (1, ColourJitter(0.4, 0.4, 0, 0.1), "ColourJitter changes colours"),
    (1, RandomGrey(), "RandomGrey changes colours"),
    (4, ColourJitter(0.4, 0.4, 0, 0), "ColourJitter changes colours, and the images have 4 channels"),
])
def test_colours_that_are_not_there_are_not_changed(channels, transform, message):
    with pytest.raises(ValueError, match=message):
        through(pictures(channels=channels), transform)


# ------------------------------------------------------------------------------------------- blur


@given(st.floats(0.1, 3.0), st.integers(1, 9), st.integers(1, 20), st.integers(1, 20))
@settings(max_examples=20, deadline=None)
def test_blur_is_scipys(width, radius, height, across):
    image = pictures(1, 2, height, across)
    ours = gaussian_blur(image.double(), torch.tensor([width]), radius)[0]
    theirs = ndimage.gaussian_filter(image[0].double().numpy(), np.float32(width).item(), mode="nearest", radius=radius, axes=(1, 2))
    np.testing.assert_allclose(ours, theirs, atol=1e-10)


@pytest.mark.parametrize("make, message", [
    (lambda: ColourJitter(brightness=1.5), "brightness must be between 0 and 1, got 1.5"),
    (lambda: ColourJitter(contrast=-0.1), "contrast must be between 0 and 1"),
    (lambda: ColourJitter(saturation=math.nan), "saturation must be between 0 and 1, got nan"),
    (lambda: ColourJitter(hue=0.6), "hue must be between 0 and 0.5, half a circle, got 0.6"),
    (lambda: ColourJitter(rate=2), "rate must be between 0 and 1, got 2"),
    (lambda: RandomGrey(-1), "rate must be"),
    (lambda: RandomInvert(1.01), "rate must be"),
    (lambda: Blur(0, 1), "narrowest must be above 0, got 0"),
    (lambda: Blur(2, 1), "widest must be at least narrowest, 2, got 1"),
    (lambda: Blur(1, math.inf), "widest must be"),
])
def test_nonsense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
