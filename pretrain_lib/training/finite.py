"""What to say when a loss or a gradient is no longer a number."""

from __future__ import annotations

import numpy as np

from ..objectives.base import Batch


class NonFiniteError(RuntimeError):
    """The loss or its gradient is NaN or infinite; the message names the step and the samples."""


def samples_not_finite(batch: Batch) -> np.ndarray:
    """The ids of those samples whose inputs or targets hold NaN or infinity."""
    bad = np.zeros(len(batch.samples), dtype=bool)
    for tensor in [*batch.inputs.values(), *batch.targets.values()]:
        if tensor.is_floating_point() and len(tensor) == len(bad):
            bad |= ~tensor.isfinite().reshape(len(bad), -1).all(dim=1).numpy()
    return batch.samples[bad]


def non_finite(what: str, value: float, step: int, batches: list[Batch]) -> NonFiniteError:
    """The error for `what` being `value` in update `step`, with its likely cause and remedy."""
    bad = np.concatenate([samples_not_finite(batch) for batch in batches])
    if len(bad):
        cause = f"the data are not finite in samples {bad[:8].tolist()}: mend or drop them"
    else:
        seen = np.concatenate([batch.samples for batch in batches])
        cause = (f"the data are finite (samples {seen[:8].tolist()} …): lower the learning rate, "
                 "warm up longer or clip the gradient")
    return NonFiniteError(f"{what} is {value} at step {step}; {cause}")
