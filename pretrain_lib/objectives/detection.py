"""Detection: a heat map of the objects' centres, and their sizes there.

Zhou, Wang and Krähenbühl, "Objects as points", 2019.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.source import UNSCORED, Samples
from ..models.dense import CentreMaps, at_cells
from ..validation import require_at_least
from .base import Batch, Objective, take_column

SPREAD = 1 / 12  # of a centre's heat: its standard deviation, in sides of the box
ALPHA, BETA = 2, 4  # exponents of the focal loss (Zhou et al. 2019, section 3)


class CentreTargets(NamedTuple):
    """What a `Detector` should answer for M objects an image, some of which may be absent.

    Attributes:
        heat: (B, C, h, w) 1 at each centre's cell, less around it.
        cells: (B, M) int64, the cell of each centre, counted along the rows.
        sizes: (B, M, 2) width and height, in sides of the image.
        offsets: (B, M, 2) where in its cell a centre is, x and y, in sides of a cell.
        there: (B, M) whether there is an object.
    """

    heat: Tensor
    cells: Tensor
    sizes: Tensor
    offsets: Tensor
    there: Tensor


def centre_targets(boxes: Tensor, labels: Tensor, num_classes: int, image_size: tuple[int, int],
                   grid: tuple[int, int]) -> CentreTargets:
    """Boxes as points: what should be predicted on a grid of cells that tile the image.

    The heat around a centre is a bell whose standard deviation is a twelfth of the box's side, in
    either direction, and at least a twelfth of a cell. Where bells of a class overlap, the higher
    counts.

    Args:
        boxes: (B, M, 4) in pixels, x0, y0, x1, y1.
        labels: (B, M) int64, -100 where there is no object.
        num_classes: C.
        image_size: height and width, in pixels.
        grid: rows and columns of the cells, h and w.

    Source: Zhou et al. 2019, section 3, where the deviation follows another rule.
    """
    sides, cells = (boxes.new_tensor(size).flip(0) for size in (image_size, grid))  # x, y
    low, high = (boxes / sides.repeat(2) * cells.repeat(2)).chunk(2, dim=2)  # (B, M, 2) in cells
    centres = (low + high) / 2
    corners = centres.floor().minimum(cells - 1)
    spread = SPREAD * (high - low).clamp(min=1)
    there = labels != UNSCORED  # (B, M)

    def bell(axis: int, number: int) -> Tensor:  # (B, M, number)
        distance = torch.arange(number, device=boxes.device) - corners[..., axis, None]
        return torch.exp(-0.5 * (distance / spread[..., axis, None]).square())

    bells = bell(1, grid[0])[..., None] * bell(0, grid[1])[:, :, None]  # (B, M, h, w)
    bells = bells * there[..., None, None]
    classes = labels.clamp(min=0)[..., None, None].expand_as(bells)
    heat = boxes.new_zeros(len(boxes), num_classes, *grid).scatter_reduce(1, classes, bells, "amax")
    return CentreTargets(heat, (corners[..., 1] * grid[1] + corners[..., 0]).long(),
                         (high - low) / cells, centres - corners, there)


def focal_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """The sum over cells of −(1 − p)² log p at centres, and −(1 − heat)⁴ p² log(1 − p) elsewhere.

    Args:
        logits: of p, of any shape.
        heat: of the same; 1 at centres, between 0 and 1 elsewhere.

    Source: Zhou et al. 2019, equation 1; near a centre a mistake costs less.
    """
    p = logits.sigmoid()
    at_centres = (1 - p) ** ALPHA * F.logsigmoid(logits)
    elsewhere = (1 - heat) ** BETA * p**ALPHA * F.logsigmoid(-logits)
    return -torch.where(heat == 1, at_centres, elsewhere).sum()


class Detection(Objective):
    """Focal loss of the centres' heat, and absolute errors of sizes and offsets at the centres.

    Each is averaged over objects. The source has the columns `images`, (B, C, H, W), `boxes`,
    (B, M, 4) in pixels, x0, y0, x1, y1, and `box_labels`, (B, M), -100 where there is no object. An
    image may have none.

    Args:
        num_classes: kinds of objects.

    Source: Zhou et al. 2019, equation 4, where sizes are in pixels and weigh 0.1.
    """

    weights = {"sizes": 10.0}  # they are in sides of the image, and so small

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        require_at_least(self, 1, "num_classes")

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        images, boxes = take_column(samples, "images"), take_column(samples, "boxes")
        labels = take_column(samples, "box_labels").long()
        self.check(boxes, labels, images.shape[-2:])
        number = int((labels != UNSCORED).sum())
        counts = dict.fromkeys(("centres", "sizes", "offsets"), number)
        return Batch({"images": images}, {"boxes": boxes, "box_labels": labels}, counts)

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        images = batch.inputs["images"]
        answer = model(images)
        if not isinstance(answer, CentreMaps):
            raise ValueError(f"{type(model).__name__} answers with no CentreMaps: give a Detector")
        heat, sizes, offsets = (x.to(torch.promote_types(x.dtype, torch.float32)) for x in answer)
        if heat.shape[1] != self.num_classes:
            raise ValueError(f"{type(model).__name__} scores {heat.shape[1]} classes, and there "
                             f"are {self.num_classes}: give a Detector of as many")
        target = centre_targets(batch.targets["boxes"].to(heat.dtype), batch.targets["box_labels"],
                                self.num_classes, images.shape[-2:], heat.shape[-2:])

        def absolute_error(maps: Tensor, wanted: Tensor) -> Tensor:
            return ((at_cells(maps, target.cells) - wanted).abs() * target.there[..., None]).sum()

        return {"centres": focal_loss(heat, target.heat),
                "sizes": absolute_error(sizes, target.sizes),
                "offsets": absolute_error(offsets, target.offsets)}

    def check(self, boxes: Tensor, labels: Tensor, image_size: tuple[int, int]) -> None:
        """Raises where boxes and labels do not fit together, the classes, or the image."""
        if boxes.shape != (*labels.shape, 4) or labels.ndim != 2:
            raise ValueError("boxes must be (B, M, 4) and box_labels (B, M), "
                             f"got {tuple(boxes.shape)} and {tuple(labels.shape)}")
        there = labels != UNSCORED
        strange = labels[there & ((labels < 0) | (labels >= self.num_classes))]
        if len(strange):
            raise ValueError(f"box_labels must be 0 to {self.num_classes - 1}, one of the "
                             f"{self.num_classes} classes, or {UNSCORED}, no object, "
                             f"got {strange[0].item()}")
        height, width = image_size
        low, high = boxes.chunk(2, dim=2)  # (B, M, 2)
        inside = ((low >= 0) & (low < high) & (high <= boxes.new_tensor([width, height]))).all(2)
        outside = boxes[there & ~inside]
        if len(outside):
            raise ValueError(f"boxes must be x0, y0, x1, y1 with 0 ≤ x0 < x1 ≤ {width} and "
                             f"0 ≤ y0 < y1 ≤ {height}, within the image, got {outside[0].tolist()}")
