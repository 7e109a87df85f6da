"""The command line: python -m pretrain_lib COMMAND."""

from __future__ import annotations

import os
import sys

from .commands import COMMANDS, explain
from .data.text.token_dataset import ShardError
from .training.checkpoint import CheckpointError
from .training.distributed import PeerError, launched, rank
from .training.finite import NonFiniteError

MISTAKES = (ValueError, OSError, CheckpointError, ShardError, NonFiniteError, PeerError)


def main(words: list[str]) -> int:
    """Runs a command; a mistake of the user's ends in one line, not in a traceback."""
    name, rest = (words[0], words[1:]) if words else ("", [])
    if name not in COMMANDS:
        print(explain(name))
        return 0 if name in ("", "-h", "--help") else 2
    who = f"{name} (rank {rank()})" if launched() else name
    try:
        COMMANDS[name](rest)
    except KeyboardInterrupt as stop:
        print(f"\n{stop or 'stopped'}", *getattr(stop, "__notes__", ()), sep="\n", file=sys.stderr)
        return 130
    except MISTAKES as error:
        print(f"{who}: {error}", *getattr(error, "__notes__", ()), sep="; ", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    if launched():  # torch's threads may abort a process that ends while they hold tensors
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
