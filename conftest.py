"""Settings of all tests, those of notebooks included."""

import os
import random
import signal

import pytest


def pytest_configure(config):
    """Still figures for notebooks; and Ctrl-C works.

    A shell's background job starts with Ctrl-C ignored, and so would what the tests start.
    """
    os.environ["COURSE_WIDGETS"] = "0"
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Every test draws the same numbers, whichever ran before it and in whichever process."""
    import numpy as np
    import torch

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def pytest_collection_modifyitems(items):
    """Files with slow tests come first, so that no process is left with one of them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collectstart(collector):
    """Progress bars, warnings and pictures differ between machines: nbval does not compare them."""
    if collector.path and collector.path.suffix == ".ipynb" and hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr", "image/png", "application/vnd.pretraining-course+json")
