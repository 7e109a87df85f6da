"""Before the transformer: the neural language model of 2003, and a bidirectional LSTM.

Both answer to the same call as the encoders, so that one objective scores them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from ..validation import require_at_least, require_pad_token, require_share
from .base import TextModel
from .init import initialise
from .layers import at_positions, require_known


@dataclass(frozen=True)
class NeuralProbabilisticLMConfig:
    """Shape of a `NeuralProbabilisticLM`.

    Attributes:
        vocab_size: number of tokens, V.
        order: n; a token is predicted from the n − 1 tokens before it.
        embedding_size: m, numbers in the vector of a token.
        hidden_size: h, units of the hidden layer.
        direct: whether the vectors also reach the output directly, through W.
        two_sided: whether the n − 1 tokens after it are seen as well, to fill blanks.
        pad_token_id: token whose vector stands where a neighbour is missing.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    vocab_size: int
    order: int = 5
    embedding_size: int = 64
    hidden_size: int = 128
    direct: bool = True
    two_sided: bool = False
    pad_token_id: int = 0

    def __post_init__(self):
        require_at_least(self, 1, "vocab_size", "embedding_size", "hidden_size")
        require_at_least(self, 2, "order")
        require_pad_token(self)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where the tokens stand that a prediction sees, nearest first: −1, −2, … and 1, 2, …"""
        distances = range(1, self.order)
        return tuple(-d for d in distances) + (tuple(distances) if self.two_sided else ())


@dataclass(frozen=True)
class BidirectionalLSTMConfig:
    """Shape of a `BidirectionalLSTM`.

    Attributes:
        vocab_size: number of tokens, V.
        embedding_size: numbers in the vector of a token, E.
        hidden_size: units of each direction of each layer, D.
        num_hidden_layers: layers, each reading in both directions.
        dropout: share of the vectors, and of each layer's outputs, that training drops.
        tied: whether the output uses the tokens' own vectors as its weights.
        pad_token_id: id of the padding token.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    vocab_size: int
    embedding_size: int = 128
    hidden_size: int = 128
    num_hidden_layers: int = 1
    dropout: float = 0.0
    tied: bool = True
    pad_token_id: int = 0

    def __post_init__(self):
        require_at_least(self, 1, "vocab_size", "embedding_size", "hidden_size",
                         "num_hidden_layers")
        require_share(self, "dropout")
        require_pad_token(self)


class NeuralProbabilisticLM(TextModel):
    """y = b + W x + U tanh(d + H x), where x is the vectors of the n − 1 tokens before, in a row.

    Bengio, Ducharme, Vincent and Jauvin, "A neural probabilistic language model", JMLR 3, 2003,
    equation 1. One table C of vectors serves every place in x: that words alike in use come to have
    vectors alike is what the counts of n-grams cannot do. The logits at position i tell the token
    *at* i from those before it; neither that token nor a later one is looked at.

    Our variation for blanks, `two_sided`, puts the n − 1 tokens after the blank into x as well. It
    too does not look at what stands in the blank.

    Args:
        config: its shape.
        seed: of the first weights.
    """

    config_class = NeuralProbabilisticLMConfig

    def __init__(self, config: NeuralProbabilisticLMConfig, seed: int = 0):
        super().__init__()
        self.config = config
        inputs = len(config.offsets) * config.embedding_size
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size)  # C
        self.hidden = nn.Linear(inputs, config.hidden_size)  # H and d
        self.output = nn.Linear(config.hidden_size, config.vocab_size)  # U and b
        self.direct = nn.Linear(inputs, config.vocab_size, bias=False) if config.direct else None
        initialise_history(self, seed)

    @property
    def encoder(self) -> NeuralProbabilisticLM:
        return self

    @property
    def causal(self) -> bool:
        return not self.config.two_sided

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """tanh(d + H x) at each position, (B, T, h)."""
        x = self.embeddings(self.context(input_ids, attention_mask)).flatten(2)  # (B, T, C * m)
        return torch.tanh(self.hidden(x))

    def context(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """The tokens (B, T, C) that each position is predicted from, or padding instead."""
        require_known(input_ids, self.config.vocab_size)
        length = input_ids.shape[1]
        place = torch.arange(length, device=input_ids.device)
        around = place[:, None] + place.new_tensor(self.config.offsets)  # (T, C)
        known = ((around >= 0) & (around < length))[None]  # (1, T, C)
        around = around.clamp(0, length - 1)
        if attention_mask is not None:
            known = known & (attention_mask[:, around] == attention_mask[:, :, None])
        return input_ids[:, around].masked_fill(~known, self.config.pad_token_id)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids=None,
                position_ids=None, positions: Tensor | None = None) -> Tensor:
        """Logits (B, S, V) at the positions (B, S), or everywhere."""
        context = self.context(input_ids, attention_mask)  # (B, T, C)
        if positions is not None:
            context = at_positions(context, positions)  # (B, S, C)
        x = self.embeddings(context).flatten(2)  # (B, S, C * m)
        y = self.output(torch.tanh(self.hidden(x)))  # (B, S, V)
        return y if self.direct is None else y + self.direct(x)


class BidirectionalLSTM(TextModel):
    """Reads a text from both ends and predicts each token from the two summaries that meet there.

    A layer is two LSTMs (Hochreiter and Schmidhuber, Neural Computation 1997) that read in opposite
    directions (Schuster and Paliwal, IEEE Transactions on Signal Processing 1997). Both also read
    the token at the position itself, so what is to be predicted must be hidden in the input, as
    for every masked language model.

    Args:
        config: its shape.
        seed: of the first weights.
    """

    config_class = BidirectionalLSTMConfig

    def __init__(self, config: BidirectionalLSTMConfig, seed: int = 0):
        super().__init__()
        self.config = config
        self.embeddings = nn.Embedding(config.vocab_size, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout)
        between = config.dropout if config.num_hidden_layers > 1 else 0.0
        self.lstm = nn.LSTM(config.embedding_size, config.hidden_size, config.num_hidden_layers,
                            batch_first=True, bidirectional=True, dropout=between)
        self.dense = nn.Linear(2 * config.hidden_size, config.embedding_size)
        self.decoder = (None if config.tied else
                        nn.Linear(config.embedding_size, config.vocab_size, bias=False))
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        initialise_history(self, seed)

    @property
    def encoder(self) -> BidirectionalLSTM:
        return self

    @property
    def feature_size(self) -> int:
        return 2 * self.config.hidden_size

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """What both directions have read at each position, (B, T, 2 * D)."""
        require_known(input_ids, self.config.vocab_size)
        return self.read(self.dropout(self.embeddings(input_ids)), attention_mask)  # of (B, T, E)

    def read(self, x: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Vectors (B, T, E) to what both directions make of them, (B, T, 2 * D).

        Each piece of a block is read from its own ends, as if it stood alone.
        """
        if attention_mask is None:
            return self.lstm(x)[0]
        starts = F.pad(attention_mask[:, 1:] != attention_mask[:, :-1], (1, 0), value=True)
        first = starts.flatten().nonzero()[:, 0]  # of each piece, in the flat batch, (P,)
        lengths = first.diff(append=first.new_tensor([starts.numel()])).tolist()
        pieces = pad_sequence(x.flatten(0, 1).split(lengths), batch_first=True)  # (P, L, E)
        packed = pack_padded_sequence(pieces, lengths, batch_first=True, enforce_sorted=False)
        read, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)  # (P, L, 2 * D)
        return torch.cat([row[:n] for row, n in zip(read, lengths, strict=True)]).view(
            *x.shape[:2], -1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids=None,
                position_ids=None, positions: Tensor | None = None) -> Tensor:
        """Logits (B, S, V) at the positions (B, S), or everywhere."""
        x = self.hidden_states(input_ids, attention_mask)  # (B, T, 2 * D)
        if positions is not None:
            x = at_positions(x, positions)  # (B, S, 2 * D)
        x = torch.tanh(self.dense(self.dropout(x)))  # (B, S, E)
        weight = self.embeddings.weight if self.decoder is None else self.decoder.weight
        return F.linear(x, weight, self.bias)


def initialise_history(model: nn.Module, seed: int) -> None:
    """Xavier's weights, as tanh and sigmoids want them; biases 0; the tokens' vectors N(0, 1)."""
    initialise(model, "xavier", seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.embeddings.weight.normal_(generator=generator)
        for name, parameter in model.named_parameters():
            if "bias" in name:  # an LSTM has several
                parameter.zero_()
