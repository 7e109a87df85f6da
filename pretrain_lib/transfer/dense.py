"""What a pretrained encoder of images is fine-tuned for: outlining objects, and finding them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ..data.source import Source
from ..models.dense import Detections, Detector, Segmenter
from ..objectives.base import Objective
from ..objectives.detection import Detection
from ..objectives.segmentation import Segmentation
from ..training.config import TrainConfig
from ..training.trainer import Trainer
from ..validation import is_a, require
from .features import in_batches
from .fine_tune import fitted


def fine_tune_segmenter(encoder: nn.Module, data: Source, num_classes: int, config: TrainConfig,
                        frozen: bool = False, encoder_rate: float = 1.0,
                        finest: int = 0) -> Segmenter:
    """A copy of an encoder that gives each pixel a class, trained on images with masks.

    Args:
        encoder: a model of images with `maps`, with or without a head; it stays as it is.
        data: samples with the columns `images` and `masks`.
        num_classes: kinds of objects, background aside.
        config: how to train.
        frozen: whether the head alone is trained; the encoder is then in evaluation mode.
        encoder_rate: what the learning rate of the encoder is multiplied by.
        finest: which of its maps is the finest that is used, see `models.dense.DenseModel`.

    Returns:
        In evaluation mode, where it was trained.

    Raises:
        ValueError: if the encoder has no maps, a mask is of another size than its image, or a pixel
            of no class.
    """
    segmenter = Segmenter(copied(encoder, frozen), num_classes, finest=finest, seed=config.seed)
    return trained(segmenter, Segmentation(num_classes), data, config, encoder_rate)


def fine_tune_detector(encoder: nn.Module, data: Source, num_classes: int, config: TrainConfig,
                       frozen: bool = False, encoder_rate: float = 1.0,
                       finest: int = 0) -> Detector:
    """A copy of an encoder that finds objects, trained on images with boxes.

    Args:
        encoder: a model of images with `maps`, with or without a head; it stays as it is.
        data: samples with the columns `images`, `boxes` and `box_labels`.
        num_classes: kinds of objects.
        config: how to train.
        frozen: whether the head alone is trained; the encoder is then in evaluation mode.
        encoder_rate: what the learning rate of the encoder is multiplied by.
        finest: which of its maps is the finest that is used, see `models.dense.DenseModel`.

    Returns:
        In evaluation mode, where it was trained.

    Raises:
        ValueError: if the encoder has no maps, a box is not within its image, or its label none of
            the classes.
    """
    detector = Detector(copied(encoder, frozen), num_classes, finest=finest, seed=config.seed)
    return trained(detector, Detection(num_classes), data, config, encoder_rate)


def copied(model: nn.Module, frozen: bool) -> nn.Module:
    """A copy of the encoder within a model, whose weights are to train or not."""
    encoder = getattr(model, "encoder", None)
    encoder = encoder if hasattr(encoder, "maps") else model
    return copy.deepcopy(encoder).requires_grad_(not frozen)


def trained(model: nn.Module, objective: Objective, data: Source, config: TrainConfig,
            encoder_rate: float) -> nn.Module:
    """The model, trained, with a learning rate of its own for its `encoder`."""
    require(is_a(float, encoder_rate) and encoder_rate > 0, "encoder_rate", encoder_rate, "above 0")
    trainer = Trainer(model, objective, data, config)
    if encoder_rate != 1:
        set_rate(trainer.optimizer, set(model.encoder.parameters()), encoder_rate)
    return fitted(trainer)


def set_rate(optimizer: torch.optim.Optimizer, parameters: set[nn.Parameter],
             factor: float) -> None:
    """Multiplies the learning rate of some parameters, which get groups of their own."""
    for group in list(optimizer.param_groups):
        theirs = [p for p in group["params"] if p in parameters]
        group["params"] = [p for p in group["params"] if p not in parameters]
        if theirs:
            rate = factor * group.get("rate_factor", 1.0)
            optimizer.add_param_group(group | {"params": theirs, "rate_factor": rate})


def predicted_masks(segmenter: Segmenter, source: Source, batch_size: int = 64) -> Tensor:
    """The likeliest class of each pixel, 0 is background: (N, H, W) int64, on the CPU."""
    return in_batches(segmenter, lambda images: segmenter(images).argmax(1), source,
                      segmenter.columns, batch_size).long()


def predicted_boxes(detector: Detector, source: Source, batch_size: int = 64) -> Detections:
    """The objects of all images, at most 100 each, on the CPU: what `average_precision` scores."""
    def rows(images: Tensor) -> Tensor:  # (B, K, 6)
        boxes, labels, scores = detector.detect(images)
        return torch.cat([boxes, labels[..., None], scores[..., None]], dim=2)

    found = in_batches(detector, rows, source, detector.columns, batch_size)  # (N, K, 6)
    return Detections(found[..., :4], found[..., 4].long(), found[..., 5])
