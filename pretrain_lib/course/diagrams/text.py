"""Diagrams of text: how it becomes numbers, fills a block, and is asked about."""

from __future__ import annotations

from matplotlib.patches import Rectangle

from ..plots import BLUE, GREEN, GREY, ORANGE, RED, SKY
from .shapes import LARGE, MEDIUM, MUTED, arrow, box, brace, cells, label, page, tint, title


def tokenization():
    """A text is normalised, split into words, cut into pieces of the vocabulary, numbered, and looked up as vectors."""
    ax = page(6.0)
    colours, tokens = [BLUE, ORANGE, ORANGE, GREEN], ["the", "low", "est", "tax"]
    rows = {"text": 0.4, "normalise": 1.2, "split": 2.0, "cut": 2.85, "ids": 3.7, "embed": 5.0}
    for name, y in rows.items():
        label(ax, 0.12, y, name, MEDIUM, ha="left", weight="bold")
    label(ax, 3.2, rows["text"], "“The LOWEST tax”", LARGE)
    label(ax, 3.2, rows["normalise"], "“the lowest tax”", LARGE)
    for x, w, word, colour in [(1.6, 0.8, "the", BLUE), (2.4, 1.6, "lowest", ORANGE), (4.0, 0.8, "tax", GREEN)]:
        cells(ax, x, rows["split"], [word], w, 0.4, colour, MEDIUM)
    cells(ax, 1.6, rows["cut"], tokens, 0.8, 0.4, colours, MEDIUM)
    cells(ax, 1.6, rows["ids"], ["12", "207", "84", "951"], 0.8, 0.4, None, MEDIUM)
    for y0, y1, places in [(0.62, 0.98, [3.2]), (1.42, 1.8, [2.0, 3.2, 4.4]), (2.2, 2.65, [2.0, 2.8, 3.6, 4.4]),
                           (3.05, 3.5, [2.0, 2.8, 3.6, 4.4]), (3.9, 4.35, [2.0, 2.8, 3.6, 4.4])]:
        for x in places:
            arrow(ax, (x, y0), (x, y1))
    strengths = [(0.9, 0.3, 0.6, 0.1), (0.2, 0.8, 0.5, 0.9), (0.6, 0.1, 0.9, 0.4), (0.3, 0.7, 0.15, 0.6)]
    for column, (x, colour) in enumerate(zip([2.0, 2.8, 3.6, 4.4], colours)):
        for row, strength in enumerate(strengths[column]):
            ax.add_patch(Rectangle((x - 0.2, 4.4 + 0.3 * row), 0.4, 0.3, facecolor=tint(colour, strength),
                                   edgecolor=MUTED, linewidth=0.8))
    label(ax, 0.12, 5.36, "$d$ numbers\nper token", colour=MUTED, ha="left")
    return ax.figure


def packing():
    """Three texts in one row of twelve, and the mask that lets each token look at its own text only."""
    ax = page(6.4)
    lengths, colours, w, left = (5, 4, 3), (BLUE, ORANGE, GREEN), 0.33, 0.9
    title(ax, 0.25, "Padded: 3 rows, 24 of 36 empty")
    for row, (length, colour) in enumerate(zip(lengths, colours)):
        cells(ax, left, 0.7 + 0.36 * row, "ABC"[row] * length + " " * (12 - length), w, 0.3, [colour] * length + [None] * (12 - length))
    title(ax, 2.0, "Packed: 1 row, none empty")
    owner = [text for text, length in enumerate(lengths) for _ in range(length)]
    cells(ax, left, 2.45, ["ABC"[text] for text in owner], w, 0.3, [colours[text] for text in owner])
    label(ax, left - 0.1, 2.8, "position", colour=MUTED, ha="right")
    for column, text in enumerate(owner):
        label(ax, left + (column + 0.5) * w, 2.8, str(column - owner.index(text)), colour=MUTED)
    h = 0.24
    for i, looks in enumerate(owner):
        for j, seen in enumerate(owner):
            ax.add_patch(Rectangle((left + j * w, 3.05 + i * h), w, h, linewidth=0.5, edgecolor="#BBBBBB",
                                   facecolor=tint(colours[looks], 0.6) if looks == seen else "white"))
    for text, y in enumerate((2.5, 7, 10.5)):
        label(ax, left - 0.1, 3.05 + y * h, "ABC"[text] + " sees", ha="right")
    label(ax, left + 6 * w, 6.18, "coloured: may look", colour=MUTED)
    return ax.figure


def masked_language_model():
    """Of twenty tokens three are chosen and hidden, replaced or kept, and only their predictions count."""
    ax = page(5.85)
    chosen = (3, 10, 17)
    title(ax, 0.25, "20 tokens, 3 chosen: 15 %")
    row = cells(ax, 0.15, 0.68, [""] * 20, 0.235, 0.3, [ORANGE if i in chosen else None for i in range(20)])
    encoder = box(ax, 2.5, 4.1, 4.7, 0.5, "encoder")
    for i, word, share, becomes, how in zip(chosen, ("union", "of", "law"), (80, 10, 10), ("[MASK]", "river", "law"),
                                            ("hidden", "random", "kept")):
        x = row[i].x
        original = box(ax, x, 1.4, 0.95, 0.4, word, ORANGE)
        arrow(ax, row[i].bottom, original.top)
        corrupted = box(ax, x, 2.6, 0.95, 0.4, becomes, GREY)
        arrow(ax, original.bottom, corrupted.top)
        label(ax, x + 0.08, 1.98, f"{share} %\n{how}", ha="left")
        arrow(ax, corrupted.bottom, (x, encoder.top[1]))
        loss = box(ax, x, 5.0, 1.35, 0.42, f"−ln q({word})", RED)
        arrow(ax, (x, encoder.bottom[1]), loss.top)
    label(ax, (row[3].x + row[10].x) / 2, 3.3, "the other 17\nas they are", colour=MUTED)
    brace(ax, 0.3, 4.93, 5.35, "their mean is the loss: 3 positions of 20")
    return ax.figure


def bert_losses():
    """BERT adds three embeddings per token, and one pass through the encoder answers both of its tasks."""
    ax = page(5.5)
    tokens, left, w = ["[CLS]", "tax", "laws", "[SEP]", "[MASK]", "pass", "[SEP]"], 0.16, 0.67
    segments = [BLUE] * 4 + [GREEN] * 3
    for y, name, texts, colours in [(0.5, "token", tokens, [SKY] * 4 + [ORANGE] + [SKY] * 2), (1.3, "+ segment", "AAAABBB", segments),
                                    (2.1, "+ position", "0123456", None)]:
        label(ax, left, y - 0.33, name, MEDIUM, ha="left", weight="bold")
        row = cells(ax, left, y, texts, w, 0.36, colours)
    encoder = box(ax, 2.5, 2.95, 4.69, 0.5, "encoder")
    for cell in row:
        arrow(ax, cell.bottom, (cell.x, encoder.top[1]))
    pair = box(ax, 1.11, 4.1, 1.9, 0.7, "next sentence:\ndoes B follow A?", RED)
    word = box(ax, 3.7, 4.1, 1.9, 0.7, "masked LM:\nwhich token?", RED)
    arrow(ax, (row[0].x, 3.2), (row[0].x, 3.75))
    arrow(ax, (row[4].x, 3.2), (row[4].x, 3.75))
    label(ax, row[0].x + 0.1, 3.5, "[CLS]", ha="left")
    label(ax, row[4].x + 0.1, 3.5, "[MASK]", ha="left")
    box(ax, 2.5, 5.1, 3.2, 0.46, "loss = sum of the two means", RED)
    arrow(ax, pair.bottom, (1.6, 4.87))
    arrow(ax, word.bottom, (3.4, 4.87))
    return ax.figure
