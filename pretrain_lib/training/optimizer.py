"""The optimiser, its parameter groups, and the learning rate as a function of the step."""

from __future__ import annotations

import math

import torch
from torch import nn

from .config import TrainConfig
from .muon import Muon


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict]:
    """Matrices and kernels, which decay, and vectors (biases, gains), which do not.

    Pulling a bias or a LayerNorm gain towards zero regularises nothing, and shifts the function.
    """
    trainable = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]


def make_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW, Muon or SGD over the module's trainable parameters.

    Raises:
        ValueError: if nothing can be trained.
    """
    groups = parameter_groups(module, config.weight_decay)
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
