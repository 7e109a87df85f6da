"""Int8: error bounds, exact products, and models that answer nearly as before from a quarter of the bytes."""

import copy

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from pretrain_lib.compression import quantise
from pretrain_lib.compression.quantise import SIGNED, UNSIGNED, Int8Embedding, Int8Linear, in_floats, quantise_rows, quantize
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


def test_sums_of_any_length_are_exact_in_floats():
    wide = torch.full((3, 5000), 127, dtype=torch.int8)
    wide[1, ::2] = -127
    wide[2, 0] = 126
    found = in_floats(torch.full((2, 5000), 127.0), wide, torch.ones(3))
    exact = torch.tensor([5000 * 127**2, 0, 5000 * 127**2 - 127])
    assert torch.equal(found, exact.float().expand(2, 3))  # rounded once, at the end
    assert torch.equal(in_floats(torch.full((2, 5000), 127.0).double(), wide, torch.ones(3).double()), exact.double().expand(2, 3))


def test_under_autocast_the_sums_are_the_same():
    ours, x = Int8Linear.of(a_linear(inputs=300)), torch.randn(9, 300)
    expected = ours(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = ours(x)
    assert torch.equal(found, expected)


# ------------------------------------------------------------------------- which product to use


def small_numbers(rows, columns):
    """No pair of products of these overflows 16 bits, so every processor adds them up exactly."""
    return torch.randint(-60, 61, (rows, columns), generator=torch.Generator().manual_seed(rows)).float()


@pytest.mark.parametrize("zero_point", [SIGNED, UNSIGNED])
@pytest.mark.parametrize("rows, outputs, inputs", [(1, 24, 40), (12, 256, 768), (300, 17, 64)])
def test_both_kernels_give_the_bits_of_floats(zero_point, rows, outputs, inputs):
    q, int8 = small_numbers(rows, inputs), small_numbers(outputs, inputs).to(torch.int8)
    scale = torch.rand(outputs) + 0.01
    found = quantise.kernel(q, quantise.pack(int8), scale, zero_point)
    assert torch.equal(found, in_floats(q, int8, scale))
    assert torch.equal(found, (q.long() @ int8.long().T).float() * scale)


@pytest.mark.parametrize("forced", [SIGNED, UNSIGNED, None])
def test_a_model_answers_alike_whichever_product_it_is_given(monkeypatch, forced):
    if forced is not None and forced not in quantise.usable_kernels():
        pytest.skip("this processor does not multiply such int8 matrices exactly, or not in time")
    model, ids = classifier(), torch.randint(5, 300, (6, 12))
    small, mask = quantize(model), torch.ones_like(ids)
    expected = small(ids, mask)
    monkeypatch.setattr(quantise, "fastest", lambda *shape: forced)
    assert torch.equal(small(ids, mask), expected)


class Processor:
    """A processor that has the two kernels, exact or not, and takes the seconds told.

    Args:
        exact: zero points of the kernels that give the right sums.
        seconds: of floats (None) and of each kernel, in a product of any size.
    """

    def __init__(self, monkeypatch, exact, seconds):
        self.exact, self.seconds, self.shapes = exact, seconds, []
        for name, stand_in in (("pack", lambda int8: int8), ("kernel", self.kernel), ("seconds", self.time)):
            monkeypatch.setattr(quantise, name, stand_in)
        self.forget()

    def kernel(self, q, packed, scale, zero_point):
        self.shapes.append((zero_point, len(q)))
        return in_floats(q, packed, scale) + (0 if zero_point in self.exact else 1)

    def time(self, product, *arguments):
        return self.seconds[arguments[-1] if product == self.kernel else None]

    def forget(self):
        quantise.fastest.cache_clear()
        quantise.usable_kernels.cache_clear()


@pytest.fixture
def processor(monkeypatch):
    made = []
    yield lambda exact, seconds: made.append(Processor(monkeypatch, exact, seconds)) or made[0]
    made[0].forget()


@pytest.mark.parametrize("exact, floats, signed, unsigned, chosen", [
    ([SIGNED, UNSIGNED], 1, 0.7, 0.5, UNSIGNED),
    ([SIGNED, UNSIGNED], 1, 0.5, 0.7, SIGNED),
    ([SIGNED, UNSIGNED], 1, 870, 0.2, UNSIGNED),
    ([SIGNED, UNSIGNED], 1, 870, 870, None),
    ([SIGNED, UNSIGNED], 1, 0.95, 0.9, None),
    ([SIGNED, UNSIGNED], 1, 5, 5, None),
    ([SIGNED], 1, 870, 0.2, None),
    ([SIGNED], 1, 0.5, 0.2, SIGNED),
    ([], 1, 0.2, 0.2, None),
])  # fmt: skip
def test_the_fastest_exact_product_is_chosen(processor, exact, floats, signed, unsigned, chosen):
    here = processor(exact, {None: floats, SIGNED: signed, UNSIGNED: unsigned})
    assert quantise.fastest(128, 24, 40, 1) == chosen
    here.shapes.clear()
    ours, x = Int8Linear.of(a_linear()), torch.randn(7, 40)
    q, s = quantise_rows(x)
    exact_sums = (q.long() @ ours.int8.long().T).float() * ours.scale[:, 0] * s + ours.bias
    torch.testing.assert_close(ours(x), exact_sums)
    assert {zero_point for zero_point, rows in here.shapes if rows == 7} == ({chosen} - {None})


@pytest.mark.parametrize("exact, seconds", [([SIGNED, UNSIGNED], {None: 1, SIGNED: 870, UNSIGNED: 0.2}),
                                            ([UNSIGNED], {None: 1, SIGNED: 0.1, UNSIGNED: 0.2})])
def test_what_is_hopeless_or_wrong_is_tried_on_a_small_product_only_and_once(processor, exact, seconds):
    here = processor(exact, seconds)
    ours = Int8Linear.of(a_linear())
    for rows in (9, 12, 200, 2048, 9):
        ours(torch.randn(rows, 40))
    tried = [rows for zero_point, rows in here.shapes if zero_point == SIGNED]
    assert set(tried) == {32} and len(tried) == 1
    rows = [rows for zero_point, rows in here.shapes if zero_point == UNSIGNED]
    assert set(rows) == {32, 16, 256, 9, 12, 200, 2048} and rows.count(16) == rows.count(256) == 1


def test_a_torch_without_the_kernel_computes_in_floats(processor, monkeypatch):
    here = processor([SIGNED, UNSIGNED], {None: 1, SIGNED: 0.1, UNSIGNED: 0.1})
    monkeypatch.setattr(quantise, "pack", lambda int8: torch.ops.onednn.no_such_product(int8))
    assert quantise.usable_kernels() == [] and quantise.fastest(12, 24, 40, 1) is None and not here.shapes


def test_the_trial_draws_no_random_number():
    quantise.usable_kernels.cache_clear()
    before = torch.get_rng_state()
    quantise.usable_kernels()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.trace")
def test_a_traced_layer_holds_no_choice_of_this_processor(processor):
    processor([SIGNED, UNSIGNED], {None: 1, SIGNED: 0.1, UNSIGNED: 0.1})
    ours, x = Int8Linear.of(a_linear()), torch.randn(5, 40)
    expected = ours(x)
    traced = torch.jit.trace(ours, x)
    assert torch.equal(traced(x), expected) and "onednn" not in str(traced.inlined_graph)
    assert traced(torch.randn(9, 40)).shape == (9, 24)


class SameTypes(TorchDispatchMode):
    """Refuses products, number by number, of int8 and floats: they run many times slower than others."""

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if function.overloadpacket is torch.ops.aten.mul:
            kinds = {a.dtype for a in arguments if isinstance(a, torch.Tensor)}
            assert len(kinds) == 1, kinds
        return function(*arguments, **(keywords or {}))


def test_no_whole_numbers_are_multiplied_by_floats_one_by_one():
    model = BertForMaskedLM(BertConfig(60, 32, 2, 2, 64, 0.0, 0.0, 16))
    small, ids = quantize(model), torch.randint(5, 60, (3, 12))
    small(ids)
    with SameTypes():
        small(ids)
        small(ids, positions=torch.tensor([[2, 5]]).expand(3, 2))


# ------------------------------------------------------------------------- other formats, parts and models


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
