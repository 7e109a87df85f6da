"""Intersection over union against pycocotools, a count of pixels, and by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.mask import iou as coco_iou

from pretrain_lib.evaluation.iou import box_iou, mean_iou

COORDINATE = st.floats(0, 50, allow_subnormal=False)
BOX = st.tuples(COORDINATE, COORDINATE, st.floats(0.1, 50), st.floats(0.1, 50))  # x, y, width, height
BOXES = st.lists(BOX, min_size=1, max_size=5)


@settings(max_examples=100, deadline=None)
@given(BOXES, BOXES)
def test_of_boxes_it_is_cocos(a, b):
    ours = box_iou(*(corners(torch.tensor(boxes, dtype=torch.float64)) for boxes in (a, b)))
    theirs = torch.tensor(coco_iou([list(box) for box in a], [list(box) for box in b], [0] * len(b)))
    torch.testing.assert_close(ours, theirs.double(), rtol=0, atol=1e-10)


def corners(boxes: torch.Tensor) -> torch.Tensor:
    return torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)


def test_boxes_that_touch_share_nothing_and_empty_ones_are_no_error():
    boxes = torch.tensor([[0.0, 0, 2, 2], [2, 0, 4, 2], [1, 0, 3, 2], [5, 5, 5, 5]])
    assert torch.allclose(box_iou(boxes, boxes), torch.tensor(
        [[1, 0, 1 / 3, 0], [0, 1, 1 / 3, 0], [1 / 3, 1 / 3, 1, 0], [0, 0, 0, 0]]))
    assert box_iou(boxes, boxes[:0]).shape == (4, 0)


MASKS = st.integers(1, 3).flatmap(lambda n: st.tuples(
    st.lists(st.integers(0, 3), min_size=6 * n, max_size=6 * n),
    st.lists(st.sampled_from([0, 1, 3, 4, -100]), min_size=6 * n, max_size=6 * n).filter(lambda m: set(m) != {-100})))


@settings(max_examples=100, deadline=None)
@given(MASKS)
def test_of_masks_it_is_a_count_of_pixels_over_all_images(masks):
    predicted, true = (torch.tensor(pixels).reshape(-1, 2, 3) for pixels in masks)
    pairs = [pair for pair in zip(*masks) if pair[1] != -100]
    expected, absent = {}, []
    for kind in range(6):
        shared = sum(a == kind and b == kind for a, b in pairs)
        covered = sum(a == kind or b == kind for a, b in pairs)
        if covered:
            expected[kind] = shared / covered
        else:
            absent.append(kind)
    found = mean_iou(predicted, true, 5)
    assert found.absent == absent and found.mean == pytest.approx(sum(expected.values()) / len(expected), abs=1e-12)
    assert {kind: found.per_class[kind].item() for kind in expected} == pytest.approx(expected, abs=1e-12)
    assert found.per_class[absent].isnan().all()


def test_a_perfect_prediction_gives_one_and_the_background_alone_does_not():
    masks = torch.zeros(3, 8, 8, dtype=torch.int64)
    masks[0, :2, :2], masks[1, 3:5, 3:5] = 1, 2
    assert mean_iou(masks, masks, 2).mean == 1 and mean_iou(masks, masks, 2).absent == []
    nothing = mean_iou(torch.zeros_like(masks), masks, 2)
    assert nothing.mean == pytest.approx((1 - 8 / 192) / 3)  # 96 % of pixels are right


def test_what_cannot_be_scored_is_refused_in_one_line():
    masks = torch.zeros(2, 4, 4, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"predicted \(2, 4, 4\) and masks \(2, 4, 5\) must be of one shape"):
        mean_iou(masks, torch.zeros(2, 4, 5), 1)
    with pytest.raises(ValueError, match="classes must be 0, background, to 1, got 0 to 2"):
        mean_iou(masks, masks.index_fill(0, torch.tensor([1]), 2), 1)
    with pytest.raises(ValueError, match="no pixel of the masks is scored"):
        mean_iou(masks, masks - 100, 1)
