import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.data.keys import Keys
from pretrain_lib.objectives.masked_image import MaskedImage, patch_mask


def images(n: int, channels: int = 1, height: int = 8, width: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 + 0.8 * torch.rand(n, channels, height, width, generator=generator)


@given(rows=st.integers(1, 7), columns=st.integers(1, 7), patch=st.integers(1, 4),
       ratio=st.floats(0.01, 0.99), n=st.integers(1, 5), seed=st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_exactly_k_whole_patches_are_hidden(rows, columns, patch, ratio, n, seed):
    patches = rows * columns
    if patches < 2:
        return
    mask = patch_mask(Keys.of(seed, n), rows * patch, columns * patch, patch, ratio)
    assert mask.shape == (n, 1, rows * patch, columns * patch)
    expected = min(max(round(ratio * patches), 1), patches - 1)
    for one in mask[:, 0]:
        hidden = 0
        for r in range(rows):
            for c in range(columns):
                tile = one[r * patch:(r + 1) * patch, c * patch:(c + 1) * patch]
                assert tile.unique().numel() == 1  # a patch is hidden whole or not at all
                hidden += int(tile[0, 0])
        assert hidden == expected


def test_every_patch_is_as_likely_to_be_hidden():
    n, patches, k = 4000, 6, 2
    mask = patch_mask(Keys.of(0, n), 8, 12, 4, k / patches)
    rate = mask[:, 0, ::4, ::4].mean(dim=0)
    bound = 5 * math.sqrt((k / patches) * (1 - k / patches) / n)
    assert ((rate - k / patches).abs() < bound).all()


def test_the_mask_is_the_same_in_any_company_and_differs_between_epochs():
    whole = patch_mask(Keys.of(3, [5, 9, 2], epoch=1), 28, 28, 4, 0.5)
    alone = patch_mask(Keys.of(3, [9], epoch=1), 28, 28, 4, 0.5)
    assert torch.equal(whole[1], alone[0])
    assert not torch.equal(alone, patch_mask(Keys.of(3, [9], epoch=2), 28, 28, 4, 0.5))


def test_the_model_does_not_see_hidden_pixels_and_sees_all_others():
    clean = images(5, channels=3)
    batch = MaskedImage(0.5, 4).batch({"images": clean}, Keys.of(0, 5))
    hidden = batch.inputs["mask"].bool().expand_as(clean)
    shown = batch.inputs["images"]
    assert (shown[hidden] == 0).all()
    assert torch.equal(shown[~hidden], clean[~hidden])
    assert torch.equal(batch.targets["images"], clean)


@pytest.mark.parametrize("channels", [1, 3])
def test_only_hidden_pixels_are_scored_and_all_of_them_counted(channels):
    clean = images(3, channels).double()
    objective = MaskedImage(0.5, 4)
    batch = objective.batch({"images": clean}, Keys.of(0, 3))
    answer = torch.randn(clean.shape, dtype=torch.float64)
    total = objective(lambda shown, mask: answer, batch)["masked_pixels"].item()
    brute, scored = 0.0, 0
    for i in range(3):
        for c in range(channels):
            for y in range(8):
                for x in range(12):
                    if batch.inputs["mask"][i, 0, y, x]:
                        scored += 1
                        brute += 0.5 * (clean[i, c, y, x] - answer[i, c, y, x]).item() ** 2
    assert total == pytest.approx(brute, rel=1e-12)
    assert batch.counts == {"masked_pixels": scored}


def test_what_the_model_says_of_visible_pixels_gets_no_gradient():
    objective = MaskedImage(0.5, 4)
    batch = objective.batch({"images": images(2)}, Keys.of(0, 2))
    answer = torch.randn(2, 1, 8, 12, requires_grad=True)
    objective(lambda shown, mask: answer, batch)["masked_pixels"].backward()
    hidden = batch.inputs["mask"].bool()
    assert (answer.grad[~hidden] == 0).all()
    assert (answer.grad[hidden] != 0).all()


@pytest.mark.parametrize("channels, patch", [(1, 2), (3, 4)])
def test_normalised_targets_have_mean_0_and_variance_1_in_each_patch(channels, patch):
    clean = images(3, channels).double()
    clean[0, :, :patch, :patch] = 0.5  # one colour
    objective = MaskedImage(0.5, patch, normalize=True)
    batch = objective.batch({"images": clean}, Keys.of(0, 3))
    target = batch.targets["images"]
    for i in range(3):
        for y in range(0, 8, patch):
            for x in range(0, 12, patch):
                tile, out = (part[i, :, y:y + patch, x:x + patch].flatten() for part in (clean, target))
                variance = (tile - tile.mean()).square().sum() / (len(tile) - 1) + 1e-6
                torch.testing.assert_close(out, (tile - tile.mean()) / variance.sqrt(), rtol=1e-10, atol=1e-10)
    assert (target[0, :, :patch, :patch] == 0).all()
    assert torch.equal(batch.inputs["images"], clean * (1 - batch.inputs["mask"]))  # what is shown is not normalised


@pytest.mark.parametrize("normalize", [False, True])
def test_a_right_answer_shown_as_pixels_is_the_image(normalize):
    clean, objective = images(3, 3).double(), MaskedImage(0.5, 4, normalize)
    torch.testing.assert_close(objective.as_pixels(objective.target(clean), clean), clean, rtol=0, atol=1e-12)
    assert torch.equal(objective.target(clean), clean) != normalize


def test_a_patch_of_one_pixel_is_not_normalised():
    assert MaskedImage(patch=1).patch == 1
    with pytest.raises(ValueError, match="patch must be at least 2 with normalize.*got 1"):
        MaskedImage(patch=1, normalize=True)
    with pytest.raises(ValueError, match="normalize must be True or False, got 'yes'"):
        MaskedImage(normalize="yes")


@pytest.mark.parametrize("ratio", [0, 1, -0.5, 1.5, math.nan])
def test_a_ratio_that_hides_nothing_or_all_is_refused(ratio):
    with pytest.raises(ValueError, match="ratio.*between 0 and 1.*" + str(ratio)):
        MaskedImage(ratio=ratio)


@pytest.mark.parametrize("patch", [0, -4])
def test_a_patch_without_pixels_is_refused(patch):
    with pytest.raises(ValueError, match=f"patch.*at least 1.*{patch}"):
        MaskedImage(patch=patch)


@pytest.mark.parametrize("patch, height, width", [(5, 8, 12), (8, 8, 12), (8, 8, 8)])
def test_patches_that_do_not_tile_the_image_are_refused(patch, height, width):
    with pytest.raises(ValueError, match=f"{patch}.*{height}.*{width}"):
        MaskedImage(patch=patch).batch({"images": images(1, 1, height, width)}, Keys.of(0, 1))


def test_samples_that_are_not_images_are_refused():
    with pytest.raises(ValueError, match=r"\(B, C, H, W\).*\(2, 64\)"):
        MaskedImage().batch({"images": torch.rand(2, 64)}, Keys.of(0, 2))
    with pytest.raises(ValueError, match=r"\(B, C, H, W\) and float.*torch.uint8"):
        MaskedImage().batch({"images": torch.zeros(2, 1, 8, 8, dtype=torch.uint8)}, Keys.of(0, 2))


def test_an_answer_of_another_shape_is_refused_not_broadcast():
    batch = MaskedImage().batch({"images": images(2, 3)}, Keys.of(0, 2))
    with pytest.raises(ValueError, match="shape"):
        MaskedImage()(lambda shown, mask: shown[:, :1], batch)
