"""Finding chapters by what people type."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path


class UnknownChapter(Exception):
    """No chapter goes by that name; the message offers the nearest."""


def select_chapters(names: Sequence[str], files: Sequence[Path]) -> list[Path]:
    """The files that names such as "2", "02" or "02_autoencoder_math" mean; all for no name.

    Raises:
        UnknownChapter: if a name means none of them.
    """
    by_name = {path.stem: path for path in files}
    chosen = []
    for name in names:
        stem = Path(name).name.removesuffix(".ipynb").removesuffix(".py")
        number = stem.zfill(2) if stem.isdigit() else stem
        matches = [s for s in by_name if s == stem or s[:2] == number or s[3:] == stem]
        if not matches:
            near = get_close_matches(stem, [*by_name, *(s[3:] for s in by_name)], n=2, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise UnknownChapter(f"unknown chapter {name!r}: {hint}There are {', '.join(by_name) or 'none'}")
        chosen += [by_name[match] for match in matches]
    return sorted(dict.fromkeys(chosen)) if names else list(files)
