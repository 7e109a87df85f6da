"""Loss scaling: how float16 keeps gradients that are smaller than its smallest number.

Micikevicius et al., "Mixed Precision Training", ICLR 2018, section 3.2. Gradients of a loss that was
multiplied by 2¹⁶ are 2¹⁶ times as large, and lie where float16 has numbers. They are divided by it
before the update, in float32. The scale is searched while training goes on: one that makes a
gradient overflow is halved and the update left out, one that has done well for long is doubled.
"""

from __future__ import annotations

from torch import Tensor

FIRST = 2.0**16
DOUBLED_AFTER = 2000  # updates without an overflow
MOST_SKIPPED = 20  # in a row: from 2¹⁶ down to 2⁻⁴


class LossScaler:
    """Multiplies the loss, divides the gradients, and finds out by how much.

    Args:
        enabled: whether to scale at all; if not, nothing here does anything.

    Attributes:
        scale: what the loss is multiplied by, a power of two, so that nothing is rounded.
        skipped: how many updates in a row were left out.
    """

    def __init__(self, enabled: bool):
        self.enabled = enabled
        self.scale = FIRST if enabled else 1.0
        self.good = 0
        self.skipped = 0

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss to go backwards from."""
        return loss * self.scale if self.enabled else loss

    def unscale(self, gradients: list[Tensor]) -> None:
        """Divides the gradients by the scale, in place."""
        if self.enabled:
            for gradient in gradients:
                gradient.mul_(1 / self.scale)

    def update(self, finite: bool) -> None:
        """Takes note of whether the gradients were finite, and moves the scale."""
        if not self.enabled:
            return
        self.good = self.good + 1 if finite else 0
        self.skipped = 0 if finite else self.skipped + 1
        if not finite:
            self.scale /= 2
        elif self.good == DOUBLED_AFTER:
            self.scale, self.good = 2 * self.scale, 0

    @property
    def may_fall(self) -> bool:
        """Whether a smaller scale may still help against an overflow."""
        return self.enabled and self.skipped < MOST_SKIPPED

    def state_dict(self) -> dict[str, float]:
        """What a resumed run needs to go on, fit for JSON; empty where nothing is scaled."""
        if not self.enabled:
            return {}
        return {"scale": self.scale, "good": self.good, "skipped": self.skipped}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Goes on from `state_dict`."""
        if self.enabled and state:
            self.scale = state["scale"]
            self.good = state.get("good", state.get("_growth_tracker", 0))
            self.skipped = state.get("skipped", 0)
