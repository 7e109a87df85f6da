"""Clips of a digit that moves on a faint photograph, drawn when asked for.

A pose has four numbers: column, row, angle and size. Each has as many values as a clip has frames,
and the last is followed by the first: a digit that leaves on one side comes back on the other, one
that turns comes round, and one that has grown to the largest size begins again at the smallest.
Every clip starts at a pose drawn from all of them alike. So every frame of every clip, taken alone,
has any pose with the same chance, whatever the label: one frame says nothing of it.

A clip is drawn forwards along a path of poses, and then shown forwards or backwards. Every label
has another whose clips show the same frames, with the same chances, in another order. So who does
not see the order is right half of the time at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import gcd, pi
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ...validation import require, require_at_least, require_kinds
from ..images.augment import affine, warp
from ..keys import Keys
from ..source import Samples
from .draw import between, luminance
from .glyphs import FRAME, load_glyphs
from .photographs import SPLITS, parts
from .scenes import require_range

Task = Literal["motions", "events", "speeds"]
NUMBERS = ("column", "row", "angle", "size")  # of a pose
FAST = 3  # poses that a fast motion goes on by, from frame to frame


class Paths(NamedTuple):
    """How poses change in a clip, and what is asked of it.

    Attributes:
        steps: (P, T, 4) int64, how many values a pose's numbers have gone on at each frame.
        labels: (P, 2) int64, the class of each path forwards, and of it backwards.
        classes: name of each class.
    """

    steps: Tensor
    labels: Tensor
    classes: tuple[str, ...]


def motions(frames: int) -> Paths:
    """One number goes through all its values: which, and in which direction?"""
    steps = torch.arange(frames)[:, None] * torch.eye(4, dtype=torch.int64)[:, None]
    classes = ("right", "left", "down", "up", "clockwise", "anticlockwise", "grow", "shrink")
    return Paths(steps, torch.arange(8).view(4, 2), classes)


def events(frames: int) -> Paths:
    """One number changes in the first half and another in the second: which was first?"""
    frame = torch.arange(frames)
    first, second = frame.clamp(max=(frames - 1) // 2), (frame - frames // 2).clamp(min=0)
    steps, labels = [], []
    for a, b in torch.combinations(torch.arange(4)).tolist():
        for sign in (1, -1):
            path = torch.zeros(frames, 4, dtype=torch.int64)
            path[:, a], path[:, b] = first, sign * second
            steps.append(path)
            labels.append([a, b])
    return Paths(torch.stack(steps), torch.tensor(labels), NUMBERS)


def speeds(frames: int) -> Paths:
    """One number goes through all its values, the next or the third next at a time: how fast?"""
    slow = motions(frames).steps
    labels = torch.tensor([0, 1]).repeat_interleave(4)[:, None].expand(-1, 2)
    return Paths(torch.cat([slow, FAST * slow]), labels, ("slow", "fast"))


PATHS: dict[str, Callable[[int], Paths]] = {
    "motions": motions, "events": events, "speeds": speeds,
}


@dataclass(frozen=True)
class ClipConfig:
    """What is drawn.

    Attributes:
        task: what the label says. "motions": which of eight motions a clip shows. "events": which
            number of the pose changed first. "speeds": whether it went through the poses one by
            one, or to every third.
        frames: of a clip, at least 4; for "speeds" 5 or more, and no multiple of 3: else the fast
            ones would miss poses, or be slow ones that go backwards.
        size: side of a frame in pixels, a multiple of `frames`, so that steps are whole pixels.
        digit: smallest and largest side of the square in which a digit lies, in pixels; its ink
            fills 20/28 of it. At least 14, where strokes are two pixels wide.
        background: how much of a photograph lies behind, 0 to 1.
        noise: standard deviation of what is added to each pixel, anew in each frame, at least 0.
        number: how many clips there are.
        seed: which clips.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    task: Task = "motions"
    frames: int = 8
    size: int = 24
    digit: tuple[int, int] = (14, 24)
    background: float = 0.5
    noise: float = 0.05
    number: int = 4000
    seed: int = 0

    def __post_init__(self):
        limits = self.digit
        object.__setattr__(self, "digit", tuple(limits) if isinstance(limits, list) else limits)
        require_kinds(self)
        require_at_least(self, 4, "frames")
        require_at_least(self, 1, "size", "number")
        require(self.size % self.frames == 0, "size", self.size,
                f"a multiple of frames={self.frames}")
        require_range("digit", self.digit, FRAME // 2, self.size)
        require(0 <= self.background <= 1, "background", self.background, "between 0 and 1")
        require(self.noise >= 0, "noise", self.noise, "at least 0")
        require(0 <= self.seed < 2**32, "seed", self.seed, "between 0 and 2**32 - 1")
        speeds = self.frames > FAST + 1 and gcd(FAST, self.frames) == 1
        require(self.task != "speeds" or speeds, "frames", self.frames,
                f"at least {FAST + 2} and no multiple of {FAST} for task='speeds'")


class Clips:
    """A source of clips, of which none is stored.

    A clip is a function of the configuration, the split and its own number: the same in every
    epoch, in every run, and beside any others. It shows one handwritten digit in white on a faint
    grey photograph, which stays where it is. Paths are drawn alike, and each class has as many.

    Args:
        config: what is drawn.
        split: "train", "test" or "shift". "test" has other digits and other parts of the two
            photographs; "shift" has those digits on a photograph of its own.

    Raises:
        ValueError: for an unknown split.
    """

    def __init__(self, config: ClipConfig, split: str = "train"):
        require(split in SPLITS, "split", split, f"one of {', '.join(SPLITS)}")
        self.config = config
        self.split = split
        self.paths = PATHS[config.task](config.frames)
        self.classes = list(self.paths.classes)
        self.digits = load_glyphs("digits", "train" if split == "train" else "test").pictures
        photographs = parts(split, config.size).permute(0, 2, 3, 1)
        self.photographs = luminance(photographs)  # (P, H, W)

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """(T, C, H, W)."""
        return (self.config.frames, 1, self.config.size, self.config.size)

    def __len__(self) -> int:
        return self.config.number

    def take(self, keys: Keys) -> Samples:
        """The clips that the keys name.

        Returns:
            `clips` (B, T, 1, S, S) float32 in [0, 1] and `labels` (B,).
        """
        keys = Keys.of(self.config.seed, keys.sample)
        path, direction = keys.uniform(self.stream("path"), (2,)).unbind(1)
        path = (path * len(self.paths.steps)).long()
        backwards = (direction * 2).long()  # (B,)
        clips = self.drawn(keys, path, backwards)
        return {"clips": clips, "labels": self.paths.labels[path, backwards]}

    def drawn(self, keys: Keys, path: Tensor, backwards: Tensor) -> Tensor:
        """The clips of some keys along the paths (B,), forwards (0) or backwards (1), (B,)."""
        frames, size = self.config.frames, self.config.size
        start = (keys.uniform(self.stream("start"), (4,)) * frames).long()  # (B, 4)
        poses = (start[:, None] + self.paths.steps[path]) % frames  # (B, T, 4)
        which = (keys.uniform(self.stream("digit")) * len(self.digits)).long()
        ink = self.ink(self.digits[which].float() / 255, poses)  # (B, T, S, S)
        clips = between(self.backgrounds(keys)[:, None], torch.ones(()), ink)
        noise = keys.normal(self.stream("noise"), (frames, size, size))
        clips = (clips + self.config.noise * noise).clamp(0, 1)[:, :, None]
        return torch.where(backwards.view(-1, 1, 1, 1, 1) == 1, clips.flip(1), clips)

    def stream(self, use: str) -> str:
        """The name of the random numbers for a use; each split has its own."""
        return f"clips.{self.split}.{use}"

    def backgrounds(self, keys: Keys) -> Tensor:
        """A faint part of a photograph for each clip, (B, S, S)."""
        size = self.config.size
        windows = self.photographs.unfold(1, size, 1).unfold(2, size, 1)  # (P, rows, columns, …)
        chance = keys.uniform(self.stream("photograph"), (3,))
        at = (chance * torch.tensor(windows.shape[:3])).long()
        return self.config.background * windows[tuple(at.unbind(1))]

    def ink(self, digits: Tensor, poses: Tensor) -> Tensor:
        """Digits (B, 28, 28) in the poses (B, T, 4), on black: (B, T, S, S)."""
        frames, size = self.config.frames, self.config.size
        canvas = max(FRAME, size)
        margin = canvas - FRAME
        digits = F.pad(digits, (margin // 2, margin - margin // 2) * 2)  # (B, K, K)
        column, row, angle, side = poses.flatten(0, 1).unbind(1)  # (B · T,)
        low, high = self.config.digit
        scale = FRAME / (low + (high - low) * side / (frames - 1))
        turn = 2 * pi * angle / frames  # clockwise, as rows are counted downwards
        cos, sin, none = turn.cos() * scale, turn.sin() * scale, torch.zeros_like(scale)
        turned = warp(digits.repeat_interleave(frames, 0)[:, None],
                      affine(cos, sin, -sin, cos, none, none))[:, 0]
        edge = (canvas - size) // 2
        turned = turned[:, edge:edge + size, edge:edge + size]  # (B · T, S, S)
        place, step = torch.arange(size), size // frames
        rows = (place - step * row[:, None]) % size  # (B · T, S), where each is read
        columns = (place - step * column[:, None]) % size
        moved = turned.gather(1, rows[:, :, None].expand(-1, -1, size))
        return moved.gather(2, columns[:, None].expand(-1, size, -1)).unflatten(0, poses.shape[:2])
