"""Are these frames in order? Who can say it has to see what moves, and how."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.keys import Keys
from ..data.source import Samples
from .base import Batch, take_column
from .which_change import WhichChange


class FrameOrder(WhichChange):
    """Shows clips as they are or with their frames out of order, and asks which it is.

    Its key says of each clip, anew in each epoch, whether it is shuffled, which is as likely as
    not, and how: in any order but the true one and its reverse. Backwards is no wrong order: what
    moved to the right then moves to the left, which is as good a clip as the first. At random the
    answer loses log 2 nats.

    The paper shows three frames of a clip, of which two are far apart; here all frames are shown.

    Args:
        feature_size: numbers in the model's features.

    Raises:
        ValueError: for a size below 1.

    Source: Misra, Zitnick and Hebert, "Shuffle and learn: unsupervised learning using temporal
    order verification", ECCV 2016, section 3.
    """

    ways = 2

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        clips = take_column(samples, "clips")  # (B, T, C, H, W)
        if clips.ndim != 5 or clips.shape[1] < 3:
            raise ValueError("clips must be (B, T, C, H, W) with at least 3 frames, for two have "
                             f"no wrong order but the reverse, got {tuple(clips.shape)}")
        shuffled = keys.uniform("shuffled") < 0.5  # (B,)
        order = torch.arange(clips.shape[1]).where(~shuffled[:, None],
                                                   wrong_order(keys, clips.shape[1]))
        shown = clips[torch.arange(len(clips))[:, None], order]
        return Batch({"clips": shown}, {"shuffled": shuffled.long()}, {"frame_order": len(clips)})


def wrong_order(keys: Keys, frames: int) -> Tensor:
    """For each key an order of the frames, (B, T): neither the true one nor its reverse.

    Where one of these is drawn, its first two frames change places.
    """
    order = keys.permutation("frame order", frames)  # (B, T)
    true = torch.arange(frames)
    right = (order == true).all(1) | (order == true.flip(0)).all(1)
    swapped = torch.cat([order[:, :2].flip(1), order[:, 2:]], dim=1)
    return swapped.where(right[:, None], order)
