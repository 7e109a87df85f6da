"""LoRA: the pretrained weights stay, and beside some of them a product of two thin matrices is trained.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..hf import family_of, their_names
from ..validation import require, require_at_least, require_positive

Target = Literal["qkv", "output", "up", "down"]
OCCUPIED = "the model has adapters already: merge_lora takes them off"


@dataclass(frozen=True)
class LoraConfig:
    """Which matrices get adapters, and how large these are.

    Attributes:
        rank: r, the numbers between the two thin matrices.
        alpha: α; what an adapter adds is scaled by α / r.
        targets: the layers: the attention's "qkv" and "output", the feed-forward's "up" and "down".

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[Target, ...] = ("qkv", "output")

    def __post_init__(self):
        require_at_least(self, 1, "rank")
        require_positive(self, "alpha")
        require(bool(self.targets) and set(self.targets) <= set(get_args(Target)), "targets",
                self.targets, "some of " + ", ".join(get_args(Target)))


class LowRankLinear(nn.Module):
    """W x + b + (α/r) B A x, of which only A and B are trained (ibid., equation 3).

    B starts at zero, so that the start is the pretrained model exactly. Where one matrix holds
    several that `transformers` keeps apart, as BERT's queries, keys and values, each of these parts
    has an A and a B of its own.

    Args:
        linear: the layer, (in) to (out).
        rank: r.
        alpha: α.
        parts: matrices in this one, P.

    Attributes:
        A: (P, r, in).
        B: (P, out / P, r).
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, parts: int = 1):
        super().__init__()
        self.out_features, self.in_features = outputs, inputs = linear.weight.shape
        self.linear = linear.requires_grad_(False)
        self.scale = alpha / rank
        self.A = nn.Parameter(linear.weight.new_zeros(parts, rank, inputs))
        self.B = nn.Parameter(linear.weight.new_zeros(parts, outputs // parts, rank))

    def forward(self, x: Tensor) -> Tensor:
        thin = torch.einsum("...i,pri->...pr", x, self.A)
        added = torch.einsum("...pr,por->...po", thin, self.B).flatten(-2)  # (..., out)
        return self.linear(x) + self.scale * added

    def update(self) -> Tensor:
        """(α/r) B A, the change of the weight, (out, in)."""
        return self.scale * (self.B @ self.A).flatten(0, 1)

    @property
    def weight(self) -> Tensor:
        """W + (α/r) B A, (out, in)."""
        return self.linear.weight + self.update()

    @property
    def bias(self) -> Tensor | None:
        return self.linear.bias


def adapters_of(model: nn.Module) -> dict[str, LowRankLinear]:
    """The adapters within a model by the name of the layer that they stand for."""
    return {name: module for name, module in model.named_modules()
            if isinstance(module, LowRankLinear)}


# ------------------------------------------------------------------------------ on and off


def add_lora(model: nn.Module, config: LoraConfig, seed: int = 0) -> nn.Module:
    """Puts adapters on a BERT or ModernBERT and freezes the rest of its encoder; heads still train.

    A is drawn from a normal distribution, B is 0 (ibid., section 4.1): the model's answers stay as
    they are until something is trained.

    Args:
        model: an encoder, with or without a head; it is changed.
        config: which adapters.
        seed: of A.

    Returns:
        The same model.

    Raises:
        TypeError: if it is no BERT or ModernBERT.
        ValueError: if it has adapters already.
    """
    if family_of(model) is None:
        raise TypeError(f"adapters go on BERTs and ModernBERTs, got {type(model).__name__}")
    if adapters_of(model):
        raise ValueError(OCCUPIED)
    generator = torch.Generator().manual_seed(seed)
    layers = [name for name, module in model.named_modules()
              if isinstance(module, nn.Linear) and is_target(name, config.targets)]
    freeze_encoder(model)
    for name in layers:
        adapter = put_adapter(model, name, config.rank, config.alpha)
        std = adapter.A.shape[2] ** -0.5  # then A x is about as large as x
        with torch.no_grad():
            adapter.A.copy_(torch.randn(adapter.A.shape, generator=generator) * std)
    return model


def is_target(name: str, targets: tuple[str, ...]) -> bool:
    *_, block, part = ["", *name.split(".")]
    return block in ("attention", "feed_forward") and part in targets


def freeze_encoder(model: nn.Module) -> None:
    model.encoder.requires_grad_(False)


def put_adapter(model: nn.Module, name: str, rank: int, alpha: float) -> LowRankLinear:
    """Puts an adapter that adds nothing in place of a linear layer."""
    parts = len(their_names(model, name))
    adapter = LowRankLinear(model.get_submodule(name), rank, alpha, parts)
    model.set_submodule(name, adapter)
    return adapter


@torch.no_grad()
def merge_lora(model: nn.Module) -> dict[str, LowRankLinear]:
    """Adds each adapter's product to the weight beside it, and takes the adapters off.

    What is left is an ordinary model: as fast as before, and `save_pretrained` takes it. Its
    encoder stays frozen, as after peft's `merge_and_unload`: `model.requires_grad_(True)` undoes
    that.

    Args:
        model: with adapters; it is changed.

    Returns:
        The adapters by name, for `unmerge_lora`.
    """
    adapters = adapters_of(model)
    for name, adapter in adapters.items():
        adapter.linear.weight += adapter.update()
        model.set_submodule(name, adapter.linear)
    return adapters


@torch.no_grad()
def unmerge_lora(model: nn.Module, adapters: dict[str, LowRankLinear]) -> None:
    """Takes the products out of the weights again, and puts the adapters back.

    Args:
        model: that `merge_lora` has changed.
        adapters: what it returned.
    """
    for name, adapter in adapters.items():
        adapter.linear.weight -= adapter.update()
        model.set_submodule(name, adapter)
