"""A chapter's headline: its one measurement, beside the bound that it should meet."""

from __future__ import annotations

MIME = "application/vnd.pretraining-course+json"


def headline(name: str, measured: float, bound: float, *, at_most: bool = True, unit: str = "") -> None:
    """States the chapter's headline measurement; `course.py run` collects it for its table.

    Args:
        name: what was measured.
        measured: the measurement.
        bound: what it should be at most (or at least).
        at_most: whether `bound` is an upper bound.
        unit: unit of both.
    """
    from IPython.display import display

    relation = "≤" if at_most else "≥"
    met = measured <= bound if at_most else measured >= bound
    text = f"{name}: {measured:.4g} {unit}".rstrip() + f" (should be {relation} {bound:.4g}: {'yes' if met else 'no'})"
    record = {"name": name, "measured": float(measured), "bound": float(bound),
              "relation": relation, "unit": unit, "met": bool(met)}
    display({MIME: record, "text/plain": text}, raw=True)
