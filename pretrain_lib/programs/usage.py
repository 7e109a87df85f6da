"""What the commands share that begin with two words: a model or vectors, and what to do it with."""

from __future__ import annotations

import sys

HELP = {"-h", "--help"}


def with_two_words(words: list[str], usage: str, names: tuple[str, str]) -> list[str]:
    """The words of a command, of which the first two are its own; without them its usage is told.

    Args:
        words: what follows the command's name.
        usage: what is printed where the two are missing.
        names: what its help calls the two.
    """
    if HELP & set(words[:2]):
        return [*names, "--help"]
    if len(words) < 2 or words[0].startswith("-") or words[1].startswith("--"):
        print(usage)
        sys.exit(2)
    return words
