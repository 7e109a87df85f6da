"""Speech that eSpeak NG makes, once: in one process, in a fixed order, and kept with a checksum.

eSpeak NG's output is no function of its arguments: the same text, voice and settings a second time
give other samples, and more or fewer of them. So nothing is made clip by clip or in a loader's
workers. Two fresh processes that say the same lines in the same order do agree, on one machine.

eSpeak NG is under GPL-3. It is not part of this library but comes with the package espeakng-loader.
"""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...files import locked, new_file
from ..text.corpora import cache_folder
from . import engine
from .phones import merged_events
from .resample import resample
from .scripts import Line, script
from .voices import LANGUAGE
from .waves import to_int16

logger = logging.getLogger(__name__)

RATE = 16000  # samples a second of what is kept
FORMAT = 1  # part of the cache's name: raise it when other lines are said, or kept otherwise
INSTALL = ("synthesised speech needs espeakng-loader, which is not installed: pip install "
           "espeakng-loader")


@dataclass
class Corpus:
    """Clips, one after the other, and the phones of each.

    Attributes:
        lines: what each clip says, and how.
        samples: (S,) int16 at 16 kHz, all clips.
        lengths: (N,) samples of each clip.
        phones: (P,) int64 numbers of `PHONES`, all clips.
        starts: (P,) int64, the sample of its clip at which each phone begins.
        counts: (N,) phones of each clip.
    """

    lines: list[Line]
    samples: Tensor
    lengths: Tensor
    phones: Tensor
    starts: Tensor
    counts: Tensor

    def tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if name != "lines"}

    def said(self) -> str:
        return json.dumps([asdict(line) for line in self.lines])

    def checksum(self) -> str:
        """The SHA-256 of all that it holds."""
        digest = hashlib.sha256(self.said().encode())
        for _, tensor in sorted(self.tensors().items()):
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()


def synthesised(name: str) -> Corpus:
    """The corpus "words" or "phrases" from the cache, where it is made first if it is not there.

    Raises:
        ModuleNotFoundError: if it is to be made and espeakng-loader is not installed.
        RuntimeError: if eSpeak NG fails.
    """
    place = cache_folder() / f"speech-{name}-{FORMAT}-{loader_version()}.safetensors"
    try:
        with locked(place):
            corpus = read_corpus(place)
            if corpus is None:
                corpus = spoken(script(name))
                write_corpus(corpus, place)
            return corpus
    except OSError as error:
        logger.warning("the speech %r is not kept: %s", name, error)
        return spoken(script(name))


def loader_version() -> str:
    """The version of espeakng-loader.

    Raises:
        ModuleNotFoundError: if it is not installed.
    """
    try:
        return metadata.version("espeakng-loader")
    except metadata.PackageNotFoundError:
        raise ModuleNotFoundError(INSTALL) from None


def read_corpus(place: Path) -> Corpus | None:
    """The corpus in a file; None if it is not there, or not as it was written."""
    if not place.is_file():
        return None
    try:
        with safe_open(place, "pt") as file:
            about = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        corpus = Corpus([Line(**line) for line in json.loads(about["lines"])], **tensors)
        whole = corpus.checksum() == about["checksum"]
    except (SafetensorError, KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        logger.warning("%s is damaged, and is made again", place)
        return None
    return corpus


def write_corpus(corpus: Corpus, place: Path) -> None:
    """Writes a corpus with its checksum."""
    about = {"lines": corpus.said(), "checksum": corpus.checksum()}
    with new_file(place) as partial:
        save_file(corpus.tensors(), partial, about)


def spoken(lines: Sequence[Line]) -> Corpus:
    """What eSpeak NG says, in a process of its own.

    Raises:
        ModuleNotFoundError: if espeakng-loader is not installed.
        RuntimeError: if eSpeak NG fails, with the last line of what it told.
    """
    try:
        import espeakng_loader
    except ModuleNotFoundError:
        raise ModuleNotFoundError(INSTALL) from None
    orders = [{"text": line.text, "voice": f"{LANGUAGE}+{line.voice}", "rate": line.rate,
               "pitch": line.pitch, "range": line.range} for line in lines]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "lines.json"
        place.write_text(json.dumps(orders), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, engine.__file__, espeakng_loader.get_library_path(),
             espeakng_loader.get_data_path(), str(place), folder],
            capture_output=True, text=True, check=False)
        if done.returncode:
            told = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
            raise RuntimeError(f"eSpeak NG failed: {told[-1]}")
        samples = np.fromfile(Path(folder) / "samples.raw", dtype=np.int16)
        about = json.loads((Path(folder) / "clips.json").read_text(encoding="utf-8"))
    return collected(list(lines), samples, **about)


def collected(lines: list[Line], samples: np.ndarray, rate: int, clips: list) -> Corpus:
    """What the engine wrote at its own rate, as a corpus.

    Args:
        lines: what was said.
        samples: (S,) int16, all clips.
        rate: how many of them are a second.
        clips: of each its number of samples, and its events.
    """
    ends = np.cumsum([number for number, _ in clips])
    sounds = [to_int16(resample(torch.from_numpy(sound / np.float32(32768)), rate, RATE))
              for sound in np.split(samples, ends[:-1])]
    events = [merged_events(told) for _, told in clips]
    phones, starts = np.array([event for told in events for event in told], dtype=np.int64).T
    return Corpus(lines, torch.cat(sounds), torch.tensor([len(sound) for sound in sounds]),
                  torch.from_numpy(phones.copy()), torch.from_numpy(starts * RATE // rate),
                  torch.tensor([len(told) for told in events]))
