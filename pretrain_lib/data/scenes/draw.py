"""Drawing many scenes at once: ink, colours, and what is seen of each object.

Nothing here sums floats over pixels or multiplies matrices, so that what is drawn for a scene does
not depend on the scenes beside it, to the last bit.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LUMINANCE = torch.tensor([0.299, 0.587, 0.114])  # of red, green and blue: ITU-R BT.601


def luminance(colours: Tensor) -> Tensor:
    """How light colours (..., 3) in [0, 1] are, (...), 0 to 1."""
    red, green, blue = (colours * LUMINANCE).unbind(-1)
    return red + green + blue


def between(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """a where share is 0, b where it is 1, and in between a mixture."""
    return a * (1 - share) + b * share


def place(pictures: Tensor, sides: Tensor, corners: Tensor, size: int) -> Tensor:
    """Puts square pictures, made larger or smaller, into black images: bilinear interpolation.

    Args:
        pictures: (B, F, F) in [0, 1].
        sides: (B,) the side that each is to have, in pixels, at least F / 2 lest it loses detail.
        corners: (B, 2) where its left and its upper edge are to lie, in pixels.
        size: side of the images.

    Returns:
        (B, size, size) in [0, 1].
    """
    frame = pictures.shape[-1]
    ringed = F.pad(pictures, (1, 1, 1, 1))  # (B, F + 2, F + 2), black around
    centres = torch.arange(size) + 0.5 - corners[:, :, None]  # (B, 2, size), from the corner
    at = (centres * (frame / sides)[:, None, None] + 0.5).clamp(0, frame + 1)
    first = at.floor().clamp(max=frame)
    (columns, rows), (right, down) = first.long().unbind(1), (at - first).unbind(1)  # (B, size)
    rows = rows[:, :, None].expand(-1, -1, frame + 2)
    lines = between(ringed.gather(1, rows), ringed.gather(1, rows + 1), down[:, :, None])
    columns = columns[:, None].expand(-1, size, -1)
    return between(lines.gather(2, columns), lines.gather(2, columns + 1), right[:, None])


def contrasting(colours: Tensor, background: Tensor, chance: Tensor, gap: float) -> Tensor:
    """Colours made darker or lighter until they stand out from a background.

    The luminance they get is uniform over all that are at least `gap` from the background's.

    Args:
        colours: (B, 3) in [0, 1], what they would be.
        background: (B, 3) in [0, 1].
        chance: (B,) uniform in [0, 1), which luminance.
        gap: least distance of the luminances, at most 0.5.
    """
    light = luminance(background)  # (B,)
    below, above = (light - gap).clamp(min=0), (light + gap).clamp(max=1)  # up to, from there on
    at = chance * (below + 1 - above)
    dark = (at < below) | (light + gap > 1)
    wanted = torch.where(dark, at, above + at - below)[:, None]
    had = luminance(colours)[:, None].clamp(1e-6, 1 - 1e-6)
    darker, lighter = colours * (wanted / had), 1 - (1 - colours) * ((1 - wanted) / (1 - had))
    return torch.where(wanted < had, darker, lighter).clamp(0, 1)


def tight_box(shown: Tensor) -> Tensor:
    """The smallest boxes around what is shown; zeros where nothing is.

    Args:
        shown: (..., H, W) bool.

    Returns:
        (..., 4) float32: left, upper, right and lower edge, in pixels from the upper left corner.
    """
    edges = []
    for line in (shown.any(-2), shown.any(-1)):  # (..., W), which columns have some; then rows
        low = line.int().argmax(-1)
        high = (line.shape[-1] - line.flip(-1).int().argmax(-1)) * line.any(-1)
        edges.append(torch.stack([low, high], dim=-1))  # (..., 2)
    return torch.stack(edges, dim=-1).flatten(-2).float()  # x0, y0, x1, y1


def shared(a: Tensor, b: Tensor) -> Tensor:
    """How much of the smaller of two boxes (..., 4) lies in the other, 0 to 1."""
    (left, upper), (right, lower) = (
        torch.maximum(a, b).unbind(-1)[:2], torch.minimum(a, b).unbind(-1)[2:])
    both = (right - left).clamp(min=0) * (lower - upper).clamp(min=0)
    smaller = torch.minimum(*((box[..., 2:] - box[..., :2]).prod(-1) for box in (a, b)))
    return both / smaller.clamp(min=1)
