"""Everything that training needs to be told, in one validated dataclass."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from ..validation import is_a, require, require_kinds

Optimizer = Literal["adamw", "muon", "sgd"]
Schedule = Literal["constant", "linear", "cosine"]
Precision = Literal["auto", "fp32", "tf32", "bf16", "fp16"]
Parallel = Literal["ddp", "fsdp"]

AT_LEAST = {
    "steps": 1, "batch_size": 1, "accumulation": 1, "weight_decay": 0, "l2": 0, "momentum": 0,
    "warmup_steps": 0, "final_learning_rate": 0, "gradient_clipping": 0, "seed": 0, "workers": 0,
    "log_every": 1, "evaluate_every": 0, "checkpoint_every": 0, "keep_last": 1, "patience": 0,
}  # fmt: skip


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Two runs with equal configs, sources and starting weights are the same run.

    Attributes:
        steps: number of updates of the weights.
        batch_size: samples in one update, over all its micro-batches and processes.
        accumulation: micro-batches that an update is split into, to fit a small memory.
        optimizer: "adamw" (Loshchilov & Hutter, ICLR 2019, Algorithm 2), "muon", which trains the
            matrices between layers better and all else with AdamW, or "sgd".
        learning_rate: the highest learning rate, reached after the warm-up.
        betas: AdamW's decay rates of the first and second moment.
        eps: AdamW's term against division by zero.
        momentum: SGD's momentum.
        weight_decay: AdamW's decoupled decay: shrinks matrices by learning_rate · weight_decay in
            every step, whatever their gradient.
        l2: strength λ of the penalty ½ λ ‖W‖² on matrices, through the gradient. Under SGD this
            is weight decay by another name; under AdamW it is not (ibid., section 2).
        schedule: what the learning rate does after the warm-up: stays, or falls along a line or
            half a cosine.
        warmup_steps: updates over which the learning rate rises from 0.
        final_learning_rate: where the schedule ends, as a fraction of `learning_rate`.
        layer_decay: factor by which the learning rate falls from each layer to the one below it, for
            fine-tuning (see `optimizer.rate_factors`); 1 trains all at one rate.
        base_width: `hidden_size` of the model in which the learning rate was found, for AdamW on a
            wider one whose first weights are those of `models.width.scale_first_weights`; None is
            one rate for every tensor.
        gradient_clipping: largest Euclidean norm of the whole gradient; 0 does not clip.
        precision: format of the forward and backward pass; weights stay in their own. "auto"
            times matrix products on the device and takes the fastest that is safe; a resumed run
            keeps what was found. "fp16" scales the loss. None is "auto" on a GPU, and "fp32" on a
            CPU, so that all CPUs compute alike.
        compile: whether torch compiles the forward and backward pass before it starts, and once more
            where batches differ in width.
        activation_checkpointing: whether to forget what happens inside a block until the backward
            pass needs it, and compute it again then: less memory, about a third more work (Chen et
            al., "Training deep nets with sublinear memory cost", 2016).
        parallel: what several processes share: "ddp" the gradients, "fsdp" every parameter and what
            the optimiser keeps for it. It matters under `torchrun` only.
        device: "auto", "cpu", "cuda", "cuda:1", "mps", …
        seed: the run's only source of randomness, 0 to 2**32 - 1.
        workers: processes that prepare batches; 0 prepares them in this one.
        log_every: updates between two lines of the log.
        evaluate_every: updates between two evaluations on held-out samples; 0 evaluates at the end.
        checkpoint_every: updates between two checkpoints; 0 saves at the end only.
        keep_last: how many of the newest checkpoints to keep; the best is kept besides.
        patience: evaluations without improvement after which to stop and return to the best
            weights; 0 never stops early.
        tensorboard: whether to write the log for TensorBoard too.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    steps: int = 1000
    batch_size: int = 128
    accumulation: int = 1
    optimizer: Optimizer = "adamw"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum: float = 0.9
    weight_decay: float = 0.0
    l2: float = 0.0
    schedule: Schedule = "cosine"
    warmup_steps: int = 0
    final_learning_rate: float = 0.0
    layer_decay: float = 1.0
    base_width: int | None = None
    gradient_clipping: float = 0.0
    precision: Precision | None = None
    compile: bool = False
    activation_checkpointing: bool = False
    parallel: Parallel = "ddp"
    device: str = "auto"
    seed: int = 0
    workers: int = 0
    log_every: int = 10
    evaluate_every: int = 0
    checkpoint_every: int = 0
    keep_last: int = 2
    patience: int = 0
    tensorboard: bool = False

    def __post_init__(self):
        def must(holds: bool, name: str, allowed: str) -> None:
            require(holds, name, getattr(self, name), allowed)

        require_kinds(self)
        for name, least in AT_LEAST.items():
            must(getattr(self, name) >= least, name, f"at least {least}")
        must(self.learning_rate > 0, "learning_rate", "above 0")
        must(self.eps > 0, "eps", "above 0")
        pair = isinstance(self.betas, (tuple, list)) and len(self.betas) == 2
        must(pair and all(is_a(float, b) and 0 <= b < 1 for b in self.betas), "betas",
             "two numbers, each at least 0 and below 1")
        must(self.momentum < 1, "momentum", "below 1")
        must(self.final_learning_rate <= 1, "final_learning_rate", "at most 1")
        must(0 < self.layer_decay <= 1, "layer_decay", "above 0 and at most 1")
        must(self.layer_decay == 1 or self.optimizer != "muon", "layer_decay",
             "1 under muon, which has one rate for all matrices")
        must(self.base_width is None or self.base_width >= 1, "base_width", "at least 1, or None")
        must(self.base_width is None or self.optimizer == "adamw", "base_width",
             "None under another optimizer than adamw, whose updates it is made for")
        must(self.warmup_steps <= self.steps, "warmup_steps", f"at most steps={self.steps}")
        must(self.seed < 2**32, "seed", "below 2**32")
        must(self.batch_size % self.accumulation == 0, "accumulation",
             f"a divisor of batch_size={self.batch_size}")
        must(not (self.optimizer == "sgd" and self.weight_decay), "weight_decay",
             "0 under sgd, where it is the same thing as l2: set l2")
        must(not self.patience or self.evaluate_every, "patience",
             "0 unless evaluate_every is set: early stopping compares evaluations")

    @property
    def micro_batch_size(self) -> int:
        """Samples in one forward pass, over all processes."""
        return self.batch_size // self.accumulation


MAY_CHANGE = {"device", "workers", "log_every", "checkpoint_every", "keep_last", "tensorboard",
              "compile", "activation_checkpointing", "parallel"}


def differences(old: dict, new: dict) -> list[str]:
    """The fields that make two configs different runs, each as "name: old, now new".

    A precision that is not said is that of the run so far.
    """
    unsaid = {"precision"} if new.get("precision") is None else set()
    compared = [f for f in fields(TrainConfig) if f.name not in MAY_CHANGE | unsaid]
    there = {f.name: (old.get(f.name, f.default), new.get(f.name, f.default))
             for f in compared}  # older runs lack new fields
    return [f"{name}: {was!r}, now {now!r}" for name, (was, now) in there.items() if was != now]
