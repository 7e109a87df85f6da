"""Speech by name: synthesised, packaged, a folder of your own, or the Hub."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from difflib import get_close_matches
from importlib import util
from pathlib import Path

import numpy as np

from .. import hub
from ..keys import Keys
from ..splits import split_ids
from .clips import Clip, Hearing, assembled
from .dataset import SpeechDataset
from .features import MelConfig
from .folders import folder_clips
from .room import Room
from .scripts import WORDS
from .synthesis import RATE, synthesised
from .voices import ALL, VOICES
from .waves import read_wave

logger = logging.getLogger(__name__)

SYNTHESISED = ("words", "phrases")
SPLITS = ("train", "test", "all")
DIGITS = WORDS[:10]


def load_speech(
    name: str | Path,
    split: str = "train",
    *,
    mel: MelConfig | None = MelConfig(),
    room: Room | None = None,
    centre: bool = True,
    hours: float | None = None,
    audio: str = "audio",
    column: str = "text",
    voice: str = "speaker_id",
    config: str | None = None,
    revision: str | None = None,
    fallback: str | None = None,
) -> SpeechDataset:
    """Speech by name: "words", "phrases", "captcha", "hub:owner/name", or the path of a folder.

    "words" are twenty words and "phrases" three to five words of State of the Union addresses, said
    by eSpeak NG, which tells when each phone begins. No voice is in two splits, and no word of the
    phrases is both in "train" and in another. "shift" has voices of another kind. All is made once
    and kept in the cache.
    "captcha" are 36 clips of digits and letters by another speaker, for a test only.

    A folder holds .wav, .flac or .ogg, of any rate; several channels become their mean. What is
    said is in a .csv or .tsv with the columns `file_name`, `column` and, if you like, `voice`; or
    in a .txt beside each clip, the sub-folders being voices; or else sub-folders name the words.
    Its split: one voice in five is for the test, or one clip in five where there is one voice.

    Args:
        name: which speech.
        split: "train", "test" or "shift" for "words" and "phrases"; "train", "test" or "all" for a
            folder; for the Hub, any split that it has.
        mel: how features are taken; None gives the waves themselves, at 16 kHz.
        room: echoes, noise and loudness, which each clip gets once; None leaves clips as they are.
        centre: whether each clip's mean is taken from its features, and waves have mean 0 and
            deviation 1 over each, as wav2vec 2.0 and HuBERT hear them.
        hours: of a folder or the Hub, take clips until there are so many hours; None takes all.
        audio: the Hub's column of sound.
        column: the column of transcripts.
        voice: the column that says who speaks.
        config: the Hub's configuration of the data set.
        revision: the Hub's commit or tag.
        fallback: what to load, saying so, where the Hub cannot be reached; None raises instead.

    Raises:
        ValueError: for an unknown name or split; for a clip that is silent, cut short or has no
            transcript, naming it.
        ModuleNotFoundError: if what is needed is not installed, naming it.
        ConnectionError: if the Hub cannot be reached and `fallback` is None.
    """
    name = str(name)
    hearing = Hearing(mel, room, centre)
    if hours is not None and (name in SYNTHESISED or name == "captcha"):
        raise ValueError(f"hours is for a folder and the Hub, and {name!r} has its size: leave it "
                         "out")
    if name in SYNTHESISED:
        return load_synthesised(name, split, hearing)
    if name == "captcha":
        return load_captcha(split, hearing)
    if name.startswith("hub:"):
        try:
            stream = hub.open_stream(name.removeprefix("hub:"), config, split, revision)
        except ConnectionError as error:
            if fallback is None:
                raise
            logger.warning("%s Using %r instead.", error, fallback)
            return load_speech(fallback, mel=mel, room=room, centre=centre)
        about = (f"https://huggingface.co/datasets/{name.removeprefix('hub:')}, "
                 f"{stream.info.license or 'licence: see there'}")
        clips = hub_clips(name, stream, audio, column, voice)
        return assembled(until(clips, hours), hearing, name, about)
    check_folder(name)
    require_split(name, split, SPLITS)
    clips = until(folder_clips(Path(name), column, voice), hours)
    whole = assembled(clips, hearing, Path(name).name, f"folder {name}")
    return whole.subset(part(whole, split))


def require_split(name: str, split: str, known: tuple[str, ...]) -> None:
    if split not in known:
        raise ValueError(f"split of {name!r} must be one of {', '.join(known)}, got {split!r}")


def load_synthesised(name: str, split: str, hearing: Hearing) -> SpeechDataset:
    """A split of what eSpeak NG says."""
    require_split(name, split, tuple(VOICES))
    corpus, clips = synthesised(name), []
    sounds = corpus.samples.split(corpus.lengths.tolist())
    phones, starts = (column.numpy() for column in (corpus.phones, corpus.starts))
    ends = corpus.counts.cumsum(0).tolist()
    mine = [i for i, line in enumerate(corpus.lines) if line.split == split]
    for i in mine:
        line, own = corpus.lines[i], slice(ends[i] - int(corpus.counts[i]), ends[i])
        clips.append(Clip(f"{name}:{i}", sounds[i].float() / 32768, RATE, line.text, line.voice,
                          phones[own], starts[own]))
    classes = WORDS if name == "words" else sorted({line.text for line in corpus.lines})
    about = (f"synthesised by eSpeak NG (GPL-3); SHA-256 of all splits {corpus.checksum()[:16]}…"
             + ("" if name == "words" else "; texts: State of the Union addresses, public domain"))
    return assembled(clips, hearing, name, about, classes, ALL, first=mine[0])


def load_captcha(split: str, hearing: Hearing) -> SpeechDataset:
    """The 36 clips of the package captcha: 0 to 9 and A to Z, each once, 8 bits at 8 kHz."""
    if split == "train":
        raise ValueError("'captcha' has each of 36 letters and digits once, for a test only: set "
                         "split to 'test'")
    require_split("captcha", split, ("test", "all"))
    package = util.find_spec("captcha")
    if package is None:
        raise ModuleNotFoundError("'captcha' is speech of the package captcha, which is not "
                                  "installed: pip install captcha")
    clips = []
    for path in sorted(Path(package.submodule_search_locations[0], "data").glob("?/*.wav")):
        sign = path.parent.name
        samples, rate = read_wave(path)
        clips.append(Clip(str(path), samples, rate, DIGITS[int(sign)] if sign.isdigit() else sign,
                          "captcha"))
    about = ("clips of the package captcha (BSD-3-Clause), 8 kHz, 8 bits; whether a person speaks "
             "is not said")
    return assembled(clips, hearing, "captcha", about)


def hub_clips(name: str, stream, audio: str, column: str, voice: str) -> Iterator[Clip]:
    """The clips of a stream, decoded here, so that no other decoder is needed.

    Raises:
        ValueError: for a column that is not there, naming those that are.
    """
    import datasets

    known = stream.features or next(iter(stream))
    for wanted in (audio, column):
        if wanted not in known:
            raise ValueError(f"{name} has no column {wanted!r}; its columns are {', '.join(known)}")
    stream = stream.cast_column(audio, datasets.Audio(decode=False))
    for number, row in enumerate(stream, start=1):
        sound = row[audio]
        place = f"{name}, row {number}" + (f" ({sound['path']})" if sound.get("path") else "")
        if not sound["bytes"]:
            raise ValueError(f"{place} holds no sound")
        samples, rate = read_wave(place, sound["bytes"])
        yield Clip(place, samples, rate, str(row[column] or ""), str(row.get(voice, "")))


def until(clips: Iterator[Clip], hours: float | None) -> Iterator[Clip]:
    """The clips from the first on, until there are so many hours of them."""
    seconds = 0.0
    for clip in clips:
        if hours is not None and seconds >= 3600 * hours:
            return
        yield clip
        seconds += len(clip.samples) / clip.rate


def part(whole: SpeechDataset, split: str) -> np.ndarray:
    """The clips of a split: of other voices than the other's, where there are several."""
    voices = whole.voices.numpy()
    if len(whole.voice_names) < 2:
        if split != "all":
            logger.warning("%s: one voice is known, and it is in both splits", whole.name)
        return split_ids(whole.labels.numpy(), len(whole), split)
    chance = Keys.of(0, len(whole.voice_names)).uniform("speech split").numpy()
    test = np.isin(voices, np.argsort(chance)[:max(1, round(len(chance) / 5))])
    return np.flatnonzero({"train": ~test, "test": test, "all": test | True}[split])


def check_folder(name: str) -> None:
    """Refuses what is no folder, with what may have been meant."""
    if Path(name).is_dir():
        return
    if Path(name).name != name:
        raise ValueError(f"there is no folder {name!r}")
    names = [*SYNTHESISED, "captcha"]
    near = get_close_matches(name.lower(), names, n=1, cutoff=0.4)
    guess = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"unknown speech {name!r}: {guess}Known are {', '.join(map(repr, names))}, "
                     "'hub:owner/name' and folders of sound")
