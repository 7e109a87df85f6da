"""Ending a run from outside without losing what it has done."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager


class StopRequest:
    """Whether somebody has asked the run to stop."""

    requested = False


@contextmanager
def stop_on_signal():
    """Turns the first SIGINT (Ctrl-C) or SIGTERM into a request to stop; a second acts as usual.

    Python handles signals in its main thread only; elsewhere this does nothing.
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    def request(number, frame):
        stop.requested = True
        restore()

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        restore()
