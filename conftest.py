"""Settings of all tests, those of notebooks included."""

import signal


def pytest_configure(config):
    """A shell's background job starts with Ctrl-C ignored, and so would what the tests start."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collectstart(collector):
    """Progress bars, warnings and pictures differ between machines: nbval does not compare them."""
    if collector.path and collector.path.suffix == ".ipynb" and hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr", "image/png", "application/vnd.pretraining-course+json")
