"""The command line: python -m pretrain_lib COMMAND."""

from __future__ import annotations

import sys

from .commands import COMMANDS, explain
from .data.token_dataset import ShardError
from .training.checkpoint import CheckpointError
from .training.finite import NonFiniteError

MISTAKES = (ValueError, OSError, CheckpointError, ShardError, NonFiniteError)


def main(words: list[str]) -> int:
    """Runs a command; a mistake of the user's ends in one line, not in a traceback."""
    name, rest = (words[0], words[1:]) if words else ("", [])
    if name not in COMMANDS:
        print(explain(name))
        return 0 if name in ("", "-h", "--help") else 2
    try:
        COMMANDS[name](rest)
    except KeyboardInterrupt as stop:
        print(f"\n{stop or 'stopped'}", file=sys.stderr)
        return 130
    except MISTAKES as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
