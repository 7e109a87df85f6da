"""Diagrams of models: what they are made of, how they are trained, and what becomes of them."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Rectangle

from ..plots import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY
from .shapes import LARGE, MEDIUM, MUTED, WIDTH, Box, arrow, box, cells, funnel, label, page, panel, plus, title


def transfer():
    """The encoder's weights go from pre-training to transfer, where they stay frozen or are fine-tuned under a new head."""
    ax = page(5.6)
    title(ax, 0.25, "1  Pre-train")
    data = box(ax, 0.85, 0.9, 1.4, 0.75, "much data,\nno labels", SKY)
    encoder = box(ax, 2.5, 0.9, 1.2, 0.75, "encoder")
    task = box(ax, 4.2, 0.9, 1.3, 0.75, "pretext\ntask", ORANGE)
    arrow(ax, data.right, encoder.left)
    arrow(ax, encoder.right, task.left)
    label(ax, 4.2, 1.46, "(then discarded)", colour=MUTED)

    title(ax, 2.05, "2  Transfer")
    panel(ax, 1.75, 2.4, 1.5, 2.65)
    arrow(ax, encoder.bottom, (2.5, 2.4))
    label(ax, 2.62, 1.85, "copy the weights", ha="left")
    few = box(ax, 0.75, 3.72, 1.1, 2.2, "few\nsamples\nwith\nlabels", SKY)
    for y, frozen, text, name in [(3.0, True, "encoder\nfrozen", "linear probe"),
                                  (4.35, False, "encoder\ntrained", "fine-tuning")]:
        body = box(ax, 2.5, y, 1.2, 0.75, text, frozen=frozen)
        head = box(ax, 4.2, y, 1.3, 0.75, "new head\ntrained", GREEN)
        arrow(ax, (few.right[0], y), body.left)
        arrow(ax, body.right, head.left)
        label(ax, 4.2, y + 0.56, name, MEDIUM, weight="bold")
    label(ax, 2.5, 5.35, "dashed grey: not trained", colour=MUTED)
    return ax.figure


def autoencoder():
    """An encoder squeezes a sample into a short code, a decoder makes a reconstruction of it, and the loss compares the two ends."""
    ax = page(3.9)
    x, y = box(ax, 0.5, 1.65, 0.5, 2.0, "x", SKY, size=LARGE), box(ax, 4.5, 1.65, 0.5, 2.0, "y", SKY, size=LARGE)
    encoder = funnel(ax, 1.5, 1.65, 1.1, 2.0, 0.8, "encoder")
    code = box(ax, 2.5, 1.65, 0.4, 0.8, "z", ORANGE, size=LARGE)
    decoder = funnel(ax, 3.5, 1.65, 1.1, 0.8, 2.0, "decoder")
    for start, end in zip((x, encoder, code, decoder), (encoder, code, decoder, y)):
        arrow(ax, start.right, end.left)
    label(ax, x.x, 0.2, "input")
    label(ax, 4.88, 0.2, "reconstruction", ha="right")
    label(ax, 2.5, 0.75, "code")
    for end, top in [(x, 0.45), (code, 1.03), (y, 0.45)]:
        label(ax, end.x, top, "(B, k)" if end is code else "(B, D)", colour=MUTED)
    loss = box(ax, 2.5, 3.4, 2.4, 0.62, "loss  ½ Σ (x − y)²", RED)
    arrow(ax, x.bottom, (x.x, 3.4), loss.left)
    arrow(ax, y.bottom, (y.x, 3.4), loss.right)
    label(ax, 2.5, 2.25, "k < D", colour=MUTED)
    return ax.figure


def _digit(width: float):
    """A seven of 28 × 28 pixels, drawn with a pen of that width: (28, 28) in [0, 1]."""
    row, column = np.mgrid[:28, :28] + 0.5
    darkness = np.zeros((28, 28))
    for (x0, y0), (x1, y1) in [((6, 7), (21, 7)), ((21, 7), (12, 23)), ((11, 15), (20, 15))]:
        t = np.clip(((column - x0) * (x1 - x0) + (row - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2), 0, 1)
        distance = np.hypot(column - x0 - t * (x1 - x0), row - y0 - t * (y1 - y0))
        darkness = np.maximum(darkness, np.exp(-((distance / width) ** 2)))
    return darkness


HIDDEN = (0, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15)  # twelve of sixteen patches


def _picture(ax, x, y, pixels, covered=(), cover="black", size=1.4) -> Box:
    """An image about (x, y) and the edges of its 4 × 4 patches, some of them covered."""
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=1, extent=(x - size / 2, x + size / 2, y + size / 2, y - size / 2))
    ax.set(xlim=(0, WIDTH), ylim=(ax.figure.get_figheight(), 0), aspect="auto")
    for i in range(16):
        row, column = divmod(i, 4)
        ax.add_patch(Rectangle((x + (column / 4 - 0.5) * size, y + (row / 4 - 0.5) * size), size / 4, size / 4, zorder=2,
                               facecolor=cover if i in covered else "none", edgecolor="#9A9A9A", linewidth=0.8))
    return Box(x, y, size, size)


def masked_autoencoder():
    """A masked autoencoder sees a quarter of the patches and the mask, and its loss compares the hidden patches only."""
    ax = page(5.7)
    image = _picture(ax, 0.85, 1.3, _digit(1.6))
    seen = _picture(ax, 2.6, 1.3, _digit(1.6), HIDDEN)
    mask = _picture(ax, 4.15, 1.3, np.zeros((28, 28)), HIDDEN, cover="white")
    for picture, name in [(image, "image"), (seen, "pixels"), (mask, "mask")]:
        label(ax, picture.x, 0.42, name, MEDIUM, weight="bold")
    label(ax, 3.38, 0.15, "what it sees: two channels", colour=MUTED)
    arrow(ax, image.right, seen.left)
    encoder = box(ax, 3.38, 2.9, 1.5, 0.62, "encoder")
    decoder = box(ax, 3.38, 4.5, 1.5, 0.62, "decoder")
    for channel, x in [(seen, 3.0), (mask, 3.76)]:
        arrow(ax, channel.bottom, (x, encoder.top[1]))
    arrow(ax, encoder.bottom, decoder.top)
    label(ax, 3.28, 3.7, "features", ha="right")
    visible = set(range(16)) - set(HIDDEN)
    guess = _picture(ax, 0.85, 4.5, 0.75 * _digit(3.2), visible, cover="#BBBBBB")
    arrow(ax, decoder.left, guess.right)
    label(ax, guess.x, 5.4, "prediction", MEDIUM, weight="bold")
    label(ax, 1.7, 5.4, "(grey: not compared)", colour=MUTED, ha="left")
    loss = box(ax, 1.15, 2.9, 1.9, 0.62, "loss: hidden\npatches only", RED)
    arrow(ax, image.bottom, (image.x, loss.top[1]))
    arrow(ax, guess.top, (guess.x, loss.bottom[1]))
    return ax.figure


def blocks():
    """Post-LN normalises after each sum, pre-LN before each branch, and leaves the residual stream untouched."""
    ax = page(7.15)
    post = [["attention", "+", "LayerNorm"], ["feed-forward", "+", "LayerNorm"]]
    pre = [["LayerNorm", "attention", "+"], ["LayerNorm", "feed-forward", "+"]]
    for x, name, halves in [(1.3, "Post-LN", post), (3.8, "Pre-LN", pre)]:
        label(ax, x, 0.25, name, LARGE, weight="bold")
        label(ax, x, 0.65, "x  (B, T, D)", MEDIUM)
        middle = _half(ax, x, 0.85, halves[0])
        label(ax, x + 0.1, middle + 0.29, "(B, T, D)", ha="left")
        end = _half(ax, x, middle, halves[1])
        arrow(ax, (x, end), (x, end + 0.4))
        label(ax, x, end + 0.6, "(B, T, D)", MEDIUM)
    label(ax, 3.8, 6.8, "after the last block\none more LayerNorm", colour=MUTED)
    return ax.figure


def _half(ax, x, y, steps) -> float:
    """Half a block downwards from y, its input led around to the sum; the height where it ends."""
    texts = {"feed-forward": "feed-forward\nD → 4D → D"}
    colours = {"attention": BLUE, "feed-forward": GREEN, "LayerNorm": ORANGE}
    fork, end = y + 0.16, (x, y)
    for gap, step in zip((0.42, 0.32, 0.32), steps):
        if step == "+":
            place = plus(ax, x, end[1] + gap + 0.14)
            arrow(ax, (x, fork), (x - 1.0, fork), (x - 1.0, place.y), place.left)
        else:
            place = box(ax, x, end[1] + gap + 0.28, 1.5, 0.56, texts.get(step, step), colours[step])
        arrow(ax, end, place.top)
        end = place.bottom
    return end[1]


def heads():
    """Each head attends with its own slice of the D numbers, and the answers are joined again."""
    ax = page(6.4)
    colours = [BLUE, ORANGE, GREEN, PURPLE]
    x = box(ax, 2.5, 0.32, 2.2, 0.42, "x  (B, T, D)", GREY)
    for place, name in [(0.9, "q"), (2.5, "k"), (4.1, "v")]:
        matrix = box(ax, place, 1.2, 0.75, 0.42, f"W$_{name}$", GREY, size=LARGE)
        arrow(ax, x.bottom, matrix.top)
        slices = cells(ax, place - 0.7, 2.0, "1234", 0.35, 0.34, colours)
        arrow(ax, matrix.bottom, (place, 1.83))
        label(ax, place + 0.16, 1.62, name, MEDIUM, ha="left")
        for piece, colour, head in zip(slices, colours, range(4)):
            ax.plot([piece.x, 0.7 + 1.2 * head], [2.17, 3.1], color=colour, linewidth=1.3)
    for number, colour in enumerate(colours):
        head = box(ax, 0.7 + 1.2 * number, 3.32, 1.05, 0.44, f"head {number + 1}", colour)
        arrow(ax, head.bottom, (1.8 + 0.35 * number + 0.175, 4.53))
    label(ax, 0.12, 5.3, "each head:\nsoftmax(q kᵀ / √E) v\n(B, T, E), E = D / H", ha="left")
    joined = cells(ax, 1.8, 4.7, "1234", 0.35, 0.34, colours)
    label(ax, 3.35, 4.7, "side by side", ha="left")
    mix = box(ax, 2.5, 5.4, 0.75, 0.42, "W$_O$", GREY, size=LARGE)
    arrow(ax, (2.5, joined[0].bottom[1]), mix.top)
    arrow(ax, mix.bottom, (2.5, 5.95))
    label(ax, 2.5, 6.15, "(B, T, D)", MEDIUM)
    return ax.figure


def lora():
    """The pretrained matrix W stays frozen, two thin matrices A and B learn the change, and the sum can be merged."""
    ax = page(6.5)
    x = box(ax, 2.5, 0.3, 0.7, 0.4, "x", SKY, size=LARGE)
    W = box(ax, 1.2, 2.05, 1.5, 1.5, "W\nfrozen\n(out, in)", frozen=True)
    A = box(ax, 3.7, 1.3, 1.5, 0.38, "A", ORANGE)
    B = box(ax, 3.7, 2.7, 0.38, 1.5, "B", ORANGE)
    label(ax, 3.85, 1.68, "(r, in)", colour=MUTED, ha="left")
    label(ax, 4.0, 2.7, "(out, r)\n0 at first", colour=MUTED, ha="left")
    arrow(ax, x.left, (1.2, 0.3), W.top)
    arrow(ax, x.right, (3.7, 0.3), A.top)
    arrow(ax, A.bottom, B.top)
    total = plus(ax, 2.5, 3.95)
    arrow(ax, W.bottom, (1.2, 3.95), total.left)
    arrow(ax, B.bottom, (3.7, 3.95), total.right)
    label(ax, 3.3, 3.72, "× α / r")
    h = box(ax, 2.5, 4.55, 0.7, 0.4, "h", SKY, size=LARGE)
    arrow(ax, total.bottom, h.top)
    title(ax, 5.1, "Merged: one matrix again")
    for place, frozen, name in [(0.6, False, "W′"), (1.95, True, "W")]:
        box(ax, place, 5.85, 0.8, 0.8, name, frozen=frozen)
    label(ax, 1.28, 5.85, "=", LARGE)
    label(ax, 2.8, 5.85, "+  α/r", MEDIUM)
    box(ax, 3.4, 5.85, 0.3, 0.8, "B", ORANGE)
    box(ax, 4.1, 5.6, 0.8, 0.3, "A", ORANGE)
    return ax.figure


def distillation():
    """A student learns the teacher's probabilities at a temperature, and the labels where there are any."""
    ax = page(5.75)
    text = box(ax, 2.5, 0.35, 1.9, 0.45, "a text, no label", SKY)
    loss = box(ax, 2.5, 4.3, 1.9, 0.5, "T² · KL(p ‖ q)", RED)
    for x, side, name, frozen, logits, values, answer in [(1.1, "left", "teacher\nfrozen", True, "v", (4, 2, -2), "soft targets p"),
                                                 (3.9, "right", "student\ntrained", False, "z", (2, 2.5, 0), "answer q")]:
        model = box(ax, x, 1.35, 1.5 if frozen else 1.1, 0.8, name, frozen=frozen)
        arrow(ax, getattr(text, side), (x, 0.35), model.top)
        arrow(ax, model.bottom, (x, 2.3))
        label(ax, x + (0.1 if frozen else -0.1), 2.02, f"softmax({logits} / T)", ha="left" if frozen else "right")
        _probabilities(ax, x, 3.3, np.exp(np.array(values) / 4), GREY if frozen else BLUE)
        label(ax, x, 3.5, answer, MEDIUM)
        arrow(ax, (x, 3.7), (x, 4.3), getattr(loss, side))
    hard = box(ax, 2.5, 5.3, 1.9, 0.5, "cross-entropy", RED)
    labels = box(ax, 0.6, 5.3, 0.85, 0.56, "labels,\nif any", SKY)
    arrow(ax, labels.right, hard.left)
    arrow(ax, (4.45, 1.35), (4.8, 1.35), (4.8, 5.3), hard.right)
    label(ax, 4.2, 5.08, "T = 1")
    return ax.figure


def _probabilities(ax, x, y, weights, colour):
    """Three bars about x that stand on y."""
    for i, share in enumerate(weights / weights.sum()):
        ax.add_patch(Rectangle((x - 0.5 + 0.36 * i, y - 1.4 * share), 0.28, 1.4 * share, facecolor=colour))
    ax.plot([x - 0.6, x + 0.6], [y, y], color=MUTED, linewidth=1)
