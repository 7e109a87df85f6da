"""Translation: every target token is predicted from the source and the target before it."""

from __future__ import annotations

from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import UNSCORED, Samples
from .base import Batch, Objective, take_column
from .text import take_text, token_loss


class Translation(Objective):
    """−Σ log p(y_u | y_<u, source) over the tokens of the targets, the end included.

    The decoder reads the true target, one token late, whatever it would have written itself
    (teacher forcing; Williams and Zipser, "A Learning Algorithm for Continually Running Fully
    Recurrent Neural Networks", 1989): all positions are then predicted in one pass. Nothing is
    corrupted, and padding is not counted.

    Samples have the columns of `EncodedPairs`; the model is called with the source's tokens, their
    mask and the target so far, and answers with logits (B, U - 1, V).
    """

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        target, mask = (take_column(samples, name) for name in ("target_ids", "target_mask"))
        inputs = take_text(samples)
        inputs["decoder_input_ids"] = target[:, :-1]  # [CLS] y₁ … (B, U - 1)
        labels = target[:, 1:].masked_fill(mask[:, 1:] == 0, UNSCORED)  # y₁ … [SEP]
        return Batch(inputs, {"labels": labels}, {"translation": float((labels != UNSCORED).sum())})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"translation": token_loss(model(**batch.inputs), batch.targets["labels"])}
