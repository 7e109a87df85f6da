"""BERT as it was published in 2018: learned positions, normalisation after each block, two heads.

Devlin, Chang, Lee and Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers for
Language Understanding", NAACL 2019; in numbers that of Hugging Face's `transformers`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import NamedTuple

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
from .base import TextModel, under_a_new_layer, with_weights_of
from .init import initialise
from .layers import (
    Attention,
    FeedForward,
    at_positions,
    require_known,
    require_places,
    visible,
)
from .pooler import PooledModel, Pooler
from .protocol import HuggingFaceFormat


@dataclass(frozen=True)
class BertConfig:
    """Shape of a BERT; the defaults are BERT-base's.

    Attributes:
        vocab_size: number of tokens, V.
        hidden_size: numbers that stand for a token, D.
        num_hidden_layers: number of blocks.
        num_attention_heads: heads of each attention, a divisor of `hidden_size`.
        intermediate_size: width of the feed-forward layers.
        hidden_dropout_prob: share of a block's outputs that training drops.
        attention_probs_dropout_prob: share of the attention weights that training drops.
        max_position_embeddings: longest sequence, T.
        type_vocab_size: kinds of segments; 2 for sentence pairs.
        initializer_range: standard deviation of the first weights.
        layer_norm_eps: term against division by zero in the normalisation.
        pad_token_id: id of the padding token.
        classifier_dropout: share of what a classifier or tagger reads that training drops; None is
            `hidden_dropout_prob`.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    classifier_dropout: float | None = None

    def __post_init__(self):
        require_at_least(self, 1, "vocab_size", "hidden_size", "num_hidden_layers",
                         "num_attention_heads", "intermediate_size", "max_position_embeddings",
                         "type_vocab_size")
        require_share(self, "hidden_dropout_prob", "attention_probs_dropout_prob")
        if self.classifier_dropout is not None:
            require_share(self, "classifier_dropout")
        require(self.hidden_size % self.num_attention_heads == 0, "num_attention_heads",
                self.num_attention_heads, f"a divisor of hidden_size={self.hidden_size}")
        require_positive(self, "initializer_range")
        require_pad_token(self)

    def to_hugging_face(self) -> dict:
        """The fields in `transformers`' terms."""
        return asdict(self)

    @classmethod
    def from_hugging_face(cls, config: dict) -> BertConfig:
        """The configuration that fields of `transformers` describe; others are passed over."""
        return cls(**{f.name: config[f.name] for f in fields(cls)
                      if config.get(f.name) is not None})


HUGGING_FACE = HuggingFaceFormat(
    "bert", "bert.",
    names=(
        ("encoder.embeddings.word.", "bert.embeddings.word_embeddings."),
        ("encoder.embeddings.position.", "bert.embeddings.position_embeddings."),
        ("encoder.embeddings.token_type.", "bert.embeddings.token_type_embeddings."),
        ("encoder.embeddings.norm.", "bert.embeddings.LayerNorm."),
        ("encoder.layers.", "bert.encoder.layer."),
        (".attention.qkv.", ".attention.self.qkv."),
        (".attention.output.", ".attention.output.dense."),
        (".attention_norm.", ".attention.output.LayerNorm."),
        (".feed_forward.up.", ".intermediate.dense."),
        (".feed_forward.down.", ".output.dense."),
        (".feed_forward_norm.", ".output.LayerNorm."),
        ("masked_lm.dense.", "cls.predictions.transform.dense."),
        ("masked_lm.norm.", "cls.predictions.transform.LayerNorm."),
        ("masked_lm.bias", "cls.predictions.bias"),
        ("pooler.", "bert.pooler."),
        ("next_sentence.", "cls.seq_relationship."),
    ),
    fixed={"hidden_act": "gelu", "is_decoder": False, "tie_word_embeddings": True},
    carried={"pooler": "bert.pooler."},
)


class BertEmbeddings(nn.Module):
    """The sum of three vectors for each position: its token, its place, its segment."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.word = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None,
                position_ids: Tensor | None) -> Tensor:
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1], device=input_ids.device)
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        x = self.word(input_ids) + self.position(position_ids) + self.token_type(token_type_ids)
        return self.dropout(self.norm(x))  # (B, T, D)


class BertLayer(nn.Module):
    """Attention, then a feed-forward layer; each is added to its input and then normalised.

    Normalising after the sum (post-LN) is what the 2018 model does.
    """

    def __init__(self, config: BertConfig):
        super().__init__()
        size, eps = config.hidden_size, config.layer_norm_eps
        self.attention = Attention(size, config.num_attention_heads, bias=True,
                                   dropout=config.attention_probs_dropout_prob)
        self.attention_norm = nn.LayerNorm(size, eps=eps)
        self.feed_forward = FeedForward(size, config.intermediate_size)
        self.feed_forward_norm = nn.LayerNorm(size, eps=eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, mask: Tensor | None, at: Tensor | None = None) -> Tensor:
        """(B, T, D) to (B, T, D); with positions `at`, (B, S), what comes out there: (B, S, D)."""
        attended = self.attention(x, mask, at=at)
        x = self.attention_norm(at_positions(x, at) + self.dropout(attended))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class BertBase(PooledModel, TextModel):
    """What BERTs with and without heads share; released ones have a pooler whatever their head."""

    config_class = BertConfig
    hugging_face = HUGGING_FACE

    def __init__(self, config: BertConfig):
        super().__init__()
        self.config = config

    def with_classifier(self, num_labels: int, seed: int = 0) -> BertForSequenceClassification:
        headed = BertForSequenceClassification(self.encoder.config, num_labels, seed)
        return under_a_new_layer(self, headed, "pooler")

    def with_tagger(self, num_labels: int, seed: int = 0) -> BertForTokenClassification:
        headed = BertForTokenClassification(self.encoder.config, num_labels, seed)
        return under_a_new_layer(self, headed, "pooler")

    def with_masked_lm(self, seed: int = 0) -> BertForMaskedLM:
        """A copy that predicts tokens, with this model's head for it or a new one.

        A pooler is carried along; a head for next sentences is not.
        """
        headed = BertForMaskedLM(self.encoder.config, seed)
        if self.pooler is not None:
            headed.pooler = Pooler(self.config.hidden_size).requires_grad_(False)
        return with_weights_of(self, headed, "pooler", "masked_lm")

    def with_both_heads(self, seed: int = 0) -> BertForPreTraining:
        """A copy that predicts tokens and next sentences, with what this model has for it."""
        headed = BertForPreTraining(self.encoder.config, seed)
        return with_weights_of(self, headed, "pooler", "masked_lm", "next_sentence")


class BertModel(BertBase):
    """The encoder: token ids to one vector a position.

    Args:
        config: its shape.
        seed: of the first weights.
    """

    def __init__(self, config: BertConfig, seed: int = 0):
        super().__init__(config)
        self.embeddings = BertEmbeddings(config)
        self.layers = nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))
        initialise(self, "truncated_normal", seed, std=config.initializer_range)

    @property
    def encoder(self) -> BertModel:
        return self

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None,
                token_type_ids: Tensor | None = None, position_ids: Tensor | None = None,
                positions: Tensor | None = None) -> Tensor:
        """Hidden states (B, T, D); at `positions` only, (B, S, D), where they are given.

        Then the last layer works for these positions alone. The numbers are the same, and of a
        layer hardly more is left than its keys and values.

        Args:
            input_ids: (B, T) ids below vocab_size.
            attention_mask: (B, T), see `layers.visible`; None where there is no padding.
            token_type_ids: (B, T) segment of each token; None is segment 0.
            position_ids: (B, T) place of each token; None is 0 to T - 1.
            positions: (B, S) where hidden states are wanted; None: everywhere.

        Raises:
            ValueError: if a sequence is longer than the model has positions, or (on a CPU) an id is
                none of the vocabulary.
        """
        length = input_ids.shape[1]
        require_places(length, self.config.max_position_embeddings)
        require_known(input_ids, self.config.vocab_size)
        x = self.embeddings(input_ids, token_type_ids, position_ids)
        mask = visible(attention_mask, length)
        *lower, last = self.layers
        for layer in lower:
            x = layer(x, mask)
        return last(x, mask, positions)


NEIGHBOURS = (-1, 1, -2, 2)
WORD_RANGE, WAVE, SHARPNESS = 0.1, 0.2, 1.3


@torch.no_grad()
def start_at_neighbours(encoder: BertModel, layers: int = 2, seed: int = 0) -> None:
    """Lets the heads of the first layers start by looking at the neighbours of each token.

    A fresh BERT has to find out from nothing that the table of positions tells who stands next to
    whom, and in minutes it does not. Here positions start as waves, (cos ωt, sin ωt) for
    frequencies spread over (0, π), so that the vector of a place d further on is a rotation of
    this one. Queries and keys of a head start as such a rotation, by one of `NEIGHBOURS`, and
    products of queries and keys are largest for the neighbour at that distance. The positions
    are not trained: every batch updates every row of the table, and at rates that suit the words
    the waves would be stirred away. Only first weights change, the architecture does not.

    Args:
        encoder: a BERT, freshly drawn.
        layers: how many layers start so.
        seed: which frequencies each head gets.
    """
    config = encoder.config
    size, heads = config.hidden_size, config.num_attention_heads
    generator = torch.Generator().manual_seed(seed)
    omega = (torch.arange(size // 2) + 0.5) / (size // 2) * torch.pi
    omega = omega[torch.randperm(size // 2, generator=generator)]  # (D/2,)
    angle = torch.arange(config.max_position_embeddings)[:, None] * omega
    position = encoder.embeddings.position.weight
    position.copy_(WAVE * torch.stack([angle.cos(), angle.sin()], dim=-1).flatten(1))  # (T, D)
    position.requires_grad_(False)
    encoder.embeddings.token_type.weight.zero_()
    encoder.embeddings.word.weight.mul_(WORD_RANGE / config.initializer_range)
    for layer in encoder.layers[:layers]:
        queries, keys, _ = layer.attention.qkv.weight.chunk(3)
        for head, (rows, waves) in enumerate(zip(torch.arange(size).chunk(heads),
                                                 omega.chunk(heads), strict=True)):
            turn = waves * NEIGHBOURS[head % len(NEIGHBOURS)]
            rotation = torch.block_diag(*(torch.tensor([[c, -s], [s, c]])
                                          for c, s in zip(turn.cos(), turn.sin(), strict=True)))
            queries[rows[0]:rows[-1] + 1, rows] += SHARPNESS * rotation
            keys[rows, rows] += SHARPNESS


class BertMaskedLMHead(nn.Module):
    """Scores over the vocabulary: one more layer, then the word embeddings used backwards."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        x = self.norm(F.gelu(self.dense(hidden)))
        return F.linear(x, embedding, self.bias)  # (B, S, V)


class BertForMaskedLM(BertBase):
    """BERT with the head that predicts masked tokens; its matrix is the embedding's, tied."""

    def __init__(self, config: BertConfig, seed: int = 0):
        super().__init__(config)
        self.encoder = BertModel(config, seed)
        self.masked_lm = BertMaskedLMHead(config)
        initialise(self.masked_lm, "truncated_normal", seed + 1, std=config.initializer_range)

    @property
    def output_bias(self) -> nn.Parameter:
        """(V,) what is added to each token's score."""
        return self.masked_lm.bias

    def start_at_neighbours(self, seed: int) -> None:
        """Lets the first layers start by looking at the neighbours of each token."""
        start_at_neighbours(self.encoder, seed=seed)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None,
                token_type_ids: Tensor | None = None, position_ids: Tensor | None = None,
                positions: Tensor | None = None) -> Tensor:
        """Logits (B, S, V) at `positions`, (B, S); at all T positions where it is None."""
        hidden = self.encoder(input_ids, attention_mask, token_type_ids, position_ids, positions)
        return self.masked_lm(hidden, self.encoder.embeddings.word.weight)  # (B, S, V)


class PreTrainingLogits(NamedTuple):
    """What `BertForPreTraining` answers.

    Attributes:
        masked_lm: (B, S, V) scores of the tokens at the positions asked for.
        next_sentence: (B, 2) scores of "B follows A" and of "B is from elsewhere".
    """

    masked_lm: Tensor
    next_sentence: Tensor


def token_logits(answer: Tensor | PreTrainingLogits) -> Tensor:
    """The scores of the tokens, (B, S, V), whether or not a model answers more than these."""
    return answer.masked_lm if isinstance(answer, PreTrainingLogits) else answer


class BertForPreTraining(BertForMaskedLM):
    """BERT with both heads of 2018: masked tokens, and whether the second sentence follows."""

    def __init__(self, config: BertConfig, seed: int = 0):
        super().__init__(config, seed)
        self.pooler = Pooler(config.hidden_size)
        self.next_sentence = nn.Linear(config.hidden_size, 2)
        for module in (self.pooler, self.next_sentence):
            initialise(module, "truncated_normal", seed + 2, std=config.initializer_range)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None,
                token_type_ids: Tensor | None = None, position_ids: Tensor | None = None,
                positions: Tensor | None = None) -> PreTrainingLogits:
        """Logits of both tasks, from one pass through the encoder."""
        wanted = None if positions is None else F.pad(positions, (1, 0))  # [CLS], then the blanks
        hidden = self.encoder(input_ids, attention_mask, token_type_ids, position_ids, wanted)
        at_blanks = hidden if positions is None else hidden[:, 1:]
        return PreTrainingLogits(self.masked_lm(at_blanks, self.encoder.embeddings.word.weight),
                                 self.next_sentence(self.pooler(hidden)))


def classifier_dropout(config: BertConfig) -> nn.Dropout:
    share = config.classifier_dropout
    return nn.Dropout(config.hidden_dropout_prob if share is None else share)


class BertForSequenceClassification(BertBase):
    """One label a sequence, or one number with num_labels=1, from the pooled [CLS] vector."""

    takes_labels = True

    def __init__(self, config: BertConfig, num_labels: int, seed: int = 0):
        super().__init__(config)
        self.num_labels = num_labels
        self.encoder = BertModel(config, seed)
        self.pooler = Pooler(config.hidden_size)
        self.dropout = classifier_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, num_labels)
        for module in (self.pooler, self.classifier):
            initialise(module, "truncated_normal", seed + 2, std=config.initializer_range)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None,
                token_type_ids: Tensor | None = None, position_ids: Tensor | None = None) -> Tensor:
        """Logits (B, num_labels)."""
        hidden = self.encoder(input_ids, attention_mask, token_type_ids, position_ids)
        return self.classifier(self.dropout(self.pooler(hidden)))


class BertForTokenClassification(BertBase):
    """One label a token."""

    takes_labels = True

    def __init__(self, config: BertConfig, num_labels: int, seed: int = 0):
        super().__init__(config)
        self.num_labels = num_labels
        self.encoder = BertModel(config, seed)
        self.dropout = classifier_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, num_labels)
        initialise(self.classifier, "truncated_normal", seed + 2, std=config.initializer_range)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None,
                token_type_ids: Tensor | None = None, position_ids: Tensor | None = None) -> Tensor:
        """Logits (B, T, num_labels)."""
        hidden = self.encoder(input_ids, attention_mask, token_type_ids, position_ids)
        return self.classifier(self.dropout(hidden))
