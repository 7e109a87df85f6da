"""What is scored of a target: every token but the first, no padding, from what stands before."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pretrain_lib.data.keys import Keys
from pretrain_lib.objectives.translation import Translation

V, START, END = 20, 2, 3


def samples(lengths):
    """Pairs whose targets have these many tokens between start and end."""
    generator = torch.Generator().manual_seed(0)
    width = max(lengths) + 2
    ids, mask = torch.zeros(2, len(lengths), width, dtype=torch.long)
    for row, n in enumerate(lengths):
        words = torch.randint(5, V, (n,), generator=generator)
        ids[row, :n + 2] = torch.tensor([START, *words, END])
        mask[row, :n + 2] = 1
    source = torch.randint(5, V, (len(lengths), 4), generator=generator)
    return {"input_ids": source, "attention_mask": torch.ones_like(source), "target_ids": ids,
            "target_mask": mask}


class Remembering(nn.Module):
    """Answers with fixed logits, and remembers what it was asked."""

    def __init__(self, logits):
        super().__init__()
        self.logits, self.asked = logits, None

    def forward(self, **asked):
        self.asked = asked
        return self.logits


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=5))
def test_the_loss_is_the_sum_over_the_real_tokens(lengths):
    columns = samples(lengths)
    objective = Translation()
    batch = objective.batch(columns, Keys.of(0, len(lengths)))
    width = max(lengths) + 1
    logits = torch.randn(len(lengths), width, V, dtype=torch.float64)
    model = Remembering(logits)
    expected = 0.0
    for row, n in enumerate(lengths):
        for u in range(n + 1):  # the words and the end, each from the position before it
            expected -= logits[row, u].log_softmax(-1)[columns["target_ids"][row, u + 1]].item()
    assert objective(model, batch)["translation"].item() == pytest.approx(expected, abs=1e-10)
    assert batch.counts == {"translation": sum(n + 1 for n in lengths)}
    assert torch.equal(model.asked["decoder_input_ids"], columns["target_ids"][:, :-1])
    assert model.asked.keys() == {"input_ids", "attention_mask", "decoder_input_ids"}


def test_what_stands_in_the_padding_does_not_matter():
    columns = samples([1, 4])
    logits = torch.randn(2, 5, V)
    losses = []
    for filling in (0, 7, END):
        filled = columns["target_ids"].masked_fill(columns["target_mask"] == 0, filling)
        batch = Translation().batch(columns | {"target_ids": filled}, Keys.of(0, 2))
        losses.append(Translation()(Remembering(logits), batch)["translation"])
    assert losses[0] == losses[1] == losses[2]


def test_a_model_that_knows_nothing_pays_log_v_a_token():
    batch = Translation().batch(samples([3, 5]), Keys.of(0, 2))
    loss = Translation()(Remembering(torch.zeros(2, 6, V)), batch)["translation"]
    assert loss.item() / batch.counts["translation"] == pytest.approx(math.log(V), rel=1e-6)


def test_a_source_without_targets_is_refused():
    columns = samples([2])
    del columns["target_mask"]
    with pytest.raises(ValueError, match="no column 'target_mask'; its columns are input_ids"):
        Translation().batch(columns, Keys.of(0, 1))
