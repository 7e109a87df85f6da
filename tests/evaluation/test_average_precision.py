"""Average precision against pycocotools on random boxes, and by hand."""

import contextlib
import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pretrain_lib.evaluation.average_precision import average_precision

CLASSES = 3
SIDE, PLACE = st.integers(1, 6), st.integers(0, 4)
OBJECT = st.tuples(PLACE, PLACE, SIDE, SIDE, st.integers(0, CLASSES - 1), st.sampled_from([0.1, 0.25, 0.5, 0.75, 0.9]))
IMAGES = st.lists(st.tuples(st.lists(OBJECT, max_size=4), st.lists(OBJECT, max_size=7)), min_size=1, max_size=4)


def columns(images: list[list[tuple]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes, labels and scores of all images; absent ones come first, so that order is not what tells them."""
    most = max(map(len, images)) + 1
    boxes, labels, scores = torch.zeros(len(images), most, 4), torch.full((len(images), most), -100), torch.zeros(len(images), most)
    for number, objects in enumerate(images):
        for place, (x, y, width, height, kind, score) in enumerate(objects, most - len(objects)):
            boxes[number, place] = torch.tensor([x, y, x + width, y + height])
            labels[number, place], scores[number, place] = kind, score
    return boxes, labels, scores


def coco(images: list[list[tuple]]) -> COCO:
    annotations = [{"image_id": number, "category_id": kind, "bbox": [x, y, width, height], "area": width * height,
                    "iscrowd": 0, "score": score}
                   for number, objects in enumerate(images) for x, y, width, height, kind, score in objects]
    made = COCO()
    made.dataset = {"images": [{"id": number} for number in range(len(images))],
                    "categories": [{"id": kind} for kind in range(CLASSES)],
                    "annotations": [a | {"id": number + 1} for number, a in enumerate(annotations)]}
    made.createIndex()
    return made


@settings(max_examples=100, deadline=None)
@given(IMAGES.filter(lambda images: any(true for true, _ in images)))
def test_it_is_cocos(images):
    true, found = ([image[part] for image in images] for part in (0, 1))
    with contextlib.redirect_stdout(io.StringIO()):
        tool = COCOeval(coco(true), coco(found), "bbox")
        tool.evaluate()
        tool.accumulate()
    precision = tool.eval["precision"][..., 0, -1]  # (thresholds, recalls, classes)
    present = precision[0, 0] > -1
    ours = average_precision(columns(found), *columns(true)[:2], CLASSES)
    assert ours.absent == np.flatnonzero(~present).tolist()
    assert ours.per_class[present].numpy() == pytest.approx(precision.mean((0, 1))[present], abs=1e-10)
    assert ours.per_class_50[present].numpy() == pytest.approx(precision[0].mean(0)[present], abs=1e-10)
    assert ours.ap == pytest.approx(precision[..., present].mean(), abs=1e-10)
    assert ours.ap50 == pytest.approx(precision[0][:, present].mean(), abs=1e-10)


def test_more_than_a_hundred_of_a_class_do_not_count():
    right, wrong = (0, 0, 6, 6, 0, 0.1), (20, 20, 2, 2, 0, 0.9)
    for others, expected in ((99, 1 / 100), (100, 0)):
        found = columns([[wrong] * others + [right]])
        assert average_precision(found, *columns([[right]])[:2], 1).ap == pytest.approx(expected)


def test_what_is_right_gives_one_and_in_another_class_nothing():
    objects = [[(0, 0, 4, 4, 0, 0.9), (5, 5, 3, 2, 1, 0.3)], [], [(1, 1, 2, 6, 0, 0.5)]]
    perfect = average_precision(columns(objects), *columns(objects)[:2], 3)
    assert perfect.ap == perfect.ap50 == 1 and perfect.absent == [2] and perfect.per_class[2].isnan()
    boxes, labels, scores = columns(objects)
    swapped = torch.where(labels < 0, labels, 1 - labels)
    assert average_precision((boxes, swapped, scores), boxes, labels, 3).ap == 0


def test_a_box_that_is_matched_twice_is_a_false_positive():
    """Two boxes there, the first found twice before the second: precisions 1, then 2/3 from recall 0.51 on."""
    one, two = (0, 0, 4, 4, 0, 0.9), (10, 10, 4, 4, 0, 0.7)
    twice = columns([[one, one[:5] + (0.8,), two]])
    found = average_precision(twice, *columns([[one, two]])[:2], 1)
    assert found.ap50 == pytest.approx((51 * 1 + 50 * 2 / 3) / 101) == found.ap


def test_nothing_found_is_worth_nothing():
    boxes, labels, scores = columns([[(0, 0, 4, 4, 0, 0.9)]])
    nothing = (boxes[:, :0], labels[:, :0], scores[:, :0])
    assert average_precision(nothing, boxes, labels, 1).ap == 0
    with pytest.raises(ValueError, match="no true box to be found"):
        average_precision((boxes, labels, scores), boxes, torch.full_like(labels, -100), 1)


def test_what_does_not_fit_is_refused_in_one_line():
    boxes, labels, scores = columns([[(0, 0, 4, 4, 1, 0.9)]])
    with pytest.raises(ValueError, match="found labels must be 0 to 0, or -100 for no box, got 1"):
        average_precision((boxes, labels, scores), boxes, labels.clamp(max=0), 1)
    with pytest.raises(ValueError, match=r"true boxes must be \(1, K, 4\).*got \(1, 1, 4\) and \(1, 2\)"):
        average_precision((boxes, labels, scores), boxes[:, :1], labels, 2)
    with pytest.raises(ValueError, match=r"scores must be \(1, 2\) numbers, one for each box found, got \(1, 1\)"):
        average_precision((boxes, labels, scores[:, :1]), boxes, labels, 2)
    with pytest.raises(ValueError, match="some NaN"):
        average_precision((boxes, labels, scores * math.nan), boxes, labels, 2)
