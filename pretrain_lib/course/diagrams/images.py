"""Diagrams of learning from images: what a network may see, what two views are asked, and what stands on its maps."""

from __future__ import annotations

from matplotlib.patches import Rectangle

from ..plots import BLUE, GREEN, ORANGE, PURPLE, RED, SKY
from .shapes import INK, MEDIUM, MUTED, SMALL, Box, arrow, box, brace, cells, label, page, plus, title


def convolution_and_patches():
    """A convolution reads neighbours with the same weights everywhere; a transformer's patches all read each other, wherever they lie."""
    ax = page(5.1)
    title(ax, 0.25, "A convolution")
    _grid(ax, 0.3, 0.6, 6, 0.25)
    window = _window(ax, 0.55, 1.1, 3, 0.25, BLUE)
    _grid(ax, 3.2, 0.6, 6, 0.25)
    answer = _window(ax, 3.7, 1.6 - 0.25, 1, 0.25, BLUE)
    arrow(ax, window.right, answer.left)
    label(ax, 2.45, 0.95, "9 weights", MEDIUM)
    label(ax, 2.45, 2.35, "neighbours only, and at every place the same weights", colour=MUTED)

    title(ax, 2.9, "Patches")
    for row in range(3):
        for column in range(3):
            _window(ax, 0.3 + 0.5 * column, 3.2 + 0.5 * row, 1, 0.46, SKY)
    tokens = cells(ax, 2.5, 3.25, list("123456789"), 0.26, 0.3, SKY)
    places = cells(ax, 2.5, 4.35, list("123456789"), 0.26, 0.3, SKY)
    for one in tokens:
        for other in places:
            ax.plot([one.x, other.x], [3.4, 4.2], color=MUTED, linewidth=0.35)
    arrow(ax, (1.85, 3.9), (2.4, 3.9))
    label(ax, 2.45, 4.85, "each reads every other; what is near has to be learned", colour=MUTED)
    return ax.figure


def two_views():
    """Two random views of a picture go through one network and one head; each has to be told from all others of the batch."""
    ax = page(5.5)
    picture = box(ax, 2.5, 0.35, 2.3, 0.45, "a picture and its key", SKY)
    network = box(ax, 2.5, 2.6, 4.2, 0.5, "one network, for both")
    for x, name in [(1.2, "first view"), (3.8, "second view")]:
        view = box(ax, x, 1.5, 1.7, 0.72, f"{name}\ncrop, colour …", SKY)
        arrow(ax, picture.left if x < 2.5 else picture.right, (x, 0.35), view.top)
        arrow(ax, view.bottom, (x, network.top[1]))
        head = box(ax, x, 3.75, 1.2, 0.45, "head", ORANGE)
        arrow(ax, (x, network.bottom[1]), head.top)
        arrow(ax, head.bottom, (x, 4.63))
        label(ax, x - 0.1, 3.2, "h", MEDIUM, ha="right")
        label(ax, x - 0.1, 4.3, "z", MEDIUM, ha="right")
    label(ax, 2.5, 3.2, "h is kept", colour=MUTED)
    label(ax, 2.5, 3.75, "discarded\nlater", colour=MUTED)
    box(ax, 2.5, 4.95, 4.2, 0.64, "which of the 2N − 1 others\nis the other view of the same?", RED)
    return ax.figure


def teacher_by_average():
    """A student learns what a teacher says of the other view; the teacher's weights are a moving average of the student's."""
    ax = page(4.9)
    loss = box(ax, 2.5, 4.5, 2.3, 0.5, "cross-entropy", RED)
    for x, name, frozen, view, side, temperature in [(1.1, "teacher\nno gradient", True, "second view", "left", "low T,\ncentred"),
                                                     (3.9, "student\ntrained", False, "first view", "right", "higher T")]:
        seen = box(ax, x, 0.4, 1.6, 0.45, view, SKY)
        model = box(ax, x, 1.5, 1.5, 0.75, name, frozen=frozen)
        answer = box(ax, x, 3.25, 1.5, 0.5, "softmax", ORANGE)
        arrow(ax, seen.bottom, model.top)
        arrow(ax, model.bottom, answer.top)
        arrow(ax, answer.bottom, (x, 4.5), getattr(loss, side))
        label(ax, x + (0.1 if frozen else -0.1), 2.45, temperature, ha="left" if frozen else "right")
    arrow(ax, (3.15, 1.5), (1.85, 1.5))
    label(ax, 2.5, 1.12, "moving\naverage", ha="center")
    return ax.figure


SEEN = "32"  # of eight patches, in the order in which they were drawn


def vit_masked_autoencoder():
    """The encoder sees the visible patches only; mask tokens stand for the others in a small decoder, whose loss counts those alone."""
    ax = page(6.3)
    order = list("12345678")
    rows = [(0.75, "patches", order, [SKY if each in SEEN else None for each in order]),
            (3.2, "mask tokens added", [*SEEN, *("m" * 6)], [BLUE, BLUE, *[ORANGE] * 6]),
            (4.05, "put back, places added", [each if each in SEEN else "m" for each in order], [BLUE if each in SEEN else ORANGE for each in order]),
            (5.65, "pixels", order, [None if each in SEEN else GREEN for each in order])]
    for y, name, texts, colours in rows:
        cells(ax, 0.3, y, texts, 0.4, 0.36, colours)
        label(ax, 1.25 if y == 3.2 else 0.3, y - 0.36, name, colour=MUTED, ha="left")
    visible = cells(ax, 0.3, 1.65, list(SEEN), 0.4, 0.36, SKY)
    label(ax, 1.25, 1.65, "visible, in a random order", colour=MUTED, ha="left")
    encoder = box(ax, 0.7, 2.35, 0.8, 0.4, "", BLUE)
    label(ax, 1.25, 2.35, "large encoder", MEDIUM, ha="left")
    arrow(ax, (0.7, 0.95), (0.7, visible[0].top[1]))
    arrow(ax, (0.7, visible[0].bottom[1]), encoder.top)
    arrow(ax, encoder.bottom, (0.7, 3.0))
    decoder = box(ax, 1.9, 4.75, 3.2, 0.4, "small decoder", PURPLE)
    arrow(ax, (1.9, 4.25), decoder.top)
    arrow(ax, decoder.bottom, (1.9, 5.45))
    label(ax, 3.65, 5.65, "loss: hidden\npatches only", ha="left")
    brace(ax, 0.3, 3.5, 5.88, "B × 8 patches")
    return ax.figure


def feature_pyramid():
    """Maps of three stages are brought to one width and size and summed; one head says what each pixel is, another where objects are."""
    ax = page(6.2)
    label(ax, 1.15, 0.25, "encoder", MEDIUM, weight="bold")
    picture = box(ax, 1.15, 0.75, 1.7, 0.45, "picture", SKY)
    last, sums = picture, []
    for number, (side, y) in enumerate([(1.7, 1.6), (1.2, 2.5), (0.8, 3.4)], 1):
        stage = box(ax, 1.15, y, side, 0.5, f"stage {number}" if number < 3 else "st. 3")
        arrow(ax, last.bottom, stage.top)
        end = plus(ax, 3.6, y) if number < 3 else None
        arrow(ax, stage.right, end.left) if end else ax.plot([stage.right[0], 3.6], [y, y], color=INK, linewidth=1.5)
        label(ax, 2.75, y - 0.2, "1 × 1", colour=MUTED)
        sums.append(end)
        last = stage
    arrow(ax, (3.6, 3.4), sums[1].bottom)
    arrow(ax, sums[1].top, sums[0].bottom)
    label(ax, 3.75, 2.05, "enlarge", ha="left", colour=MUTED)
    label(ax, 3.75, 2.95, "enlarge", ha="left", colour=MUTED)
    arrow(ax, sums[0].right, (4.75, 1.6), (4.75, 4.1), (2.5, 4.1), (2.5, 4.35))
    mixing = box(ax, 2.5, 4.6, 2.0, 0.45, "3 × 3, ReLU", ORANGE)
    for x, text in [(1.25, "segmentation:\na class for each pixel"), (3.75, "detection: heat of\ncentres, size, offset")]:
        head = box(ax, x, 5.65, 2.25, 0.7, text, GREEN, size=SMALL)
        arrow(ax, ((x + mixing.x) / 2, mixing.bottom[1]), head.top)
    return ax.figure


def _grid(ax, left, top, count, side) -> None:
    """White cells, `count` in a row and in a column."""
    for row in range(count):
        for column in range(count):
            ax.add_patch(Rectangle((left + column * side, top + row * side), side, side, facecolor="white", edgecolor="#BBBBBB", linewidth=0.7))


def _window(ax, left, top, count, side, colour) -> Box:
    """A tinted square over so many cells."""
    whole = count * side
    ax.add_patch(Rectangle((left, top), whole, whole, facecolor=colour, alpha=0.35, edgecolor=colour, linewidth=1.4))
    return Box(left + whole / 2, top + whole / 2, whole, whole)
