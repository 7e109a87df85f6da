"""What notebooks need: the dial, checks of exercises, predictions, results and plots."""

from .check import check, predict, reveal
from .dial import SCALE, claim, dial
from .explore import explore
from .headline import headline
from .results import results

__all__ = ["SCALE", "check", "claim", "dial", "explore", "headline", "predict", "results", "reveal"]
