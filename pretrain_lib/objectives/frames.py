"""Masked frames: hide stretches of a sound, predict what was heard there, or of which kind it was.

Hsu et al., "HuBERT: self-supervised speech representation learning by masked prediction of hidden
units", 2021, which predicts clusters of frames that k-means has found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.source import UNSCORED, Samples
from ..models.base import start_at_zero
from ..models.frames import number_of_frames, require_frames
from ..validation import is_a, require, require_at_least, require_kinds
from .base import Batch, Objective, take_column
from .reconstruction import half_squared_error
from .self_distillation import PrototypeHead
from .sound import LENGTHS, frames_of, heard_of

Targets = Literal["features", "clusters"]
TEMPERATURE = 0.1  # of the cosines with clusters
CLUSTERS = "clusters"  # the column with each frame's


def span_mask(keys: Keys, lengths: Tensor, frames: int, ratio: float, span: int) -> Tensor:
    """Hides exactly round(ratio · frames) frames of each sound, in spans that do not overlap.

    All orders of spans and visible frames are equally likely, so spans may meet; one of a sound's
    spans may be shorter, and frames near its ends are hidden less often. At least one frame is
    hidden, and at least one is not. Where beginnings are drawn instead, spans overlap: with 6.5 of
    100 frames and spans of 10 about 49 % are hidden (wav2vec 2.0: Baevski et al., NeurIPS 2020,
    section 4.2).

    Args:
        keys: keys of B samples.
        lengths: (B,) frames of each sound.
        frames: T′, those of the longest, and padding.
        ratio: share of a sound's frames to hide, strictly between 0 and 1.
        span: frames hidden together.

    Returns:
        (B, T′) bool, True where hidden; False in the padding.
    """
    chance = keys.uniform("hidden", (frames,)).numpy()
    hidden = np.zeros((len(keys), frames), dtype=bool)
    for row, length in enumerate(lengths.tolist()):
        number = min(max(round(ratio * length), 1), length - 1)
        spans = [span] * (number // span) + [number % span] * (number % span > 0)
        widths = np.array([1] * (length - number) + spans)
        order = chance[row, :len(widths)].argsort(kind="stable")
        hidden[row, :length] = np.repeat(order >= length - number, widths[order])
    return torch.from_numpy(hidden)


@dataclass(frozen=True)
class MaskedFramesConfig:
    """Settings of `MaskedFrames`.

    Attributes:
        frame_size: numbers in the vectors of the model's frames.
        target_size: numbers that are predicted of a frame: of features stride · M, of clusters how
            many there are.
        targets: "features", all steps of a hidden frame; "clusters", its cluster.
        ratio: share of a sound's frames to hide, strictly between 0 and 1.
        span: frames hidden together.
        stride: steps from one frame of the model to the next.
        window: steps that a frame is made of; 0 for as many as the stride.
        column: what is heard.
        seed: of the first weights that compare with clusters.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    frame_size: int
    target_size: int
    targets: Targets = "features"
    ratio: float = 0.5
    span: int = 10
    stride: int = 2
    window: int = 0
    column: str = "features"
    seed: int = 0

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, 1, "frame_size", "target_size", "span", "stride")
        require_at_least(self, 0, "window")
        fits = is_a(float, self.ratio) and 0 < self.ratio < 1
        require(fits, "ratio", self.ratio, "strictly between 0 and 1")


class MaskedFrames(Objective):
    """Hides stretches of a sound and scores the model on the hidden frames only.

    The model is asked for `frames`, and told which of them it must not hear. Of these it has to say
    either what was heard there, step by step, by a linear layer, or to which cluster the frame
    belongs. Then the source has the column `clusters`, (B, T′), −100 where there is none; the
    answer is a softmax of cosines with a learned vector for each cluster, divided by 0.1 (Hsu
    et al., section II-E, equation 3).

    Args:
        frame_size: numbers in the vectors of the model's frames.
        target_size: numbers that are predicted of a frame: of features stride · M, of clusters how
            many there are.
        targets: "features", all steps of a hidden frame; "clusters", its cluster.
        ratio: share of a sound's frames to hide, strictly between 0 and 1.
        span: frames hidden together.
        stride: steps from one frame of the model to the next.
        window: steps that a frame is made of; 0 for as many as the stride.
        column: what is heard.
        seed: of the first weights that compare with clusters.

    Raises:
        ValueError: naming the argument, its value and what is allowed.
    """

    config_class = MaskedFramesConfig

    def __init__(self, frame_size: int, target_size: int, targets: Targets = "features",
                 ratio: float = 0.5, span: int = 10, stride: int = 2, window: int = 0,
                 column: str = "features", seed: int = 0):
        config = MaskedFramesConfig(frame_size, target_size, targets, ratio, span, stride, window,
                                    column, seed)
        super().__init__()
        self.config = config
        self.window = window or stride
        if targets == "features":
            self.head = nn.Linear(frame_size, target_size)
            start_at_zero(self.head)
        else:
            self.head = PrototypeHead((frame_size, frame_size), target_size, "layer", seed)

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        config = self.config
        heard, lengths = heard_of(samples, config.column)
        number = frames_of(lengths, keys, config.stride, self.window)  # (B,)
        frames = number_of_frames(heard.shape[1], config.stride, self.window)  # T′
        hidden = span_mask(keys, number, frames, config.ratio, config.span)
        inputs = {config.column: heard, LENGTHS: lengths, "hidden": hidden}
        if config.targets == "features":
            steps = heard[:, :frames * config.stride].unflatten(1, (frames, -1)).flatten(2)
            self.check_size(steps)
            return Batch(inputs, {"features": steps},  # (B, T′, stride · M)
                         {"masked_features": int(hidden.sum()) * config.target_size})
        clusters = self.clusters(samples, frames).masked_fill(~hidden, UNSCORED)  # (B, T′)
        if clusters.max() >= config.target_size:
            raise ValueError(f"target_size must be above {clusters.max()}, a cluster that there "
                             f"is, got {config.target_size}")
        return Batch(inputs, {CLUSTERS: clusters},
                     {"masked_clusters": int((clusters != UNSCORED).sum())})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        hidden = batch.inputs["hidden"]
        vectors = self.vectors(model, batch)[hidden]  # (hidden frames, D)
        if self.config.targets == "features":
            target = batch.targets["features"][hidden]
            return {"masked_features": half_squared_error(self.head(vectors), target)}
        cosines = self.head(vectors).to(torch.promote_types(vectors.dtype, torch.float32))
        loss = F.cross_entropy(cosines / TEMPERATURE, batch.targets[CLUSTERS][hidden],
                               reduction="sum", ignore_index=UNSCORED)
        return {"masked_clusters": loss}

    def clusters(self, samples: Samples, frames: int) -> Tensor:
        """The cluster of each frame, (B, T′), −100 where there is none."""
        clusters = take_column(samples, CLUSTERS).long()
        if clusters.ndim != 2 or clusters.shape[1] > frames:
            raise ValueError(f"{CLUSTERS} must be (B, {frames}), one for each frame of the model, "
                             f"got {tuple(clusters.shape)}")
        return F.pad(clusters, (0, frames - clusters.shape[1]), value=UNSCORED)

    def vectors(self, model: nn.Module, batch: Batch) -> Tensor:
        """What the model makes of the frames, (B, T′, D), some of which it does not hear."""
        require_frames(model)
        if (model.stride, model.window) != (self.config.stride, self.window):
            raise ValueError(f"stride and window must be the model's, {model.stride} and "
                             f"{model.window}, got {self.config.stride} and {self.window}")
        vectors = model.frames(batch.inputs[self.config.column], batch.inputs[LENGTHS],
                               hidden=batch.inputs["hidden"]).vectors
        if vectors.shape[2] != self.config.frame_size:
            raise ValueError(f"frame_size must be {vectors.shape[2]}, as many as the numbers of "
                             f"the model's frames, got {self.config.frame_size}")
        return vectors

    def check_size(self, steps: Tensor) -> None:
        """Raises where a frame has another number of numbers than are to be predicted."""
        if steps.shape[2] != self.config.target_size:
            raise ValueError(f"target_size must be {steps.shape[2]}, the numbers in "
                             f"{self.config.stride} steps of {self.config.column}, got "
                             f"{self.config.target_size}")
