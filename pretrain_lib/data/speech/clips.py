"""Clips as they come in, checked, heard in a room, and put together as a data set."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..keys import Keys
from ..source import UNSCORED
from .dataset import SpeechDataset
from .features import MelConfig, centred, log_mel
from .phones import PHONES, frame_phones, spoken
from .ragged import Ragged
from .resample import resample
from .room import Room
from .waves import to_int16

QUIET = 1 / 32768  # of a 16-bit sample: what is never louder than that is silence


@dataclass
class Clip:
    """A clip as it comes in.

    Attributes:
        place: what it is called in errors, such as its file.
        samples: (S,) between −1 and 1.
        rate: how many of them are a second.
        transcript: what is said.
        voice: who says it; "" where nobody knows.
        phones: (P,) numbers of `PHONES`, or None.
        starts: (P,) the sample at which each begins, or None.
    """

    place: str
    samples: Tensor
    rate: int
    transcript: str
    voice: str = ""
    phones: np.ndarray | None = None
    starts: np.ndarray | None = None

    def check(self) -> None:
        """Raises where nothing is to be heard, or nobody says what."""
        if not self.transcript.strip():
            raise ValueError(f"{self.place} has an empty transcript: say what is said in it, or "
                             "remove it")
        if self.samples.abs().max() <= QUIET:
            raise ValueError(f"{self.place} is silent: remove it, or record it again")


@dataclass(frozen=True)
class Hearing:
    """How clips are heard, and what is taken of them.

    Attributes:
        mel: how features are taken; None keeps the waves, at 16 kHz.
        room: where the clips are heard; None leaves them as they are.
        centre: whether each clip's mean is taken from its features, and waves have mean 0 and
            deviation 1 over each.
    """

    mel: MelConfig | None = MelConfig()
    room: Room | None = None
    centre: bool = True

    @property
    def frames(self) -> MelConfig:
        """Which times are frames, also where no features are taken."""
        return self.mel or MelConfig()

    def sound(self, clip: Clip, number: int) -> Tensor:
        """What is heard of the clip of that number, (S,) int16."""
        rate = self.frames.sampling_rate
        sound = resample(clip.samples, clip.rate, rate)
        if self.room:
            length = torch.tensor([len(sound)])
            sound = self.room(sound[None], length, Keys.of(0, [number]), rate)[0]
        return to_int16(sound)

    def features(self, sound: Tensor) -> Tensor:
        """(T, bands)."""
        log = log_mel(sound[None].float() / 32768, self.frames)
        return (centred(log, torch.tensor([log.shape[1]])) if self.centre else log)[0]

    def phones(self, clip: Clip, sound: Tensor) -> Tensor:
        """Which phone sounds in each frame, (T,)."""
        number = np.arange(self.frames.frames(len(sound)))
        times = number * self.frames.hop_length / self.frames.sampling_rate
        return torch.from_numpy(frame_phones(clip.phones, clip.starts / clip.rate, times))


def assembled(clips: Iterable[Clip], hearing: Hearing, name: str, about: str,
              classes: Sequence[str] | None = None, voice_names: Sequence[str] | None = None,
              first: int = 0) -> SpeechDataset:
    """Clips as a data set.

    Args:
        clips: one or more, all with phones or all without.
        hearing: how they are heard.
        name: what the data set is called.
        about: one line on where it comes from and under which terms.
        classes: all transcripts, in order; None takes those that occur, sorted.
        voice_names: the same for voices.
        first: the number of the first clip, by which a room draws.

    Raises:
        ValueError: for no clip, or one that is silent, has no transcript, or too long a one for its
            frames, naming its place.
    """
    sounds, phones, told, known = [], [], [], []
    for number, clip in enumerate(clips, start=first):
        clip.check()
        sounds.append(hearing.sound(clip, number))
        if clip.phones is not None:
            phones.append(hearing.phones(clip, sounds[-1]))
            told.append(torch.from_numpy(spoken(clip.phones)))
        known.append((clip.place, " ".join(clip.transcript.split()), clip.voice))
    if not sounds:
        raise ValueError(f"the speech {name!r} is empty: it has no clip")
    places, transcripts, voices = zip(*known, strict=True)
    symbols, sequences = (PHONES, told) if phones else characters(transcripts)
    for place, sequence, sound in zip(places, sequences, sounds, strict=True):
        check_sequence(place, sequence, hearing.frames.frames(len(sound)))
    names = {"classes": classes or sorted(set(transcripts)), "symbols": symbols,
             "voice_names": voice_names or sorted(set(voices))}
    ragged = {"features": Ragged.of([hearing.features(sound) for sound in sounds])} if (
        hearing.mel) else {"waves": Ragged.of(sounds)}
    lengths = next(iter(ragged.values())).lengths
    ragged["sequences"] = Ragged.of(sequences, UNSCORED)
    if phones:
        ragged["phones"] = Ragged.of(phones, UNSCORED)
    columns = {"labels": numbers(transcripts, names["classes"]), "lengths": lengths,
               "voices": numbers(voices, names["voice_names"]),
               "sequence_lengths": ragged["sequences"].lengths}
    return SpeechDataset(columns, ragged, Ragged.of(sounds), names, hearing.frames.sampling_rate,
                         name, about, hearing.centre)


def characters(transcripts: Sequence[str]) -> tuple[tuple[str, ...], list[Tensor]]:
    """Transcripts in small letters as numbers of their characters; 0 stands for none of them."""
    texts = [unicodedata.normalize("NFC", transcript.lower()) for transcript in transcripts]
    symbols = ("", *sorted(set("".join(texts))))
    number = {symbol: i for i, symbol in enumerate(symbols)}
    return symbols, [torch.tensor([number[character] for character in text]) for text in texts]


def check_sequence(place: str, sequence: Tensor, frames: int) -> None:
    """Raises where CTC has no path: it needs a frame a symbol, and one between two alike."""
    needed = len(sequence) + int((sequence[1:] == sequence[:-1]).sum())
    if needed > frames:
        raise ValueError(f"{place} has {frames} frames, and its transcript of {len(sequence)} "
                         f"symbols needs {needed}: is it another clip's?")


def numbers(names: Sequence[str], known: Sequence[str]) -> Tensor:
    """The place of each name among those known: (N,) int64."""
    number = {name: i for i, name in enumerate(known)}
    return torch.tensor([number[name] for name in names])
