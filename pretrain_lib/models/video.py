"""VideoMAE: a clip cut into tubelets, which a transformer reads; and a decoder for hidden ones.

Tong, Song, Wang and Wang, "VideoMAE: masked autoencoders are data-efficient learners for
self-supervised video pre-training", NeurIPS 2022, section 3; in numbers that of Hugging Face's
`transformers`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..validation import require, require_at_least
from .base import EncoderModel, under_a_new_layer
from .init import initialise
from .layers import Attention, at_positions
from .patches import hidden_tiles
from .protocol import HuggingFaceFormat
from .tubelets import tubelets, untubelets
from .vit import ViTLayer, ViTShape


@dataclass(frozen=True)
class VideoMAEConfig(ViTShape):
    """Shape of an encoder of clips, and of the decoder that pre-training puts on it.

    The fields of `models.vit.ViTShape`, where a patch is one of a frame, and those here.

    Attributes:
        num_frames: of a clip.
        tubelet_size: frames that a tubelet goes through, a divisor of `num_frames`.
        decoder_hidden_size: numbers that stand for a tubelet in the decoder.
        decoder_num_hidden_layers: number of its blocks.
        decoder_num_attention_heads: heads of each of its attentions.
        decoder_intermediate_size: width of its feed-forward layers.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    num_frames: int = 16
    tubelet_size: int = 2
    decoder_hidden_size: int = 384
    decoder_num_hidden_layers: int = 4
    decoder_num_attention_heads: int = 6
    decoder_intermediate_size: int = 1536

    def __post_init__(self):
        super().__post_init__()
        require_at_least(self, 1, "num_frames", "tubelet_size", "decoder_hidden_size",
                         "decoder_num_hidden_layers", "decoder_num_attention_heads",
                         "decoder_intermediate_size")
        require(self.num_frames % self.tubelet_size == 0, "tubelet_size", self.tubelet_size,
                f"a divisor of num_frames={self.num_frames}")
        require(self.decoder_hidden_size % self.decoder_num_attention_heads == 0,
                "decoder_num_attention_heads", self.decoder_num_attention_heads,
                f"a divisor of decoder_hidden_size={self.decoder_hidden_size}")

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Frames, channels, height and width of a clip."""
        return (self.num_frames, self.num_channels, self.image_size, self.image_size)

    @property
    def tubelets(self) -> int:
        """Tubelets of a clip, N."""
        return self.num_frames // self.tubelet_size * self.side**2

    @property
    def decoder(self) -> VideoMAEConfig:
        """Shape of the decoder."""
        return replace(self, hidden_size=self.decoder_hidden_size,
                       num_hidden_layers=self.decoder_num_hidden_layers,
                       num_attention_heads=self.decoder_num_attention_heads,
                       intermediate_size=self.decoder_intermediate_size)


HUGGING_FACE = HuggingFaceFormat(
    "videomae", "videomae.",
    names=(
        ("encoder.embeddings.projection.", "videomae.embeddings.patch_embeddings.projection."),
        ("encoder.layers.", "videomae.encoder.layer."),
        ("decoder.embed.", "encoder_to_decoder."),
        ("decoder.mask_token", "mask_token"),
        ("decoder.layers.", "decoder.decoder_layers."),
        ("decoder.prediction.", "decoder.head."),
        (".attention_norm.", ".layernorm_before."),
        (".attention.qkv.", ".attention.attention.qkv."),
        (".attention.query_bias", ".attention.attention.q_bias"),
        (".attention.value_bias", ".attention.attention.v_bias"),
        (".attention.output.", ".attention.output.dense."),
        (".feed_forward_norm.", ".layernorm_after."),
        (".feed_forward.up.", ".intermediate.dense."),
        (".feed_forward.down.", ".output.dense."),
        ("mean_norm.", "fc_norm."),
    ),
    fixed={"hidden_act": "gelu", "qv_bias": True, "use_mean_pooling": True},
    earlier=("qkv_bias",),
    spellings=((".query.bias", ".q_bias"), (".value.bias", ".v_bias")),
)


def waves(places: int, size: int) -> Tensor:
    """Fixed vectors of places in a row: sines at even and cosines at odd numbers, (1, places, D).

    Number j turns by 10000^(−2⌊j/2⌋/D) a place (Vaswani et al. 2017, section 3.5). The tubelets
    of a clip are one row: through the columns first, then the rows, then time.
    """
    number = torch.arange(size, dtype=torch.double)
    angle = torch.arange(places)[:, None] / 10_000 ** (number // 2 * 2 / size)  # (places, D)
    return torch.where(number % 2 == 0, angle.sin(), angle.cos())[None].float()


class QueryValueAttention(Attention):
    """An attention whose keys have no bias, which could change nothing that is attended to."""

    def __init__(self, hidden_size: int, num_heads: int, dropout: float):
        super().__init__(hidden_size, num_heads, bias=True, dropout=dropout)
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.qkv.stacked = 3
        self.query_bias = nn.Parameter(torch.zeros(hidden_size))
        self.value_bias = nn.Parameter(torch.zeros(hidden_size))

    def queries_keys_values(self, x: Tensor, at: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = super().queries_keys_values(x, at)  # (B, H, T, E)
        own = (bias.view(self.num_heads, 1, -1) for bias in (self.query_bias, self.value_bias))
        return query + next(own), key, value + next(own)


class VideoMAELayer(ViTLayer):
    """A layer of a ViT, in which keys have no bias."""

    def __init__(self, config: VideoMAEConfig):
        super().__init__(config)
        self.attention = QueryValueAttention(config.hidden_size, config.num_attention_heads,
                                             config.attention_probs_dropout_prob)


class VideoMAEEmbeddings(nn.Module):
    """Of each tubelet a vector for its pixels plus one for its place and time, which is fixed."""

    def __init__(self, config: VideoMAEConfig):
        super().__init__()
        self.config = config
        tubelet = (config.tubelet_size, config.patch_size, config.patch_size)
        self.projection = nn.Conv3d(config.num_channels, config.hidden_size, tubelet,
                                    stride=tubelet)
        self.register_buffer("position", waves(config.tubelets, config.hidden_size), False)

    def forward(self, clips: Tensor, visible: Tensor | None) -> Tensor:
        require_clips(clips, self.config)
        x = self.projection(clips.transpose(1, 2)).flatten(2).transpose(1, 2)  # (B, N, D)
        return at_positions(x + self.position, visible)  # (B, N or S, D)


def require_clips(clips: Tensor, config: VideoMAEConfig) -> None:
    """Raises where clips are not of the shape that a configuration says."""
    if clips.shape[1:] != config.clip_shape:
        shape = ", ".join(map(str, config.clip_shape))
        raise ValueError(f"clips must be (B, {shape}) for num_frames={config.num_frames}, "
                         f"num_channels={config.num_channels} and image_size={config.image_size}, "
                         f"got {tuple(clips.shape)}")


class VideoMAEBase(EncoderModel):
    """What the encoder with and without heads share."""

    config_class = VideoMAEConfig
    hugging_face = HUGGING_FACE
    columns = ("clips",)

    def __init__(self, config: VideoMAEConfig):
        super().__init__()
        self.config = config
        self.mean_norm: nn.LayerNorm | None = None

    @property
    def feature_size(self) -> int:
        return self.config.hidden_size

    def encode(self, clips: Tensor) -> Tensor:
        """Clips (B, T, C, H, W) to features (B, D): the mean over the tubelets."""
        return self.encoder(clips).mean(1)

    def with_classifier(self, num_labels: int, seed: int = 0) -> VideoMAEForVideoClassification:
        headed = VideoMAEForVideoClassification(self.config, num_labels, seed)
        return under_a_new_layer(self, headed, "mean_norm")


class VideoMAEModel(VideoMAEBase):
    """The encoder: clips to one vector for each tubelet.

    Args:
        config: its shape.
        seed: of the first weights; places are fixed waves.
    """

    def __init__(self, config: VideoMAEConfig, seed: int = 0):
        super().__init__(config)
        self.embeddings = VideoMAEEmbeddings(config)
        self.layers = nn.ModuleList(VideoMAELayer(config) for _ in range(config.num_hidden_layers))
        initialise(self, "truncated_normal", seed, std=config.initializer_range)

    @property
    def encoder(self) -> VideoMAEModel:
        return self

    def forward(self, clips: Tensor, visible: Tensor | None = None) -> Tensor:
        """Hidden states (B, N, D) of the tubelets: column by column, row by row, time by time.

        Args:
            clips: (B, T, C, H, W) of the shape that the configuration says.
            visible: (B, S) which tubelets the model sees, each 0 to N - 1; the others are not there
                at all, and the answer is (B, S, D). None: all of them.

        Raises:
            ValueError: if the clips are of another shape.
        """
        x = self.embeddings(clips, visible)
        for layer in self.layers:
            x = layer(x)
        return x


class VideoMAEForVideoClassification(VideoMAEBase):
    """An encoder of clips with a linear classifier on its normalised features: (B, num_labels)."""

    takes_labels = True

    def __init__(self, config: VideoMAEConfig, num_labels: int, seed: int = 0):
        super().__init__(config)
        self.num_labels = num_labels
        self.encoder = VideoMAEModel(config, seed)
        self.mean_norm = nn.LayerNorm(config.hidden_size)
        self.classifier = nn.Linear(config.hidden_size, num_labels)
        initialise(self.classifier, "truncated_normal", seed + 1, std=config.initializer_range)

    def forward(self, clips: Tensor) -> Tensor:
        return self.classifier(self.mean_norm(self.encode(clips)))


class VideoMAEDecoder(nn.Module):
    """Hidden states of the visible tubelets to the pixels of all."""

    def __init__(self, config: VideoMAEConfig):
        super().__init__()
        shape = config.decoder
        self.embed = nn.Linear(config.hidden_size, shape.hidden_size, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, shape.hidden_size))
        self.register_buffer("position", waves(shape.tubelets, shape.hidden_size), False)
        self.layers = nn.ModuleList(VideoMAELayer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = nn.LayerNorm(shape.hidden_size)
        pixels = shape.num_channels * shape.tubelet_size * shape.patch_size**2
        self.prediction = nn.Linear(shape.hidden_size, pixels)

    def forward(self, hidden: Tensor, order: Tensor) -> Tensor:
        """Pixels of all tubelets, (B, N, t · P² · C).

        Args:
            hidden: (B, S, D), the first S tubelets of `order`.
            order: (B, N) the tubelets' numbers, the visible ones first.
        """
        x = self.embed(hidden)  # (B, S, E)
        missing = order.shape[1] - x.shape[1]
        x = torch.cat([x, self.mask_token.expand(len(x), missing, -1)], dim=1)  # (B, N, E)
        x = at_positions(x, order.argsort(dim=1)) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.prediction(self.norm(x))


class VideoMAEForPreTraining(VideoMAEBase):
    """An encoder that sees the visible tubelets only, and a decoder that predicts all pixels.

    Args:
        config: its shape.
        seed: of the first weights; places are fixed waves.
    """

    def __init__(self, config: VideoMAEConfig, seed: int = 0):
        super().__init__(config)
        self.encoder = VideoMAEModel(config)
        self.decoder = VideoMAEDecoder(config)
        initialise(self, "truncated_normal", seed, std=config.initializer_range)

    def forward(self, clips: Tensor, mask: Tensor) -> Tensor:
        """What the pixels of the clips are, of visible and of hidden tubelets.

        Args:
            clips: (B, T, C, H, W); what they show of hidden tubelets does not matter.
            mask: (B, T, 1, H, W), other than 0 where a pixel is hidden: whole tubelets, as many in
                each clip.

        Returns:
            (B, T, C, H, W).

        Raises:
            ValueError: if clips or mask are of another shape, a tubelet is hidden in part, or one
                clip hides more tubelets than another.
        """
        require_clips(clips, self.config)
        hidden, number = hidden_tubelets(mask, self.config)  # (B, N)
        order = hidden.argsort(dim=1, stable=True)  # the visible ones first
        visible = order[:, :order.shape[1] - number]
        pixels = self.decoder(self.encoder(clips, visible), order)  # (B, N, t · P² · C)
        return untubelets(pixels, self.config.tubelet_size, self.config.patch_size, clips.shape)


def hidden_tubelets(mask: Tensor, config: VideoMAEConfig) -> tuple[Tensor, int]:
    """Which tubelets a mask of pixels hides, (B, N), and how many in each clip."""
    frames, side = config.num_frames, config.image_size
    if mask.shape[1:] != (frames, 1, side, side):
        raise ValueError(f"mask must be (B, {frames}, 1, {side}, {side}) for num_frames={frames} "
                         f"and image_size={side}, got {tuple(mask.shape)}")
    through, patch = config.tubelet_size, config.patch_size
    return hidden_tiles(tubelets(mask != 0, through, patch),
                        f"tubelets of {through} × {patch} × {patch} pixels",
                        f"let MaskedVideo hide patch={patch}, or a multiple of it")
