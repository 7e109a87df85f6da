"""Which states of a model matter: those of one text put in place of another's.

A model reads a clean text and a corrupted one that it answers otherwise. One state of the clean
run, a layer's at a position, is copied into the corrupted run. How much of the clean answer comes
back says how much of the difference passes through there (Vig et al., "Investigating Gender Bias in
Language Models Using Causal Mediation Analysis", NeurIPS 2020; Meng et al., "Locating and Editing
Factual Associations in GPT", NeurIPS 2022, section 2). A probe finds what can be read from a state;
this finds what is read.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..models.mode import evaluation_mode
from ..models.outputs import output_changed, outputs_of


def state_at(state: Tensor, positions) -> Callable[[Tensor], Tensor]:
    """A change for `models.outputs.output_changed`: the states at some positions are these.

    Args:
        state: (B, T, D), or (1, T, D) for all texts, of which the positions are taken.
        positions: what picks them along T: a number, a list or a slice.
    """
    def change(output: Tensor) -> Tensor:
        if output.shape[1:] != state.shape[1:]:
            raise ValueError(f"the layer answers states of shape {tuple(output.shape)}, which "
                             f"{tuple(state.shape)} do not fit: both texts must be of one length")
        changed = output.clone()
        changed[:, positions] = state[:, positions].to(output.dtype)
        return changed

    return change


def recovered(score, clean: float, corrupted: float):
    """How much of the way from the corrupted score to the clean one: 0 nothing, 1 all of it.

    Args:
        score: a number or tensor of scores.
        clean: the score of the clean text.
        corrupted: the score of the corrupted one.

    Raises:
        ValueError: if the two scores are equal.
    """
    if clean == corrupted:
        raise ValueError(f"the clean and the corrupted text both score {clean}: there is nothing "
                         "to recover")
    return (score - corrupted) / (clean - corrupted)


@torch.no_grad()
def patching_map(model: nn.Module, clean: tuple[Tensor, ...], corrupted: tuple[Tensor, ...],
                 score: Callable[[Tensor], float], layers: nn.ModuleList | None = None) -> Tensor:
    """What each layer's state at each position brings back of the clean answer.

    Args:
        model: what is called with the columns of a text.
        clean: its columns for the clean texts, such as input_ids (B, T).
        corrupted: the same for the corrupted ones, token by token in the same places.
        score: a number of what the model answers, such as a difference of two logits.
        layers: the parts whose outputs (B, T, D) are copied; None: the layers of its encoder.

    Returns:
        (layers, T) float64: the share of the way from the corrupted score to the clean one.

    Raises:
        ValueError: if the texts differ in shape or score alike.
    """
    layers = model.encoder.layers if layers is None else layers
    if clean[0].shape != corrupted[0].shape:
        raise ValueError(f"clean {tuple(clean[0].shape)} and corrupted {tuple(corrupted[0].shape)} "
                         "texts must be of one shape")
    with evaluation_mode(model):
        with outputs_of(list(layers)) as states:
            whole = score(model(*clean))
        without = score(model(*corrupted))
        found = torch.empty(len(layers), clean[0].shape[1], dtype=torch.float64)
        for row, (layer, state) in enumerate(zip(layers, list(states), strict=True)):
            for position in range(found.shape[1]):
                with output_changed(layer, state_at(state, position)):
                    found[row, position] = recovered(score(model(*corrupted)), whole, without)
    return found
