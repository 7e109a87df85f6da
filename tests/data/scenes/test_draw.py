"""Drawing: against interpolation by torch, and boxes, overlaps and colours by brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from pretrain_lib.data.scenes.draw import between, contrasting, luminance, place, shared, tight_box


def framed_noise(n, frame, seed=0):
    """Pictures with a black ring, as glyphs have."""
    inner = torch.rand(n, frame - 2, frame - 2, generator=torch.Generator().manual_seed(seed))
    return F.pad(inner, (1, 1, 1, 1))


@pytest.mark.parametrize("side", [5, 9, 10, 13, 20])
def test_a_picture_is_placed_as_torch_resizes_it(side):
    pictures, size = framed_noise(3, 10), 24
    corners = torch.tensor([[0, 0], [24 - side, 3], [2, 24 - side]])
    drawn = place(pictures, torch.full((3,), side), corners, size)
    resized = F.interpolate(pictures[:, None], size=(side, side), mode="bilinear")[:, 0]
    for image, picture, (x, y) in zip(drawn, resized, corners.tolist()):
        inside = torch.zeros(size, size)
        inside[y:y + side, x:x + side] = picture
        torch.testing.assert_close(image[y:y + side, x:x + side], picture, atol=1e-5, rtol=0)
        around = image.clone()
        around[y:y + side, x:x + side] = 0
        # A ring pixel that is enlarged fades into black; no more than that lies outside.
        assert around.abs().max() == 0


def test_at_its_own_size_a_picture_is_copied():
    pictures = framed_noise(2, 8)
    drawn = place(pictures, torch.tensor([8, 8]), torch.tensor([[1, 3], [4, 0]]), 12)
    assert torch.equal(drawn[0, 3:11, 1:9], pictures[0]) and torch.equal(drawn[1, :8, 4:], pictures[1])


def brute_box(shown):
    rows, columns = np.nonzero(shown.numpy())
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else [0, 0, 0, 0]


@given(st.integers(0, 2**20), st.integers(1, 7), st.integers(1, 7), st.sampled_from([0.0, 0.03, 0.3, 1.0]))
@settings(max_examples=60, deadline=None)
def test_a_tight_box_is_that_of_brute_force(seed, height, width, share):
    shown = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(seed)) < share
    found = tight_box(shown)
    assert found.dtype == torch.float32
    assert found.tolist() == [[brute_box(one) for one in some] for some in shown]


@given(st.lists(st.integers(0, 6), min_size=8, max_size=8))
def test_what_two_boxes_share_is_counted_in_pixels(numbers):
    a, b = [[min(n[0], n[2]), min(n[1], n[3]), max(n[0], n[2]), max(n[1], n[3])] for n in (numbers[:4], numbers[4:])]
    pixels = [{(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])} for box in (a, b)]
    smaller = min(map(len, pixels))
    expected = len(pixels[0] & pixels[1]) / smaller if smaller else 0
    assert shared(torch.tensor(a).float(), torch.tensor(b).float()).item() == pytest.approx(expected)


def test_luminance_is_pillows_grey():
    from PIL import Image

    pixels = torch.randint(256, (5, 7, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    grey = np.array(Image.fromarray(pixels.numpy()).convert("L"))
    assert np.abs(255 * luminance(pixels.float() / 255).numpy() - grey).max() <= 1


def test_colours_stand_out_and_are_of_every_luminance_that_does():
    generator = torch.Generator().manual_seed(0)
    colours, background = torch.rand(2, 20_000, 3, generator=generator).unbind(0)
    chance = torch.rand(20_000, generator=generator)
    found = contrasting(colours, background, chance, 0.3)
    assert found.min() >= 0 and found.max() <= 1
    assert (luminance(found) - luminance(background)).abs().min() > 0.3 - 1e-5
    middle = torch.full((20_000, 3), 0.5)
    light = luminance(contrasting(colours, middle, chance, 0.3))
    counts = torch.histc(light, bins=10, min=0, max=1)
    assert counts[2:8].sum() == 0 and counts[[0, 1, 8, 9]].min() > 4500


def test_extremes_stand_out_too():
    edges = torch.tensor([[0.0] * 3, [1.0] * 3, [0.5] * 3])
    for colour in edges:
        for background in edges:
            for chance in (0.0, 0.5, 1 - 2**-24):
                found = contrasting(colour[None], background[None], torch.tensor([chance]), 0.3)
                assert (luminance(found) - luminance(background)).abs().item() > 0.3 - 1e-5


def test_between_reaches_both_ends_exactly():
    a, b = torch.rand(2, 50, generator=torch.Generator().manual_seed(0)).unbind(0)
    assert torch.equal(between(a, b, torch.tensor(0.0)), a) and torch.equal(between(a, b, torch.tensor(1.0)), b)
