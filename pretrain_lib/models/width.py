"""One learning rate for all widths: the maximal update parametrisation, μP.

Twice as wide, a matrix sums twice as many inputs. At one learning rate AdamW moves each weight as
far as before, all these moves point the same way, and what the layer answers changes twice as much:
the best rate falls as the width grows. Under μP every layer's answer changes alike at all widths,
so a rate that was found in a narrow model serves a wide one (Yang et al., "Tensor Programs V:
Tuning Large Neural Networks via Zero-Shot Hyperparameter Transfer", 2021, tables 3 and 8).

All that it needs are two factors for each tensor, of its first value and of its rate.
`scale_first_weights` applies the first, `base_width` of a `TrainConfig` the second.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn

FIELDS = ("hidden_size", "intermediate_size", "num_attention_heads")


class WidthFactors(NamedTuple):
    """What a wider model multiplies, against the one in which the learning rate was found.

    Attributes:
        first: of a tensor's first value.
        rate: of its learning rate under Adam.
    """

    first: float
    rate: float


def width_factors(model: nn.Module, base_width: int) -> dict[str, WidthFactors]:
    """The factors of each parameter, by its name; all are 1 where the width is the base's.

    What a tensor is, its shape tells, beside that of the same model at `base_width`. With m as the
    base's number of inputs over its own: a *hidden* matrix, whose two sides grew, gets √m and m. An
    *output*, of which only the inputs grew, gets m and m. All else – embeddings, biases, gains –
    keeps 1. An output that is the word embedding, tied, cannot: the gain and bias of the
    normalisation before it get m and m instead, which multiplies the logits alike.

    Heads keep their size: a wider model has more of them. So the scale of attention, 1/√E, stays.

    Args:
        model: a BERT, ModernBERT or ViT, with or without a head, whose first weights have one
            standard deviation at all widths.
        base_width: the `hidden_size` in which the learning rate was found.

    Raises:
        ValueError: if the model's configuration has no width, or no such model has that width.
    """
    narrow = narrowed(model, base_width)
    outputs = {f"{name}.weight" for name, part in model.named_modules()
               if isinstance(part, nn.Linear)}
    factors = {}
    for name, parameter in model.named_parameters():
        grown = [now != then for now, then in zip(parameter.shape, narrow[name], strict=True)]
        m = narrow[name][1] / parameter.shape[1] if len(grown) > 1 else 1.0
        factors[name] = WidthFactors(1.0, 1.0)
        if len(grown) > 1 and all(grown[:2]):
            factors[name] = WidthFactors(math.sqrt(m), m)
        elif name in outputs and grown[1]:
            factors[name] = WidthFactors(m, m)
    if hasattr(model, "output_bias"):
        last = [name for name, part in model.named_modules() if isinstance(part, nn.LayerNorm)][-1]
        m = base_width / model.to_config()["hidden_size"]
        factors |= {name: WidthFactors(m, m) for name in factors if name.startswith(f"{last}.")}
    return factors


def narrowed(model: nn.Module, base_width: int) -> dict[str, torch.Size]:
    """The shapes that the model's parameters would have at `base_width`, by name."""
    fields = model.to_config() if hasattr(model, "to_config") else {}
    if not set(FIELDS) <= fields.keys():
        raise ValueError(f"base_width asks for a model with {', '.join(FIELDS)} in its "
                         f"configuration, got {type(model).__name__}")
    width = fields["hidden_size"]
    sizes = {name: fields[name] * base_width / width for name in FIELDS}
    if not all(size >= 1 and size.is_integer() for size in sizes.values()):
        head, ratio = width // fields["num_attention_heads"], fields["intermediate_size"] / width
        raise ValueError(f"base_width must be a multiple of the heads' size, {head}, for which "
                         f"{ratio:g} times it is an integer, got {base_width}")
    narrow = type(model).from_config(fields | {name: int(size) for name, size in sizes.items()})
    shapes = {name: parameter.shape for name, parameter in narrow.named_parameters()}
    if shapes.keys() != dict(model.named_parameters()).keys():
        raise ValueError("base_width asks for a model as its configuration says, without adapters "
                         "or parts cut out")
    return shapes


@torch.no_grad()
def scale_first_weights(model: nn.Module, base_width: int) -> nn.Module:
    """Makes a freshly drawn model one that trains at the rate found at `base_width`.

    Give the same `base_width` to its `TrainConfig`. At that width nothing changes.

    Args:
        model: a BERT, ModernBERT or ViT, with or without a head, never trained. Heads keep their
            size: a wider model has more of them.
        base_width: the `hidden_size` in which the learning rate was found.

    Returns:
        The model, changed in place.

    Raises:
        ValueError: if the model's configuration has no width, or no such model has that width.
    """
    factors = width_factors(model, base_width)
    for name, parameter in model.named_parameters():
        parameter.mul_(factors[name].first)
    return model
