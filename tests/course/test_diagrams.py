"""Diagrams can be read: every text is large, dark, within its box and apart from all others; and they are true."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.path import Path

from pretrain_lib.course import diagrams, plots
from pretrain_lib.course.diagrams import shapes

PHONE = 360  # pixels


@pytest.fixture(autouse=True)
def no_screen():
    matplotlib.use("agg")
    yield
    plots.plt.close("all")


def texts(fig) -> list:
    """Each text with the boxes that the renderer draws it in, two pixels larger on each side."""
    renderer = fig.canvas.get_renderer()
    return [(text, text.get_window_extent(renderer).padded(2)) for text in fig.axes[0].texts if text.get_text().strip()]


def luminance(colour) -> float:
    """Of WCAG 2.1, "relative luminance"."""
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], channels))


def ground(ax, x, y):
    """The colour that the last patch drawn about a point has, white where there is none."""
    faces = [patch.get_facecolor() for patch in sorted(ax.patches, key=lambda p: p.get_zorder())
             if not isinstance(patch, FancyArrowPatch) and patch.get_facecolor()[3] and patch.contains_point((x, y))]
    return faces[-1] if faces else "white"


def faults(fig) -> list[str]:
    """What a reader with a phone would stumble over."""
    ax = fig.axes[0]
    found = []
    outlines = [Path(line) for artist in [*ax.patches, *ax.lines]
                for line in artist.get_transform().transform_path(artist.get_path()).to_polygons(closed_only=False)]
    for text, room in texts(fig):
        name = repr(text.get_text())
        if not fig.bbox.contains(*room.min) or not fig.bbox.contains(*room.max):
            found.append(f"{name} leaves the figure")
        if any(outline.intersects_bbox(room, filled=False) for outline in outlines):
            found.append(f"a line goes through {name}")
        if text.get_size() / 72 * PHONE / fig.get_figwidth() < 10.9:
            found.append(f"{name} is too small")
        centre = (room.x0 + room.x1) / 2, (room.y0 + room.y1) / 2
        light, dark = sorted([luminance(text.get_color()), luminance(ground(ax, *centre))], reverse=True)
        if (light + 0.05) / (dark + 0.05) < 4.5:
            found.append(f"{name} is too pale")
    found += [f"{a.get_text()!r} and {b.get_text()!r} overlap" for (a, room), (b, other) in combinations(texts(fig), 2)
              if room.padded(-1).overlaps(other.padded(-1))]
    return found


@pytest.mark.parametrize("draw", diagrams.ALL, ids=lambda draw: draw.__name__)
def test_every_text_can_be_read_on_a_phone(draw):
    fig = draw()
    assert fig.get_figwidth() == shapes.WIDTH and not faults(fig)
    assert draw.__doc__.endswith(".") and "\n" not in draw.__doc__ and len(draw.__doc__) < 140


@pytest.mark.parametrize("mistake, said", [
    (lambda ax: shapes.label(ax, 4.9, 1, "far too long"), "leaves the figure"),
    (lambda ax: shapes.box(ax, 2, 2, 0.5, 0.5, "encoder"), "a line goes through"),
    (lambda ax: shapes.funnel(ax, 2, 2, 0.9, 1.0, 0.1, "encoder"), "a line goes through"),
    (lambda ax: shapes.arrow(ax, (1, 0.4), (1, 1), (3, 1)) or shapes.label(ax, 2, 1, "weights"), "a line goes through"),
    (lambda ax: [shapes.label(ax, 2, y, "two") for y in (1, 1.1)], "overlap"),
    (lambda ax: shapes.label(ax, 2, 1, "whispered", size=8), "too small"),
    (lambda ax: shapes.label(ax, 2, 1, "golden", colour=plots.YELLOW), "too pale"),
    (lambda ax: ax.add_patch(Rectangle((0, 0), 5, 3, facecolor="black")) and shapes.label(ax, 2, 1, "at night"), "too pale"),
])  # fmt: skip
def test_what_could_not_be_read_is_found(mistake, said):
    ax = shapes.page(3)
    shapes.box(ax, 2.5, 2.7, 2, 0.4, "this is fine")
    assert not faults(ax.figure)
    mistake(ax)
    assert said in faults(ax.figure)[0]


def test_the_same_diagram_gives_the_same_pixels():
    pixels = []
    for _ in range(2):
        fig = diagrams.transfer()
        fig.canvas.draw()
        pixels.append(np.asarray(fig.canvas.buffer_rgba()))
    assert np.array_equal(*pixels) and (pixels[0][0, 0] == 255).all(), "drawn on white, also where the page is dark"


def pieces(fig) -> list[tuple[float, float, float, str]]:
    """The cells with a text: (y of the centre, left, right, text)."""
    ax = fig.axes[0]
    found = []
    for text in ax.texts:
        x, y = text.get_position()
        inside = [p for p in ax.patches if isinstance(p, Rectangle) and not p.get_hatch()
                  and p.get_x() < x < p.get_x() + p.get_width() and abs(p.get_y() + p.get_height() / 2 - y) < 1e-6]
        found += [(round(y, 3), p.get_x(), p.get_x() + p.get_width(), text.get_text()) for p in inside]
    return sorted(found)


def lanes(fig) -> list[list[tuple[float, float, str]]]:
    """The pieces of each height, from the top, each in the order of time; none begins before the last has ended."""
    heights = sorted({y for y, *_ in pieces(fig)})
    rows = [[(left, right, text) for y, left, right, text in pieces(fig) if y == height] for height in heights]
    for row in rows:
        assert all(before[1] <= after[0] + 1e-6 for before, after in zip(row, row[1:]))
    return rows


def at(row, text, number=0):
    """Begin and end of the piece with that text."""
    return [piece for piece in row if piece[2] == text][number][:2]


def test_what_each_residual_leads_around():
    ax = diagrams.blocks().axes[0]
    names = {(round(x, 1), y): text.get_text().split("\n")[0] for text in ax.texts for x, y in [text.get_position()]}
    around = []
    for line in ax.lines:
        xs, ys = line.get_data()
        if len(xs) == 3 and xs[0] != xs[1]:
            around.append([name for (x, y), name in names.items() if x == xs[0] and ys[0] < y < ys[2] and name[0] != "("])
    assert around == [["attention"], ["feed-forward"], ["LayerNorm", "attention"], ["LayerNorm", "feed-forward"]]


def test_stages_of_the_pipeline_wait_for_each_other_and_the_idle_shares_are_those_drawn():
    fig = diagrams.pipeline()
    first, second = lanes(fig)[2:]
    for micro in "1234":
        assert at(second, micro)[0] >= at(first, micro)[1] - 1e-6, "forwards, stage 2 after stage 1"
        assert at(first, micro, 1)[0] >= at(second, micro, 1)[1] - 1e-6, "backwards, stage 1 after stage 2"
    for rows, share in ((lanes(fig)[:2], 1 / 2), (lanes(fig)[2:], 1 / 5)):
        begin, end = min(row[0][0] for row in rows), max(row[-1][1] for row in rows)
        work = sum(right - left for row in rows for left, right, _ in row)
        assert 1 - work / (len(rows) * (end - begin)) == pytest.approx(share)


def test_messages_of_the_timelines_are_sent_when_what_they_carry_is_there():
    ddp, ddp_sends, fsdp, fsdp_sends, tensor, tensor_sends = lanes(diagrams.timelines())
    for computes, sends in ((ddp, ddp_sends), (fsdp, fsdp_sends)):
        for layer in "123":
            assert at(sends, "g" + layer)[0] >= at(computes, "B" + layer)[1] - 1e-6, "a gradient is sent once it is there"
    for layer in "123":
        assert at(fsdp, "F" + layer)[0] >= at(fsdp_sends, "w" + layer)[1] - 1e-6, "weights are gathered before they are used"
    for layer in "12":  # the third is kept from its forward to its backward pass
        assert at(fsdp, "B" + layer)[0] >= at(fsdp_sends, "w" + layer, 1)[1] - 1e-6
    assert [end for _, end, _ in tensor] == pytest.approx([begin for begin, _, _ in tensor_sends])
    assert [begin for begin, _, _ in tensor[1:]] == pytest.approx([end for _, end, _ in tensor_sends[:-1]])


def test_the_mask_of_packing_joins_tokens_of_one_text():
    fig = diagrams.packing()
    ax = fig.axes[0]
    grid = [patch for patch in ax.patches if round(patch.get_height(), 3) == 0.24]
    assert len(grid) == 144
    coloured = {tuple(patch.get_facecolor()) for patch in grid} - {(1.0, 1.0, 1.0, 1.0)}
    count = Counter(tuple(patch.get_facecolor()) for patch in grid)
    assert sorted(count[colour] for colour in coloured) == [9, 16, 25]


def test_of_twenty_tokens_fifteen_per_cent_are_chosen():
    cells = [patch for patch in diagrams.masked_language_model().axes[0].patches if isinstance(patch, Rectangle)]
    chosen = [patch for patch in cells if patch.get_facecolor() != (1.0, 1.0, 1.0, 1.0)]
    assert len(chosen) / len(cells) == 0.15
