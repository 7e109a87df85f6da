"""Int8: error bounds, exact products, and models that answer nearly as before from a quarter of the bytes."""

import copy

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from pretrain_lib.compression import quantise
from pretrain_lib.compression.quantise import Int8Embedding, Int8Linear, quantise_rows, quantize
from pretrain_lib.models.bert import BertConfig, BertForMaskedLM
from pretrain_lib.models.modern import ModernBertConfig, ModernBertForSequenceClassification

rows = st.lists(st.lists(st.floats(-1e4, 1e4, width=32), min_size=5, max_size=5), min_size=1,
                max_size=4).map(torch.tensor)


@given(rows)
@settings(max_examples=100, deadline=None)
def test_no_number_is_off_by_more_than_half_a_scale(x):
    q, scale = quantise_rows(x)
    assert q.dtype == torch.int8 and q.int().abs().max() <= 127
    assert ((q * scale - x).abs() <= scale / 2 * (1 + 1e-5) + 1e-30).all()
    assert ((q == 0) | (x != 0)).all()
    largest = x.abs().amax(1)
    used = largest > 1e-30
    assert (q.int().abs().amax(1)[used] == 127).all()


def a_linear(outputs=24, inputs=40, bias=True):
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs, bias=bias)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 40), (2, 5, 40), (1, 40)])
def test_a_layer_multiplies_whole_numbers_exactly(shape, bias):
    linear = a_linear(bias=bias)
    ours, x = Int8Linear.of(linear), torch.randn(shape)
    q, s = quantise_rows(x)
    exact = (q.long() @ ours.int8.long().T).double() * s.double() * ours.scale[:, 0].double()
    exact = exact + (linear.bias.double() if bias else 0)
    torch.testing.assert_close(ours(x).double(), exact, atol=1e-5, rtol=1e-5)


def test_without_a_kernel_the_numbers_are_the_same(monkeypatch):
    x, ours = torch.randn(9, 40), Int8Linear.of(a_linear())
    here = ours(x)
    monkeypatch.setattr(quantise, "has_kernel", lambda: False)
    torch.testing.assert_close(ours(x), here, atol=1e-5, rtol=1e-5)
    wide = Int8Linear(torch.full((3, 4000), 127, dtype=torch.int8), torch.ones(3, 1), None)
    assert (wide(torch.full((2, 4000), 127.0)) == 4000 * 127**2).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
def test_half_precision_holds_the_answer_and_not_the_sums(dtype, bias):
    linear = nn.Linear(256, 3, bias=bias).to(dtype)
    nn.init.ones_(linear.weight)
    found = Int8Linear.of(linear)(torch.ones(2, 256, dtype=dtype))
    expected = linear(torch.ones(2, 256, dtype=dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=4 * torch.finfo(dtype).eps, atol=0)


def test_half_precision_rounds_as_the_exact_product_does():
    linear, x = a_linear(inputs=300).half(), torch.randn(9, 300).half()
    ours, (q, s) = Int8Linear.of(linear), quantise_rows(x)
    exact = (q.long() @ ours.int8.long().T).double() * s.double() * ours.scale[:, 0].double()
    exact = exact + linear.bias.double()
    torch.testing.assert_close(ours(x).double(), exact, atol=1e-4, rtol=torch.finfo(torch.half).eps)


def test_weights_that_are_loaded_are_those_that_answer():
    layer, other = Int8Linear.of(a_linear()), Int8Linear.of(nn.Linear(40, 24))
    layer, x = copy.deepcopy(layer), torch.randn(5, 40)
    before = layer(x)
    layer.load_state_dict(other.state_dict())
    assert torch.equal(layer(x), other(x)) and not torch.equal(layer(x), before)


def test_an_output_is_off_by_no_more_than_both_roundings_allow():
    linear, x = a_linear().double(), torch.randn(50, 40, dtype=torch.float64)
    ours = Int8Linear.of(linear)
    _, s = quantise_rows(x)
    bound = (x.abs().sum(1, keepdim=True) * ours.scale[:, 0] / 2
             + s / 2 * ours.weight.abs().sum(1))
    assert ((ours(x) - linear(x)).abs() <= bound).all()


def test_an_embedding_looks_up_what_it_stands_for():
    table = nn.Embedding(30, 8)
    ours, ids = Int8Embedding.of(table), torch.tensor([[3, 3], [29, 0]])
    assert torch.equal(ours(ids), ours.weight[ids])
    assert (ours.weight - table.weight).abs().max() <= table.weight.abs().max() / 254 * (1 + 1e-5)


def classifier():
    config = ModernBertConfig(300, 32, 48, 2, 2, 16, local_attention=4, initializer_range=0.1)
    return ModernBertForSequenceClassification(config, 3, seed=1).eval()


def test_a_quantised_model_answers_nearly_alike_whatever_its_neighbours():
    model = classifier()
    small = quantize(model)
    ids = torch.randint(5, 300, (6, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    expected, found = model(ids, mask), small(ids, mask)
    assert (found - expected).norm() < 0.05 * expected.norm()
    assert (found - expected).norm() > 0
    torch.testing.assert_close(small(ids[:1], mask[:1]), found[:1], atol=1e-5, rtol=1e-5)
    assert not any(isinstance(part, (nn.Linear, nn.Embedding)) for part in small.modules())
    assert isinstance(model.encoder.embeddings.word, nn.Embedding) and not small.training


def test_a_quantised_masked_lm_answers_at_positions_and_can_be_copied():
    model = BertForMaskedLM(BertConfig(60, 32, 2, 2, 64, 0.0, 0.0, 16, initializer_range=0.1))
    small = quantize(model)
    ids = torch.randint(5, 60, (3, 12), generator=torch.Generator().manual_seed(0))
    positions = torch.tensor([[2, 5]]).expand(3, 2)
    everywhere, there = small(ids), copy.deepcopy(small)(ids, positions=positions)
    assert there.shape == (3, 2, 60)
    close = (everywhere[:, [2, 5]] - there).norm() / there.norm()
    assert close < 0.02  # queries at blanks are not rounded
    assert (everywhere - model.eval()(ids)).norm() < 0.05 * everywhere.norm()
