"""Augmentation: exact where it can be, and the same for a sample whatever its batch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch.nn import functional as F

from pretrain_lib.data.images import augment
from pretrain_lib.data.images.augment import (
    Augmented,
    Noise,
    RandomCrop,
    RandomFlip,
    RandomRotate,
    RandomScale,
    augmented,
)
from pretrain_lib.data.images.dataset import ImageDataset
from pretrain_lib.data.images.photometric import Blur, ColourJitter, RandomGrey
from pretrain_lib.data.keys import Keys

EVERYTHING = [RandomCrop(3), RandomScale(0.8, 1.2), RandomRotate(30), RandomFlip(), Noise(0.1)]


def noise_images(n=4, channels=2, height=9, width=12, seed=0):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(seed))


def blob_images(n=4, side=28):
    """Smooth images that are black at the border."""
    smooth = F.avg_pool2d(
        F.pad(noise_images(n, 1, side - 12, side - 12), [6] * 4), 5, stride=1, padding=2
    )
    return smooth / smooth.max()


def view(images, transforms, **options):
    return Augmented(ImageDataset(images, torch.arange(len(images))), transforms, **options)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 7, 10)])
@pytest.mark.parametrize(
    "transform",
    [RandomCrop(0), RandomScale(1, 1), RandomRotate(0), RandomFlip(0), Noise(0)],
    ids=lambda t: t.name,
)
def test_no_strength_changes_nothing(transform, shape):
    images = noise_images(5, *shape)
    changed = view(images, [transform]).take(Keys.of(1, 5))["images"]
    torch.testing.assert_close(changed, images, atol=1e-6, rtol=0)


@pytest.mark.parametrize("transform", EVERYTHING, ids=lambda t: t.name)
def test_shape_range_and_change(transform):
    images = noise_images(16, 3, 10, 12)
    samples = view(images, [transform]).take(Keys.of(1, 16))
    assert samples["images"].shape == images.shape
    assert samples["images"].dtype == torch.float32
    assert samples["images"].min() >= 0 and samples["images"].max() <= 1
    assert not torch.equal(samples["images"], images)
    assert samples["labels"].tolist() == list(range(16))


@given(st.lists(st.integers(0, 63), min_size=1, max_size=9), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_a_sample_does_not_depend_on_its_batch_to_the_last_bit(ids, epoch):
    source = view(noise_images(64, 1, 28, 28), EVERYTHING)
    whole = source.take(Keys.of(5, 64, epoch))["images"]
    assert torch.equal(source.take(Keys.of(5, ids, epoch))["images"], whole[ids])


def test_every_epoch_and_every_seed_is_new():
    source = view(noise_images(), EVERYTHING)
    variants = [
        source.take(Keys.of(seed, 4, epoch))["images"] for seed in (0, 1) for epoch in (0, 1)
    ]
    assert all(not torch.equal(a, b) for i, a in enumerate(variants) for b in variants[:i])


def test_the_source_stays_as_it_is():
    images = noise_images()
    source = view(images.clone(), EVERYTHING)
    source.take(Keys.of(0, 4))
    assert torch.equal(source.source.images, images)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_rot90(turns):
    images = noise_images(3, 2, 11, 11)
    turned = augment.warp(images, augment.rotation_matrix(torch.full((3,), turns * math.pi / 2)))
    torch.testing.assert_close(turned, images.rot90(turns, (2, 3)), atol=1e-5, rtol=0)


def test_rotation_is_scipys():
    images = blob_images()
    degrees = torch.tensor([-50.0, -7.0, 12.0, 33.0])
    turned = augment.warp(images, augment.rotation_matrix(degrees.deg2rad()))
    for ours, image, angle in zip(turned, images, degrees):
        theirs = ndimage.rotate(image[0].numpy(), angle.item(), reshape=False, order=1)
        np.testing.assert_allclose(ours[0], theirs, atol=1e-4)


def test_scaling_is_scipys():
    images = blob_images(1)
    scaled = view(images, [RandomScale(1.3, 1.3)]).take(Keys.of(0, 1))["images"]
    centre = (28 - 1) / 2
    theirs = ndimage.affine_transform(
        images[0, 0].numpy(), np.eye(2) / 1.3, offset=centre - centre / 1.3, order=1
    )
    np.testing.assert_allclose(scaled[0, 0], theirs, atol=1e-5)


def test_scaling_covers_its_range():
    matrices = RandomScale(0.5, 2.0).matrix(Keys.of(0, 2000), "s", (28, 28))
    factors = 1 / matrices[:, 0, 0]
    assert 0.5 <= factors.min() < 0.51 and 1.99 < factors.max() <= 2.0
    assert torch.equal(matrices[:, 0, 0], matrices[:, 1, 1])


def test_rotation_covers_its_range():
    matrices = RandomRotate(20).matrix(Keys.of(0, 2000), "r", (28, 28))
    degrees = torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]).rad2deg()
    assert -20 <= degrees.min() < -19.9 and 19.9 < degrees.max() <= 20


def test_crops_are_windows_of_the_padded_image():
    images = noise_images(400, 1, 6, 7)
    cropped = view(images, [RandomCrop(2)]).take(Keys.of(0, 400))["images"]
    padded = F.pad(images, [2] * 4)
    windows = torch.stack(
        [padded[..., y : y + 6, x : x + 7] for y in range(5) for x in range(5)]
    )  # (25, 400, …)
    same = (windows == cropped).flatten(2).all(dim=2)  # (25, 400)
    assert (same.sum(dim=0) == 1).all()
    assert (same.sum(dim=1) > 0).all()


def test_flips_flip_and_twice_is_once_back():
    images = noise_images(64)
    flipped = view(images, [RandomFlip(1.0)]).take(Keys.of(0, 64))["images"]
    assert torch.equal(flipped, images.flip(-1))
    assert torch.equal(view(images, [RandomFlip(1.0)] * 2).take(Keys.of(0, 64))["images"], images)
    half = view(images, [RandomFlip(0.5)]).take(Keys.of(0, 64))["images"]
    kept = (half == images).flatten(1).all(dim=1)
    assert torch.equal(half[~kept], images.flip(-1)[~kept])
    assert 16 < kept.sum() < 48


def test_noise_has_its_standard_deviation():
    images = torch.full((50, 1, 20, 20), 0.5)
    noise = view(images, [Noise(0.1)]).take(Keys.of(0, 50))["images"] - 0.5
    assert noise.mean().abs() < 0.003
    assert noise.std().item() == pytest.approx(0.1, rel=0.02)


def test_two_equal_transforms_draw_different_numbers():
    images = blob_images(8)
    once, twice = (
        view(images, [RandomRotate(40)] * n).take(Keys.of(0, 8))["images"] for n in (1, 2)
    )
    again = view(once, [RandomRotate(40)]).take(Keys.of(0, 8))["images"]
    assert (twice - again).abs().max() > 0.05


def test_two_views_with_names_of_their_own_differ():
    images = blob_images(8)
    first, second = (
        view(images, [RandomRotate(40)], stream=name).take(Keys.of(0, 8))["images"] for name in "ab"
    )
    assert (first - second).abs().max() > 0.05


def test_moves_in_turn_are_one_move():
    images = blob_images(1, side=41)
    keys = Keys.of(2, 1)
    crop, turn = RandomCrop(4), RandomRotate(40)
    together = view(images, [crop, turn]).take(keys)["images"]
    apart = turn(crop(images, keys, "augment.0.crop"), keys, "augment.1.rotate")
    swapped = crop(turn(images, keys, "augment.1.rotate"), keys, "augment.0.crop")
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)
    assert (together - swapped).abs().max() > 0.05


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: RandomCrop(-1), "padding must be a whole number of pixels, at least 0, got -1"),
        (lambda: RandomCrop(1.5), "padding must be a whole number"),
        (lambda: RandomScale(0, 1), "low must be above 0, got 0"),
        (lambda: RandomScale(1.2, 0.8), "high must be at least low, 1.2, got 0.8"),
        (lambda: RandomScale(1, math.inf), "high must be"),
        (lambda: RandomRotate(-5), "degrees must be between 0 and 180, got -5"),
        (lambda: RandomFlip(-0.1), "rate must be between 0 and 1, got -0.1"),
        (lambda: RandomFlip(1.1), "rate must be between 0 and 1, got 1.1"),
        (lambda: Noise(-0.1), "std must be at least 0, got -0.1"),
        (lambda: Noise(math.nan), "std must be at least 0"),
    ],
)
def test_nonsense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_frames_of_a_clip_are_moved_and_coloured_alike():
    """As each frame would be, had it its clip's key: with colours of which every frame has the same mean."""
    clip = torch.rand(5, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).expand(-1, 4, -1, -1, -1)
    transforms = [RandomCrop(2), RandomRotate(20), ColourJitter(rate=1.0), RandomGrey(0.5), Blur(rate=1.0), RandomFlip(0.5)]
    keys = Keys.of(0, 5)
    changed = augmented(clip.contiguous(), transforms, keys, "s")
    assert changed.shape == clip.shape
    for frame in changed.unbind(1):
        torch.testing.assert_close(frame, augmented(clip[:, 0].contiguous(), transforms, keys, "s"), rtol=0, atol=1e-6)


def test_frames_keep_their_places_in_a_clip():
    clip = torch.rand(3, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for still in (RandomCrop(0), ColourJitter(0, 0, 0, 0), RandomGrey(0.0)):
        torch.testing.assert_close(augmented(clip, [still], Keys.of(0, 3), "s"), clip, rtol=0, atol=1e-6)
