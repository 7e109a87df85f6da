"""Clips: what a frame, and frames without their order, say of the label; and clips that depend on their number alone."""

from functools import lru_cache

import pytest
import torch

from pretrain_lib import ClipConfig, Clips, Keys
from pretrain_lib.data.scenes.glyphs import load_glyphs
from pretrain_lib.data.scenes.video import PATHS

PLAIN = {"background": 0.0, "noise": 0.0}
TASKS = tuple(PATHS)


@lru_cache
def clips_of(split="train", **settings):
    return Clips(ClipConfig(**settings), split)


def every_clip(task, frames):
    """The number of the pose of each frame, (paths, starts, frames), forwards, from every pose that there is to start at."""
    starts = torch.cartesian_prod(*[torch.arange(frames)] * 4)  # (starts, 4)
    poses = (starts[:, None] + PATHS[task](frames).steps[:, None]) % frames  # (paths, starts, frames, 4)
    return (poses * frames ** torch.arange(4)).sum(3)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("frames", [4, 8])
def test_each_frame_alone_has_every_pose_alike_whatever_the_label(task, frames):
    every = torch.arange(frames**4)
    for path in every_clip(task, frames):
        assert all(torch.equal(frame.sort().values, every) for frame in path.T)  # and so of the same path backwards


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("frames", [5, 8])
def test_without_the_order_of_frames_half_of_the_clips_are_told_right_and_no_more(task, frames):
    """By the best classifier of unordered frames, which knows how often each set of them has each label."""
    clips, paths = every_clip(task, frames), PATHS[task](frames)
    sets = clips.sort(2).values.flatten(0, 1).unique(dim=0, return_inverse=True)[1].view(clips.shape[:2])
    counts = torch.zeros(int(sets.max()) + 1, len(paths.classes), dtype=torch.int64)
    for path, labels in zip(sets, paths.labels, strict=True):
        for label in labels:  # forwards and backwards
            counts[:, label] += path.bincount(minlength=len(counts))
    assert 2 * counts.max(1).values.sum() == counts.sum()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("frames", [5, 8])
def test_with_the_order_every_clip_is_told_right_and_classes_have_as_many_paths(task, frames):
    paths, told = PATHS[task](frames), {}
    for steps, labels in zip(paths.steps, paths.labels, strict=True):
        for label, poses in zip(labels.tolist(), (steps, steps.flip(0)), strict=True):
            told.setdefault(str((poses.diff(dim=0) % frames).tolist()), set()).add(label)
    assert all(len(labels) == 1 for labels in told.values())
    counts = paths.labels.flatten().bincount(minlength=len(paths.classes))
    assert len(counts) == len(paths.classes) and counts.min() == counts.max()


@pytest.mark.parametrize("task", TASKS)
def test_backwards_a_clip_is_one_of_the_same_key_to_the_bit(task):
    clips, keys = clips_of(task=task), Keys.of(0, 6)
    path = torch.arange(6) % len(clips.paths.steps)
    forwards, backwards = (clips.drawn(keys, path, torch.full((6,), way)) for way in (0, 1))
    assert torch.equal(forwards.flip(1), backwards) and not torch.equal(forwards, backwards)


def test_the_motions_are_what_their_names_say():
    """On a digit without noise: shifts, quarter turns and the area of the ink."""
    clips, keys = clips_of(**PLAIN), Keys.of(0, 40)
    starts = (keys.uniform(clips.stream("start"), (4,)) * 8).long()

    def clip(name):
        label = clips.classes.index(name)
        return clips.drawn(keys, torch.full((40,), label // 2), torch.full((40,), label % 2))[:, :, 0]

    for name, axis, shift in (("right", 2, 3), ("left", 2, -3), ("down", 1, 3), ("up", 1, -3)):
        frames = clip(name)
        assert all(torch.equal(frames[:, t + 1], frames[:, t].roll(shift, axis)) for t in range(7))
    for name, turns in (("clockwise", -1), ("anticlockwise", 1)):
        frames = clip(name)
        for one, start in zip(frames, starts):
            home = one.roll((-3 * int(start[1]), -3 * int(start[0])), (1, 2))  # to the middle, where a picture is turned about
            for t in range(6):
                torch.testing.assert_close(home[t + 2], home[t].rot90(turns), rtol=0, atol=1e-5)
    for name, sign in (("grow", 1), ("shrink", -1)):
        area = clip(name).sum((2, 3))
        up = (sign * area.diff() > 0).sum(1)
        assert (up >= 6).all()  # once the largest is followed by the smallest


def test_an_upright_digit_in_the_middle_is_that_of_mnist():
    clips, digits = clips_of(**PLAIN, size=28, frames=4, digit=(28, 28)), load_glyphs("digits", "train").pictures
    still = clips.ink(digits[:5].float() / 255, torch.zeros(5, 4, 4, dtype=torch.int64))
    torch.testing.assert_close(still, (digits[:5].float() / 255)[:, None].expand(-1, 4, -1, -1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("split", ["train", "test", "shift"])
@pytest.mark.parametrize("settings", [{}, {"task": "events", "frames": 6, "size": 30, "digit": (14, 20)}])
def test_shapes_ranges_and_a_clip_is_the_same_in_any_company(split, settings):
    clips = clips_of(split, **settings)
    samples = clips.take(Keys.of(3, [5, 9, 2], epoch=1))
    assert samples["clips"].shape == (3, *clips.clip_shape) and samples["clips"].dtype == torch.float32
    assert samples["clips"].min() >= 0 and samples["clips"].max() <= 1
    assert samples["labels"].dtype == torch.int64
    alone = clips.take(Keys.of(0, [9]))
    assert torch.equal(alone["clips"][0], samples["clips"][1]) and alone["labels"][0] == samples["labels"][1]
    other = Clips(ClipConfig(**{**settings, "seed": 1}), split).take(Keys.of(0, [9]))
    assert not torch.equal(other["clips"], alone["clips"])


def test_all_labels_are_drawn_alike():
    assert clips_of(**PLAIN).take(Keys.of(0, 400))["labels"].bincount(minlength=8).min() > 30


def test_splits_share_no_digit_and_the_photograph_stays_where_it_is():
    train, test = (clips_of(split, noise=0.0) for split in ("train", "test"))
    assert not {one.numpy().tobytes() for one in train.digits} & {one.numpy().tobytes() for one in test.digits}
    assert not torch.equal(train.take(Keys.of(0, 2))["clips"], test.take(Keys.of(0, 2))["clips"])
    behind = train.backgrounds(Keys.of(0, 20))
    clips = train.take(Keys.of(0, 20))["clips"][:, :, 0]
    assert behind.max() <= 0.5 and (clips >= behind[:, None] - 1e-6).all()  # the digit is white
    assert ((clips - behind[:, None]).abs() < 1e-6).float().mean() > 0.5


@pytest.mark.parametrize("wrong, said", [
    ({"task": "motion"}, "task must be one of motions, events, speeds, got 'motion'"),
    ({"frames": 3}, "frames must be an integer of at least 4, got 3"),
    ({"size": 20}, "size must be a multiple of frames=8, got 20"),
    ({"digit": (14, 30)}, r"digit must be a lowest and a highest whole number from 14 up to 24, the scene's size, got \(14, 30\)"),
    ({"background": 1.5}, "background must be between 0 and 1, got 1.5"),
    ({"noise": -0.1}, "noise must be at least 0, got -0.1"),
    ({"number": 0}, "number must be an integer of at least 1, got 0"),
    ({"task": "speeds", "frames": 6}, "frames must be at least 5 and no multiple of 3 for task='speeds', got 6"),
    ({"task": "speeds", "frames": 4}, "frames must be at least 5"),
    ({"seed": -1}, "seed must be between 0 and"),
])
def test_what_a_configuration_must_be_is_said(wrong, said):
    with pytest.raises(ValueError, match=said):
        ClipConfig(**wrong)


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="split must be one of train, test, shift, got 'all'"):
        Clips(ClipConfig(), "all")
