"""One style for every figure of the course, safe for colour-blind readers, each with an alt text."""

from __future__ import annotations

from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np

from .markdown import caption

# Okabe and Ito, "Color Universal Design", 2008.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")  # fmt: skip
GREY = "#777777"
COLOURS = [BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK]
LINE_LABEL = "label of a line"

STYLE = {
    "axes.prop_cycle": plt.cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.7,
    "font.size": 10,
    "lines.linewidth": 1.8,
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "image.cmap": "gray",
    "svg.hashsalt": "course",
}
plt.rcParams.update(STYLE)


def figure(columns: int = 1, rows: int = 1, width: float = 7.0, height: float = 3.2):
    """A figure and its axes: one, or an array (rows · columns)."""
    fig, axes = plt.subplots(rows, columns, figsize=(width, height))
    return fig, axes


def show(fig, alt: str, number: str | None = None) -> None:
    """Shows a figure with a text for those who cannot see it, and closes it.

    Args:
        fig: the figure.
        alt: that text; its first sentence is the caption.
        number: such as "7.3", the third of chapter 07, for a figure that the chapter speaks of elsewhere;
            the notebook then has the caption, too.

    Raises:
        ValueError: without an alternative text.
    """
    from IPython.display import display

    if not alt.strip():
        raise ValueError("every figure needs an alt text: say what there is to see in it")
    separate_labels(fig)
    png = BytesIO()
    fig.savefig(png, format="png", metadata={"Software": None})
    plt.close(fig)
    about = {"alt": alt} | ({"number": number} if number else {})
    display({"image/png": png.getvalue(), "text/plain": alt}, raw=True, metadata={"image/png": about})
    if number:
        below = f"**Figure {number}.** {caption(alt)}"
        display({"text/markdown": below, "text/plain": below}, raw=True)


def label_line(ax, x, y, text: str, colour: str, dy: float = 0.0) -> None:
    """Names a line at its last point, in its own colour, in place of a legend.

    Labels that would overlap are moved apart when the figure is shown.

    Args:
        x: horizontal values of the line.
        y: its vertical values.
        dy: points to move the label up by.
    """
    ax.annotate(text, (x[-1], y[-1]), xytext=(6, dy), textcoords="offset points",
                color=colour, va="center", annotation_clip=False, gid=LINE_LABEL)


def separate_labels(fig) -> None:
    """Moves labels of lines up until none overlaps another in its axes."""
    fig.canvas.draw()
    for ax in fig.axes:
        labels = [text for text in ax.texts if text.get_gid() == LINE_LABEL]
        boxes = sorted(((text.get_window_extent(), text) for text in labels), key=lambda pair: pair[0].y0)
        placed = []
        for box, text in boxes:
            tops = [other.y1 for other in placed if other.x0 < box.x1 and box.x0 < other.x1]
            rise = max(0.0, max(tops, default=box.y0) - box.y0)  # pixels
            text.xyann = (text.xyann[0], text.xyann[1] + rise * 72 / fig.dpi)
            placed.append(box.translated(0, rise))


def spread(ax, x, runs, label: str, colour: str, dy: float = 0.0, **style) -> None:
    """Mean over runs as a line, smallest to largest as a band, the label at its end.

    Args:
        x: (N,) horizontal values.
        runs: (N, runs) measurements.
    """
    runs = np.asarray(runs, dtype=float)
    mean = runs.mean(1)
    ax.fill_between(x, runs.min(1), runs.max(1), color=colour, alpha=0.18, linewidth=0)
    ax.plot(x, mean, color=colour, marker="o", markersize=4, **style)
    label_line(ax, x, mean, label, colour, dy)


def bars(ax, names, runs, colours=None, unit: str = "", form: str = ".3g") -> None:
    """Horizontal bars of the mean over runs, each run a dot, the mean written at its end.

    Args:
        names: what each bar is.
        runs: (bars, runs) measurements.
        form: how the mean is written.
    """
    runs = np.asarray(runs, dtype=float)
    rows = np.arange(len(names))[::-1]
    ax.barh(rows, runs.mean(1), color=colours or BLUE, height=0.62, alpha=0.85)
    for row, values in zip(rows, runs):
        ax.plot(values, np.full(len(values), row), "o", color=BLACK, markersize=3)
        ax.annotate(f"{values.mean():{form}}{unit}", (values.max(), row), xytext=(6, 0),
                    textcoords="offset points", va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
    ax.set_yticks(rows, names)
    ax.grid(axis="y", visible=False)


def leads(ax, found: dict, unit: str = "points") -> None:
    """One row per lead: its interval over test samples above, that over seeds below, and a line at 0.

    Args:
        found: what is compared, and its `Lead`; scores are shares, shown in hundredths.
        unit: what the horizontal axis counts.
    """
    rows = np.arange(len(found))[::-1]
    for row, lead in zip(rows, found.values()):
        for dy, colour, one in ((0.14, BLUE, lead.over_samples), (-0.14, ORANGE, lead.over_seeds)):
            ax.plot([100 * one.low, 100 * one.high], [row + dy] * 2, color=colour, linewidth=4, solid_capstyle="butt")
            ax.plot(100 * one.difference, row + dy, "o", color=BLACK, markersize=4)
    ax.axvline(0, color=GREY, linewidth=1)
    ax.set_yticks(rows, found)
    ax.set_ylim(-0.6, len(found) - 0.4)
    ax.set_xlabel(f"lead ({unit}), with 95 % intervals")
    ax.grid(axis="y", visible=False)
    for colour, label in ((BLUE, "other test samples"), (ORANGE, "other seeds")):
        ax.plot([], [], color=colour, linewidth=4, label=label)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)


def image_grid(rows, titles=None, row_labels=None, scale: float = 0.8):
    """A figure of images: one list or tensor (N, 1, H, W) or (N, H, W) a row.

    Args:
        rows: the rows of images, in [0, 1].
        titles: a title for each column.
        row_labels: what each row shows.
        scale: inches an image.
    """
    count = max(len(row) for row in rows)
    left = 1.3 if row_labels else 0
    fig, axes = plt.subplots(len(rows), count, squeeze=False,
                             figsize=(scale * count + left, scale * len(rows) + 0.3 * bool(titles)))
    for i, row in enumerate(rows):
        for j, ax in enumerate(axes[i]):
            ax.set_axis_off()
            if j < len(row):
                ax.imshow(np.squeeze(np.asarray(row[j])), vmin=0, vmax=1, cmap="gray")
            if titles is not None and i == 0 and j < len(titles):
                ax.set_title(titles[j], fontsize=9, loc="center")
        if row_labels is not None:
            axes[i][0].text(-0.25, 0.5, row_labels[i], transform=axes[i][0].transAxes, ha="right", va="center")
    return fig
