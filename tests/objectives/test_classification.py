import math

import pytest
import torch

from pretrain_lib.data.keys import Keys
from pretrain_lib.objectives.classification import Classification


def test_the_sum_is_minus_the_log_probability_of_each_label():
    logits = torch.randn(5, 3, dtype=torch.float64)
    labels = [0, 2, 1, 1, 0]
    objective = Classification()
    samples = {"images": torch.zeros(5, 4), "labels": torch.tensor(labels)}
    batch = objective.batch(samples, Keys.of(0, 5))
    brute = 0.0
    for row, label in zip(logits.tolist(), labels, strict=True):
        brute -= row[label] - math.log(sum(math.exp(v) for v in row))
    total = objective(lambda x: logits, batch)["cross_entropy"].item()
    assert total == pytest.approx(brute, rel=1e-12)
    assert batch.counts == {"cross_entropy": 5}


def test_nothing_is_corrupted():
    images = torch.rand(3, 4)
    batch = Classification().batch({"images": images, "labels": torch.arange(3)}, Keys.of(0, 3))
    assert torch.equal(batch.inputs["images"], images)


def test_small_integers_serve_as_labels():
    labels = torch.tensor([1, 0], dtype=torch.uint8)
    batch = Classification().batch({"images": torch.rand(2, 4), "labels": labels}, Keys.of(0, 2))
    assert batch.targets["labels"].dtype == torch.int64


def test_missing_labels_are_named():
    with pytest.raises(ValueError, match=r"'labels'.*images"):
        Classification().batch({"images": torch.rand(2, 4)}, Keys.of(0, 2))


def test_another_column_can_be_read():
    samples = {"sounds": torch.rand(2, 4), "labels": torch.arange(2)}
    assert Classification("sounds").batch(samples, Keys.of(0, 2)).inputs.keys() == {"sounds"}


@pytest.mark.parametrize("num_classes", [None, 3])
def test_samples_without_a_label_do_not_count(num_classes):
    images, labels = torch.randn(6, 4), torch.tensor([0, -100, 2, -100, -100, 1])
    model, objective = torch.nn.Linear(4, 3), Classification(num_classes=num_classes)
    batch = objective.batch({"images": images, "labels": labels}, Keys.of(0, 6))
    loss = objective(model, batch)["cross_entropy"] / batch.counts["cross_entropy"]
    expected = [-model(images[i]).log_softmax(0)[labels[i]].item() for i in (0, 2, 5)]
    assert loss.item() == pytest.approx(sum(expected) / 3, rel=1e-6)
    batch = objective.batch({"images": images, "labels": torch.full((6,), -100)}, Keys.of(0, 6))
    assert batch.counts["cross_entropy"] == 0 == objective(model, batch)["cross_entropy"].item()


def test_labels_that_are_none_of_the_classes_are_named():
    for strange in (3, -1):
        samples = {"images": torch.zeros(2, 4), "labels": torch.tensor([0, strange])}
        with pytest.raises(ValueError, match=f"labels must be 0 to 2.*got {strange}"):
            Classification(num_classes=3).batch(samples, Keys.of(0, 2))


@pytest.mark.parametrize("answer, num_classes", [((2, 7, 16), 2), ((2, 7, 16), None), ((2, 16), 2), ((2,), 2)])
def test_a_model_without_the_head_is_named(answer, num_classes):
    """Hidden states are no scores, even where there are enough of them."""
    objective = Classification(num_classes=num_classes)
    batch = objective.batch({"images": torch.zeros(2, 4), "labels": torch.arange(2)}, Keys.of(0, 2))
    model = torch.nn.Flatten(0)
    model.forward = lambda x: torch.zeros(answer)
    with pytest.raises(ValueError, match="Flatten answers with .*put a head on it, with with_classifier"):
        objective(model, batch)
