"""Speech that a recipe trains on: a split of a data set, and another one that is held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...validation import require, require_at_least, require_kinds
from ..source import Data, alone
from .dataset import SpeechDataset
from .features import MelConfig
from .load import load_speech
from .room import Room


@dataclass(frozen=True)
class SpeechConfig:
    """Which speech, and what is read of it.

    Attributes:
        name: what `load_speech` takes: "phrases", "words", a folder, "hub:owner/name".
        split: the split to train on.
        held_out: the split to hold out.
        config: the Hub's configuration of the data set; "" where it has one only.
        hours: of a folder or the Hub, take as much of each split at most; 0 takes all.
        column: where a table or the Hub has transcripts.
        voice: where it says who speaks.
        num_mel_bins: bands of the log-mel spectrogram; 0 takes the waves themselves.
        echoes_and_noise: whether clips are heard in a room.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    name: str = "phrases"
    split: str = "train"
    held_out: str = "test"
    config: str = ""
    hours: float = 0.0
    column: str = "text"
    voice: str = "speaker_id"
    num_mel_bins: int = 40
    echoes_and_noise: bool = False

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, 0, "num_mel_bins")
        require(self.hours >= 0, "hours", self.hours, "at least 0")


class SpeechData(Data):
    """Clips of speech, in two splits.

    Args:
        config: which, and what is read of them.
        training: those to train on.
        held_out: those held out.
    """

    config_class = SpeechConfig

    def __init__(self, config: SpeechConfig, training: SpeechDataset, held_out: SpeechDataset):
        self.config, self.training, self.held_out = config, training, held_out
        if config.num_mel_bins:
            self.model_fields = {"num_mel_bins": config.num_mel_bins}

    @classmethod
    def open(cls, config: SpeechConfig, beside: Path, on_first: Callable = alone) -> SpeechData:
        """The clips; where they have to be made or fetched, the first process does."""
        def load(split: str) -> SpeechDataset:
            return load_speech(
                config.name, split, hours=config.hours or None, config=config.config or None,
                mel=MelConfig(num_mel_bins=config.num_mel_bins) if config.num_mel_bins else None,
                room=Room() if config.echoes_and_noise else None,
                column=config.column, voice=config.voice)

        splits, parts = (config.split, config.held_out), []
        for split in splits:
            on_first(lambda split=split: parts.append(load(split)))
        return cls(config, *(parts or map(load, splits)))
