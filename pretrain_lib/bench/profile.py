"""What the time of a step goes into."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile

KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"),
    "attention": ("aten::_scaled_dot_product", "aten::scaled_dot_product"),
    "GELU": ("aten::gelu",),
    "softmax and loss": ("aten::_log_softmax", "aten::nll_loss"),
    "normalisation": ("aten::native_layer_norm",),
    "copies and filling": ("aten::copy_", "aten::fill_", "aten::cat", "aten::zero_"),
    "sums": ("aten::sum", "aten::add"),
    "optimiser": ("aten::_fused_adamw_",),
}


def time_shares(step: Callable[[], object], steps: int = 6, warm_up: int = 3) -> dict[str, float]:
    """The share of each kind of operation in the processor's time of a step, largest first.

    The bias of a linear layer is copied into its result before the product is added: in a profile
    that is a copy, and no part of the product.

    Args:
        step: does one step.
        steps: how many are looked at.
        warm_up: how many come before.
    """
    for _ in range(warm_up):
        step()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(steps):
            step()
    spent: dict[str, float] = defaultdict(float)
    for row in seen.key_averages():
        spent[kind_of(row.key)] += row.self_cpu_time_total
    total = sum(spent.values())
    return {kind: spent[kind] / total for kind in sorted(spent, key=spent.get, reverse=True)}


def kind_of(operation: str) -> str:
    """The kind of an operation of torch, "other" where `KINDS` does not name it."""
    return next((kind for kind, names in KINDS.items() if operation.startswith(names)), "other")
