"""Clips of speech in memory: what a model reads of them, and what is known of each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..keys import Keys
from ..source import Columns, Samples
from .features import standardised
from .ragged import Ragged


class SpeechDataset(Columns):
    """Clips of speech, which batches pad to their longest.

    Its columns are `features` (N, T, bands), or `waves` (N, S) where no features are taken, which
    batches have with mean 0 and deviation 1 over each clip if `standard` is set; `lengths` (N,), how many frames or samples of them are no padding; `labels` (N,), the number of
    the transcript in `classes`; `voices` (N,), the number of the voice in `voice_names`;
    `sequences` (N, L), the transcript as numbers of `symbols`, -100 where it is padded, and
    `sequence_lengths` (N,). Where phones are known, they are the symbols, and `phones` (N, T) says
    which of them sounds in each frame, -100 in padding. Otherwise characters are the symbols.
    Number 0 is in no sequence: it is free for CTC's blank.

    Args:
        columns: those of one number a clip.
        ragged: the others, by name.
        sounds: all clips, int16.
        names: what numbers stand for: "classes", "voice_names" and "symbols".
        rate: samples a second.
        name: what the data set is called.
        about: one line on where it comes from and under which terms.
        standard: whether batches have standardised waves.
    """

    def __init__(self, columns: Samples, ragged: dict[str, Ragged], sounds: Ragged,
                 names: dict[str, Sequence[str]], rate: int, name: str = "speech",
                 about: str = "", standard: bool = False):
        super().__init__(**columns)
        self.ragged, self.sounds, self.names = ragged, sounds, names
        self.classes, self.voice_names = list(names["classes"]), list(names["voice_names"])
        self.symbols = tuple(names["symbols"])
        self.rate, self.name, self.about = rate, name, about
        self.standard = standard

    def __getattr__(self, column: str) -> Tensor:
        ragged = self.__dict__.get("ragged", {})
        if column in ragged:
            return self.rows(column, torch.arange(len(self)))
        return super().__getattr__(column)

    def rows(self, column: str, ids: Tensor) -> Tensor:
        """A ragged column of the clips `ids`, padded to the longest of them."""
        padded = self.ragged[column].padded(ids)
        if column != "waves":
            return padded
        waves = padded.float() / 32768
        return standardised(waves, self.lengths[ids]) if self.standard else waves

    def take(self, keys: Keys) -> Samples:
        """The clips that the keys name, as {column: (B, ...)}, padded to the longest of them."""
        ids = torch.from_numpy(keys.sample)
        return super().take(keys) | {column: self.rows(column, ids) for column in self.ragged}

    @property
    def waves(self) -> Tensor:
        """All sounds, (N, S) float32 between −1 and 1, whether or not batches have them."""
        return self.sounds.padded(torch.arange(len(self))).float() / 32768

    def wave(self, i: int) -> Tensor:
        """The sound of clip i, (S,) float32 between −1 and 1 at `rate`."""
        return self.sounds.row(i).float() / 32768

    def transcript(self, i: int) -> str:
        """What is said in clip i."""
        return self.classes[int(self.labels[i])]

    def subset(self, ids) -> SpeechDataset:
        """The clips `ids`, in that order, as a data set of their own."""
        ids = torch.as_tensor(ids)
        ragged = {column: rows.subset(ids) for column, rows in self.ragged.items()}
        columns = {column: values[ids] for column, values in self.columns.items()}
        return SpeechDataset(columns, ragged, self.sounds.subset(ids), self.names, self.rate,
                             self.name, self.about, self.standard)

    def __repr__(self) -> str:
        minutes = self.sounds.lengths.sum() / self.rate / 60
        voices = len(self.voices.unique())
        return f"SpeechDataset({self.name}: {len(self)} clips, {minutes:.1f} min, voices: {voices})"
