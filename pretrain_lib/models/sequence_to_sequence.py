"""Sequence to sequence: an encoder reads, a decoder writes, one token after the other.

Vaswani et al., "Attention Is All You Need", 2017, section 3.1. The encoder may be any BERT or
ModernBERT, pretrained or not (Rothe, Narayan and Severyn, "Leveraging Pre-trained Checkpoints for
Sequence Generation Tasks", TACL 2020); the decoder begins from nothing. Normalisation stands before
each part (pre-LN), and positions are rotations, as in ModernBERT.

Shapes: B sequences, T positions of the source, U of the target, D hidden numbers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..validation import require, require_at_least, require_positive, require_share
from .base import TextModel
from .init import initialise
from .layers import Attention, FeedForward, Rotation, require_known, rotation, visible
from .precision import answering


@dataclass(frozen=True)
class DecoderConfig:
    """Shape of a decoder.

    Attributes:
        vocab_size: number of target tokens, V.
        hidden_size: numbers that stand for a token, D.
        num_hidden_layers: number of blocks.
        num_attention_heads: heads of each attention; each of an even size.
        intermediate_size: width of the feed-forward layers.
        dropout: share of the embeddings, attention weights and outputs that training drops.
        rope_theta: base of the rotary angles.
        initializer_range: standard deviation of the first weights.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    vocab_size: int
    hidden_size: int = 256
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    intermediate_size: int = 512
    dropout: float = 0.1
    rope_theta: float = 10_000.0
    initializer_range: float = 0.02

    def __post_init__(self):
        require_at_least(self, 1, "vocab_size", "hidden_size", "num_hidden_layers",
                         "num_attention_heads", "intermediate_size")
        require_share(self, "dropout")
        require(self.hidden_size % (2 * self.num_attention_heads) == 0, "num_attention_heads",
                self.num_attention_heads,
                f"such that hidden_size={self.hidden_size} gives each head an even size")
        require_positive(self, "rope_theta", "initializer_range")


class CrossAttention(nn.Module):
    """Attention from the target to the source: queries are the decoder's, the rest the encoder's.

    Args:
        hidden_size: D, of the decoder.
        memory_size: numbers in a hidden state of the encoder, M.
        num_heads: H, a divisor of D.
        dropout: share of the attention weights that training drops.
    """

    def __init__(self, hidden_size: int, memory_size: int, num_heads: int, dropout: float):
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key_value = nn.Linear(memory_size, 2 * hidden_size)
        self.key_value.stacked = 2  # matrices in this one
        self.output = nn.Linear(hidden_size, hidden_size)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None) -> Tensor:
        """(B, U, D) to (B, U, D), from what the mask, (B, 1, 1, T), shows of a source (B, T, M)."""
        parts = self.query(x), *self.key_value(memory).chunk(2, dim=-1)
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in parts)
        drop = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=drop)  # (B, H, U, E)
        return self.output(y.transpose(1, 2).flatten(2))


class DecoderLayer(nn.Module):
    """Attention to the target so far, attention to the source, a feed-forward layer.

    Each reads its input normalised and is added to it.
    """

    def __init__(self, config: DecoderConfig, memory_size: int):
        super().__init__()
        size, heads, drop = config.hidden_size, config.num_attention_heads, config.dropout
        self.attention_norm = nn.LayerNorm(size)
        self.attention = Attention(size, heads, bias=True, dropout=drop)
        self.cross_attention_norm = nn.LayerNorm(size)
        self.cross_attention = CrossAttention(size, memory_size, heads, drop)
        self.feed_forward_norm = nn.LayerNorm(size)
        self.feed_forward = FeedForward(size, config.intermediate_size)
        self.dropout = nn.Dropout(drop)

    def forward(self, x: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor | None,
                by: Rotation | None) -> Tensor:
        """(B, U, D) to (B, U, D); masks: (1, 1, U, U) of the target, (B, 1, 1, T) of the source."""
        x = x + self.dropout(self.attention(self.attention_norm(x), mask, by))
        asked = self.cross_attention_norm(x)
        x = x + self.dropout(self.cross_attention(asked, memory, memory_mask))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class Decoder(nn.Module):
    """Target tokens so far and the source's hidden states to scores of the next target token.

    Args:
        config: its shape.
        memory_size: numbers in a hidden state of the encoder, M.
        seed: of the first weights.
    """

    def __init__(self, config: DecoderConfig, memory_size: int, seed: int = 0):
        super().__init__()
        self.config = config
        self.word = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            DecoderLayer(config, memory_size) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.dropout = nn.Dropout(config.dropout)
        initialise(self, "truncated_normal", seed, std=config.initializer_range)

    def forward(self, input_ids: Tensor, memory: Tensor, memory_mask: Tensor | None) -> Tensor:
        """Logits (B, U, V); those at a position depend on the tokens up to it and on the source.

        Args:
            input_ids: (B, U) ids below vocab_size. Padding at the end changes nothing before it.
            memory: (B, T, M) hidden states of the source.
            memory_mask: (B, T), 1 for tokens and 0 for padding; None: all are tokens.
        """
        length, config = input_ids.shape[1], self.config
        require_known(input_ids, config.vocab_size)
        mask = visible(None, length, device=input_ids.device, causal=True)
        if memory_mask is not None:
            memory_mask = (memory_mask > 0)[:, None, None, :]  # (B, 1, 1, T)
        x = self.dropout(self.word(input_ids))  # (B, U, D)
        place = torch.arange(length, device=input_ids.device)[None]
        by = rotation(place, config.hidden_size // config.num_attention_heads, config.rope_theta,
                      x.dtype)
        for layer in self.layers:
            x = layer(x, mask, memory, memory_mask, by)
        return F.linear(self.norm(x), self.word.weight, self.bias)  # (B, U, V), tied


class EncoderDecoder(TextModel):
    """An encoder, pretrained or not, and a new decoder that attends to it.

    Args:
        encoder: a `BertModel` or `ModernBertModel`; it becomes a part of this model.
        config: the decoder's shape.
        seed: of the decoder's first weights.
    """

    def __init__(self, encoder: nn.Module, config: DecoderConfig, seed: int = 0):
        super().__init__()
        self.encoder = encoder
        self.decoder = Decoder(config, encoder.config.hidden_size, seed)

    def to_config(self) -> dict:
        return {"encoder": self.encoder, "decoder": asdict(self.decoder.config)}

    @classmethod
    def from_config(cls, fields: dict) -> EncoderDecoder:
        return cls(fields["encoder"], DecoderConfig(**fields["decoder"]))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None,
                decoder_input_ids: Tensor) -> Tensor:
        """Logits (B, U, V) of the target token after each of `decoder_input_ids`, (B, U).

        Args:
            input_ids: (B, T) the source's tokens.
            attention_mask: (B, T), 1 for tokens and 0 for padding; None: all are tokens.
            decoder_input_ids: (B, U) the target's tokens so far, the start token first.
        """
        memory = self.encoder(input_ids, attention_mask)  # (B, T, M)
        return self.decoder(decoder_input_ids, memory, attention_mask)

    @torch.no_grad()
    def generate(self, input_ids: Tensor, attention_mask: Tensor | None, start: int, end: int,
                 max_length: int = 64) -> list[list[int]]:
        """Writes a target for each source, always taking the most probable token (greedy decoding).

        The source is read once. The target so far is read again for each token, which for short
        ones costs less than keeping what was computed would complicate.

        Args:
            input_ids: (B, T) the sources' tokens.
            attention_mask: (B, T), as above.
            start: id of the token that stands before every target.
            end: id of the token after which a target is complete.
            max_length: tokens of a target at most.

        Returns:
            B lists of ids, without start and end.
        """
        with answering(self):
            memory = self.encoder(input_ids, attention_mask)
            written = torch.full((len(input_ids), 1), start, device=input_ids.device)
            done: list[list[int]] = [[] for _ in input_ids]
            waiting = torch.arange(len(input_ids), device=input_ids.device)  # rows not complete
            for _ in range(max_length):
                mask = None if attention_mask is None else attention_mask[waiting]
                logits = self.decoder(written, memory[waiting], mask)[:, -1]  # (rows, V)
                token = logits.argmax(-1)
                goes_on = token != end
                for row, ids in zip(waiting[~goes_on].tolist(), written[~goes_on, 1:].tolist()):
                    done[row] = ids
                waiting = waiting[goes_on]
                written = torch.cat([written, token[:, None]], dim=1)[goes_on]  # (rows, 1 + u)
                if not len(waiting):
                    return done
            for row, ids in zip(waiting.tolist(), written[:, 1:].tolist()):
                done[row] = ids
        return done
