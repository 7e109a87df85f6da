"""Diagrams of pictures and words in one space, of what a bag of words hears, and of clips shown backwards."""

from __future__ import annotations

from ..plots import BLUE, GREEN, ORANGE, PURPLE, RED, SKY
from .shapes import MEDIUM, MUTED, arrow, box, brace, cells, label, page, title


def two_towers():
    """Pictures and texts each have an encoder and a projection; of a batch every picture is compared with every text."""
    ax = page(5.5)
    pictures, texts = box(ax, 1.2, 0.4, 2.1, 0.5, "N pictures", SKY), box(ax, 3.8, 0.4, 2.1, 0.5, "their N texts", ORANGE)
    for x, above, name, colour in ((1.2, pictures, "image encoder", SKY), (3.8, texts, "text encoder", ORANGE)):
        encoder = box(ax, x, 1.25, 2.1, 0.5, name, colour)
        head = box(ax, x, 2.1, 2.1, 0.5, "projection, length 1", colour)
        arrow(ax, above.bottom, encoder.top)
        arrow(ax, encoder.bottom, head.top)
        arrow(ax, head.bottom, (x, 2.72))
    for row in range(4):
        cells(ax, 1.5, 3.05 + 0.42 * row, ["a·b"] * 4, 0.5, 0.42, [GREEN if row == column else None for column in range(4)])
    label(ax, 0.75, 3.7, "a row for\neach picture", MEDIUM)
    label(ax, 4.25, 3.7, "a column for\neach text", MEDIUM)
    label(ax, 2.5, 5.0, "green: the pairs. Each should be the largest\nof its row, and of its column", colour=MUTED)
    return ax.figure


def two_sentences_one_bag():
    """A caption and the same words with the colours swapped: in order they differ, as a bag they are one."""
    ax = page(4.7)
    words, swapped = ["red", "three", "left of", "blue", "seven"], ["blue", "three", "left of", "red", "seven"]
    colours = {"red": RED, "blue": BLUE}
    title(ax, 0.25, "In order")
    for y, row in ((0.85, words), (1.35, swapped)):
        cells(ax, 0.25, y, row, 0.9, 0.4, [colours.get(word) for word in row])
    label(ax, 2.5, 1.85, "two texts: who keeps the order can tell them apart", colour=MUTED)
    title(ax, 2.5, "As a bag")
    bag = cells(ax, 0.25, 3.1, sorted(words), 0.9, 0.4, [colours.get(word) for word in sorted(words)])
    mean = box(ax, 2.5, 4.0, 2.4, 0.5, "one mean, one vector", PURPLE)
    for each in bag:
        arrow(ax, each.bottom, (2.5 + 0.3 * (each.x - 2.5), mean.top[1]))
    return ax.figure


def same_frames_two_ways():
    """A clip and the same clip backwards have the same frames: one frame says nothing, all frames without order say half."""
    ax = page(4.4)
    for y, name, order in ((0.75, "right", [0, 1, 2, 3]), (2.0, "left", [3, 2, 1, 0])):
        label(ax, 0.45, y, name, MEDIUM)
        for k, place in enumerate(order):
            cells(ax, 1.0 + 0.98 * k, y, [""], 0.86, 0.7, None)
            ax.plot(1.16 + 0.98 * k + 0.18 * place, y, "o", color=BLUE, markersize=9)
    brace(ax, 1.0, 4.8, 2.5, "time")
    for y, text in ((3.3, "one frame: could be any of the eight motions"), (3.65, "all frames, in no order: one of two"), (4.0, "all frames, in order: one")):
        label(ax, 0.5, y, text, MEDIUM, ha="left")
    return ax.figure
