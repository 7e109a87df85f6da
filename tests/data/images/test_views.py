"""Two views of a sample: both of it, neither the other, and neither the batch's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from pretrain_lib.data.images.augment import Augmented, RandomFlip, RandomResizedCrop, RandomRotate, warp
from pretrain_lib.data.images.photometric import ColourJitter
from pretrain_lib.data.images.views import TwoViews
from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns

MOVES = [RandomResizedCrop(), RandomFlip(), ColourJitter()]


def noise(n=20, channels=3, height=12, width=9):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0))


def source(n=20):
    return Columns(images=noise(n), labels=torch.arange(n))


def test_two_views_of_each_sample_and_its_other_columns():
    samples = TwoViews(source(), MOVES).take(Keys.of(0, [3, 3, 7]))
    assert list(samples) == ["images", "labels", "other_images"]
    assert samples["images"].shape == samples["other_images"].shape == (3, 3, 12, 9)
    assert samples["labels"].tolist() == [3, 3, 7]
    assert torch.equal(samples["images"][0], samples["images"][1])
    assert not torch.equal(samples["images"], samples["other_images"])


def test_both_views_are_of_the_sample():
    """Each is what its stream makes of the source's image."""
    samples = TwoViews(source(), MOVES, stream="s").take(Keys.of(4, 20, 2))
    for column, stream in (("images", "s.first"), ("other_images", "s.second")):
        alone = Augmented(source(), MOVES, stream=stream).take(Keys.of(4, 20, 2))["images"]
        assert torch.equal(samples[column], alone)
    unchanged = TwoViews(source(), []).take(Keys.of(0, 20))
    assert torch.equal(unchanged["images"], unchanged["other_images"]) and torch.equal(unchanged["images"], noise())


@given(st.lists(st.integers(0, 19), min_size=1, max_size=9), st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_a_view_does_not_depend_on_its_batch_to_the_last_bit(ids, epoch):
    views = TwoViews(source(), MOVES)
    some, whole = views.take(Keys.of(1, ids, epoch)), views.take(Keys.of(1, 20, epoch))
    assert all(torch.equal(some[name], whole[name][ids]) for name in ("images", "other_images"))


@pytest.mark.parametrize("view", [TwoViews, Augmented])
def test_boxes_and_masks_go_where_pixels_move(view):
    places = Columns(images=noise(), boxes=torch.ones(20, 1, 4), box_labels=torch.zeros(20, 1), masks=torch.ones(20, 12, 9), labels=torch.arange(20))
    for moves in ([RandomFlip()], [ColourJitter(), RandomResizedCrop()]):
        assert set(view(places, moves).take(Keys.of(0, 4))) - {"other_images"} == {"images", "labels"}
    kept = view(places, [ColourJitter()]).take(Keys.of(0, 4))
    assert kept["masks"].shape == (4, 12, 9) and {"boxes", "box_labels", "labels"} < set(kept)


@pytest.mark.parametrize("images, said", [
    ((255 * noise()).byte(), r"\(4, 3, 12, 9\) and torch.uint8"), (noise()[:, 0], r"\(4, 12, 9\) and torch.float32"), (noise().half(), "torch.float16")])
def test_images_of_another_kind_are_refused(images, said):
    for moves in MOVES:
        with pytest.raises(ValueError, match=r"images must be \(B, C, H, W\) and float32 to be augmented, .*" + said):
            TwoViews(Columns(images=images), [moves]).take(Keys.of(0, 4))


def test_another_column_has_another_name():
    samples = TwoViews(Columns(photos=noise()), MOVES, column="photos").take(Keys.of(0, 4))
    assert list(samples) == ["photos", "other_photos"]


# --------------------------------------------------------------------------------- resized crops


def windows(crop, n=4000, sides=(12, 9)):
    """Width and height of the windows, as shares of the image's, and where they begin and end."""
    matrix = crop.matrix(Keys.of(0, n), "s", sides)
    zoom = matrix[:, [0, 1], [0, 1]]  # (n, 2), of x and y
    half = zoom * (torch.tensor([sides[1], sides[0]]) - 1) / 2
    return zoom, matrix[:, :2, 2] - half, matrix[:, :2, 2] + half


def test_windows_have_the_areas_ratios_and_places_that_were_asked_for():
    zoom, begin, end = windows(RandomResizedCrop(0.2, 0.5, 1.5))
    area, ratio = zoom.prod(1), zoom[:, 0] / zoom[:, 1]
    assert 0.2 - 1e-6 <= area.min() < 0.201 and 0.499 < area.max() <= 0.5 + 1e-6
    assert area.mean().item() == pytest.approx(0.35, abs=0.005)
    assert 1 / 1.5 - 1e-5 <= ratio.min() < 0.67 and 1.49 < ratio.max() <= 1.5 + 1e-5
    assert ratio.log().mean().abs() < 0.01
    edge = torch.tensor([4.0, 5.5])
    assert (begin >= -edge - 1e-5).all() and (end <= edge + 1e-5).all()
    assert (begin.amin(0) < -edge + 0.05).all() and (end.amax(0) > edge - 0.05).all()
    assert ((begin + end) / 2).mean(0).abs().max() < 0.1


@given(st.floats(0.01, 1.0), st.floats(0.0, 1.0), st.floats(1.0, 50.0))
@settings(max_examples=40, deadline=None)
def test_windows_fit_whatever_is_asked_for(smallest, up, stretch):
    largest = smallest + (1 - smallest) * up
    zoom, begin, end = windows(RandomResizedCrop(smallest, largest, stretch), n=100)
    assert zoom.max() <= 1 + 1e-6 and smallest - 1e-5 <= zoom.prod(1).min() and zoom.prod(1).max() <= largest + 1e-5
    assert (begin >= -torch.tensor([4.0, 5.5]) - 1e-5).all() and (end <= torch.tensor([4.0, 5.5]) + 1e-5).all()


def test_a_crop_is_torchs():
    images, crop = noise(), RandomResizedCrop(0.1, 0.9, 2.0)
    matrix = crop.matrix(Keys.of(0, 20), "s", (12, 9))
    sides = torch.tensor([4.0, 5.5])  # from the centre, x and y; grid_sample counts in these
    theta = torch.cat([matrix[:, :2, :2], (matrix[:, :2, 2] / sides)[..., None]], 2)
    grid = F.affine_grid(theta, list(images.shape), align_corners=True)
    torch.testing.assert_close(crop(images, Keys.of(0, 20), "s"), F.grid_sample(images, grid, align_corners=True), atol=1e-5, rtol=0)


def test_a_window_of_whole_pixels_is_interpolated():
    image = noise(1, height=11, width=11)
    zoom = 4 / 10  # five pixels wide, four steps
    matrix = torch.tensor([[[zoom, 0, -2.0], [0, zoom, 1.0], [0, 0, 1]]])
    window = image[:, :, 4:9, 1:6]
    torch.testing.assert_close(warp(image, matrix), F.interpolate(window, size=(11, 11), mode="bilinear", align_corners=True), atol=1e-5, rtol=0)


def test_black_never_shows():
    white = torch.ones(300, 1, 9, 14)
    cropped = TwoViews(Columns(images=white), [RandomResizedCrop()]).take(Keys.of(0, 300))
    assert cropped["images"].min() > 1 - 1e-5 and cropped["other_images"].min() > 1 - 1e-5


def test_a_crop_of_everything_is_the_image():
    images = noise()
    whole = TwoViews(Columns(images=images), [RandomResizedCrop(1, 1)]).take(Keys.of(0, 20))["images"]
    torch.testing.assert_close(whole, images, atol=1e-5, rtol=0)


def test_a_crop_and_a_turn_are_one_move():
    images = noise(height=41, width=41)
    turned = TwoViews(Columns(images=images), [RandomResizedCrop(0.3, 0.5), RandomRotate(20)]).take(Keys.of(0, 20))["images"]
    matrix = RandomResizedCrop(0.3, 0.5).matrix(Keys.of(0, 20), "views.first.0.resized crop", (41, 41))
    rotation = RandomRotate(20).matrix(Keys.of(0, 20), "views.first.1.rotate", (41, 41))
    np.testing.assert_allclose(turned, warp(images, matrix @ rotation), atol=1e-4)


@pytest.mark.parametrize("make, message", [
    (lambda: RandomResizedCrop(0), "smallest must be above 0 and at most 1, got 0"),
    (lambda: RandomResizedCrop(1.2), "smallest must be above 0"),
    (lambda: RandomResizedCrop(0.5, 0.4), "largest must be between smallest, 0.5, and 1, got 0.4"),
    (lambda: RandomResizedCrop(0.5, 1.1), "largest must be"),
    (lambda: RandomResizedCrop(stretch=0.9), "stretch must be at least 1, got 0.9"),
])
def test_nonsense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
