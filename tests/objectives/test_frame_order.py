"""Frames in and out of order, by key, told apart by a head that the objective owns."""

import math
from collections import Counter

import clips
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import pretrain_lib as pl
from pretrain_lib import FrameOrder, Keys
from pretrain_lib.objectives.frame_order import wrong_order


@given(n=st.integers(1, 30), frames=st.integers(3, 9), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_a_wrong_order_is_one_of_all_frames_and_neither_the_true_one_nor_its_reverse(n, frames, seed):
    for order in wrong_order(Keys.of(seed, n), frames).tolist():
        assert sorted(order) == list(range(frames))
        assert order not in (list(range(frames)), list(range(frames))[::-1])


def test_every_other_order_is_drawn():
    found = Counter(map(tuple, wrong_order(Keys.of(0, 6000), 4).tolist()))
    assert len(found) == math.factorial(4) - 2 and min(found.values()) > 180  # of 6 000 each has 250, and two have 500


def test_each_clip_is_shown_as_its_key_says_and_half_are_in_order():
    objective, source, keys = FrameOrder(12), pl.Columns(clips=clips.noise(400)), Keys.of(0, 400)
    batch = objective.batch(source.take(keys), keys)
    shuffled = batch.targets["shuffled"]
    assert batch.counts == {"frame_order": 400} and 170 < shuffled.sum() < 230
    for shown, clip, out in zip(batch.inputs["clips"], source.clips, shuffled, strict=True):
        frames = [next(t for t in range(4) if torch.equal(one, clip[t])) for one in shown]
        assert sorted(frames) == [0, 1, 2, 3] and (frames == [0, 1, 2, 3]) == (out == 0) and frames != [3, 2, 1, 0]
    some = Keys.of(0, [7, 3, 3])
    again = objective.batch(source.take(some), some)
    assert torch.equal(again.inputs["clips"], batch.inputs["clips"][[7, 3, 3]]) and torch.equal(again.targets["shuffled"], shuffled[[7, 3, 3]])
    later = Keys.of(0, 400, epoch=1)
    assert not torch.equal(objective.batch(source.take(later), later).targets["shuffled"], shuffled)


def test_the_loss_is_the_heads_cross_entropy_and_begins_at_chance():
    objective, model, keys = FrameOrder(12), clips.model(), Keys.of(0, 12)
    batch = objective.batch({"clips": clips.noise()}, keys)
    assert objective(model, batch)["frame_order"].item() == pytest.approx(12 * math.log(2), rel=1e-6)
    torch.nn.init.normal_(objective.head.weight, generator=torch.Generator().manual_seed(0))
    expected = F.cross_entropy(objective.head(model.encode(batch.inputs["clips"])), batch.targets["shuffled"], reduction="sum")
    torch.testing.assert_close(objective(model, batch)["frame_order"], expected)


def test_several_ranks_sum_to_one():
    objective = FrameOrder(12).double()
    torch.nn.init.normal_(objective.head.weight, generator=torch.Generator().manual_seed(0))
    clips.assert_parts_add_up(clips.model().encoder.double(), objective, pl.Columns(clips=clips.noise(dtype=torch.double)))


def test_it_learns_the_order_of_what_grows_brighter():
    source = pl.Columns(clips=clips.noise(200) * torch.linspace(0, 1, 4).view(4, 1, 1, 1))
    config = pl.TrainConfig(steps=80, batch_size=32, learning_rate=0.01, device="cpu")
    trainer = pl.Trainer(clips.model().encoder, FrameOrder(12), source, config)
    trainer.fit()
    assert trainer.evaluate(source)["loss"] < 0.5 * math.log(2)


def test_frames_that_are_all_alike_tell_nothing():
    objective, keys = FrameOrder(12), Keys.of(0, 8)
    torch.nn.init.normal_(objective.head.weight, generator=torch.Generator().manual_seed(0))
    still = clips.noise(8)[:, :1].expand(-1, 4, -1, -1, -1)
    batch = objective.batch({"clips": still}, keys)
    assert torch.equal(batch.inputs["clips"], still)


def test_what_has_no_wrong_order_is_refused():
    for shape in ((2, 2, 1, 8, 8), (2, 8, 8, 8)):
        with pytest.raises(ValueError, match=r"clips must be \(B, T, C, H, W\) with at least 3 frames"):
            FrameOrder(12).batch({"clips": torch.rand(shape)}, Keys.of(0, 2))
    with pytest.raises(ValueError, match="the source has no column 'clips'; its columns are images"):
        FrameOrder(12).batch({"images": torch.rand(2, 3, 8, 8)}, Keys.of(0, 2))
    with pytest.raises(ValueError, match="feature_size must be an integer of at least 1, got 0"):
        FrameOrder(0)
    with pytest.raises(ValueError, match="feature_size must be 12, as many as the model's features, got 13"):
        FrameOrder(13)(clips.model(), FrameOrder(13).batch({"clips": clips.noise()}, Keys.of(0, 12)))
