"""The bench counts what it says it counts; how fast anything is, is not tested."""

import time

import pytest
import torch
from torch.nn import functional as F

from pretrain_lib.bench.encoder import Size, measure
from pretrain_lib.bench.products import Products, alone
from pretrain_lib.bench.profile import kind_of, time_shares
from pretrain_lib.bench.timing import interleaved, ratio

TINY = {"layers": 2, "hidden_size": 16, "length": 12, "batch_size": 3, "vocab_size": 50}


def test_everyone_is_timed_once_a_round_and_in_turns():
    calls = []
    seconds = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 4)
    assert {name: len(times) for name, times in seconds.items()} == {"a": 4, "b": 4}
    assert sorted(calls) == ["a"] * 5 + ["b"] * 5
    pairs = ["".join(calls[i:i + 2]) for i in range(0, 10, 2)]
    assert set(pairs) == {"ab", "ba"}


def test_ratio_is_that_of_the_times():
    seconds = interleaved({"long": lambda: time.sleep(0.03), "short": lambda: time.sleep(0.01)}, 5)
    assert 1.5 < ratio(seconds, "long", "short") < 4


def test_products_of_a_linear_layer_are_three():
    x = torch.randn(5, 7, requires_grad=True)
    w = torch.randn(11, 7, requires_grad=True)
    with Products() as products:
        F.linear(x, w).sum().backward()
    assert products.flops == 3 * 2 * 5 * 7 * 11


@pytest.mark.parametrize("form", ["bert", "modernbert"])
def test_flops_of_an_encoder_are_those_of_the_formula(form):
    size = Size(form, **TINY)
    model, batch = size.model(), size.batch()
    with Products() as products:
        model(**batch.inputs)
    d, t, b, layers = size.hidden_size, size.length, size.batch_size, size.layers
    wide = 4 * d if form == "bert" else 2 * d
    feed_forward = 2 * d * wide if form == "bert" else 3 * d * wide
    slots = batch.inputs["positions"].shape[1]
    below = 2 * t * (4 * d * d + feed_forward) + 4 * t * t * d  # scores and values of one sequence
    # The last layer needs keys and values everywhere, and all else at the blanks alone.
    last = 2 * t * 2 * d * d + 2 * slots * (2 * d * d + feed_forward) + 4 * slots * t * d
    vocabulary = 2 * slots * (d * d + d * size.vocab_size)
    assert products.flops == b * ((layers - 1) * below + last + vocabulary)


def test_the_products_alone_are_as_many():
    products = Products()
    products.shapes = [((2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4))]
    with Products() as seen:
        alone(products.shapes)()
    assert seen.flops == products.flops == 2 * 24 * 6


def test_measure_gives_shares_of_one_run():
    found = measure(Size(**TINY, ragged=True), rounds=2, steps=1)
    assert found["tokens_per_second"] > 0 and 0 < found["products_share"] < 1.5


def test_the_shares_of_a_profile_are_those_of_what_is_done():
    big, small = torch.randn(400, 400), torch.randn(10)
    shares = time_shares(lambda: (big @ big, torch.nn.functional.gelu(small)))
    assert sum(shares.values()) == pytest.approx(1)
    assert next(iter(shares)) == "matrix products" and 0 < shares["GELU"] < 0.2
    assert kind_of("aten::addmm") == "matrix products" and kind_of("aten::embedding") == "other"
    assert kind_of("aten::add_") == "sums"
