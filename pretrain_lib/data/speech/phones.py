"""The phones that eSpeak NG tells: their marks merged, and which of them sounds in which frame."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

SILENCE = "sil"
PHONES = (  # of American English, in eSpeak NG's letters
    SILENCE,
    "p", "b", "t", "d", "k", "g", "tS", "dZ", "f", "v", "T", "D", "s", "z", "S", "Z", "h",
    "m", "n", "N", "l", "r", "w", "j",
    "I", "E", "a", "V", "U", "@", "i", "u", "A", "O", "3", "@L",
    "eI", "aI", "OI", "oU", "aU", "A@", "O@", "e@", "i@", "U@", "aI@",
)
NUMBER = {phone: number for number, phone in enumerate(PHONES)}
# Variants that are one phone: "lot" and "father", "bath" and "trap", "north" and "force"; a t that
# is a closed glottis; "fire" with another r.
SAME = {"0": "A", "aa": "a", "o@": "O@", "?": "t", "aI3": "aI@"}
STRESS = re.compile(r"^[',%=|]+")
VARIANT = re.compile(r"(?<=.)[:#0-9-]+$")  # length, and numbers of variants

Event = tuple[str, int]  # a name, and the sample that it begins at


def merged(name: str) -> str | None:
    """The phone of `PHONES` that eSpeak NG's name means; None for a mark that is no phone.

    Raises:
        ValueError: if there is no such phone in American English.
    """
    if name.startswith("_"):
        return SILENCE
    if name in ("", ";"):  # the end; the glide between two vowels
        return None
    bare = STRESS.sub("", name)
    bare = SAME.get(bare) or VARIANT.sub("", bare)
    bare = SAME.get(bare, bare)
    if bare not in NUMBER:
        raise ValueError(f"eSpeak NG names a phone {name!r}, which is none of American English")
    return bare


def merged_events(events: Sequence[Event]) -> list[Event]:
    """Numbers of phones, each with the sample that it begins at; silence is before the first."""
    phones = [(NUMBER[phone], start) for name, start in events if (phone := merged(name))]
    return [(NUMBER[SILENCE], 0), *phones]


def frame_phones(phones: np.ndarray, starts: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Which phone sounds at some times.

    Args:
        phones: (P,) numbers of phones.
        starts: (P,) when each begins, in order; the first no later than the first time.
        times: (T,), in the same unit.

    Returns:
        (T,); of phones that begin together, the last.
    """
    return phones[np.searchsorted(starts, times, side="right") - 1]


def spoken(phones: np.ndarray) -> np.ndarray:
    """The phones in the order in which they are said, without silence."""
    return phones[phones != NUMBER[SILENCE]]
