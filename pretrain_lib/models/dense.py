"""A prediction for every place of an image: heads on an encoder's maps, not on their mean.

Deep maps know what there is, shallow ones where. So all are brought to one width and summed at the
finest, as in feature pyramids (Lin et al., "Feature pyramid networks for object detection", CVPR
2017, section 3), with the normalisation that does not couple samples (Wu & He, "Group
normalization", ECCV 2018).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..validation import is_a, require, require_at_least
from .base import ModelBase, start_at_zero
from .init import drawn_with

GROUPS = 8  # of a lateral's normalisation
PRIOR = 0.01  # what a cell's score of being a centre begins with
MAX_DETECTIONS = 100  # in an image
NO_OBJECT = -100  # a label, as samples have it where there is no object


class DenseModel(ModelBase):
    """Scores at every place of an encoder's finest map, from all of its maps.

    Its features and its classifier are the encoder's. An encoder that is frozen, none of whose
    weights asks for a gradient, stays in evaluation mode while the rest trains, so the averages of
    its batch normalisation are frozen as well.

    Args:
        encoder: a model of images with `maps` and `map_sizes`; it becomes a part of this one.
        num_classes: kinds of objects.
        width: numbers at each place where the maps are summed, a multiple of 8.
        finest: which of the encoder's maps, counted from the largest, is the finest that is used.
            Larger ones cost much, and pyramids leave them out (Lin et al.): where each map halves
            the sides, 1 leaves a quarter of the places, 2 a sixteenth.
        seed: of the first weights; the last layer starts at zero.

    Raises:
        ValueError: if the encoder has no maps, or for sizes that are not allowed.
    """

    def __init__(self, encoder: nn.Module, num_classes: int, width: int = 48, finest: int = 0,
                 seed: int = 0):
        super().__init__()
        require_maps(encoder)
        self.encoder, self.num_classes, self.width = encoder, num_classes, width
        self.finest = finest
        require_at_least(self, 1, "num_classes")
        number = len(encoder.map_sizes)
        require(is_a(int, finest) and 0 <= finest < number, "finest", finest,
                f"between 0 and {number - 1}, as the encoder has {number} maps")
        require(is_a(int, width) and width >= GROUPS and width % GROUPS == 0, "width", width,
                f"a multiple of {GROUPS}")
        with drawn_with(seed):
            self.laterals = nn.ModuleList(
                nn.Sequential(nn.Conv2d(size, width, 1, bias=False), nn.GroupNorm(GROUPS, width))
                for size in encoder.map_sizes[finest:])
            self.mixing = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU())
            self.head = nn.Conv2d(width, self.outputs, 1)
        start_at_zero(self.head)
        first = next(encoder.parameters())
        self.to(first.device, first.dtype)

    @property
    def outputs(self) -> int:
        """Numbers that the head predicts at each place."""
        raise NotImplementedError

    @property
    def feature_size(self) -> int:
        return self.encoder.feature_size

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) to the encoder's features (B, F)."""
        return self.encoder.encode(images)

    def with_classifier(self, num_labels: int, seed: int = 0) -> nn.Module:
        return self.encoder.with_classifier(num_labels, seed)

    def scores(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) to (B, outputs, H₁, W₁) at the places of the finest map."""
        maps = self.encoder.maps(images)[self.finest:]
        finest, *others = (lateral(x) for lateral, x in zip(self.laterals, maps, strict=True))
        summed = finest + sum(resized(x, finest.shape[-2:]) for x in others)  # (B, width, H₁, W₁)
        return self.head(self.mixing(summed))

    def train(self, mode: bool = True) -> DenseModel:
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.encoder.parameters()):
            self.encoder.eval()
        return self

    def to_config(self) -> dict:
        return {"encoder": self.encoder, "num_classes": self.num_classes, "width": self.width,
                "finest": self.finest}

    @classmethod
    def from_config(cls, fields: dict) -> DenseModel:
        return cls(**fields)


class Segmenter(DenseModel):
    """A class for every pixel: images (B, C, H, W) to scores (B, num_classes + 1, H, W).

    The first score is the background's. Source: Kirillov et al., "Panoptic feature pyramid
    networks", CVPR 2019, section 3, in small. Arguments are those of `models.dense.DenseModel`.
    """

    @property
    def outputs(self) -> int:
        return self.num_classes + 1

    def forward(self, images: Tensor) -> Tensor:
        return resized(self.scores(images), images.shape[-2:])


class CentreMaps(NamedTuple):
    """What a `Detector` answers at each of h × w cells, which tile the image.

    Attributes:
        heat: (B, num_classes, h, w) logits of being the cell with an object's centre.
        sizes: (B, 2, h, w) width and height of an object centred there, in sides of the image.
        offsets: (B, 2, h, w) where in the cell its centre is, x and y, in sides of a cell.
    """

    heat: Tensor
    sizes: Tensor
    offsets: Tensor


class Detections(NamedTuple):
    """Objects found in B images, K rows each, the likeliest first; as samples hold objects.

    Attributes:
        boxes: (B, K, 4) in pixels, x0, y0, x1, y1; 0 where there is no object.
        labels: (B, K) int64, -100 where there is no object.
        scores: (B, K) between 0 and 1; 0 where there is no object.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor


class Detector(DenseModel):
    """Objects as points: images (B, C, H, W) to `models.dense.CentreMaps` at the finest map.

    Source: Zhou, Wang & Krähenbühl, "Objects as points", 2019, sections 3 and 4, but for the unit
    of the sizes, there pixels. At first every cell is a centre with probability 0.01, or the many
    that are none would be all that the loss sees (Lin et al., "Focal loss for dense object
    detection", ICCV 2017, sections 3.3 and 4.1). Arguments are those of `models.dense.DenseModel`.
    """

    def __init__(self, encoder: nn.Module, num_classes: int, width: int = 48, finest: int = 0,
                 seed: int = 0):
        super().__init__(encoder, num_classes, width, finest, seed)
        nn.init.constant_(self.head.bias[:num_classes], -math.log((1 - PRIOR) / PRIOR))

    @property
    def outputs(self) -> int:
        return self.num_classes + 4

    def forward(self, images: Tensor) -> CentreMaps:
        scores = self.scores(images)
        (height, width), (rows, columns) = images.shape[-2:], scores.shape[-2:]
        if height % rows or width % columns:
            raise ValueError(f"images of {height} × {width} pixels are not tiled by the finest "
                             f"map's {rows} × {columns} cells: give sides that are multiples of "
                             f"{math.ceil(height / rows)} and {math.ceil(width / columns)}")
        return CentreMaps(*scores.split([self.num_classes, 2, 2], dim=1))

    @torch.no_grad()
    def detect(self, images: Tensor) -> Detections:
        """The objects of images (B, C, H, W), at most 100 each."""
        heat, sizes, offsets = (maps.float() for maps in self(images))
        return decode(heat.sigmoid(), sizes, offsets, images.shape[-2:])


def decode(heat: Tensor, sizes: Tensor, offsets: Tensor, image_size: tuple[int, int],
           most: int = MAX_DETECTIONS) -> Detections:
    """The objects whose centres are the peaks of the heat: cells that no neighbour surpasses.

    Args:
        heat: (B, C, h, w) between 0 and 1.
        sizes: (B, 2, h, w), as in `models.dense.CentreMaps`.
        offsets: (B, 2, h, w), as in `models.dense.CentreMaps`.
        image_size: height and width of the images, in pixels, to which boxes are cut.
        most: objects that an image has at most.

    Source: Zhou et al. 2019, section 4, "From points to bounding boxes".
    """
    rows, columns = heat.shape[-2:]
    peaks = heat * (heat == F.max_pool2d(heat, 3, stride=1, padding=1))
    scores, places = peaks.flatten(1).topk(min(most, peaks[0].numel()))  # (B, K)
    cells = places % (rows * columns)
    grid, sides = heat.new_tensor([columns, rows]), heat.new_tensor(image_size).flip(0)
    corner = torch.stack([cells % columns, cells // columns], dim=2)  # (B, K, 2)
    centres = (corner + at_cells(offsets, cells)) / grid
    halves = at_cells(sizes, cells).clamp(min=0) / 2
    boxes = torch.cat([centres - halves, centres + halves], dim=2).clamp(0, 1) * sides.repeat(2)
    none = scores == 0
    return Detections(boxes.masked_fill(none[..., None], 0),
                      (places // (rows * columns)).masked_fill(none, NO_OBJECT), scores)


def at_cells(maps: Tensor, cells: Tensor) -> Tensor:
    """What maps (B, F, h, w) hold at cells (B, K), counted along the rows: (B, K, F)."""
    chosen = cells[:, None].expand(-1, maps.shape[1], -1)  # (B, F, K)
    return maps.flatten(2).gather(2, chosen).transpose(1, 2)


def resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, F, h, w) at another height and width, bilinearly."""
    return maps if maps.shape[-2:] == size else F.interpolate(maps, size=size, mode="bilinear")


def require_maps(encoder: nn.Module) -> None:
    """Raises where an encoder has nothing that says where in an image it saw what."""
    if not hasattr(encoder, "maps") or not hasattr(encoder, "map_sizes"):
        raise ValueError(f"{type(encoder).__name__} has no maps and map_sizes, on which a dense "
                         "head stands: give a ResNetModel or a ViTModel")
