"""Python's garbage collector, kept out of the updates."""

from __future__ import annotations

import gc
from contextlib import contextmanager

RARELY = (100_000, 50, 1000)


@contextmanager
def collected_rarely():
    """Within it, only what piles up by the hundred thousand makes Python collect garbage.

    The collector walks over all objects that Python knows, in the middle of an update, and one rank
    that does so keeps all others waiting. It is needed only for objects that refer to each other in
    a circle; an update leaves none.
    """
    before = gc.get_threshold()
    gc.set_threshold(*RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*before)
