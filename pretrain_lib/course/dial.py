"""The dial: one notebook at three scales, and claims that know which scale can show them."""

from __future__ import annotations

import os
from difflib import get_close_matches

SCALES = ("smoke", "laptop", "gpu")


def read_scale(value: str | None) -> str:
    """The scale asked for; without one, "gpu" where there is a GPU and "laptop" elsewhere.

    Raises:
        ValueError: for an unknown scale.
    """
    if not value:
        import torch

        return "gpu" if torch.cuda.is_available() else "laptop"
    if value not in SCALES:
        near = get_close_matches(value, SCALES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"COURSE_SCALE must be one of {', '.join(SCALES)}, got {value!r}{hint}")
    return value


SCALE = read_scale(os.environ.get("COURSE_SCALE"))


def dial(*, smoke, laptop, gpu=None):
    """The value for the scale at hand; where nothing is said for a GPU, the laptop's."""
    return {"smoke": smoke, "laptop": laptop, "gpu": laptop if gpu is None else gpu}[SCALE]


def claim(condition: bool, text: str) -> None:
    """States a finding that has just been measured.

    At smoke scale a finding that fails to show is only reported, since too little was computed
    to show it.

    Raises:
        AssertionError: if the condition is false at a larger scale.
    """
    if condition:
        print(f"shown: {text}")
    elif SCALE == "smoke":
        print(f"not shown at smoke scale: {text}")
    else:
        raise AssertionError(f"this run does not show that {text}")
