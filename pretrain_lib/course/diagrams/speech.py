"""Diagrams of learning to listen: what is predicted of what was heard, and which paths say a transcript."""

from __future__ import annotations

from ..plots import BLUE, GREEN, ORANGE, PURPLE, RED, SKY
from .shapes import INK, MEDIUM, MUTED, arrow, box, brace, cells, label, page, title


def from_wave_to_coefficients():
    """A wave is cut into windows; their spectra become energies in bands of mel, logarithms, and then cepstral coefficients."""
    ax = page(5.6)
    steps = [("wave", "16,000 numbers a second", SKY), ("windows", "25 ms, every 10 ms", SKY), ("energy", "257 frequencies", BLUE), ("mel filters", "40 bands", BLUE),
             ("logarithm", "log-mel: what networks read", GREEN), ("cosine transform", "MFCC: 13 of the 40", ORANGE)]
    above = None
    for y, (name, told, colour) in zip((0.4 + 0.92 * i for i in range(6)), steps):
        here = box(ax, 1.25, y, 2.0, 0.48, name, colour)
        label(ax, 2.45, y, told, MEDIUM, ha="left")
        if above:
            arrow(ax, above.bottom, here.top)
        above = here
    return ax.figure


def contrastive_prediction():
    """From what was heard up to a frame, the vectors of later frames are predicted, and each is told from other frames."""
    ax = page(5.7)
    frames = cells(ax, 0.4, 4.6, [f"{t}" for t in range(1, 8)], 0.6, 0.4, [SKY] * 7)
    label(ax, 2.5, 5.1, "frames of the log-mel, two steps each", colour=MUTED)
    vectors = cells(ax, 0.4, 3.5, ["z"] * 7, 0.6, 0.4, [BLUE] * 3 + [None] * 2 + [GREEN] + [None])
    for low, high in zip(frames, vectors):
        arrow(ax, low.top, high.bottom)
    heard = cells(ax, 0.4, 2.3, ["c"] * 3, 0.6, 0.4, [PURPLE] * 3)
    for low, high in zip(vectors, heard):
        arrow(ax, low.top, high.bottom)
    for one, next_one in zip(heard, heard[1:]):
        ax.plot([one.x, next_one.x], [2.02, 2.02], color=INK, linewidth=1.2)
    label(ax, 1.3, 1.75, "heard so far", MEDIUM)
    guess = box(ax, 3.7, 1.3, 2.3, 0.5, "predicted: frame 6", ORANGE)
    arrow(ax, heard[2].right, (3.7, 2.3), guess.bottom)
    label(ax, 4.55, 2.05, "W₃ c", MEDIUM)
    box(ax, 2.5, 0.45, 4.6, 0.5, "which of all frames is it?", RED)
    arrow(ax, guess.top, (3.7, 0.72))
    arrow(ax, vectors[5].top, (vectors[5].x, 2.62), (4.85, 2.62), (4.85, 0.98), (4.6, 0.72))
    return ax.figure


def two_kinds_of_others():
    """Frames of the same utterance differ in what is said; frames of others differ in voice and noise as well."""
    ax = page(4.9)
    title(ax, 0.25, "Of the same utterance")
    cells(ax, 0.4, 0.95, ["s", "E", "v", "@", "n"], 0.8, 0.42, [BLUE, BLUE, BLUE, GREEN, BLUE])
    brace(ax, 0.4, 4.4, 1.22, "one voice, one room: only the phone tells")
    title(ax, 2.15, "Of other utterances")
    cells(ax, 0.4, 2.85, ["s", "E", "v", "@", "n"], 0.8, 0.42, [None, None, None, GREEN, None])
    cells(ax, 0.4, 3.4, ["u", "aI", "t", "l", "3"], 0.8, 0.42, ORANGE)
    cells(ax, 0.4, 3.95, ["oU", "k", "i", "m", "p"], 0.8, 0.42, PURPLE)
    brace(ax, 0.4, 4.4, 4.22, "other voices, other rooms: they tell at once")
    return ax.figure


def hidden_units():
    """Frames are clustered; a network hears the sound with spans hidden, and says the clusters there; its own vectors make the next ones."""
    ax = page(6.0)
    sound = cells(ax, 0.3, 5.45, [""] * 8, 0.4, 0.36, [SKY] * 2 + [None] * 3 + [SKY] * 3)
    label(ax, 1.9, 5.83, "a span is hidden", colour=MUTED)
    network = box(ax, 1.9, 4.4, 3.2, 0.5, "network")
    arrow(ax, (1.9, 5.25), network.bottom)
    said = cells(ax, 0.3, 3.4, ["", "", "7", "7", "31", "", "", ""], 0.4, 0.36, [None] * 2 + [ORANGE] * 3 + [None] * 3)
    arrow(ax, network.top, (1.9, 3.6))
    label(ax, 3.65, 3.4, "only there\nscored", ha="left")
    targets = cells(ax, 0.3, 2.4, ["4", "4", "7", "7", "31", "2", "2", "9"], 0.4, 0.36, GREEN)
    arrow(ax, targets[3].bottom, said[3].top)
    means = box(ax, 1.9, 1.4, 3.2, 0.5, "k-means", GREEN)
    arrow(ax, means.bottom, (1.9, 2.2))
    box(ax, 1.35, 0.45, 2.3, 0.5, "first: MFCC", SKY)
    arrow(ax, (1.35, 0.72), (1.35, 1.13))
    again = box(ax, 3.8, 0.45, 2.1, 0.5, "then: its layer")
    arrow(ax, (3.0, 0.72), (3.0, 1.13))
    ax.plot([3.5, 4.75, 4.75], [4.4, 4.4, 0.75], color=INK, linewidth=1.5)
    arrow(ax, (4.75, 1.0), (4.75, again.bottom[1]))
    return ax.figure


def connectionist_paths():
    """Every way from the upper left to the lower right that keeps to the lines says the word; blanks stand between its symbols."""
    ax = page(4.9)
    states, steps = ["–", "n", "–", "oU", "–"], 6
    xs, ys = [1.1 + 0.68 * t for t in range(steps)], [0.6 + 0.72 * s for s in range(5)]
    for t in range(steps - 1):
        for s in range(5):
            for to in (s, s + 1, s + 2):
                skips = to == s + 2
                if to > 4 or (skips and states[to] == "–") or not reachable(s, t) or not reachable(4 - to, steps - 2 - t):
                    continue
                ax.plot([xs[t], xs[t + 1]], [ys[s], ys[to]], color=ORANGE if skips else MUTED, linewidth=1.6 if skips else 0.9)
    for t in range(steps):
        for s in range(5):
            on = reachable(s, t) and reachable(4 - s, steps - 1 - t)
            ax.plot(xs[t], ys[s], "o", color=BLUE if on else "#CCCCCC", markersize=8 if on else 4)
    for s, name in enumerate(states):
        label(ax, 0.5, ys[s], name, MEDIUM)
    label(ax, 2.8, 3.95, "frames, from left to right", MEDIUM)
    label(ax, 2.8, 4.45, "orange: the blank between is left out", colour=MUTED)
    return ax.figure


def reachable(s: int, t: int) -> bool:
    """Whether state s of blank, symbol, blank, symbol, blank can have been reached by frame t."""
    return s <= 1 + 2 * t
