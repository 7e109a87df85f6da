"""The optimiser, its parameter groups, and the learning rate as a function of the step."""

from __future__ import annotations

import math

import torch
from torch import nn

from ..models.width import width_factors
from ..objectives.base import Step
from .config import TrainConfig
from .distributed import own_rows, sharded_like
from .muon import Muon


def parameter_groups(module: nn.Module, weight_decay: float, layer_decay: float = 1.0,
                     base_width: int | None = None) -> list[dict]:
    """Matrices and kernels, which decay, and vectors (biases, gains), which do not.

    Pulling a bias or a LayerNorm gain towards zero regularises nothing, and shifts the function.
    Where learning rates differ there are two groups for each, and they say in "rate_factor" what
    theirs is multiplied by.
    """
    factors = rate_factors(module, layer_decay)
    if base_width is not None:
        by_width = width_rates(module, base_width)
        factors = {name: factor * by_width.get(name, 1.0) for name, factor in factors.items()}
    trainable = {name: p for name, p in module.named_parameters() if p.requires_grad}
    groups = []
    for factor in sorted(set(factors.values()), reverse=True):
        here = [p for name, p in trainable.items() if factors[name] == factor]
        groups += [
            {"params": [p for p in here if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in here if p.ndim < 2], "weight_decay": 0.0},
        ]
        for group in groups[-2:]:
            group["rate_factor"] = factor
    return groups


def rate_factors(module: nn.Module, layer_decay: float) -> dict[str, float]:
    """What the learning rate of each parameter is multiplied by: the less, the nearer to the input.

    Of an encoder with L layers, `layer_decay` to the power L + 1 for the embeddings, L + 1 - i for
    layer i from 1 to L, and 0 for all else, such as a head, a decoder, or what the objective owns:
    what is new has to learn most (Howard & Ruder, ACL 2018, section 3.2, where the factor is
    1 / 2.6).

    Args:
        module: a model, or a `Step` of one.
        layer_decay: the factor from each layer to the one below it.

    Raises:
        ValueError: if the factor is not 1 and the model's encoder has no `layers`.
    """
    names = [name for name, _ in module.named_parameters()]
    if layer_decay == 1 or not names:
        return dict.fromkeys(names, 1.0)
    below: dict[nn.Parameter, int] = {}  # how far each parameter lies below what is new
    for encoder in encoders(module.model if isinstance(module, Step) else module):
        if not hasattr(encoder, "layers"):
            raise ValueError(f"layer_decay is {layer_decay}, but the model has no `layers` to "
                             "lower the learning rate from one to the next: set it to 1")
        stack = [getattr(encoder, "embeddings", nn.Module()), *encoder.layers]
        below |= {p: len(stack) - i for i, part in enumerate(stack) for p in part.parameters()}
    return {name: layer_decay ** below.get(p, 0) for name, p in module.named_parameters()}


def width_rates(module: nn.Module, base_width: int) -> dict[str, float]:
    """What a model's width multiplies the learning rates of its parameters by (`models.width`)."""
    model, prefix = (module.model, "model.") if isinstance(module, Step) else (module, "")
    return {prefix + name: each.rate for name, each in width_factors(model, base_width).items()}


def encoders(model: nn.Module) -> list[nn.Module]:
    """The encoder within a model; of towers, or an `nn.ModuleDict` of models, that of each."""
    parts = getattr(model, "towers", model)
    models = parts.values() if isinstance(parts, nn.ModuleDict) else [model]
    return [getattr(each, "encoder", each) for each in models]


def make_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW, Muon or SGD over the module's trainable parameters.

    Raises:
        ValueError: if nothing can be trained.
    """
    groups = parameter_groups(module, config.weight_decay, config.layer_decay, config.base_width)
    parameters = [p for group in groups for p in group["params"]]
    if not parameters:
        raise ValueError("the model has no parameter with requires_grad=True: nothing to train")
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)
    if config.optimizer == "muon":
        return Muon(module, config.learning_rate, config.betas, config.eps, config.weight_decay)
    fused = parameters[0].device.type in ("cpu", "cuda")
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, eps=config.eps,
                             fused=fused)


def add_l2_gradient(optimizer: torch.optim.Optimizer, l2: float) -> None:
    """Adds the gradient λW of the penalty ½ λ ‖W‖² to that of every matrix."""
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        if parameter.ndim >= 2 and parameter.grad is not None:
            parameter.grad.add_(parameter.detach(), alpha=l2)


@torch.no_grad()
def keep_zeros(module: nn.Module) -> None:
    """Sets weights that pruning has left out to 0, and their gradients, which no norm may count.

    A pruned linear layer has in its buffer `kept` which weights are left. What is asked here is the
    layer, each time: a hook would be one of the weight, and end with it where FSDP puts another in
    its place.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear) and hasattr(layer, "kept"):
            left_out = ~own_rows(sharded_like(layer.kept, layer.weight))
            for tensor in (layer.weight, layer.weight.grad):
                if tensor is not None:
                    own_rows(tensor).masked_fill_(left_out, 0.0)


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """The learning rate of update `step`, 0 to steps - 1: warm-up, then the schedule.

    The warm-up reaches the full rate in its last update. The schedule goes from 1 to
    `final_learning_rate` over the updates that remain: as 1 - t, or as ½(1 + cos πt)
    (Loshchilov & Hutter, ICLR 2017, eq. 5).
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    t = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    shape = {"constant": 1.0, "linear": 1 - t, "cosine": 0.5 * (1 + math.cos(math.pi * t))}
    final = 1.0 if config.schedule == "constant" else config.final_learning_rate
    return config.learning_rate * (final + (1 - final) * shape[config.schedule])
