"""The parts of the encoders against brute force and torch's own attention."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from pretrain_lib.models.layers import (
    Attention,
    FeedForward,
    GatedFeedForward,
    at_positions,
    one_later,
    rotate,
    rotation,
    visible,
)

DOUBLE = torch.float64


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


class TestVisible:
    @given(texts=st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1,
                          max_size=3),
           window=st.one_of(st.none(), st.integers(0, 6)), causal=st.booleans(),
           masked=st.booleans())
    @settings(max_examples=80, deadline=None)
    def test_by_brute_force(self, texts, window, causal, masked):
        mask = visible(torch.tensor(texts) if masked else None, 5, window, causal=causal)
        if mask is None:
            assert not masked and not causal and (window is None or window >= 4)
            return
        for b, row in enumerate(texts):
            for i in range(5):
                for j in range(5):
                    expected = ((not masked or row[i] == row[j])
                                and (window is None or abs(i - j) <= window)
                                and (not causal or j <= i))
                    assert mask.expand(len(texts), 1, 5, 5)[b, 0, i, j] == expected

    def test_no_row_is_all_false(self):
        """A softmax over nothing is NaN: a known fault of others with rows of padding."""
        padding = torch.zeros(2, 6, dtype=torch.long)
        for window in (None, 0, 2):
            for causal in (False, True):
                assert visible(padding, 6, window, causal=causal).any(-1).all()


class TestRotation:
    @given(distance=st.integers(-40, 40), start=st.integers(0, 500), shift=st.integers(0, 500),
           theta=st.sampled_from([10.0, 1e4, 1.6e5]))
    @settings(max_examples=60, deadline=None)
    def test_the_product_depends_on_the_distance_alone(self, distance, start, shift, theta):
        q, k = randn(1, 1, 1, 8), randn(1, 1, 1, 8, seed=1)

        def product(i, j):
            turned = [rotate(x, rotation(torch.tensor([[place]]), 8, theta, DOUBLE))
                      for x, place in ((q, i), (k, j))]
            return (turned[0] * turned[1]).sum().item()

        start += 40  # so that no position is below 0
        # angles are float32: at position 1000 they are known to 1e-4
        assert product(start, start + distance) == pytest.approx(
            product(start + shift, start + shift + distance), abs=2e-3)

    def test_each_pair_turns_by_its_angle(self):
        theta, size = 100.0, 6
        x = randn(1, 2, 4, size)
        cos, sin = rotation(torch.arange(4)[None], size, theta, DOUBLE)
        turned = rotate(x, (cos, sin))
        for place in range(4):
            for j in range(size // 2):
                angle = place * theta ** (-2 * j / size)
                first, second = x[:, :, place, j], x[:, :, place, j + size // 2]
                expected = (first * math.cos(angle) - second * math.sin(angle),
                            first * math.sin(angle) + second * math.cos(angle))
                assert torch.allclose(turned[:, :, place, j], expected[0], atol=1e-6)
                assert torch.allclose(turned[:, :, place, j + size // 2], expected[1], atol=1e-6)

    def test_lengths_stay_and_distances_matter(self):
        x = randn(1, 1, 9, 8)
        turned = rotate(x, rotation(torch.arange(9)[None], 8, 1e4, DOUBLE))
        assert torch.allclose(turned.norm(dim=-1), x.norm(dim=-1), rtol=1e-6)
        assert (turned[:, :, 1:] - x[:, :, 1:]).abs().amax(-1).min() > 1e-2
        assert torch.equal(turned[:, :, 0], x[:, :, 0])


class TestAttention:
    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize("masked", [True, False])
    def test_it_equals_torchs_with_the_same_weights(self, bias, masked):
        ours = Attention(24, 4, bias, dropout=0.0).double()
        theirs = nn.MultiheadAttention(24, 4, bias=bias, batch_first=True).double()
        with torch.no_grad():
            theirs.in_proj_weight.copy_(ours.qkv.weight)
            theirs.out_proj.weight.copy_(ours.output.weight)
            if bias:
                theirs.in_proj_bias.copy_(ours.qkv.bias)
                theirs.out_proj.bias.copy_(ours.output.bias)
        x = randn(3, 7, 24)
        mask, blocked = None, None
        if masked:
            mask = visible(torch.tensor([[1] * 7, [1] * 4 + [0] * 3, [1, 1, 2, 2, 2, 3, 3]]), 7)
            blocked = (~mask).expand(3, 4, 7, 7).reshape(12, 7, 7)
        answer = ours(x, mask)
        expected, _ = theirs(x, x, x, attn_mask=blocked, need_weights=False)
        assert (answer - expected).abs().max() < 1e-12

    def test_it_is_the_formula(self):
        attention = Attention(8, 2, bias=True, dropout=0.0).double()
        x = randn(1, 5, 8)
        q, k, v = attention.qkv(x)[0].chunk(3, dim=-1)
        heads = []
        for h in (slice(0, 4), slice(4, 8)):
            weight = torch.softmax(q[:, h] @ k[:, h].T / math.sqrt(4), dim=-1)
            heads.append(weight @ v[:, h])
        expected = attention.output(torch.cat(heads, -1))
        assert (attention(x, None)[0] - expected).abs().max() < 1e-12

    def test_weights_are_dropped_in_training_only(self):
        attention, x = Attention(8, 2, bias=False, dropout=0.5).double(), randn(2, 6, 8)
        assert not torch.equal(attention(x, None), attention(x, None))
        attention.eval()
        assert torch.equal(attention(x, None), attention(x, None))


def test_feed_forward_layers_are_their_formulas():
    plain, gated = FeedForward(6, 10).double(), GatedFeedForward(6, 10, dropout=0.0).double()
    x = randn(2, 3, 6)
    inner = F.gelu(x @ plain.up.weight.T + plain.up.bias)
    assert (plain(x) - (inner @ plain.down.weight.T + plain.down.bias)).abs().max() < 1e-12
    first, second = gated.up.weight[:10], gated.up.weight[10:]
    expected = (F.gelu(x @ first.T) * (x @ second.T)) @ gated.down.weight.T
    assert (gated(x) - expected).abs().max() < 1e-12


@given(batch=st.integers(1, 4), length=st.integers(1, 7), slots=st.integers(1, 9),
       seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_at_positions_is_indexing(batch, length, slots, seed):
    hidden = randn(batch, length, 3, seed=seed)
    positions = torch.randint(length, (batch, slots), generator=torch.Generator().manual_seed(seed))
    chosen = at_positions(hidden, positions)
    assert chosen.shape == (batch, slots, 3)
    for b in range(batch):
        for s in range(slots):
            assert torch.equal(chosen[b, s], hidden[b, positions[b, s]])
    assert at_positions(hidden, None) is hidden


@given(texts=st.lists(st.integers(0, 2), min_size=1, max_size=8), masked=st.booleans())
@settings(max_examples=40, deadline=None)
def test_one_later_is_the_state_before_within_a_text(texts, masked):
    hidden = randn(1, len(texts), 3)
    before = one_later(hidden, torch.tensor([texts]) if masked else None)
    for i in range(len(texts)):
        known = i > 0 and (not masked or texts[i] == texts[i - 1])
        expected = hidden[0, i - 1] if known else torch.zeros(3, dtype=DOUBLE)
        assert torch.equal(before[0, i], expected)
