"""Whether tasks want the same of the parameters that they share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ..models.mode import evaluation_mode
from ..objectives.base import Batch
from ..objectives.gradient_surgery import gradients_of, task_means, trainable
from ..objectives.multitask import MultiTask


def gradient_cosines(model: nn.Module, objective: MultiTask, batch: Batch) -> Tensor:
    """The cosines between the gradients of tasks, on the parameters that several of them use.

    Below 0 two tasks are in each other's way: a step for one, if it is small, costs the other. The
    model stays as it is, and dropout is off, so it can be asked in the midst of training.

    Args:
        model: what answers the tasks, or an `nn.ModuleDict` of models that share parts.
        objective: K tasks.
        batch: of the objective, on the model's device.

    Returns:
        (K, K), in the order of the tasks; 0 where a gradient is 0.

    Raises:
        ValueError: if the tasks share no parameter.

    Source: Yu et al., "Gradient surgery for multi-task learning", NeurIPS 2020, definition 1.
    """
    with evaluation_mode(model):
        terms = MultiTask.forward(objective, model, batch)
        gradients = gradients_of(task_means(objective, terms, batch), trainable(model, objective))
    directions = F.normalize(gradients.flat(), dim=1)  # (K, P)
    return directions @ directions.T
