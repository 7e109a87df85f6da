"""ModernBERT: what six years changed in the encoder.

Warner et al., "Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder", 2024; in numbers
that of Hugging Face's `transformers`. Against BERT: positions are rotations inside the attention
instead of vectors added to the words, the word embeddings are normalised, normalisation stands
before each block and not after it (pre-LN), the feed-forward layers are gated, nothing but the output
has a bias, and some layers see only their neighbourhood.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..validation import (
    require,
    require_at_least,
    require_pad_token,
    require_positive,
    require_share,
)
from .base import ModelBase, TextModel, under_a_new_layer, with_weights_of
from .init import initialise
from .layers import (
    Attention,
    GatedFeedForward,
    KeyValues,
    Rotation,
    at_positions,
    mean_over_tokens,
    one_later,
    require_known,
    require_places,
    rotation,
    visible,
)
from .protocol import HuggingFaceFormat

LayerType = Literal["full_attention", "sliding_attention"]
Pooling = Literal["cls", "mean"]


@dataclass(frozen=True)
class ModernBertConfig:
    """Shape of a ModernBERT; the defaults are ModernBERT-base's.

    Attributes:
        vocab_size: number of tokens, V.
        hidden_size: numbers that stand for a token, D.
        intermediate_size: width of the gated feed-forward layers.
        num_hidden_layers: number of blocks.
        num_attention_heads: heads of each attention; each of an even size.
        max_position_embeddings: longest sequence, T.
        layer_types: for each block, "full_attention" or "sliding_attention"; left empty, every
            third block from the first on sees everything and the others slide.
        local_attention: width of the sliding window: local_attention // 2 tokens to either side.
        global_rope_theta: base of the rotary angles in blocks that see everything.
        local_rope_theta: the same in blocks with a sliding window.
        embedding_dropout: share of the embeddings that training drops.
        attention_dropout: share of the attention weights, and of its outputs, that training drops.
        mlp_dropout: share of the feed-forward layers' inner numbers that training drops.
        initializer_range: standard deviation of the first weights.
        norm_eps: term against division by zero in the normalisation.
        decoder_bias: whether each token of the output has a bias.
        classifier_pooling: what stands for a sequence: its first token, or the mean of all.
        pad_token_id: id of the padding token.
        classifier_dropout: share of what a classifier or tagger reads that training drops; None is
            none of it.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    vocab_size: int = 50368
    hidden_size: int = 768
    intermediate_size: int = 1152
    num_hidden_layers: int = 22
    num_attention_heads: int = 12
    max_position_embeddings: int = 8192
    layer_types: tuple[LayerType, ...] = ()
    local_attention: int = 128
    global_rope_theta: float = 160_000.0
    local_rope_theta: float = 10_000.0
    embedding_dropout: float = 0.0
    attention_dropout: float = 0.0
    mlp_dropout: float = 0.0
    initializer_range: float = 0.02
    norm_eps: float = 1e-5
    decoder_bias: bool = True
    classifier_pooling: Pooling = "mean"
    pad_token_id: int = 0
    classifier_dropout: float | None = None

    def __post_init__(self):
        require_at_least(self, 1, "vocab_size", "hidden_size", "intermediate_size",
                         "num_hidden_layers", "num_attention_heads", "max_position_embeddings")
        require_at_least(self, 2, "local_attention")
        require_share(self, "embedding_dropout", "attention_dropout", "mlp_dropout")
        if self.classifier_dropout is not None:
            require_share(self, "classifier_dropout")
        require(self.hidden_size % (2 * self.num_attention_heads) == 0, "num_attention_heads",
                self.num_attention_heads,
                f"such that hidden_size={self.hidden_size} gives each head an even size")
        require_positive(self, "global_rope_theta", "local_rope_theta", "initializer_range")
        if not self.layer_types:
            types = tuple("sliding_attention" if i % 3 else "full_attention"
                          for i in range(self.num_hidden_layers))
            object.__setattr__(self, "layer_types", types)
        object.__setattr__(self, "layer_types", tuple(self.layer_types))
        require(len(self.layer_types) == self.num_hidden_layers
                and set(self.layer_types) <= set(get_args(LayerType)), "layer_types",
                self.layer_types, f"{self.num_hidden_layers} of {', '.join(get_args(LayerType))}")
        require(self.classifier_pooling in get_args(Pooling), "classifier_pooling",
                self.classifier_pooling, "one of " + ", ".join(get_args(Pooling)))
        require_pad_token(self)

    def to_hugging_face(self) -> dict:
        """The fields in `transformers`' terms."""
        values = asdict(self)
        values["layer_types"] = list(self.layer_types)
        values["classifier_dropout"] = self.classifier_dropout or 0.0
        thetas = {kind: values.pop(ours) for kind, ours in THETAS.items()}
        values["rope_parameters"] = {kind: {"rope_type": "default", "rope_theta": theta}
                                     for kind, theta in thetas.items()}
        return values

    @classmethod
    def from_hugging_face(cls, config: dict) -> ModernBertConfig:
        """The configuration that fields of `transformers` describe; others are passed over.

        Before its version 5 each angle had a field, of which the sliding layers' could be null for
        the same angle as the others', and every n-th layer saw everything.

        Raises:
            ValueError: if the angles are stretched.
        """
        values = {f.name: config[f.name] for f in fields(cls) if config.get(f.name) is not None}
        values["classifier_dropout"] = values.get("classifier_dropout") or None
        if not values.get("layer_types"):
            every = config.get("global_attn_every_n_layers") or 3
            values["layer_types"] = tuple(
                "sliding_attention" if i % every else "full_attention"
                for i in range(config.get("num_hidden_layers", cls.num_hidden_layers)))
        if "local_rope_theta" in config and config["local_rope_theta"] is None:
            values["local_rope_theta"] = values.get("global_rope_theta", cls.global_rope_theta)
        for kind, ours in THETAS.items():
            rope = (config.get("rope_parameters") or {}).get(kind) or {}
            for said in (rope, config.get("rope_scaling") or {}):
                how = said.get("rope_type", said.get("type", "default"))
                require(how == "default", f"rope_type of {kind}", how,
                        "'default', the only one known here")
            if rope.get("rope_theta") is not None:
                values[ours] = rope["rope_theta"]
        return cls(**values)


THETAS = {"full_attention": "global_rope_theta", "sliding_attention": "local_rope_theta"}
HUGGING_FACE = HuggingFaceFormat(
    "modernbert", "model.",
    names=(
        ("encoder.embeddings.word.", "model.embeddings.tok_embeddings."),
        ("encoder.embeddings.norm.", "model.embeddings.norm."),
        ("encoder.norm.", "model.final_norm."),
        ("encoder.layers.", "model.layers."),
        (".attention_norm.", ".attn_norm."),
        (".attention.qkv.", ".attn.Wqkv."),
        (".attention.output.", ".attn.Wo."),
        (".feed_forward_norm.", ".mlp_norm."),
        (".feed_forward.up.", ".mlp.Wi."),
        (".feed_forward.down.", ".mlp.Wo."),
        ("decoder_bias", "decoder.bias"),
    ),
    fixed={"hidden_activation": "gelu", "classifier_activation": "gelu", "norm_bias": False,
           "attention_bias": False, "mlp_bias": False, "classifier_bias": False,
           "tie_word_embeddings": True},
    defaults={"classifier_pooling": "cls", "pad_token_id": 50283, "cls_token_id": 50281,
              "sep_token_id": 50282, "bos_token_id": 50281, "eos_token_id": 50282},
    earlier=("global_rope_theta", "local_rope_theta", "global_attn_every_n_layers", "rope_scaling"),
)


def layer_norm(config: ModernBertConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=False)


class ModernBertEmbeddings(nn.Module):
    """The vector of each token, normalised; nothing about its place."""

    def __init__(self, config: ModernBertConfig):
        super().__init__()
        self.word = nn.Embedding(config.vocab_size, config.hidden_size)
        self.norm = layer_norm(config)
        self.dropout = nn.Dropout(config.embedding_dropout)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.dropout(self.norm(self.word(input_ids)))  # (B, T, D)


class ModernBertLayer(nn.Module):
    """x + attention(LN(x)), then x + feed_forward(LN(x)).

    The first block's attention has no normalisation before it: the embeddings are normalised.
    """

    def __init__(self, config: ModernBertConfig, number: int):
        super().__init__()
        self.attention_norm = layer_norm(config) if number else nn.Identity()
        self.attention = Attention(config.hidden_size, config.num_attention_heads, bias=False,
                                   dropout=config.attention_dropout)
        self.dropout = nn.Dropout(config.attention_dropout)
        self.feed_forward_norm = layer_norm(config)
        self.feed_forward = GatedFeedForward(config.hidden_size, config.intermediate_size,
                                             config.mlp_dropout)

    def forward(self, x: Tensor, mask: Tensor | None, by: Rotation, at: Tensor | None = None,
                past: KeyValues | None = None) -> Tensor:
        """(B, T, D) to (B, T, D); with positions `at`, (B, S), what comes out there: (B, S, D)."""
        attended = self.attention(self.attention_norm(x), mask, by, at, past)
        x = at_positions(x, at) + self.dropout(attended)
        return x + self.feed_forward(self.feed_forward_norm(x))


class ModernBertBase(TextModel):
    """What ModernBERTs with and without heads share.

    Attributes:
        head: the layer between the encoder and what is predicted; None on the encoder alone.
    """

    config_class = ModernBertConfig
    hugging_face = HUGGING_FACE

    def __init__(self, config: ModernBertConfig):
        super().__init__()
        self.config = config
        self.head: ModernBertHead | None = None

    def with_classifier(self, num_labels: int,
                        seed: int = 0) -> ModernBertForSequenceClassification:
        headed = ModernBertForSequenceClassification(self.encoder.config, num_labels, seed)
        return under_a_new_layer(self, headed, "head")

    def with_tagger(self, num_labels: int, seed: int = 0) -> ModernBertForTokenClassification:
        headed = ModernBertForTokenClassification(self.encoder.config, num_labels, seed)
        return under_a_new_layer(self, headed, "head")

    def with_masked_lm(self, seed: int = 0) -> ModernBertForMaskedLM:
        """A copy that predicts tokens, with this model's head for it or a new one."""
        headed = ModernBertForMaskedLM(self.encoder.config, seed)
        return with_weights_of(self, headed, "head", "decoder_bias")


class ModernBertModel(ModernBertBase):
    """The encoder: token ids to one vector a position.

    Args:
        config: its shape.
        seed: of the first weights.

    Attributes:
        causal: whether a position sees only itself and what stands before it.
    """

    def __init__(self, config: ModernBertConfig, seed: int = 0):
        super().__init__(config)
        self.causal = False
        self.embeddings = ModernBertEmbeddings(config)
        self.layers = nn.ModuleList(
            ModernBertLayer(config, number) for number in range(config.num_hidden_layers))
        self.norm = layer_norm(config)
        self.draw_weights(seed)

    @property
    def encoder(self) -> ModernBertModel:
        return self

    @torch.no_grad()
    def draw_weights(self, seed: int) -> None:
        """Draws the first weights: normal, of standard deviation `initializer_range`.

        What a block adds to its input starts smaller by √(2 · layers), so the sum over blocks keeps
        its size (Radford et al., "Language models are unsupervised multitask learners", 2019,
        section 2.3).
        """
        config = self.config
        initialise(self, "truncated_normal", seed, std=config.initializer_range)
        for layer in self.layers:
            for into_sum in (layer.attention.output, layer.feed_forward.down):
                into_sum.weight.mul_((2 * config.num_hidden_layers) ** -0.5)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None,
                token_type_ids: Tensor | None = None, position_ids: Tensor | None = None,
                positions: Tensor | None = None, past: list[KeyValues] | None = None) -> Tensor:
        """Hidden states (B, T, D); at `positions` only, (B, S, D), where they are given.

        Then the last layer works for these positions alone, as in `BertModel`.

        Args:
            input_ids: (B, T) ids below vocab_size.
            attention_mask: (B, T), see `layers.visible`; None where there is no padding.
            token_type_ids: taken so that both encoders are called alike; this one has no segments.
            position_ids: (B, T) place of each token; None is 0 to T - 1.
            positions: (B, S) where hidden states are wanted; None: everywhere.
            past: for each layer what it has read, of a causal encoder; `input_ids` go on from
                there, without padding, and are added to it.

        Raises:
            ValueError: if a sequence is longer than the model has positions, or (on a CPU) an id is
                none of the vocabulary.
        """
        config, read = self.config, len(past[0]) if past else 0
        length = read + input_ids.shape[1]
        require_places(length, config.max_position_embeddings)
        if position_ids is None:
            position_ids = torch.arange(read, length, device=input_ids.device)[None]
        require_known(input_ids, config.vocab_size)
        x = self.embeddings(input_ids)
        head_size = config.hidden_size // config.num_attention_heads
        device = input_ids.device
        windows = {"full_attention": None, "sliding_attention": config.local_attention // 2}
        seen = {kind: visible(attention_mask, length, window, device, self.causal)
                for kind, window in windows.items()}
        if read:
            seen = {kind: mask[:, :, read:] for kind, mask in seen.items()}  # (1, 1, n, all)
        turned = {"full_attention": config.global_rope_theta,
                  "sliding_attention": config.local_rope_theta}
        turned = {kind: rotation(position_ids, head_size, theta, x.dtype)
                  for kind, theta in turned.items() if kind in config.layer_types}
        wanted = [None] * (config.num_hidden_layers - 1) + [positions]
        past = past or [None] * config.num_hidden_layers
        for kind, layer, at, own in zip(config.layer_types, self.layers, wanted, past, strict=True):
            x = layer(x, seen[kind], turned[kind], at, own)
        return self.norm(x)


class ModernBertHead(nn.Module):
    """LN(gelu(W x)): the layer between the encoder and what is predicted."""

    def __init__(self, config: ModernBertConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.norm = layer_norm(config)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.norm(F.gelu(self.dense(hidden)))


class ModernBertForMaskedLM(ModernBertBase):
    """ModernBERT with the head that predicts masked tokens; its matrix is the embedding's, tied."""

    def __init__(self, config: ModernBertConfig, seed: int = 0):
        super().__init__(config)
        self.encoder = ModernBertModel(config, seed)
        self.head = ModernBertHead(config)
        self.decoder_bias = nn.Parameter(torch.zeros(config.vocab_size)) if config.decoder_bias else None
        initialise(self.head, "truncated_normal", seed + 1, std=config.initializer_range)

    @property
    def output_bias(self) -> nn.Parameter | None:
        """(V,) what is added to each token's score, if anything is."""
        return self.decoder_bias

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None,
                token_type_ids: Tensor | None = None, position_ids: Tensor | None = None,
                positions: Tensor | None = None) -> Tensor:
        """Logits (B, S, V) at `positions`, (B, S); at all T positions where it is None."""
        hidden = self.encoder(input_ids, attention_mask, token_type_ids, position_ids, positions)
        return F.linear(self.head(hidden), self.encoder.embeddings.word.weight, self.decoder_bias)


class ModernBertForCausalLM(ModernBertForMaskedLM):
    """The same parts as a language model: each token is predicted from those before it.

    Attention sees the past alone, and the answer at a position comes from the state of the one
    before. Where a text begins nothing is known: the answer there is the bias of the output. It is
    of no kind that `transformers` has, so it is not saved as a folder of theirs, and their heads do
    not go on it: they would look at both sides.
    """

    hugging_face = None
    causal = True
    with_classifier = ModelBase.with_classifier
    with_tagger = TextModel.with_tagger
    with_masked_lm = TextModel.with_masked_lm

    def __init__(self, config: ModernBertConfig, seed: int = 0):
        super().__init__(config, seed)
        self.encoder.causal = True

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None,
                token_type_ids: Tensor | None = None, position_ids: Tensor | None = None,
                positions: Tensor | None = None) -> Tensor:
        """Logits (B, S, V) of the tokens at `positions`, (B, S), from those before each."""
        hidden = self.encoder(input_ids, attention_mask, token_type_ids, position_ids)
        x = self.head(at_positions(one_later(hidden, attention_mask), positions))
        return F.linear(x, self.encoder.embeddings.word.weight, self.decoder_bias)

    def nothing_read(self) -> list[KeyValues]:
        """What `next_token` keeps between calls, before the first."""
        return [KeyValues() for _ in self.encoder.layers]

    def next_token(self, input_ids: Tensor, past: list[KeyValues]) -> Tensor:
        """Logits (B, V) of the token after all that was read: `past`, then `input_ids`, (B, n).

        Each token is computed once: what the layers made of it is added to `past`.
        """
        hidden = self.encoder(input_ids, past=past)[:, -1]  # (B, D)
        return F.linear(self.head(hidden), self.encoder.embeddings.word.weight, self.decoder_bias)


class ModernBertForSequenceClassification(ModernBertBase):
    """One label a sequence, from the mean of its hidden states or from its first token."""

    takes_labels = True

    def __init__(self, config: ModernBertConfig, num_labels: int, seed: int = 0):
        super().__init__(config)
        self.num_labels = num_labels
        self.encoder = ModernBertModel(config, seed)
        self.head = ModernBertHead(config)
        self.dropout = nn.Dropout(config.classifier_dropout or 0.0)
        self.classifier = nn.Linear(config.hidden_size, num_labels)
        for module in (self.head, self.classifier):
            initialise(module, "truncated_normal", seed + 1, std=config.initializer_range)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None,
                token_type_ids: Tensor | None = None, position_ids: Tensor | None = None) -> Tensor:
        """Logits (B, num_labels)."""
        hidden = self.encoder(input_ids, attention_mask, token_type_ids, position_ids)
        if self.config.classifier_pooling == "cls":
            pooled = hidden[:, 0]
        else:
            pooled = mean_over_tokens(hidden, attention_mask)
        return self.classifier(self.dropout(self.head(pooled)))


class ModernBertForTokenClassification(ModernBertBase):
    """One label a token."""

    takes_labels = True

    def __init__(self, config: ModernBertConfig, num_labels: int, seed: int = 0):
        super().__init__(config)
        self.num_labels = num_labels
        self.encoder = ModernBertModel(config, seed)
        self.head = ModernBertHead(config)
        self.dropout = nn.Dropout(config.classifier_dropout or 0.0)
        self.classifier = nn.Linear(config.hidden_size, num_labels)
        for module in (self.head, self.classifier):
            initialise(module, "truncated_normal", seed + 1, std=config.initializer_range)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None,
                token_type_ids: Tensor | None = None, position_ids: Tensor | None = None) -> Tensor:
        """Logits (B, T, num_labels)."""
        hidden = self.encoder(input_ids, attention_mask, token_type_ids, position_ids)
        return self.classifier(self.dropout(self.head(hidden)))
