"""Causal language modelling against brute force, transformers' loss and a known language."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.loss.loss_utils import ForCausalLMLoss

from pretrain_lib.data.keys import Keys
from pretrain_lib.data.source import Columns
from pretrain_lib.models.modern import ModernBertConfig, ModernBertForCausalLM
from pretrain_lib.objectives.causal_lm import CausalLM, next_tokens
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.training.trainer import Trainer

V = 30
CONFIG = ModernBertConfig(V, 32, 48, 2, 2, 64, initializer_range=0.1)


def samples(texts, length):
    """Texts given as lists of their lengths, packed into rows."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(len(texts), length, dtype=torch.long)
    place = torch.zeros_like(mask)
    for row, sizes in enumerate(texts):
        start = 0
        for number, size in enumerate(sizes, 1):
            mask[row, start:start + size] = number
            place[row, start:start + size] = torch.arange(size)
            start += size
    ids = torch.randint(5, V, mask.shape, generator=generator) * (mask > 0)
    return {"input_ids": ids, "attention_mask": mask, "position_ids": place}


@given(sizes=st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_every_token_but_the_first_of_each_text_is_scored(sizes):
    columns = samples(sizes, 16)
    labels = next_tokens(columns["input_ids"], columns["attention_mask"])
    for row, lengths in enumerate(sizes):
        expected, start = [-100] * 16, 0
        for size in lengths:
            for i in range(start + 1, start + size):
                expected[i] = columns["input_ids"][row, i].item()
            start += size
        assert labels[row].tolist() == expected
    batch = CausalLM().batch(columns, Keys.of(0, len(sizes)))
    assert batch.counts == {"causal_lm": sum(n - 1 for row in sizes for n in row)}
    assert torch.equal(batch.inputs["input_ids"], columns["input_ids"])


def test_without_a_mask_every_row_is_one_text():
    ids = torch.randint(5, V, (3, 7))
    labels = next_tokens(ids, None)
    assert (labels[:, 0] == -100).all() and torch.equal(labels[:, 1:], ids[:, 1:])


def test_the_loss_is_that_of_transformers():
    """Theirs shifts the labels by one, ours shifts the answer: the same pairs are compared."""
    columns = samples([[20], [13], [5]], 20)
    model = ModernBertForCausalLM(CONFIG).eval()
    batch = CausalLM().batch(columns, Keys.of(0, 3))
    mine = CausalLM()(model, batch)["causal_lm"] / batch.counts["causal_lm"]
    answer = model(columns["input_ids"], columns["attention_mask"])
    theirs = torch.cat([answer[:, 1:], torch.zeros(3, 1, V)], 1)  # at p the token at p + 1
    labels = columns["input_ids"].masked_fill(columns["attention_mask"] == 0, -100)
    assert mine.item() == pytest.approx(ForCausalLMLoss(theirs, labels, V).item(), rel=1e-6)


def test_packed_texts_cost_what_they_cost_alone():
    columns = samples([[7, 9, 4]], 22)
    model = ModernBertForCausalLM(CONFIG).double().eval()
    packed = CausalLM()(model, CausalLM().batch(columns, Keys.of(0, 1)))["causal_lm"]
    alone = 0.0
    for start, end in ((0, 7), (7, 16), (16, 20)):
        text = {"input_ids": columns["input_ids"][:, start:end]}
        alone += CausalLM()(model, CausalLM().batch(text, Keys.of(0, 1)))["causal_lm"]
    # angles are float32, and the same for the same place: only the order of sums differs
    assert abs(packed - alone) < 1e-9


def test_the_loss_of_a_text_is_minus_its_log_probability():
    """The chain rule: over all texts of three tokens that begin alike, probabilities sum to 1."""
    config = ModernBertConfig(6, 16, 16, 2, 2, 8, initializer_range=0.3)
    model = ModernBertForCausalLM(config).double().eval()
    rest = torch.cartesian_prod(torch.arange(6), torch.arange(6))
    ids = torch.cat([torch.full((36, 1), 2), rest], 1)
    batches = [CausalLM().batch({"input_ids": row[None]}, Keys.of(0, 1)) for row in ids]
    costs = [CausalLM()(model, batch)["causal_lm"].item() for batch in batches]
    assert sum(math.exp(-cost) for cost in costs) == pytest.approx(1.0, abs=1e-9)
    assert max(costs) - min(costs) > 0.1


def test_the_future_cannot_be_told_from_the_past_where_it_is_chance():
    """Fair dice: no model beats log 6 but by seeing the answer."""
    rolls = torch.randint(5, 11, (4000, 12), generator=torch.Generator().manual_seed(0))
    config = TrainConfig(steps=30, batch_size=100, learning_rate=5e-2, device="cpu", log_every=1)
    model = ModernBertForCausalLM(ModernBertConfig(V, 16, 16, 1, 2, 16))
    trainer = Trainer(model, CausalLM(), Columns(input_ids=rolls), config)
    history = trainer.fit()
    fresh = torch.randint(5, 11, (500, 12), generator=torch.Generator().manual_seed(1))
    loss = trainer.evaluate(Columns(input_ids=fresh))["causal_lm"]
    assert history.losses[0] > 3  # log 30 before training
    assert math.log(6) - 1e-3 < loss < math.log(6) + 0.2


def test_a_rule_is_learned():
    start = torch.randint(0, 20, (256, 1), generator=torch.Generator().manual_seed(0))
    counting = 5 + (start + torch.arange(10)) % 20
    config = TrainConfig(steps=20, batch_size=64, learning_rate=1e-2, device="cpu", log_every=1)
    model = ModernBertForCausalLM(ModernBertConfig(V, 32, 32, 1, 2, 16, initializer_range=0.1))
    history = Trainer(model, CausalLM(), Columns(input_ids=counting), config).fit()
    assert history.losses[-1] < 1 < 3 < history.losses[0]


def test_a_source_without_tokens_is_refused():
    with pytest.raises(ValueError, match="no column 'input_ids'"):
        CausalLM().batch({"images": torch.zeros(1, 2)}, Keys.of(0, 1))
