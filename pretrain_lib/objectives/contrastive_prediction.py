"""Contrastive predictive coding: from what was heard so far, tell what comes among what might.

Van den Oord, Li and Vinyals, "Representation learning with contrastive predictive coding", 2018,
equations 3 and 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.keys import Keys
from ..data.source import Samples
from ..models.acoustic import AcousticLSTM, Contexts, turned_around
from ..models.coupled import first_row, gathered, number_of_ranks
from ..models.init import drawn_with
from ..validation import require_at_least, require_kinds
from .base import Batch, Objective
from .sound import LENGTHS, frames_of, heard_of
from .views import require_several

Utterances = Literal["same", "other"]


@dataclass(frozen=True)
class ContrastivePredictionConfig:
    """Settings of `ContrastivePrediction`.

    Attributes:
        frame_size: numbers in the vectors that the model's front gives, C.
        context_size: units of each of its directions, H.
        offsets: K; what is 1, …, K frames away is predicted.
        num_negatives: frames that each is told from, S.
        negatives: the utterance that these are of, "same" or "other".
        stride: steps from one frame of the model to the next.
        column: what is heard.
        seed: of the first weights of the predictions.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    frame_size: int
    context_size: int
    offsets: int = 6
    num_negatives: int = 64
    negatives: Utterances = "same"
    stride: int = 2
    column: str = "features"
    seed: int = 0

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, 1, "frame_size", "context_size", "offsets", "num_negatives",
                         "stride")


class ContrastivePrediction(Objective):
    """From what was heard up to a frame, tells each of the next K frames from S others.

    The score of a frame z, k frames ahead of what was heard, c, is zᵀ Wₖ c, and the loss the
    cross-entropy of the true frame among itself and S drawn ones: a model that knows nothing loses
    log(1 + S) nats. The same is done backwards, from what was heard from the end. The model is an
    `AcousticLSTM` whose directions are apart; one that has heard what it predicts learns nothing.

    Of each utterance S frames are drawn with its key. With negatives of the "same" utterance its
    frames are told from these, and a drawn frame that is the true one does not count: so the loss
    is a sum over samples. With those of "other" utterances they are told from what the others of
    the batch have drawn, over all ranks, of each about as many. Then voice and noise give the true
    frame away, whatever is said.

    Args:
        frame_size: numbers in the vectors that the model's front gives, C.
        context_size: units of each of its directions, H.
        offsets: K; what is 1, …, K frames away is predicted.
        num_negatives: frames that each is told from, S.
        negatives: the utterance that these are of, "same" or "other".
        stride: steps from one frame of the model to the next.
        column: what is heard.
        seed: of the first weights of the predictions.

    Raises:
        ValueError: naming the argument, its value and what is allowed.
    """

    config_class = ContrastivePredictionConfig
    gathers = True

    def __init__(self, frame_size: int, context_size: int, offsets: int = 6,
                 num_negatives: int = 64, negatives: Utterances = "same", stride: int = 2,
                 column: str = "features", seed: int = 0):
        config = ContrastivePredictionConfig(frame_size, context_size, offsets, num_negatives,
                                             negatives, stride, column, seed)
        super().__init__()
        self.config = config
        self.separable = negatives == "same"
        with drawn_with(seed):
            self.onwards, self.back = (
                nn.Linear(context_size, offsets * frame_size, bias=False) for _ in range(2))

    def batch(self, samples: Samples, keys: Keys) -> Batch:
        config = self.config
        heard, lengths = heard_of(samples, config.column)
        frames = frames_of(lengths, keys, config.stride, config.stride)[:, None]  # (B, 1)
        places = keys.uniform("negatives", (config.num_negatives,)) * frames
        places = places.long().minimum(frames - 1)  # (B, S)
        ahead = frames - torch.arange(1, config.offsets + 1)  # (B, K)
        inputs = {config.column: heard, LENGTHS: lengths, "places": places}
        return Batch(inputs, {}, {"contrastive": 2 * int(ahead.clamp(min=0).sum())})

    def forward(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        contexts = self.contexts(model, batch)
        places, mask = batch.inputs["places"], contexts.mask
        drawn = contexts.frames.gather(
            1, places[:, :, None].expand(-1, -1, self.config.frame_size))  # (B, S, C)
        if self.config.negatives == "other":
            drawn, places = of_others(drawn), None
        lengths = mask.sum(1, keepdim=True)
        onwards = self.loss(self.onwards, contexts.earlier, contexts.frames, drawn, places, mask)
        back = self.loss(self.back, turned_around(contexts.later, mask),
                         turned_around(contexts.frames, mask), drawn,
                         None if places is None else lengths - 1 - places, mask)
        return {"contrastive": onwards + back}

    def loss(self, head: nn.Linear, heard: Tensor, frames: Tensor, negatives: Tensor,
             places: Tensor | None, mask: Tensor) -> Tensor:
        """The loss of one direction, summed over all frames and offsets.

        Args:
            head: Wₖ for every k, one below the other.
            heard: c, (B, T′, H), what was heard up to each frame.
            frames: z, (B, T′, C).
            negatives: (B, S, C).
            places: (B, S) which of the utterance's own frames these are; None if of others.
            mask: (B, T′), which frames are of sound.
        """
        predicted = head(heard).unflatten(2, (self.config.offsets, -1))  # (B, T′, K, C)
        total = predicted.new_zeros((), dtype=torch.promote_types(predicted.dtype, torch.float32))
        for k in range(1, min(self.config.offsets, frames.shape[1] - 1) + 1):
            ahead = frames[:, k:]  # (B, T′ − k, C)
            asked = predicted[:, :-k, k - 1]
            true = (asked * ahead).sum(2, keepdim=True)
            others = asked @ negatives.mT  # (B, T′ − k, S)
            if places is not None:
                target = torch.arange(k, frames.shape[1], device=frames.device)
                itself = places[:, None] == target[:, None]  # (B, T′ − k, S)
                others = others.masked_fill(itself, -math.inf)
            logits = torch.cat([true, others], dim=2)[mask[:, k:]].to(total.dtype)
            total = total + F.cross_entropy(logits, logits.new_zeros(len(logits)).long(),
                                            reduction="sum")
        return total

    def contexts(self, model: nn.Module, batch: Batch) -> Contexts:
        """What the model has heard before and after each frame."""
        if not isinstance(model, AcousticLSTM):
            raise ValueError(f"{type(model).__name__} does not tell what it has heard before a "
                             "frame from what it heard later: give an AcousticLSTM with "
                             "directions='apart'")
        if model.stride != self.config.stride:
            raise ValueError(f"stride must be the model's, {model.stride}, got "
                             f"{self.config.stride}")
        contexts = model.contexts(batch.inputs[self.config.column], batch.inputs[LENGTHS])
        for field, size in (("frame_size", contexts.frames.shape[2]),
                            ("context_size", contexts.earlier.shape[2])):
            if getattr(self.config, field) != size:
                raise ValueError(f"{field} must be {size}, as the model has it, got "
                                 f"{getattr(self.config, field)}")
        return contexts


def of_others(drawn: Tensor) -> Tensor:
    """Frames (B, S, C) that each utterance has drawn, to as many that others have, over all ranks.

    The s-th is from the utterance that comes s places later in the batch, its own left out.

    Raises:
        ValueError: if there is one utterance only.
    """
    require_several(len(drawn), "a prediction told from other utterances")
    everyone, first = gathered(drawn), first_row(len(drawn))  # (N, S, C)
    slots = torch.arange(drawn.shape[1], device=drawn.device)
    own = first + torch.arange(len(drawn), device=drawn.device)[:, None]  # (B, 1)
    others = len(drawn) * number_of_ranks() - 1
    return everyone[(own + 1 + slots % others) % len(everyone), slots]
