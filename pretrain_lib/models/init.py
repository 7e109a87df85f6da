"""Initialisation: how large the first weights are decides whether signals survive the layers.

For a layer y = W x with n inputs and m outputs, weights of variance v and mean 0, and inputs of
mean square s, an output has variance n·v·s, and going back a gradient of mean square g becomes
m·v·g. Each scheme chooses v so that one or both neither vanish nor explode.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor, nn

Scheme = Literal["normal", "truncated_normal", "xavier", "kaiming", "orthogonal"]


@contextmanager
def drawn_with(seed: int | None) -> Iterator[None]:
    """Within, layers draw their first weights with a seed of their own; None: with torch's state."""
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        yield


@torch.no_grad()
def initialise(
    model: nn.Module,
    scheme: Scheme = "kaiming",
    seed: int = 0,
    std: float = 0.02,
    gain: float = 1.0,
) -> nn.Module:
    """Draws all weights anew and sets biases to 0 and the gains of normalisation layers to 1.

    * "normal": W ~ N(0, std²). No account of the layer's size: signals shrink or grow with depth.
    * "truncated_normal": the same, cut off at two standard deviations (BERT: Devlin et al., NAACL
      2019, in the released code, std 0.02).
    * "xavier": W ~ U(−a, a) with a = gain · √6 / √(n + m), so variance gain² · 2 / (n + m): the
      compromise between n·v = 1 going forwards and m·v = 1 going back, for activations that are
      linear around 0 (Glorot and Bengio, AISTATS 2010, equation 16).
    * "kaiming": W ~ N(0, gain² · 2 / n): ReLU keeps half of the signal, twice the variance gives
      it back (He et al., ICCV 2015, equation 10).
    * "orthogonal": the rows or columns of W are orthogonal, of length `gain`: all directions keep
      their length, and deep linear networks learn in a time that does not grow with depth (Saxe,
      McClelland and Ganguli, ICLR 2014).

    Args:
        model: any module; parameters named "bias" become 0, those with two or more axes are
            weights, with outputs on the first axis.
        scheme: one of the above.
        seed: the same seed gives the same weights.
        std: standard deviation of the two normal schemes, above 0.
        gain: factor of the other three, above 0.

    Returns:
        The model, changed in place.

    Raises:
        ValueError: for an unknown scheme, or a std or gain that is not above 0.
    """
    if scheme not in get_args(Scheme):
        raise ValueError(f"scheme must be one of {', '.join(get_args(Scheme))}, got {scheme!r}")
    for field, value in [("std", std), ("gain", gain)]:
        if not value > 0:
            raise ValueError(f"{field} must be above 0, got {value}")
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.split(".")[-1] == "bias":
            parameter.zero_()
        elif parameter.ndim >= 2:
            weight = torch.empty(parameter.shape, dtype=parameter.dtype)
            parameter.copy_(draw_weights(weight, scheme, std, gain, generator))
    for module in model.modules():
        if isinstance(module, (nn.GroupNorm, nn.LayerNorm)) and module.weight is not None:
            module.weight.fill_(1.0)
    return model


def draw_weights(
    weight: Tensor, scheme: Scheme, std: float, gain: float, generator: torch.Generator
) -> Tensor:
    """Fills one weight, (outputs, inputs, ...), as the scheme says."""
    inputs = weight[0].numel()
    outputs = weight.numel() // weight.shape[1]
    match scheme:
        case "normal":
            return weight.normal_(0, std, generator=generator)
        case "truncated_normal":
            return nn.init.trunc_normal_(weight, 0, std, -2 * std, 2 * std, generator=generator)
        case "xavier":
            bound = gain * (6 / (inputs + outputs)) ** 0.5
            return weight.uniform_(-bound, bound, generator=generator)
        case "kaiming":
            return weight.normal_(0, gain * (2 / inputs) ** 0.5, generator=generator)
        case "orthogonal":
            return nn.init.orthogonal_(weight, gain, generator=generator)


@torch.no_grad()
def start_at_unigram(output_bias: nn.Parameter, counts: Tensor) -> None:
    """Sets the output's bias to the log-frequencies of the tokens, so training starts at counting.

    Args:
        output_bias: (V,) bias of the projection to the vocabulary.
        counts: (V,) how often each token occurs in the training text; one is added to each.
    """
    smoothed = counts.double() + 1
    output_bias.copy_((smoothed / smoothed.sum()).log())
