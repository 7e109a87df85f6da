"""Masked video: hide tubelets, predict their pixels (Tong et al., NeurIPS 2022, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..data.keys import Keys
from ..data.source import Samples
from ..models.tubelets import tubelets, untubelets
from ..validation import require_at_least
from .base import Batch, take_column
from .masked_image import MaskedImage, MaskedImageConfig, patch_mask

Hidden = Literal["tubes", "end"]


@dataclass(frozen=True)
class MaskedVideoConfig(MaskedImageConfig):
    """Settings of `MaskedVideo`.

    Attributes:
        ratio: fraction of a clip to hide, strictly between 0 and 1.
        patch: side of a tubelet in pixels.
        normalize: whether to predict each tubelet's pixels less their mean, over their deviation.
        tubelet: frames that a tubelet goes through.
        hide: "tubes", patches through all frames; "end", all patches of the last frames.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    ratio: float = 0.9
    patch: int = 6
    normalize: bool = True
    tubelet: int = 2
    hide: Hidden = "tubes"

    def __post_init__(self):
        super().__post_init__()
        require_at_least(self, 1, "tubelet")


class MaskedVideo(MaskedImage):
    """Hides a part of a clip and scores the model on the hidden pixels only.

    Of "tubes", a patch that is hidden in one frame is hidden in all: else what hardly moves could
    be copied from the frame before (ibid., "tube masking"). To hide the "end" is to ask for the
    next frames (Srivastava, Mansimov and Salakhutdinov, "Unsupervised learning of video
    representations using LSTMs", ICML 2015, section 2.2).

    The model is called as `model(clips, mask)`, with the hidden pixels set to 0 and a mask
    (B, T, 1, H, W) that is 1 where they were, such as a `VideoMAEForPreTraining`. Normalised
    targets are so in each tubelet, each channel by itself.

    Args:
        ratio: fraction of a clip to hide, strictly between 0 and 1.
        patch: side of a tubelet in pixels; must divide the frames' height and width.
        normalize: whether the targets are normalised in each tubelet.
        tubelet: frames that a tubelet goes through; must divide those of a clip.
        hide: which part, "tubes" or "end".

    Raises:
        ValueError: for a ratio outside (0, 1), a patch below 1 (below 2 with `normalize`), or
            tubelets that do not fit.
    """

    config_class = MaskedVideoConfig
    column = "clips"

    def __init__(self, ratio: float = 0.9, patch: int = 6, normalize: bool = True,
                 tubelet: int = 2, hide: Hidden = "tubes"):
        MaskedVideoConfig(ratio, patch, normalize, tubelet, hide)  # refuses what is not allowed
        super().__init__(ratio, patch, normalize)
        self.tubelet = tubelet
        self.hide = hide

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        clips = take_column(samples, "clips")  # (B, T, C, H, W)
        if clips.ndim != 5 or not clips.is_floating_point():
            raise ValueError("clips must be (B, T, C, H, W) and float to be cut into tubelets, got "
                             f"{tuple(clips.shape)} and {clips.dtype}")
        mask = self.mask(keys, clips.shape)
        counts = {"masked_pixels": mask.sum().item() * clips.shape[2]}
        inputs = {"clips": clips * (1 - mask), "mask": mask}
        return Batch(inputs, {"clips": self.target(clips)}, counts)

    def mask(self, keys: Keys, shape: tuple[int, ...]) -> Tensor:
        """What is hidden of clips of that shape: (B, T, 1, H, W) float32, 1 where hidden."""
        frames, _, height, width = shape[1:]
        across = (height // self.patch) * (width // self.patch)
        parts = {"tubes": across, "end": frames // self.tubelet}[self.hide]
        if frames % self.tubelet or height % self.patch or width % self.patch or parts < 2:
            raise ValueError(f"tubelets of {self.tubelet} × {self.patch} × {self.patch} pixels do "
                             f"not tile a clip of {frames} × {height} × {width}: choose divisors "
                             f"that leave at least two to hide {self.hide!r} of")
        if self.hide == "tubes":
            hidden = patch_mask(keys, height, width, self.patch, self.ratio)[:, None]
        else:
            shown = frames - self.tubelet * min(max(round(self.ratio * parts), 1), parts - 1)
            hidden = (torch.arange(frames) >= shown).float()[:, None, None, None]
        return hidden.expand(len(keys), frames, 1, height, width)

    def mean_and_deviation(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Those of each tubelet and channel at each of its pixels: two of (B, T, C, H, W)."""
        pixels = tubelets(clips, self.tubelet, self.patch).unflatten(2, (-1, clips.shape[2]))
        variance, mean = torch.var_mean(pixels, dim=2, keepdim=True)  # (B, N, 1, C)
        return tuple(untubelets(each.expand_as(pixels).flatten(2), self.tubelet, self.patch,
                                clips.shape) for each in (mean, variance.sqrt() + 1e-6))
