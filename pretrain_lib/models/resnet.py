"""ResNet: convolutions whose blocks add to what they are given, so that depth does not hurt.

He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016; in numbers that
of Hugging Face's `transformers`, where the stem is that of ImageNet.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import partial
from itertools import pairwise
from math import gcd
from typing import Literal, get_args

from torch import Tensor, nn

from ..validation import is_a, require, require_at_least
from .base import EncoderModel, start_at_zero
from .batch_norm import BatchNorm
from .init import drawn_with
from .protocol import HuggingFaceFormat

Block = Literal["basic", "bottleneck"]
Stem = Literal["imagenet", "cifar"]
Norm = Literal["batch", "group"]


@dataclass(frozen=True)
class ResNetConfig:
    """Shape of a ResNet; the defaults are ResNet-18's.

    Attributes:
        num_channels: of an image.
        embedding_size: feature maps that the stem makes.
        hidden_sizes: feature maps of each stage; every stage but the first halves the sides.
        depths: blocks of each stage.
        layer_type: "basic", two 3 × 3 convolutions; "bottleneck", a 3 × 3 one between two of 1 × 1.
        stem: "imagenet", 7 × 7 and a pooling that leave a quarter of the sides; "cifar", a 3 × 3
            convolution that keeps them, for small images (section 4.2 of the paper).
        norm: "batch", over the samples of a batch, which so see each other; "group", within each
            sample, over groups of feature maps, as many of 32 as come out even (Wu & He, "Group
            normalization", ECCV 2018, section 3).

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    num_channels: int = 3
    embedding_size: int = 64
    hidden_sizes: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...] = (2, 2, 2, 2)
    layer_type: Block = "basic"
    stem: Stem = "imagenet"
    norm: Norm = "batch"

    def __post_init__(self):
        require_at_least(self, 1, "num_channels", "embedding_size")
        for field in ("hidden_sizes", "depths"):
            sizes = getattr(self, field)
            valid = isinstance(sizes, (list, tuple)) and sizes
            valid = valid and all(is_a(int, size) and size >= 1 for size in sizes)
            require(valid, field, sizes, "whole numbers of at least 1, one for each stage")
            object.__setattr__(self, field, tuple(sizes))
        require(len(self.depths) == len(self.hidden_sizes), "depths", self.depths,
                f"one for each of hidden_sizes={self.hidden_sizes}")
        for field, kinds in (("layer_type", Block), ("stem", Stem), ("norm", Norm)):
            require(getattr(self, field) in get_args(kinds), field, getattr(self, field),
                    "one of " + ", ".join(get_args(kinds)))
        narrow = self.layer_type == "basic" or all(size % 4 == 0 for size in self.hidden_sizes)
        require(narrow, "hidden_sizes", self.hidden_sizes, "multiples of 4 for bottlenecks")

    def to_hugging_face(self) -> dict:
        """The fields in `transformers`' terms."""
        return {name: list(value) if isinstance(value, tuple) else value
                for name, value in asdict(self).items() if name not in ("stem", "norm")}

    @classmethod
    def from_hugging_face(cls, config: dict) -> ResNetConfig:
        """The configuration that fields of `transformers` describe; others are passed over."""
        return cls(**{f.name: config[f.name] for f in fields(cls)
                      if config.get(f.name) is not None})


HUGGING_FACE = HuggingFaceFormat(
    "resnet", "resnet.",
    names=(
        ("encoder.stem.", "resnet.embedder.embedder."),
        ("encoder.stages.", "resnet.encoder.stages."),
        (".blocks.", ".layers."),
        (".convolutions.", ".layer."),
        (".conv.", ".convolution."),
        (".norm.", ".normalization."),
        ("classifier.", "classifier.1."),
    ),
    fixed={"hidden_act": "relu", "downsample_in_first_stage": False,
           "downsample_in_bottleneck": False},
    defaults={"embedding_size": 64, "hidden_sizes": [256, 512, 1024, 2048],
              "depths": [3, 4, 6, 3], "layer_type": "bottleneck", "num_channels": 3},
)


def normed_by(norm: Norm, channels: int) -> nn.Module:
    """The layer that centres and scales feature maps, (B, channels, H, W)."""
    return BatchNorm(channels) if norm == "batch" else nn.GroupNorm(gcd(32, channels), channels)


class NormedConvolution(nn.Module):
    """A convolution without bias, a normalisation, and ReLU unless it is left out."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, relu: bool = True,
                 norm: Norm = "batch"):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
        self.norm = normed_by(norm, outputs)
        self.activation = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))


class ResidualBlock(nn.Module):
    """relu(f(x) + x), where x is brought to the shape of f(x) by a 1 × 1 convolution if need be."""

    def __init__(self, kind: Block, inputs: int, outputs: int, stride: int, norm: Norm):
        super().__init__()
        layer = partial(NormedConvolution, norm=norm)
        if kind == "basic":
            convolutions = [layer(inputs, outputs, 3, stride),
                            layer(outputs, outputs, 3, relu=False)]
        else:
            narrow = outputs // 4
            convolutions = [layer(inputs, narrow, 1), layer(narrow, narrow, 3, stride),
                            layer(narrow, outputs, 1, relu=False)]
        self.convolutions = nn.Sequential(*convolutions)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else layer(inputs, outputs, 1, stride, relu=False)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.convolutions(x) + self.shortcut(x))


class Stage(nn.Module):
    """Blocks of one size; the first may halve the sides."""

    def __init__(self, kind: Block, inputs: int, outputs: int, stride: int, depth: int,
                 norm: Norm):
        super().__init__()
        self.blocks = nn.Sequential(
            ResidualBlock(kind, inputs, outputs, stride, norm),
            *(ResidualBlock(kind, outputs, outputs, 1, norm) for _ in range(depth - 1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class ResNetBase(EncoderModel):
    """What ResNets with and without a head share.

    `transformers` has neither the stem for small images nor group normalisation.
    """

    config_class = ResNetConfig
    hugging_face = HUGGING_FACE

    def __init__(self, config: ResNetConfig):
        super().__init__()
        self.config = config
        if (config.stem, config.norm) != ("imagenet", "batch"):
            self.hugging_face = None

    @property
    def feature_size(self) -> int:
        return self.config.hidden_sizes[-1]

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) to features (B, F): the last maps' means over all positions."""
        return self.encoder(images).mean((-2, -1))

    def with_classifier(self, num_labels: int, seed: int = 0) -> ResNetForImageClassification:
        headed = ResNetForImageClassification(self.config, num_labels, seed)
        headed.encoder.load_state_dict(self.encoder.state_dict())
        start_at_zero(headed.classifier)
        first = next(self.parameters())
        return headed.to(first.device, first.dtype)


class ResNetModel(ResNetBase):
    """The encoder: images to the feature maps of its last stage.

    Args:
        config: its shape.
        seed: of the first weights, normal of variance 2 / (k² · outputs) (He et al., "Delving deep
            into rectifiers", ICCV 2015, section 2.2, the case of the backward signal).
    """

    def __init__(self, config: ResNetConfig, seed: int = 0):
        super().__init__(config)
        small = config.stem == "cifar"
        self.stem = NormedConvolution(config.num_channels, config.embedding_size,
                                      *((3, 1) if small else (7, 2)), norm=config.norm)
        self.pool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        sizes = pairwise((config.embedding_size, *config.hidden_sizes))
        self.stages = nn.ModuleList(
            Stage(config.layer_type, inputs, outputs, 1 if number == 0 else 2, depth,
                  config.norm)
            for number, ((inputs, outputs), depth) in enumerate(zip(sizes, config.depths)))
        with drawn_with(seed):
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out")

    @property
    def encoder(self) -> ResNetModel:
        return self

    @property
    def map_sizes(self) -> tuple[int, ...]:
        """Feature maps of each stage, as `maps` gives them."""
        return self.config.hidden_sizes

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) to the last stage's feature maps (B, F, H′, W′)."""
        return self.maps(images)[-1]

    def maps(self, images: Tensor) -> list[Tensor]:
        """The feature maps of every stage, (B, hidden_sizes[i], Hᵢ, Wᵢ), from large to small.

        Raises:
            ValueError: if the images have another number of channels.
        """
        channels = self.config.num_channels
        if images.ndim != 4 or images.shape[1] != channels:
            raise ValueError(f"images must be (B, {channels}, H, W) for num_channels={channels}, "
                             f"got {tuple(images.shape)}")
        x, found = self.pool(self.stem(images)), []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


class ResNetForImageClassification(ResNetBase):
    """A ResNet with a linear classifier on its features: images to logits (B, num_labels)."""

    takes_labels = True

    def __init__(self, config: ResNetConfig, num_labels: int, seed: int = 0):
        super().__init__(config)
        self.num_labels = num_labels
        self.encoder = ResNetModel(config, seed)
        with drawn_with(seed + 1):
            self.classifier = nn.Linear(self.feature_size, num_labels)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.encode(images))
