"""A head that writes what is said: scores of symbols at each frame of a sound."""

from __future__ import annotations

from torch import Tensor, nn

from ..validation import require_at_least
from .base import start_at_zero
from .frames import FrameModel, Frames, require_frames


class Transcriber(FrameModel):
    """Scores of symbols at each frame: an encoder of sound under a linear layer.

    An encoder that is frozen, none of whose weights asks for a gradient, stays in evaluation mode
    while the rest trains.

    Args:
        encoder: a model of frames; it becomes a part of this one.
        num_symbols: number of symbols, which are 1, 2, …; 0 is the blank, which says none.
    """

    def __init__(self, encoder: nn.Module, num_symbols: int):
        super().__init__()
        require_frames(encoder)
        self.encoder, self.num_symbols = encoder, num_symbols
        require_at_least(self, 1, "num_symbols")
        self.columns, self.stride, self.window = encoder.columns, encoder.stride, encoder.window
        first = next(encoder.parameters())
        self.head = nn.Linear(encoder.feature_size, num_symbols + 1).to(first.device, first.dtype)
        start_at_zero(self.head)

    @property
    def feature_size(self) -> int:
        return self.encoder.feature_size

    def layers_of(self, heard: Tensor, lengths: Tensor | None = None,
                  hidden: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """The encoder's, see `models.frames.FrameModel.layers_of`."""
        return self.encoder.layers_of(heard, lengths, hidden)

    def forward(self, heard: Tensor, lengths: Tensor | None = None) -> Frames:
        """Logits of the blank and each symbol, (B, T′, 1 + num_symbols), and the mask."""
        vectors, mask = self.encoder.frames(heard, lengths)
        return Frames(self.head(vectors), mask)

    def with_classifier(self, num_labels: int, seed: int = 0) -> nn.Module:
        return self.encoder.with_classifier(num_labels, seed)

    def train(self, mode: bool = True) -> Transcriber:
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.encoder.parameters()):
            self.encoder.eval()
        return self

    def to_config(self) -> dict:
        return {"encoder": self.encoder, "num_symbols": self.num_symbols}

    @classmethod
    def from_config(cls, fields: dict) -> Transcriber:
        return cls(**fields)
