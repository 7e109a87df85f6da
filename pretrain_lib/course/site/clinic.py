"""The failure clinic: what its runs measured, and the figures that are drawn of it.

    python -m pretrain_lib.course.site.clinic                  trains all anew, and writes docs/clinic.json
    python -m pretrain_lib.course.site.clinic contrast         only those that have this loss; the others stay as they are
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .. import plots
from ..results import ROOT
from . import clinic_images, clinic_speech, clinic_text

LOGS = ROOT / "docs" / "clinic.json"


class Panel(NamedTuple):
    """One of the pictures that stand side by side in a figure.

    Attributes:
        ylabel: what is drawn up the page; None takes what the ward calls its loss, and draws the ward's lines.
        top: where that ends.
        curves: the curves of a run that are drawn here, if it has them: what each is called, and its colour.
    """

    ylabel: str | None
    top: float
    curves: dict[str, tuple[str, str]]


class Ward(NamedTuple):
    """Runs that have one loss: what measures them, and what is drawn of each."""

    measure: Callable[[], dict]
    panels: tuple[Panel, ...]


LOSS = Panel(None, 6.5, {"training": ("training loss", plots.ORANGE), "held out": ("held-out blanks", plots.BLUE)})
LOSS_OF_SPEECH = LOSS._replace(top=4)
RANK = Panel("effective rank of the features", clinic_images.HEAD[0], {"rank": ("", plots.BLUE)})
TOLD = Panel("share that a probe tells", 0.7, {"phones": ("phones", plots.BLUE), "voices": ("voices", plots.GREEN)})
WRITTEN = Panel("for each phone that was said", 1.3, {"error": ("errors", plots.BLUE), "written": ("written", plots.GREEN)})
WRONG = Panel("share of words that are wrong", 1.0, {"same voices": ("known voices", plots.BLUE), "other voices": ("other voices", plots.GREEN)})
WARDS = {
    "masked tokens": Ward(clinic_text.measure, (LOSS,)),
    "contrast": Ward(clinic_images.measure_contrast, (LOSS, RANK)),
    "views alike": Ward(clinic_images.measure_alike_only, (LOSS, RANK)),
    "prediction": Ward(clinic_speech.measure_prediction, (LOSS_OF_SPEECH, TOLD)),
    "transcripts": Ward(clinic_speech.measure_transcripts, (LOSS._replace(top=12), WRITTEN)),
    "words": Ward(clinic_speech.measure_words, (LOSS_OF_SPEECH, WRONG)),
}


def draw(folder: Path) -> None:
    """A figure for each patient, from the logs."""
    for kind, logged in json.loads(LOGS.read_text(encoding="utf-8")).items():
        for name, run in logged["runs"].items():
            drawn(WARDS[kind].panels, logged, run).savefig(folder / f"clinic-{name.replace(' ', '-')}.png", metadata={"Software": None})


def drawn(panels: tuple[Panel, ...], logged: dict, run: dict):
    """The figure of a run: a picture for each panel."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 3.2), dpi=110, layout="constrained")
    for ax, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        last, _ = run["training"][-1]
        if panel.ylabel is None:
            draw_lines(ax, logged["lines"], last)
        for kind, (label, colour) in panel.curves.items():
            if kind in run:
                ax.plot(*zip(*run[kind]), color=colour, label=label, clip_on=panel.ylabel is None)  # a loss may begin above the top
        ax.set(xlabel="updates", ylabel=panel.ylabel or logged["loss"], xlim=(0, last), ylim=(0, panel.top))
        if any(label for label, _ in panel.curves.values()):
            ax.legend(frameon=False, loc="upper right")
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def draw_lines(ax, lines: dict[str, float], last: int) -> None:
    """The lines that a loss is read against."""
    for line, loss in lines.items():
        ax.axhline(loss, color=plots.GREY, lw=1, ls="--")
        ax.annotate(line, (last, loss), xytext=(4, 0), textcoords="offset points", va="center", color=plots.GREY, fontsize=8, annotation_clip=False)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("losses", nargs="*", metavar="LOSS", help=f"of {', '.join(WARDS)}; all if none is named")
    names = parser.parse_args(arguments).losses or list(WARDS)
    unknown = [name for name in names if name not in WARDS]
    if unknown:
        parser.error(f"{unknown[0]!r} is none of {', '.join(WARDS)}")
    logs = json.loads(LOGS.read_text(encoding="utf-8")) | {name: WARDS[name].measure() for name in names}
    LOGS.write_text(json.dumps(logs) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
