"""Probes of single tokens and their control tasks, on representations made to have known answers."""

import pytest
import torch
from torch.nn import functional as F

import pretrain_lib as pl
from pretrain_lib.data.source import Columns
from pretrain_lib.transfer.control_task import (
    control_table,
    draw_tokens,
    layer_states,
    probe_with_control,
)

SIZES = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
         "intermediate_size": 24, "max_position_embeddings": 32}  # fmt: skip
MODELS = [pl.BertForPreTraining(pl.BertConfig(**SIZES)),
          pl.ModernBertForMaskedLM(pl.ModernBertConfig(**SIZES))]
V = 30


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_layers_are_what_the_encoder_computes_one_after_the_other(model):
    ids = torch.randint(5, 40, (7, 9), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(9) < torch.tensor([9, 9, 5, 4, 9, 2, 7])[:, None]).long()
    states = layer_states(model, ids, mask, batch_size=3)
    assert len(states) == 4 and all(state.shape == (7, 9, 16) for state in states)
    model.eval()
    with torch.no_grad():
        last = model.encoder(ids, mask)
    finish = model.encoder.norm if hasattr(model.encoder, "norm") else lambda x: x
    torch.testing.assert_close(finish(states[-1]).detach(), last, atol=1e-5, rtol=1e-5)
    alone = layer_states(model, ids[2:3, :5])
    torch.testing.assert_close(alone[2][0], states[2][2, :5], atol=1e-5, rtol=1e-5)
    assert not any(part._forward_hooks for part in model.modules())
    with pytest.raises(ValueError, match="got Linear"):
        layer_states(torch.nn.Linear(2, 2), ids)


def test_a_control_task_is_a_fixed_random_label_of_each_type():
    labels = torch.tensor([0] * 900 + [1] * 100)
    table = control_table(labels, 10_000)
    assert torch.equal(table, control_table(labels, 10_000))
    assert not torch.equal(table, control_table(labels, 10_000, 1))
    assert abs(table.float().mean() - 0.1) < 0.01  # labels as common as in the task


def tokens(n, seed, states):
    """n tokens; whether a token counts as even depends on it and on its context."""
    generator = torch.Generator().manual_seed(seed)
    token = torch.randint(V, (n,), generator=generator)
    context = torch.randint(2, (n,), generator=generator)
    labels = (token + context) % 2
    return Columns(states=states(token, labels), tokens=token, labels=labels)


def identity(token, labels):
    return F.one_hot(token, V).float()


def answer(token, labels):
    return F.one_hot(labels, 2).float()


def test_what_is_learned_by_heart_has_no_selectivity_and_what_is_read_off_has():
    known = probe_with_control(tokens(2000, 0, answer), tokens(1000, 1, answer), V)
    assert known.accuracy == 1.0 and known.control < 0.8
    assert known.selectivity == known.accuracy - known.control
    heart = probe_with_control(tokens(2000, 0, identity), tokens(1000, 1, identity), V)
    assert heart.control == 1.0  # every type's label is learned by heart …
    assert abs(heart.accuracy - 0.5) < 0.06  # … and the context is not there
    assert heart.selectivity < -0.4


def test_tokens_are_drawn_from_the_chosen_places_only_and_stay_together():
    ids = torch.arange(24).reshape(4, 6)
    states = ids[..., None].expand(4, 6, 2).float()
    drawn = draw_tokens(ids % 3 == 0, 5, seed=2, tokens=ids, states=states)
    assert len(drawn) == len(set(drawn.tokens.tolist())) == 5
    assert (drawn.tokens % 3 == 0).all() and (drawn.states == drawn.tokens[:, None]).all()
    with pytest.raises(ValueError, match="between 1 and 8"):
        draw_tokens(ids % 3 == 0, 9, tokens=ids)
