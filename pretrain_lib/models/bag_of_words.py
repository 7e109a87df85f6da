"""A bag of words: the mean of the words' vectors, whatever their order.

What a model of texts should be measured against: it knows which words there are, and nothing else
(Iyyer et al., "Deep unordered composition rivals syntactic methods for text classification", ACL
2015, section 2.1).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ..validation import require_at_least, require_kinds
from .base import TextModel
from .init import drawn_with
from .layers import require_known


@dataclass(frozen=True)
class BagOfWordsConfig:
    """Shape of a `BagOfWords`.

    Attributes:
        vocab_size: number of tokens.
        hidden_size: numbers in a token's vector, D.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    vocab_size: int
    hidden_size: int = 64

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, 1, "vocab_size", "hidden_size")


class BagOfWords(TextModel):
    """A vector for each token, and of a text their mean: texts of the same tokens are the same.

    Under a linear layer, such as a tower's projection or a classifier, it is linear in the counts
    of the tokens, divided by the length.

    Args:
        config: its shape.
        seed: of the first vectors, N(0, 1).
    """

    config_class = BagOfWordsConfig

    def __init__(self, config: BagOfWordsConfig, seed: int = 0):
        super().__init__()
        self.config = config
        with drawn_with(seed):
            self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)

    @property
    def encoder(self) -> BagOfWords:
        return self

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Token ids (B, T) to their vectors, (B, T, D)."""
        require_known(input_ids, self.config.vocab_size)
        return self.embeddings(input_ids)
