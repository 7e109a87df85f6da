"""How well masked tokens are predicted, on blanks that are the same for everybody."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.source import UNSCORED, Source
from ..files import new_file
from ..models.bert import token_logits
from ..models.layers import require_known
from ..models.precision import answering
from ..models.protocol import TextEncoder
from ..models.state import device_of
from ..objectives.masked_lm import MaskedLM

FILE = "masked.safetensors"


@dataclass(frozen=True)
class MaskedSet:
    """Texts with blanks, drawn once and kept: every model is scored on the same ones.

    Attributes:
        input_ids: (N, T) corrupted tokens.
        attention_mask: (N, T) number of the text each token belongs to, 0 for padding.
        position_ids: (N, T) place of each token in its text.
        positions: (N, S) where the blanks are.
        labels: (N, S) what stood there; -100 in slots that are not used.
    """

    input_ids: Tensor
    attention_mask: Tensor
    position_ids: Tensor
    positions: Tensor
    labels: Tensor

    @classmethod
    def draw(cls, source: Source, objective: MaskedLM, ids, seed: int = 0) -> MaskedSet:
        """Masks the blocks `ids` of a source, such as `PackedBlocks`."""
        keys = Keys.of(seed, ids)
        samples = source.take(keys)
        masked = objective.mask(samples["input_ids"], keys, samples.get("entities"))
        return cls(masked.input_ids, samples["attention_mask"], samples["position_ids"],
                   masked.positions, masked.labels)

    def __len__(self) -> int:
        return len(self.input_ids)

    def every(self, n: int) -> MaskedSet:
        """Every n-th block, where all would take too long."""
        return MaskedSet(**{name: column[::n] for name, column in vars(self).items()})

    @property
    def blanks(self) -> int:
        """Number of tokens to predict."""
        return int((self.labels != UNSCORED).sum())

    def save(self, folder: str | Path) -> None:
        """Writes `masked.safetensors`, without the places that follow from it.

        A number takes 16 bits, and 32 in columns that hold one above 32 767.
        """
        columns = {name: narrow(tensor) for name, tensor in vars(self).items()
                   if name != "position_ids"}
        with new_file(Path(folder) / FILE) as partial:
            save_file(columns, partial)

    @classmethod
    def load(cls, folder: str | Path) -> MaskedSet:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: if there is no such file in the folder.
        """
        path = Path(folder) / FILE
        if not path.is_file():
            raise FileNotFoundError(f"there is no {path}: MaskedSet.save writes it")
        columns = {name: tensor.long() for name, tensor in load_file(path).items()}
        return cls(**columns, position_ids=places(columns["attention_mask"]))


def narrow(numbers: Tensor) -> Tensor:
    """Whole numbers in 16 bits each if all fit there, otherwise in 32."""
    fits = bool((numbers <= torch.iinfo(torch.int16).max).all())
    return numbers.to(torch.int16 if fits else torch.int32)


def places(attention_mask: Tensor) -> Tensor:
    """The place of each token in its text, from the number of the text: (N, T) to (N, T); 0 for padding."""
    at = torch.arange(attention_mask.shape[1]).expand_as(attention_mask)
    begins = torch.ones_like(attention_mask, dtype=torch.bool)
    begins[:, 1:] = attention_mask[:, 1:] != attention_mask[:, :-1]
    return (at - (at * begins).cummax(1).values) * (attention_mask > 0)


@dataclass(frozen=True)
class MaskedScores:
    """Of the blanks of a `MaskedSet`.

    Attributes:
        loss: mean cross-entropy, in nats.
        accuracy: share whose most probable token was the right one.
        blanks: how many there were.
    """

    loss: float
    accuracy: float
    blanks: int


@torch.no_grad()
def masked_scores(model: nn.Module, masked: MaskedSet, batch_size: int = 64) -> MaskedScores:
    """Scores a model, or a predictor that counts, on all blanks of a set.

    Args:
        model: called as `model(input_ids, attention_mask, position_ids=…, positions=…)`; answers with
            logits (B, S, V).
        masked: N texts with blanks.
        batch_size: texts in one forward pass.
    """
    device = device_of(model)
    if isinstance(model, TextEncoder):
        require_known(masked.input_ids, model.encoder.config.vocab_size)
    one_text = bool((masked.attention_mask == 1).all())
    loss, right, blanks = 0.0, 0, 0
    with answering(model):
        for start in range(0, len(masked), batch_size):
            rows = {name: column[start:start + batch_size].to(device)
                    for name, column in vars(masked).items()}
            labels = rows.pop("labels")
            if one_text:
                del rows["attention_mask"], rows["position_ids"]
            used = labels != UNSCORED
            logits = model(**rows)
            logits = token_logits(logits)[used].float()  # (n, V)
            loss += F.cross_entropy(logits, labels[used], reduction="sum").item()
            right += int((logits.argmax(-1) == labels[used]).sum())
            blanks += int(used.sum())
    if not blanks:
        raise ValueError("no blank is to be filled: there is nothing to score")
    return MaskedScores(loss / blanks, right / blanks, blanks)
