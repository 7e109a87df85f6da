"""Next-sentence scores against answers that are known beforehand."""

import pytest
import torch
from torch import nn

from pretrain_lib.data.source import Columns
from pretrain_lib.evaluation.sentence_pairs import pair_scores
from pretrain_lib.models.bert import PreTrainingLogits


class Answers(nn.Module):
    """Says 1 (false) where the first token is above a bound."""

    def __init__(self, bound: float):
        super().__init__()
        self.bound = nn.Parameter(torch.tensor(bound))

    def forward(self, input_ids, positions):
        score = (input_ids[:, 0] - self.bound).sign()
        return PreTrainingLogits(torch.zeros(len(input_ids), positions.shape[1], 3),
                                 torch.stack([-score, score], dim=1))


PAIRS = Columns(input_ids=torch.tensor([[1], [2], [3], [4], [5], [6], [7], [8]]),
                next_sentence_label=torch.tensor([0, 0, 0, 1, 0, 1, 1, 0]))


@pytest.mark.parametrize("batch_size", [2, 3, 8])
def test_each_kind_is_counted_apart(batch_size):
    found = pair_scores(Answers(3.5), PAIRS, batch_size=batch_size)
    assert (found.accuracy, found.of_true, found.of_false) == (6 / 8, 3 / 5, 1.0)
    assert (found.share_false, found.pairs) == (3 / 8, 8)


def test_always_the_same_answer_is_seen():
    found = pair_scores(Answers(100.0), PAIRS)
    assert (found.of_true, found.of_false, found.accuracy) == (1.0, 0.0, 5 / 8)


def test_no_more_pairs_than_asked_for():
    assert pair_scores(Answers(3.5), PAIRS, pairs=5).pairs == 5


def test_one_kind_alone_is_refused():
    with pytest.raises(ValueError, match="all 3 pairs are true"):
        pair_scores(Answers(3.5), PAIRS, pairs=3)
