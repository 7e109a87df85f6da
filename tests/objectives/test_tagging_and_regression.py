"""The losses of tagging and of regression, written out by hand."""

import math

import pytest
import torch

from pretrain_lib.data.keys import Keys
from pretrain_lib.objectives.classification import Classification
from pretrain_lib.objectives.regression import Regression
from pretrain_lib.objectives.tagging import Tagging

TEXT = {
    "input_ids": torch.zeros(2, 3, dtype=torch.int64),
    "attention_mask": torch.ones(2, 3, dtype=torch.int64),
}


def test_only_tagged_tokens_count():
    logits = torch.randn(2, 3, 4, dtype=torch.float64)
    tags = torch.tensor([[-100, 2, -100], [-100, 0, 3]])
    batch = Tagging().batch({**TEXT, "tags": tags}, Keys.of(0, 2))
    assert batch.counts == {"cross_entropy": 3}
    expected = 0.0
    for row, place, tag in ((0, 1, 2), (1, 1, 0), (1, 2, 3)):
        scores = logits[row, place].tolist()
        expected -= scores[tag] - math.log(sum(map(math.exp, scores)))
    found = Tagging()(lambda input_ids, attention_mask: logits, batch)["cross_entropy"].item()
    assert found == pytest.approx(expected, rel=1e-12)


def test_squared_errors_are_summed():
    answers = torch.tensor([[1.0], [-2.0]])
    batch = Regression().batch({**TEXT, "labels": torch.tensor([3.0, 0.5])}, Keys.of(0, 2))
    assert batch.counts == {"squared_error": 2}
    found = Regression()(lambda input_ids, attention_mask: answers, batch)["squared_error"].item()
    assert found == pytest.approx(2.0**2 + 2.5**2)


@pytest.mark.parametrize("objective, column", [(Tagging(), "tags"), (Regression(), "labels")])
def test_a_missing_column_is_named(objective, column):
    with pytest.raises(ValueError, match=f"'{column}'.*input_ids"):
        objective.batch(TEXT, Keys.of(0, 2))


def test_labels_may_stand_in_another_column():
    batch = Classification("input_ids", labels="order").batch(
        {**TEXT, "order": torch.tensor([1, 0])}, Keys.of(0, 2)
    )
    assert batch.targets["labels"].tolist() == [1, 0]
