"""CLIP: a ViT and a causal transformer of texts, trained to find each other's vectors.

Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021,
sections 2.3 and 2.4; in numbers that of Hugging Face's `transformers`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import EncoderModel, TextModel
from .clip_config import HIGHEST, PARTS, CLIPConfig, CLIPTextConfig, CLIPVisionConfig
from .init import drawn_with
from .layers import Attention, FeedForward, require_known, require_places, visible
from .protocol import HuggingFaceFormat
from .two_towers import TwoTowers


def quick_gelu(x: Tensor) -> Tensor:
    """x σ(1.702 x) (Hendrycks and Gimpel, "Gaussian error linear units", 2016, section 2)."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS = {"quick_gelu": quick_gelu, "gelu": F.gelu}


def tower_names(view: str, tower: str, norm: str) -> tuple[tuple[str, str], ...]:
    """Pairs of our part of a name and `transformers`' in one tower."""
    ours, theirs = f"encoder.towers.{view}", f"clip.{tower}_model"
    return (
        (f"{ours}.encoder.embeddings.", f"{theirs}.embeddings."),
        (f"{ours}.encoder.pre_norm.", f"{theirs}.pre_layrnorm."),
        (f"{ours}.encoder.layers.", f"{theirs}.encoder.layers."),
        (f"{ours}.encoder.norm.", f"{theirs}.{norm}."),
    )


HUGGING_FACE = HuggingFaceFormat(
    "clip", "clip.",
    names=(
        *tower_names("image", "vision", "post_layernorm"),
        *tower_names("text", "text", "final_layer_norm"),
        ("encoder.towers.image.projection.", "clip.visual_projection."),
        ("encoder.towers.text.projection.", "clip.text_projection."),
        ("encoder.logit_scale", "clip.logit_scale"),
        (".attention.qkv.", ".self_attn.qkv."),
        (".attention.output.", ".self_attn.out_proj."),
        (".attention_norm.", ".layer_norm1."),
        (".feed_forward_norm.", ".layer_norm2."),
        (".feed_forward.up.", ".mlp.fc1."),
        (".feed_forward.down.", ".mlp.fc2."),
    ),
    fixed={},
    earlier=tuple(f"{name}_dict" for name in PARTS),
    thirds=("q_proj", "k_proj", "v_proj"),
)


class CLIPLayer(nn.Module):
    """Attention, then a feed-forward layer; each reads what is normalised (pre-LN)."""

    def __init__(self, config: CLIPTextConfig | CLIPVisionConfig):
        super().__init__()
        size, eps = config.hidden_size, config.layer_norm_eps
        self.attention_norm = nn.LayerNorm(size, eps=eps)
        self.attention = Attention(size, config.num_attention_heads, bias=True,
                                   dropout=config.attention_dropout)
        self.feed_forward_norm = nn.LayerNorm(size, eps=eps)
        self.feed_forward = FeedForward(size, config.intermediate_size,
                                        ACTIVATIONS[config.hidden_act])

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.attention(self.attention_norm(x), mask)
        return x + self.feed_forward(self.feed_forward_norm(x))  # (B, T, D)


def drawn_layers(config: CLIPTextConfig | CLIPVisionConfig) -> nn.ModuleList:
    """The blocks, with first weights as in the authors' code: outputs small by the depth."""
    layers = nn.ModuleList(CLIPLayer(config) for _ in range(config.num_hidden_layers))
    width, branches = config.hidden_size, 2 * config.num_hidden_layers
    for layer in layers:
        for linear, variance in ((layer.attention.qkv, 1 / width),
                                 (layer.attention.output, 1 / (width * branches)),
                                 (layer.feed_forward.up, 1 / (2 * width)),
                                 (layer.feed_forward.down, 1 / (width * branches))):
            nn.init.normal_(linear.weight, std=variance ** 0.5)
            nn.init.zeros_(linear.bias)
    return layers


class CLIPVisionEmbeddings(nn.Module):
    """Of each patch a vector for its pixels plus one for its place; before them a vector of none.

    The tower's own names are `transformers`'.
    """

    def __init__(self, config: CLIPVisionConfig):
        super().__init__()
        self.config = config
        size, patch, std = config.hidden_size, config.patch_size, config.hidden_size ** -0.5
        self.class_embedding = nn.Parameter(std * torch.randn(size))
        self.patch_embedding = nn.Conv2d(config.num_channels, size, patch, stride=patch, bias=False)
        self.position_embedding = nn.Embedding(1 + (config.image_size // patch) ** 2, size)
        nn.init.normal_(self.position_embedding.weight, std=std)

    def forward(self, images: Tensor) -> Tensor:
        channels, side = self.config.num_channels, self.config.image_size
        if images.shape[1:] != (channels, side, side):
            raise ValueError(f"images must be (B, {channels}, {side}, {side}) for num_channels="
                             f"{channels} and image_size={side}, got {tuple(images.shape)}")
        x = self.patch_embedding(images).flatten(2).transpose(1, 2)  # (B, N, D)
        first = self.class_embedding.expand(len(x), 1, -1)
        return torch.cat([first, x], dim=1) + self.position_embedding.weight  # (B, 1 + N, D)


class CLIPVisionModel(EncoderModel):
    """The tower of images without its projection: a ViT that normalises before its first block.

    Args:
        config: its shape.
        seed: of the first weights.
    """

    config_class = CLIPVisionConfig

    def __init__(self, config: CLIPVisionConfig, seed: int = 0):
        super().__init__()
        self.config = config
        with drawn_with(seed):
            self.embeddings = CLIPVisionEmbeddings(config)
            self.layers = drawn_layers(config)
        self.pre_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    @property
    def encoder(self) -> CLIPVisionModel:
        return self

    @property
    def feature_size(self) -> int:
        return self.config.hidden_size

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) to hidden states (B, 1 + N, D), as the last block leaves them.

        Raises:
            ValueError: if the images are of another size, or have another number of channels.
        """
        x = self.pre_norm(self.embeddings(images))
        for layer in self.layers:
            x = layer(x, None)
        return x

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) to features (B, D): what the first place holds, normalised."""
        return self.norm(self(images)[:, 0])


class CLIPTextEmbeddings(nn.Module):
    """The sum of two vectors for each position: its token and its place."""

    def __init__(self, config: CLIPTextConfig):
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding.weight, std=0.01)

    def forward(self, input_ids: Tensor) -> Tensor:
        places = self.position_embedding.weight[:input_ids.shape[1]]  # (T, D)
        return self.token_embedding(input_ids) + places  # (B, T, D)


class CLIPTextModel(TextModel):
    """The tower of texts without its projection: a transformer in which tokens see those before.

    Args:
        config: its shape.
        seed: of the first weights.
    """

    config_class = CLIPTextConfig

    def __init__(self, config: CLIPTextConfig, seed: int = 0):
        super().__init__()
        self.config = config
        with drawn_with(seed):
            self.embeddings = CLIPTextEmbeddings(config)
            self.layers = drawn_layers(config)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    @property
    def encoder(self) -> CLIPTextModel:
        return self

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Token ids (B, T) to hidden states (B, T, D), normalised.

        Args:
            input_ids: (B, T) ids below vocab_size.
            attention_mask: (B, T), see `layers.visible`; None where padding stands at the end,
                where no token sees it.

        Raises:
            ValueError: if a sequence is longer than the model has positions, or (on a CPU) an id is
                none of the vocabulary.
        """
        length = input_ids.shape[1]
        require_places(length, self.config.max_position_embeddings)
        require_known(input_ids, self.config.vocab_size)
        x = self.embeddings(input_ids)
        mask = visible(attention_mask, length, device=x.device, causal=True)
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Token ids (B, T) to features (B, D): the hidden state of the token that ends the text.

        Raises:
            ValueError: if (on a CPU) a text has no such token.
        """
        hidden = self(input_ids, attention_mask)
        ends = end_of_text(input_ids, self.config.eos_token_id)
        return hidden[torch.arange(len(hidden), device=hidden.device), ends]


def end_of_text(input_ids: Tensor, eos_token_id: int) -> Tensor:
    """Where each text has its first end token, (B,): of (B, T) ids.

    Raises:
        ValueError: if (on a CPU) a text has none.
    """
    if eos_token_id == HIGHEST:
        return input_ids.argmax(dim=1)
    ends = input_ids == eos_token_id
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    if not traced and ends.device.type == "cpu" and not ends.any(1).all():
        row = int((~ends.any(1)).nonzero()[0])
        raise ValueError(f"every text must hold eos_token_id={eos_token_id}, whose vector stands "
                         f"for it, and text {row} does not: encode texts with the model's own "
                         "tokenizer, or build the model with the tokenizer's end token")
    return ends.int().argmax(dim=1)


class CLIPModel(TwoTowers, EncoderModel):
    """CLIP: both towers, each under its projection, and the scale of their cosines.

    Args:
        config: its shape.
        seed: of the first weights.

    Attributes:
        logit_scale: the logarithm of the scale; `Contrastive` learns it in place of its own.
    """

    config_class = CLIPConfig
    hugging_face = HUGGING_FACE

    def __init__(self, config: CLIPConfig, seed: int = 0):
        super().__init__(CLIPVisionModel(config.vision_config, seed),
                         CLIPTextModel(config.text_config, seed + 1), config.projection_dim,
                         seed + 2)
        self.config = config
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale_init_value)))

    @property
    def encoder(self) -> CLIPModel:
        return self

    def forward(self, images: Tensor, input_ids: Tensor,
                attention_mask: Tensor | None = None) -> Tensor:
        """N images (N, C, H, W) and M texts (M, T) to their scaled cosines, (N, M)."""
        cosines = self.encode_image(images) @ self.encode_text(input_ids, attention_mask).T
        return self.logit_scale.exp() * cosines

    def to_config(self) -> dict:
        return EncoderModel.to_config(self)

    @classmethod
    def from_config(cls, fields: dict) -> CLIPModel:
        return cls(cls.config_class(**fields))
