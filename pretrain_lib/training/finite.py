"""What to say when a loss or a gradient is no longer a number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..objectives.base import Batch


class NonFiniteError(RuntimeError):
    """The loss or its gradient is NaN or infinite; the message names the step and the samples."""


@dataclass(frozen=True)
class Fault:
    """A number that is not finite, and the samples that it came of.

    Attributes:
        what: "the loss 'masked_lm'".
        value: NaN or an infinity.
        bad: ids of the samples whose own data are not finite.
        seen: ids of all samples.
    """

    what: str
    value: float
    bad: list[int]
    seen: list[int]


def samples_not_finite(batch: Batch) -> np.ndarray:
    """The ids of those samples whose inputs or targets hold NaN or infinity."""
    bad = np.zeros(len(batch.samples), dtype=bool)
    for tensor in [*batch.inputs.values(), *batch.targets.values()]:
        if tensor.is_floating_point() and len(tensor) == len(bad):
            bad |= ~tensor.isfinite().reshape(len(bad), -1).all(dim=1).numpy()
    return batch.samples[bad]


def fault(what: str, value: float, batches: list[Batch]) -> Fault:
    """`what` is `value`, which is not finite, after these batches."""
    bad = np.concatenate([samples_not_finite(batch) for batch in batches])
    return Fault(what, value, bad.tolist(), np.concatenate([b.samples for b in batches]).tolist())


def fault_of(losses: dict[str, float], batches: list[Batch], what: str = "the loss") -> Fault | None:
    """The first of the losses that is not finite, if any."""
    return next((fault(f"{what} {name!r}", value, batches) for name, value in losses.items()
                 if not math.isfinite(value)), None)


def non_finite(faults: list[Fault | None], step: int) -> NonFiniteError:
    """The error for the faults of an update, one of each rank that has one, with likely causes.

    Args:
        faults: by rank.
        step: number of the update.
    """
    rank, first = next((rank, found) for rank, found in enumerate(faults) if found)
    if first.bad:
        cause = f"the data are not finite in samples {first.bad[:8]}: mend or drop them"
    else:
        cause = (f"the data are finite (samples {first.seen[:8]} …): lower the learning rate, "
                 "warm up longer or clip the gradient")
    where = f" on rank {rank} of {len(faults)}" if len(faults) > 1 else ""
    return NonFiniteError(f"{first.what} is {first.value} at step {step}{where}; {cause}")
