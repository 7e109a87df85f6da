"""What all diagrams are drawn with: boxes, cells, arrows, braces and labels on a page measured in inches."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.colors import to_rgb
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle

from .. import plots

WIDTH = 5.0  # inches: on a phone of 360 pixels 11 points are still 11 pixels
INK, MUTED = "#222222", "#555555"
SMALL, MEDIUM, LARGE = 11, 12, 14  # points


@dataclass(frozen=True)
class Box:
    """Where something lies: its centre and its size."""

    x: float
    y: float
    w: float
    h: float

    @property
    def left(self):
        return self.x - self.w / 2, self.y

    @property
    def right(self):
        return self.x + self.w / 2, self.y

    @property
    def top(self):
        return self.x, self.y - self.h / 2

    @property
    def bottom(self):
        return self.x, self.y + self.h / 2


def page(height: float):
    """Axes that fill a figure: x and y are inches from its upper left corner."""
    fig = plots.plt.figure(figsize=(WIDTH, height), layout="none")
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0))
    ax.set_axis_off()
    return ax


def tint(colour: str, strength: float = 0.3):
    """A colour mixed with white, light enough for dark text on it."""
    return tuple(1 - strength * (1 - channel) for channel in to_rgb(colour))


def look(colour: str, frozen: bool = False) -> dict:
    """Face and edge: a light tint within its colour, or grey within dashes for what is not trained."""
    if frozen:
        return {"facecolor": tint(plots.GREY, 0.16), "edgecolor": MUTED, "linestyle": (0, (4, 2)), "linewidth": 1.4}
    return {"facecolor": tint(colour), "edgecolor": colour, "linewidth": 1.4}


def label(ax, x, y, text: str, size: float = SMALL, colour: str = INK, ha: str = "center", **style) -> None:
    """A text about the point (x, y)."""
    ax.text(x, y, text, size=size, color=colour, ha=ha, va="center_baseline" if "\n" not in text else "center", linespacing=1.15, **style)


def title(ax, y, text: str) -> None:
    """The heading of a part."""
    label(ax, 0.12, y, text, LARGE, ha="left", weight="bold")


def box(ax, x, y, w, h, text: str = "", colour: str = plots.BLUE, frozen: bool = False, size: float = MEDIUM) -> Box:
    """A rounded box about (x, y) with its text."""
    ax.add_patch(FancyBboxPatch((x - w / 2, y - h / 2), w, h, boxstyle="round,pad=0,rounding_size=0.08",
                                **look(colour, frozen)))
    label(ax, x, y, text, size)
    return Box(x, y, w, h)


def panel(ax, left, top, w, h) -> None:
    """A pale ground for what belongs together."""
    ax.add_patch(Rectangle((left, top), w, h, facecolor="#F4F4F4", edgecolor="#BBBBBB", linewidth=0.8, zorder=0))


def cells(ax, x, y, texts, w: float = 0.6, h: float = 0.34, colours=plots.SKY, size: float = SMALL) -> list[Box]:
    """A row of equal cells, one per text, the first from x on.

    Args:
        colours: of all, or a list with one each; None leaves a cell white.
    """
    colours = colours if isinstance(colours, list) else [colours] * len(texts)
    row = []
    for i, (text, colour) in enumerate(zip(texts, colours, strict=True)):
        ax.add_patch(Rectangle((x + i * w, y - h / 2), w, h, linewidth=0.9, edgecolor=MUTED,
                                         facecolor=tint(colour, 0.45) if colour else "white"))
        label(ax, x + (i + 0.5) * w, y, text, size)
        row.append(Box(x + (i + 0.5) * w, y, w, h))
    return row


def funnel(ax, x, y, w, left, right, text: str) -> Box:
    """A trapezoid about (x, y) with its text, `left` high on one side and `right` on the other."""
    corners = [(x - w / 2, y - left / 2), (x + w / 2, y - right / 2), (x + w / 2, y + right / 2), (x - w / 2, y + left / 2)]
    ax.add_patch(Polygon(corners, **look(plots.BLUE)))
    label(ax, x, y, text, MEDIUM)
    return Box(x, y, w, min(left, right))


def arrow(ax, *points) -> None:
    """An arrow through the points, with corners between."""
    ax.plot(*zip(*points[:-1]), color=INK, linewidth=1.5)
    ax.add_patch(FancyArrowPatch(points[-2], points[-1], arrowstyle="-|>", mutation_scale=12, shrinkA=0, shrinkB=0,
                                 linewidth=1.5, color=INK))


def brace(ax, x0, x1, y, text: str) -> None:
    """A bracket along x0 … x1 with its text below."""
    ax.plot([x0, x0, x1, x1], [y, y + 0.09, y + 0.09, y], color=MUTED, linewidth=1.2)
    label(ax, (x0 + x1) / 2, y + 0.25, text, colour=MUTED)


def plus(ax, x, y) -> Box:
    """A sum: ⊕."""
    ax.add_patch(Circle((x, y), 0.14, facecolor="white", edgecolor=INK, linewidth=1.4))
    ax.plot([x - 0.08, x + 0.08], [y, y], color=INK, linewidth=1.4)
    ax.plot([x, x], [y - 0.08, y + 0.08], color=INK, linewidth=1.4)
    return Box(x, y, 0.28, 0.28)
