"""BERT's two tasks at once: masked tokens, and whether the second segment follows the first."""

from __future__ import annotations

from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import Samples
from ..models.bert import PreTrainingLogits
from .base import Batch, Objective, take_column
from .masked_lm import MaskedLM, MaskedLMConfig
from .text import require_vocabulary, token_loss


class BertPretraining(Objective):
    """Masks a pair of segments once and scores both tasks in one forward pass.

    The pairs are made by the source: its column `next_sentence_label`, (B,), is 0 where the second
    segment follows the first and 1 where it is from elsewhere (Devlin et al., NAACL 2019, section
    3.1). With pairs that are 1 where the segments are swapped, the same objective is ALBERT's
    sentence-order prediction (Lan et al., ICLR 2020).

    The model is called like a masked language model and answers with `PreTrainingLogits`.

    Args:
        masked_lm: how tokens are masked.
    """

    config_class = MaskedLMConfig

    def __init__(self, masked_lm: MaskedLM):
        super().__init__()
        self.masked_lm = masked_lm

    @classmethod
    def from_config(cls, config: MaskedLMConfig, tokenizer=None) -> BertPretraining:
        return cls(MaskedLM.from_config(config, tokenizer))

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        follows = take_column(samples, "next_sentence_label").long()  # (B,)
        if follows.ndim != 1 or not bool(((follows == 0) | (follows == 1)).all()):
            raise ValueError("next_sentence_label must be one 0 (follows) or 1 (does not) a pair, "
                             f"got {follows.tolist()}")
        batch = self.masked_lm.batch(samples, keys)
        batch.targets["next_sentence_label"] = follows
        batch.counts["next_sentence"] = len(follows)
        return batch

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        answer = model(**batch.inputs)
        if not isinstance(answer, PreTrainingLogits):
            raise ValueError("BertPretraining needs a model with both heads, such as "
                             f"BertForPreTraining, which answers with PreTrainingLogits; "
                             f"{type(model).__name__} answered with a {type(answer).__name__}")
        require_vocabulary(answer.masked_lm, self.masked_lm.vocab_size)
        targets = batch.targets
        return {"masked_lm": token_loss(answer.masked_lm, targets["labels"]),
                "next_sentence": token_loss(answer.next_sentence, targets["next_sentence_label"])}
