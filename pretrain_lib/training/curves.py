"""The curves of a run, as a picture in its folder."""

from __future__ import annotations

from pathlib import Path

TEXTS = {"evaluation": "held out", "training": "training"}


def draw_curves(records: list[dict], path: str | Path, lines: dict[str, float] | None = None) -> None:
    """Draws the training and the held-out loss over the updates.

    Args:
        records: the lines of a run's log, see `log.History`.
        path: where the picture goes, such as "run/curves.png".
        lines: losses to compare with, by name, each drawn as a level line.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    training = [(r["step"], r["loss"]) for r in records if "loss" in r]
    held_out = [(r["step"], r["evaluation"]["loss"]) for r in records if "evaluation" in r]
    figure = Figure(figsize=(7, 3.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    if training:
        axes.plot(*zip(*training, strict=True), color="#BBBBBB", linewidth=0.8)
        axes.plot([], [], color="#BBBBBB", label=TEXTS["training"])
    if held_out:
        axes.plot(*zip(*held_out, strict=True), color="#0072B2", marker="o", markersize=3,
                  label=TEXTS["evaluation"])
    for name, level in (lines or {}).items():
        axes.axhline(level, color="#D55E00", linewidth=1, linestyle="--")
        axes.annotate(name, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                      fontsize=9, color="#D55E00")
    axes.set_xlabel("update")
    axes.set_ylabel("loss (nats)")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
