"""Models that answer to a sound with one vector for every few steps of it: its frames.

Shapes: B sounds, T steps of what is heard (spectra, or samples of a wave), T′ frames, D numbers in
a frame's vector. A frame is computed of `window` steps at least, and the next begins `stride` steps
later, so T steps have (T − window) // stride + 1 frames. All that a batch is padded with stands at
the end, and no frame has heard any of it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..validation import require_at_least
from .base import ModelBase
from .layers import mean_over_tokens

FEATURES = ("features", "lengths")
UNSCORED = -100  # a label that no loss counts, as samples have it


class Frames(NamedTuple):
    """Vectors of frames, and which of them are of sound.

    Attributes:
        vectors: (B, T′, D); whatever stands where there is no sound.
        mask: (B, T′) bool, whether a frame is of sound alone, and not of padding.
    """

    vectors: Tensor
    mask: Tensor


def number_of_frames(steps, stride: int, window: int):
    """How many frames so many steps have, a number or (B,): none if there is not one window."""
    if isinstance(steps, Tensor):
        return ((steps - window) // stride + 1).clamp(min=0)
    return max((steps - window) // stride + 1, 0)


def first_of(lengths: Tensor, width: int) -> Tensor:
    """Which of `width` places are the first so many, (B,) to (B, width) bool."""
    return torch.arange(width, device=lengths.device) < lengths[:, None]


class FrameModel(ModelBase):
    """A model that answers with frames; its features are their mean.

    A subclass has `layers_of`, and says its stride and window.

    Attributes:
        stride: steps from one frame to the next.
        window: steps that a frame is computed of at least.
    """

    columns = FEATURES
    stride: int
    window: int

    def layers_of(self, heard: Tensor, lengths: Tensor | None = None,
                  hidden: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """The vectors that enter the first layer, those that each layer gives, and the mask.

        Args:
            heard: (B, T, M) spectra, or (B, T) samples of a wave.
            lengths: (B,) how many steps of each are of sound, and not of padding; None: all are.
            hidden: (B, T′) bool, which frames the model must not hear; a vector that is learned
                stands in their place.

        Returns:
            (B, T′, D) for each layer, and which frames are of sound, (B, T′) bool.
        """
        raise NotImplementedError

    def frames(self, heard: Tensor, lengths: Tensor | None = None,
               hidden: Tensor | None = None, layer: int = -1) -> Frames:
        """The frames as a layer gives them, 0 what enters the first, −1 the last.

        The other arguments are those of `layers_of`.
        """
        vectors, mask = self.layers_of(heard, lengths, hidden)
        return Frames(vectors[layer], mask)

    def forward(self, heard: Tensor, lengths: Tensor | None = None,
                hidden: Tensor | None = None) -> Tensor:
        """The last layer's vectors, (B, T′, D)."""
        return self.frames(heard, lengths, hidden).vectors

    def encode(self, heard: Tensor, lengths: Tensor | None = None,
               layer: int = -1) -> Tensor:
        """Sounds to features (B, D): the mean of a layer's vectors over the frames of sound."""
        return mean_over_tokens(*self.frames(heard, lengths, layer=layer))

    def frame_mask(self, heard: Tensor, lengths: Tensor | None) -> Tensor:
        """Which frames are of sound, (B, T′) bool."""
        frames = number_of_frames(heard.shape[1], self.stride, self.window)
        if lengths is None:
            return torch.ones(len(heard), frames, dtype=torch.bool, device=heard.device)
        return first_of(number_of_frames(lengths, self.stride, self.window), frames)

    def labels_of(self, labels: Tensor, frames: int, every: int = 1) -> Tensor:
        """The label of each frame, (B, T′): the one that holds in the frame's middle.

        Args:
            labels: (B, L), one every so many steps, −100 where there is none.
            frames: T′.
            every: steps from one label to the next: 1 where each step of a spectrum has one, 160
                where waves of 16 kHz have one every 10 ms.
        """
        middle = torch.arange(frames, device=labels.device) * self.stride + self.window // 2
        place = middle // every  # (T′,)
        missing = max(int(place[-1]) + 1 - labels.shape[1], 0) if frames else 0
        return F.pad(labels, (0, missing), value=UNSCORED)[:, place]


class StackedSteps(FrameModel):
    """No model: a frame is its steps of a spectrum, and some before and behind, in a row.

    It is what a model of frames is compared with: a linear layer on it reads a spectrum.

    Args:
        num_mel_bins: numbers in a step, M.
        stride: steps in a frame.
        context: steps on either side of them; 0 where there is no sound.
    """

    def __init__(self, num_mel_bins: int = 40, stride: int = 2, context: int = 0):
        super().__init__()
        self.num_mel_bins, self.context = num_mel_bins, context
        self.stride = self.window = stride
        require_at_least(self, 1, "num_mel_bins", "stride")
        require_at_least(self, 0, "context")
        self.feature_size = (stride + 2 * context) * num_mel_bins

    def layers_of(self, heard: Tensor, lengths: Tensor | None = None,
                  hidden: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """The one layer there is, see `models.frames.FrameModel.layers_of`; nothing is hidden."""
        mask = self.frame_mask(heard, lengths)
        if lengths is not None:
            heard = heard * first_of(lengths, heard.shape[1])[:, :, None]
        wide = F.pad(heard, (0, 0, self.context, self.context + self.stride))
        steps = wide.unfold(1, self.stride + 2 * self.context, self.stride)  # (B, …, M, steps)
        return [steps[:, :mask.shape[1]].transpose(2, 3).flatten(2)], mask


def require_frames(model: nn.Module) -> None:
    """Raises where a model answers with no frames."""
    if not isinstance(model, FrameModel):
        raise ValueError(f"{type(model).__name__} answers with no frames of a sound: give an "
                         "AcousticLSTM, an AcousticTransformer, a Wav2Vec2Model or a HubertModel")
