"""The loss of segmentation: a cross-entropy for each scored pixel, written out."""

import math

import pytest
import torch
from torch import nn

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.objectives.segmentation import Segmentation


def data(masks: torch.Tensor) -> Columns:
    n, height, width = masks.shape
    images = torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Columns(images=images, masks=masks)


MASKS = torch.tensor([[[0, 1, 2], [-100, 1, 0]], [[2, 2, -100], [-100, 0, 0]]])


def batch_of(source: Columns, num_classes: int = 2):
    objective, keys = Segmentation(num_classes), Keys.of(0, range(len(source)))
    return objective, objective.batch(source.take(keys), keys)


def test_it_is_its_definition_over_scored_pixels():
    objective, batch = batch_of(data(MASKS))
    assert batch.counts == {"cross_entropy": 9}  # of 12 pixels
    expected = 0.0
    for scores, mask in zip(batch.inputs["images"], MASKS):
        for y in range(2):
            for x in range(3):
                if mask[y, x] >= 0:
                    expected -= math.log(scores[:, y, x].softmax(0)[mask[y, x]])
    assert objective(nn.Identity(), batch)["cross_entropy"].item() == pytest.approx(expected, abs=1e-10)


def test_a_batch_without_a_scored_pixel_loses_nothing():
    objective, batch = batch_of(data(torch.full((2, 2, 3), -100)))
    batch.inputs["images"].requires_grad_()
    loss = objective(nn.Identity(), batch)["cross_entropy"]
    loss.backward()
    assert batch.counts == {"cross_entropy": 0} and loss == 0 and batch.inputs["images"].grad.abs().max() == 0


def test_a_sum_over_pixels_is_in_single_precision_where_the_model_is_in_half():
    objective, batch = batch_of(data(MASKS))
    exact = objective(nn.Identity(), batch)["cross_entropy"]
    coarse = objective(lambda images: images.bfloat16(), batch)["cross_entropy"]
    assert coarse.dtype == torch.float32 and coarse.item() == pytest.approx(exact.item(), rel=4e-3)


def test_what_does_not_fit_is_refused_in_one_line():
    wrong = Columns(images=torch.rand(2, 3, 4, 4), masks=torch.zeros(2, 4, 5))
    with pytest.raises(ValueError, match=r"masks must be \(2, 4, 4\), of the size of images \(2, 3, 4, 4\), got \(2, 4, 5\)"):
        batch_of(wrong)
    with pytest.raises(ValueError, match="masks must hold 0, background, to 1, the last class, or -100, not scored, got 2"):
        batch_of(data(MASKS), num_classes=1)
    with pytest.raises(ValueError, match="masks must hold 0"):
        batch_of(data(MASKS.masked_fill(MASKS == 0, -1)))
    objective, batch = batch_of(data(MASKS), num_classes=4)
    with pytest.raises(ValueError, match=r"Identity answers with \(2, 3, 2, 3\), not with \(2, 5, 2, 3\)"):
        objective(nn.Identity(), batch)
    with pytest.raises(ValueError, match="function answers with tuple, not with"):
        objective(lambda images: (images,), batch)
    with pytest.raises(ValueError, match="num_classes must be an integer of at least 1, got 0"):
        Segmentation(0)
