"""Probing single tokens, and the control task that tells what the probe learned by itself.

Hewitt and Liang, "Designing and Interpreting Probes with Control Tasks", EMNLP 2019. A probe that
is accurate may have read the answer off the representation, or may have learned by heart which
word has which label. A control task gives every word type a label at random: what a probe
achieves there it has learned by heart. The difference of the two accuracies is its selectivity.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..data.keys import Keys
from ..data.source import Columns
from ..evaluation.classification import accuracy
from ..models.outputs import outputs_of
from ..models.precision import answering
from ..models.protocol import TextEncoder
from ..models.state import device_of
from .probe import LinearProbe
from .tuning import fit_tuned


class ProbeScore(NamedTuple):
    """Of a probe on tokens that it was not fitted on.

    Attributes:
        accuracy: on the task.
        control: on the control task.
    """

    accuracy: float
    control: float

    @property
    def selectivity(self) -> float:
        """Accuracy on the task minus accuracy on the control task."""
        return self.accuracy - self.control


@torch.no_grad()
def layer_states(model: nn.Module, input_ids: Tensor, attention_mask: Tensor | None = None,
                 batch_size: int = 64) -> list[Tensor]:
    """What comes out of the embeddings and out of each layer of a BERT or ModernBERT.

    Args:
        model: with or without a head.
        input_ids: (N, T) token ids.
        attention_mask: (N, T), see `models.layers.visible`; None where there is no padding.
        batch_size: texts in one forward pass.

    Returns:
        One tensor (N, T, D) for the embeddings, and one for each layer, on the CPU.

    Raises:
        ValueError: if the model is no such encoder.
    """
    if not isinstance(model, TextEncoder) or not hasattr(model.encoder, "layers"):
        raise ValueError(f"layers are taken from a BERT or ModernBERT, got {type(model).__name__}")
    encoder, device, batches = model.encoder, device_of(model), []
    columns = [column for column in (input_ids, attention_mask) if column is not None]
    with answering(encoder), outputs_of([encoder.embeddings, *encoder.layers]) as states:
        for start in range(0, len(input_ids), batch_size):
            encoder(*(column[start:start + batch_size].to(device) for column in columns))
            batches.append([state.float().cpu() for state in states])
    return [torch.cat(each) for each in zip(*batches, strict=True)]


def control_table(labels: Tensor, num_types: int, seed: int = 0) -> Tensor:
    """A control task: the label (num_types,) of every word type, drawn at random.

    Each is drawn from the labels of the task's tokens, so that common labels are common here too.

    Args:
        labels: (n,) the task's labels, one a token.
        num_types: V, word types.
        seed: which random choice.
    """
    chance = Keys.of(seed, num_types).uniform("control task").double()
    return labels[(chance * len(labels)).long()]


def probe_with_control(train: Columns, test: Columns, num_types: int, column: str = "states",
                       grid: tuple[float, ...] = (1.0, 0.1), seed: int = 0) -> ProbeScore:
    """Fits one linear probe to the task and one to its control task, and scores both.

    Each chooses its own strength of regularisation on a third of its training tokens.

    Args:
        train: tokens with the columns `labels` and `tokens`, (n,) each, and the one that is read.
        test: other tokens, from other texts.
        num_types: V, word types: the size of the vocabulary.
        column: what the probe reads, (n, F).
        grid: inverse strengths of the L2 penalty.
        seed: of the control task.
    """
    probe = LinearProbe(None, column, grid)
    table = control_table(train.labels, num_types, seed)
    scores = []
    for control in (False, True):
        fitted, scored = ((with_labels(part, table[part.tokens]) if control else part)
                          for part in (train, test))
        scores.append(accuracy(fit_tuned(probe, fitted, seed, rounds=1)(scored), scored.labels))
    return ProbeScore(*scores)


def with_labels(tokens: Columns, labels: Tensor) -> Columns:
    """The same tokens with other labels."""
    return Columns(**{**tokens.columns, "labels": labels})


def draw_tokens(chosen: Tensor, number: int, seed: int = 0, **columns: Tensor) -> Columns:
    """Some tokens of texts, drawn at random, one a row.

    Args:
        chosen: (N, T) bool, which tokens may be drawn.
        number: how many.
        seed: which random choice.
        **columns: (N, T, …) what is known of each token.

    Raises:
        ValueError: if there are fewer.
    """
    places = chosen.flatten().nonzero()[:, 0]
    if not 1 <= number <= len(places):
        raise ValueError(f"number must be between 1 and {len(places)}, the tokens there are, "
                         f"got {number}")
    order = Keys.of(seed, [0]).permutation("probed tokens", len(places))[0][:number]
    places = places[order]
    return Columns(**{name: column.flatten(0, 1)[places] for name, column in columns.items()})
