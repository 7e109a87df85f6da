"""Diagrams of training: one update, and how several processors share it."""

from __future__ import annotations

from matplotlib.patches import Rectangle

from ..plots import BLUE, GREEN, ORANGE, PURPLE, SKY
from .shapes import MUTED, arrow, box, brace, cells, label, page, title


def update():
    """The five steps of an update, and the number format of each: products in 16 bits, the loss and the weights in 32."""
    ax = page(6.4)
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


def _lane(ax, left, y, pieces):
    """Pieces of work at a height: (start, length, text, colour) each, in inches from the left."""
    for start, length, text, colour in pieces:
        cells(ax, left + start, y, [text], length, 0.36, colour)


def timelines():
    """What every rank computes, above, and sends, below: only data parallelism hides nearly all messages behind arithmetic."""
    ax = page(6.6)
    F, B, G, W, A = BLUE, GREEN, ORANGE, SKY, PURPLE
    ddp = ([(0, 0.4, "F1", F), (0.4, 0.4, "F2", F), (0.8, 0.4, "F3", F), (1.2, 0.6, "B3", B), (1.8, 0.6, "B2", B), (2.4, 0.6, "B1", B)],
           [(1.8, 0.55, "g3", G), (2.4, 0.55, "g2", G), (3.0, 0.55, "g1", G)])
    fsdp = ([(0.3, 0.4, "F1", F), (0.7, 0.4, "F2", F), (1.1, 0.4, "F3", F), (1.5, 0.6, "B3", B), (2.1, 0.6, "B2", B), (2.7, 0.6, "B1", B)],
            [(0, 0.3, "w1", W), (0.3, 0.3, "w2", W), (0.7, 0.3, "w3", W), (1.5, 0.3, "w2", W), (2.1, 0.3, "g3", G), (2.4, 0.3, "w1", W), (2.7, 0.3, "g2", G),
             (3.3, 0.3, "g1", G)])
    tensor = ([], [])
    time = 0.0
    for name, colour, length in [("F1", F, 0.4), ("F2", F, 0.4), ("F3", F, 0.4), ("B3", B, 0.48), ("B2", B, 0.48), ("B1", B, 0.48)]:
        tensor[0].append((time, length, name, colour))
        tensor[1].append((time + length, 0.2, "a", A))
        time += length + 0.2
    for top, name, who, (compute, network) in [(0.25, "DDP", "own samples, all weights", ddp), (2.15, "FSDP, ZeRO 3", "own samples, 1/N of the weights", fsdp),
                                               (4.05, "Tensor parallel", "same samples, 1/N of each layer", tensor)]:
        title(ax, top, name)
        label(ax, 0.12, top + 0.32, who, colour=MUTED, ha="left")
        for y, text, lane in [(top + 0.72, "compute", compute), (top + 1.14, "network", network)]:
            label(ax, 0.12, y, text, ha="left")
            _lane(ax, 1.0, y, lane)
    for y, key in [(5.75, "F forward, B backward, of layers 1 to 3"), (6.05, "g: sum gradients    w: gather weights"),
                   (6.35, "a: sum activations, or their gradients")]:
        label(ax, 0.12, y, key, ha="left")
    return ax.figure


def pipeline():
    """Two stages work in turn on a whole batch, and side by side on four micro-batches, which leaves a smaller bubble."""
    ax = page(4.6)
    whole = [[(0, 4, "forward", BLUE), (16, 8, "backward", GREEN)], [(4, 4, "forward", BLUE), (8, 8, "backward", GREEN)]]
    micro = [[(stage + i, 1, str(i + 1), BLUE) for i in range(4)]
             + [(7 - 2 * stage + 2 * i, 2, str(i + 1), GREEN) for i in range(4)] for stage in range(2)]
    for top, name, stages, length, idle in [(0.25, "The whole batch at once", whole, 24, "1/2"), (2.45, "Four micro-batches", micro, 15, "1/5")]:
        title(ax, top, name)
        for stage, pieces in enumerate(stages):
            y = top + 0.5 + 0.44 * stage
            label(ax, 0.12, y, f"stage {stage + 1}", ha="left")
            ax.add_patch(Rectangle((0.9, y - 0.18), length * UNIT, 0.36, facecolor="#EEEEEE", edgecolor="#AAAAAA", hatch="///", linewidth=0.6))
            for start, units, text, colour in pieces:
                cells(ax, 0.9 + start * UNIT, y, [text], units * UNIT, 0.36, colour)
        brace(ax, 0.9, 0.9 + length * UNIT, top + 1.22, f"{length} units of time, idle {idle}")
    return ax.figure


UNIT = 0.165  # inches of one micro-batch's forward pass in one stage
