"""A masked autoencoder: a ViT sees some patches of an image, and a small decoder paints the others.

He, Chen, Xie, Li, Dollár and Girshick, "Masked autoencoders are scalable vision learners", CVPR
2022, section 3; in numbers that of Hugging Face's `transformers`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..validation import require, require_at_least
from .base import EncoderModel
from .init import initialise
from .layers import at_positions
from .patches import hidden_tiles, patchify, unpatchify
from .protocol import HuggingFaceFormat
from .vit import FIXED, NAMES, ViTConfig, ViTForImageClassification, ViTLayer, ViTModel, ViTShape


@dataclass(frozen=True)
class ViTMAEConfig(ViTShape):
    """Shape of a ViT and its decoder: the fields of `models.vit.ViTShape`, and those here.

    How much is hidden is `MaskedImage`'s to say.

    Attributes:
        decoder_hidden_size: numbers that stand for a patch in the decoder; a multiple of 4, as
            `hidden_size` is here.
        decoder_num_hidden_layers: number of its blocks.
        decoder_num_attention_heads: heads of each of its attentions.
        decoder_intermediate_size: width of its feed-forward layers.
    """

    decoder_hidden_size: int = 512
    decoder_num_hidden_layers: int = 8
    decoder_num_attention_heads: int = 16
    decoder_intermediate_size: int = 2048

    def __post_init__(self):
        super().__post_init__()
        require_at_least(self, 1, "decoder_hidden_size", "decoder_num_hidden_layers",
                         "decoder_num_attention_heads", "decoder_intermediate_size")
        for field in ("hidden_size", "decoder_hidden_size"):
            require(getattr(self, field) % 4 == 0, field, getattr(self, field),
                    "a multiple of 4: two waves for each of two axes")
        require(self.decoder_hidden_size % self.decoder_num_attention_heads == 0,
                "decoder_num_attention_heads", self.decoder_num_attention_heads,
                f"a divisor of decoder_hidden_size={self.decoder_hidden_size}")

    @property
    def encoder(self) -> ViTConfig:
        """Shape of the encoder, whose features are the mean over the patches."""
        shared = {f.name: getattr(self, f.name) for f in fields(ViTShape)}
        return ViTConfig(**shared, pooling="mean")

    @property
    def decoder(self) -> ViTConfig:
        """Shape of the decoder."""
        return replace(self.encoder, hidden_size=self.decoder_hidden_size,
                       num_hidden_layers=self.decoder_num_hidden_layers,
                       num_attention_heads=self.decoder_num_attention_heads,
                       intermediate_size=self.decoder_intermediate_size)


HUGGING_FACE = HuggingFaceFormat(
    "vit_mae", "vit.",
    names=(
        *NAMES,
        ("decoder.embed.", "decoder.decoder_embed."),
        ("decoder.position", "decoder.decoder_pos_embed"),
        ("decoder.layers.", "decoder.decoder_layers."),
        ("decoder.norm.", "decoder.decoder_norm."),
        ("decoder.prediction.", "decoder.decoder_pred."),
    ),
    fixed=FIXED,
    spellings=(("decoder.decoder_encoder.layer.", "decoder.decoder_layers."),),
)


def waves(side: int, size: int) -> Tensor:
    """Fixed vectors of places on a grid: sines and cosines of the column, then of the row.

    Frequencies fall from 1 to almost 1/10000 (Vaswani et al. 2017, section 3.5, for each axis).

    Args:
        side: places in a row, and in a column.
        size: D, a multiple of 4.

    Returns:
        (1, 1 + side², D); first that of [CLS], which is 0.
    """
    share = torch.arange(size // 4, dtype=torch.double) / (size // 4)
    angle = torch.arange(side)[:, None] * 10_000 ** -share  # (side, D/4)
    wave = torch.cat([angle.sin(), angle.cos()], dim=1)  # (side, D/2)
    places = torch.cat([wave.repeat(side, 1), wave.repeat_interleave(side, dim=0)], dim=1)
    return F.pad(places, (0, 0, 1, 0))[None].float()


class ViTMAEDecoder(nn.Module):
    """Hidden states of the visible patches to the pixels of all patches."""

    def __init__(self, config: ViTMAEConfig):
        super().__init__()
        shape = config.decoder
        self.embed = nn.Linear(config.hidden_size, shape.hidden_size)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, shape.hidden_size))
        self.position = nn.Parameter(torch.zeros(1, 1 + shape.side**2, shape.hidden_size))
        self.layers = nn.ModuleList(ViTLayer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)
        self.prediction = nn.Linear(shape.hidden_size, shape.num_channels * shape.patch_size**2)

    def forward(self, hidden: Tensor, order: Tensor) -> Tensor:
        """Pixels of all patches, (B, N, P² · C).

        Args:
            hidden: (B, 1 + S, D), [CLS] and the first S patches of `order`.
            order: (B, N) the patches' numbers, the visible ones first.
        """
        x = self.embed(hidden)  # (B, 1 + S, E)
        missing = order.shape[1] + 1 - x.shape[1]
        x = torch.cat([x, self.mask_token.expand(len(x), missing, -1)], dim=1)  # (B, 1 + N, E)
        back = F.pad(order.argsort(dim=1) + 1, (1, 0))  # (B, 1 + N): where each patch is now
        x = at_positions(x, back) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.prediction(self.norm(x)[:, 1:])


class ViTMAEForPreTraining(EncoderModel):
    """A ViT that sees the visible patches only, and a decoder that predicts the pixels of all.

    `encoder` is a `ViTModel`, and what `with_classifier` gives for fine-tuning a
    `ViTForImageClassification`; both take the mean over the patches' vectors.

    Args:
        config: its shape.
        seed: of the first weights; positions are fixed waves.
    """

    config_class = ViTMAEConfig
    hugging_face = HUGGING_FACE

    def __init__(self, config: ViTMAEConfig, seed: int = 0):
        super().__init__()
        self.config = config
        self.encoder = ViTModel(config.encoder)
        self.decoder = ViTMAEDecoder(config)
        initialise(self, "truncated_normal", seed, std=config.initializer_range)
        for part in (self.encoder.embeddings, self.decoder):
            part.position.requires_grad_(False)
            part.position.copy_(waves(config.side, part.position.shape[2]))

    @property
    def feature_size(self) -> int:
        return self.config.hidden_size

    def encode(self, images: Tensor) -> Tensor:
        """Whole images (B, C, H, W) to features (B, D): the mean over the patches."""
        return self.encoder.encode(images)

    def with_classifier(self, num_labels: int, seed: int = 0) -> ViTForImageClassification:
        return self.encoder.with_classifier(num_labels, seed)

    def forward(self, images: Tensor, mask: Tensor) -> Tensor:
        """What the pixels of the images are, of visible and of hidden patches.

        Args:
            images: (B, C, H, W); what they show of hidden patches does not matter.
            mask: (B, 1, H, W), other than 0 where a pixel is hidden: whole patches, as many in each
                image.

        Returns:
            (B, C, H, W).

        Raises:
            ValueError: if images or mask are of another shape, a patch is hidden in part, or one
                image hides more patches than another.
        """
        hidden, number = hidden_patches(mask, self.config)  # (B, N)
        order = hidden.argsort(dim=1, stable=True)  # the visible ones first
        visible = order[:, :order.shape[1] - number]
        patches = self.decoder(self.encoder(images, visible), order)  # (B, N, P² · C)
        return unpatchify(patches, self.config.patch_size, self.config.image_size)


def hidden_patches(mask: Tensor, config: ViTMAEConfig) -> tuple[Tensor, int]:
    """Which patches a mask of pixels (B, 1, H, W) hides, (B, N), and how many in each image."""
    side, patch = config.image_size, config.patch_size
    if mask.shape[1:] != (1, side, side):
        raise ValueError(f"mask must be (B, 1, {side}, {side}) for image_size={side}, got "
                         f"{tuple(mask.shape)}")
    return hidden_tiles(patchify(mask != 0, patch), f"patches of {patch} × {patch} pixels",
                        f"let MaskedImage hide patch={patch}, or a multiple of it")
