"""Diagrams of training: one update, and how several processors share it."""

from __future__ import annotations

from matplotlib.patches import Rectangle

from ..plots import BLUE, GREEN, ORANGE, PURPLE, SKY
from .shapes import MUTED, arrow, box, brace, cells, label, page, title


def update():
    """The five steps of an update, and the number format of each: products in 16 bits, the loss and the weights in 32."""
    ax = page(6.2)
    steps = [("1  forward", SKY), ("2  loss", ORANGE), ("3  backward", SKY), ("4  unscale, clip", ORANGE), ("5  step", ORANGE)]
    places = [box(ax, 1.4, 0.5 + 1.3 * number, 2.3, 0.72, f"{name}\n{'fp32' if colour == ORANGE else 'bf16 or fp16'}", colour)
              for number, (name, colour) in enumerate(steps)]
    flows = ["logits", "loss (fp16: × scale)", "gradients", "gradients (fp16: ÷ scale)"]
    for upper, lower, flow in zip(places, places[1:], flows):
        arrow(ax, upper.bottom, lower.top)
        label(ax, 1.55, (upper.y + lower.y) / 2, flow, ha="left")
    master = box(ax, 4.2, 3.1, 1.2, 2.2, "master\nweights,\nmoments\n\nfp32", ORANGE)
    arrow(ax, places[-1].right, (4.2, places[-1].y), master.bottom)
    arrow(ax, master.top, (4.2, places[0].y), places[0].right)
    label(ax, 3.4, 0.28, "round to 16 bits")
    label(ax, 3.4, 5.92, "add the update")
    return ax.figure


def timelines():
    """DDP sums gradients during the backward pass, FSDP gathers weights ahead of use, and tensor parallelism waits after each layer."""
    ax = page(6.6)
    label(ax, 4.88, 0.25, "time →", colour=MUTED, ha="right")
    for top, name, who, lanes in [(0.25, "DDP", "own samples, all weights", DDP),
                                  (2.15, "FSDP, ZeRO 3", "own samples, 1/N of the weights", FSDP),
                                  (4.05, "Tensor parallel", "same samples, 1/N of each layer", TENSOR)]:
        title(ax, top, name)
        label(ax, 0.12, top + 0.32, who, colour=MUTED, ha="left")
        for y, lane in zip((top + 0.72, top + 1.14), ("compute", "network")):
            label(ax, 0.12, y, lane, ha="left")
            for piece, start, length in lanes[lane]:
                cells(ax, 1.0 + start, y, [piece], length, 0.36, KINDS[piece[0]])
    for y, key in [(5.75, "on each rank, layers 1 to 3: F forward, B backward"), (6.05, "g: sum gradients    w: gather weights"),
                   (6.35, "a: sum activations, or their gradients")]:
        label(ax, 0.12, y, key, ha="left")
    return ax.figure


# What a rank does: (piece of work, when it begins, how long it takes).
KINDS = {"F": BLUE, "B": GREEN, "g": ORANGE, "w": SKY, "a": PURPLE}
DDP = {"compute": [("F1", 0, 0.4), ("F2", 0.4, 0.4), ("F3", 0.8, 0.4), ("B3", 1.2, 0.6), ("B2", 1.8, 0.6), ("B1", 2.4, 0.6)],
       "network": [("g3", 1.8, 0.55), ("g2", 2.4, 0.55), ("g1", 3.0, 0.55)]}
FSDP = {"compute": [("F1", 0.3, 0.4), ("F2", 0.7, 0.4), ("F3", 1.1, 0.4), ("B3", 1.5, 0.6), ("B2", 2.1, 0.6), ("B1", 2.7, 0.6)],
        "network": [("w1", 0, 0.3), ("w2", 0.3, 0.3), ("w3", 0.7, 0.3), ("w2", 1.5, 0.3), ("g3", 2.1, 0.3), ("w1", 2.4, 0.3),
                    ("g2", 2.7, 0.3), ("g1", 3.3, 0.3)]}
TENSOR = {"compute": [("F1", 0, 0.4), ("F2", 0.6, 0.4), ("F3", 1.2, 0.4), ("B3", 1.8, 0.5), ("B2", 2.5, 0.5), ("B1", 3.2, 0.5)],
          "network": [("a", start, 0.2) for start in (0.4, 1.0, 1.6, 2.3, 3.0, 3.7)]}


def pipeline():
    """Two stages work in turn on a whole batch, and side by side on four micro-batches, which leaves a smaller bubble."""
    ax = page(4.75)
    left, unit = 0.78, 0.172  # inches; a unit of time is one micro-batch's forward pass in one stage
    whole = [[(0, 4, "forward", BLUE), (16, 8, "backward", GREEN)], [(4, 4, "forward", BLUE), (8, 8, "backward", GREEN)]]
    micro = [[(stage + i, 1, str(i + 1), BLUE) for i in range(4)]
             + [(7 - 2 * stage + 2 * i, 2, str(i + 1), GREEN) for i in range(4)] for stage in range(2)]
    for top, name, stages, length, idle in [(0.25, "The whole batch at once", whole, 24, "1/2"),
                                            (2.3, "Four micro-batches", micro, 15, "1/5")]:
        title(ax, top, name)
        for stage, pieces in enumerate(stages):
            y = top + 0.5 + 0.44 * stage
            label(ax, 0.12, y, f"stage {stage + 1}", ha="left")
            ax.add_patch(Rectangle((left, y - 0.18), length * unit, 0.36, facecolor="#EEEEEE", edgecolor="#AAAAAA", hatch="///",
                                   linewidth=0.6))
            for start, units, text, colour in pieces:
                cells(ax, left + start * unit, y, [text], units * unit, 0.36, colour)
        brace(ax, left, left + length * unit, top + 1.22, f"{length} units of time, {idle} idle")
    label(ax, 0.12, 4.2, "hatched: idle, (S − 1) / (M + S − 1)", ha="left")
    label(ax, 0.12, 4.5, "for S stages and M micro-batches", ha="left")
    return ax.figure
