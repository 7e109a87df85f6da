"""Exercises of chapter 09: mixed precision and speed."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...bench.products import Products
from ...models.modern import ModernBertConfig, ModernBertForMaskedLM
from . import Exercise, Mistake, grade_diagnoses

FORMATS = {"fp32": (8, 23), "tf32": (8, 10), "bf16": (8, 7), "fp16": (5, 10)}  # bits of exponent, mantissa
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32}


def patterns(values: Tensor) -> list[int]:
    """The bits of each number, as an integer from 0 on."""
    size = values.element_size()
    return [bits % 2 ** (8 * size) for bits in values.contiguous().view(INTEGERS[size]).tolist()]


def same(ours: float, right: float) -> bool:
    return ours == right or (math.isnan(ours) and math.isnan(right))


# 09.1


def decode(bits: int, exponent_bits: int, mantissa_bits: int) -> float:
    """The number that a pattern of sign, exponent and mantissa bits stands for."""
    mantissa = bits % 2**mantissa_bits / 2**mantissa_bits  # in [0, 1)
    exponent = bits >> mantissa_bits & 2**exponent_bits - 1
    sign = -1.0 if bits >> mantissa_bits + exponent_bits else 1.0
    bias = 2 ** (exponent_bits - 1) - 1
    if exponent == 2**exponent_bits - 1:
        return sign * math.inf if mantissa == 0 else math.nan
    if exponent == 0:
        return sign * mantissa * 2.0 ** (1 - bias)
    return sign * (1 + mantissa) * 2.0 ** (exponent - bias)


def decode_wrongly(fault: str, bits: int, exponent_bits: int, mantissa_bits: int) -> float:
    """`decode` with a likely fault."""
    mantissa = bits % 2**mantissa_bits / 2**mantissa_bits
    exponent = bits >> mantissa_bits & 2**exponent_bits - 1
    sign = -1.0 if bits >> mantissa_bits + exponent_bits else 1.0
    bias = 2 ** (exponent_bits - 1) - (fault != "bias")
    sign = 1.0 if fault == "sign" else sign
    if exponent == 2**exponent_bits - 1 and fault != "infinity":
        return sign * math.inf if mantissa == 0 or fault == "nan" else math.nan
    if exponent == 0 and fault != "subnormal":
        return sign * mantissa * 2.0 ** ((0 if fault == "subnormal exponent" else 1) - bias)
    return sign * (mantissa + (fault != "hidden one")) * 2.0 ** (exponent - bias)


DECODING = {
    "sign": "the first bit is the sign: 1 means negative",
    "bias": "the exponent is stored with 2^(exponent_bits − 1) − 1 added to it, 127 for eight bits; you take 1 more",
    "hidden one": "a one stands before the mantissa that is not stored: (1 + mantissa / 2^mantissa_bits) · 2^exponent",
    "subnormal": "an exponent of all zeros marks the subnormal numbers: no hidden one there, and 0 is one of them",
    "subnormal exponent": "subnormal numbers have the exponent of the smallest normal ones, 1 − bias, not −bias: else "
                          "there would be a gap",
    "infinity": "an exponent of all ones is infinity where the mantissa is 0, and otherwise no number (nan)",
    "nan": "an exponent of all ones is infinity only where the mantissa is 0; with any other mantissa it is nan",
}


def float_tables() -> dict[tuple[int, int], tuple[list[int], list[float]]]:
    """Patterns and numbers: all of an 8-bit and of the two 16-bit formats, and some of float32."""
    every16 = torch.arange(2**16, dtype=torch.int32).to(torch.int16)
    some32 = torch.randint(-(2**31), 2**31, (2000,), generator=torch.Generator().manual_seed(1)).to(torch.int32)
    edges = torch.tensor([0, 1, 2**23 - 1, 2**23, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x3F800000], dtype=torch.int32)
    tables = {(5, 2): torch.arange(256, dtype=torch.uint8).view(torch.float8_e5m2), (5, 10): every16.view(torch.float16),
              (8, 7): every16.view(torch.bfloat16), (8, 23): torch.cat([edges, some32]).view(torch.float32)}
    return {shape: (patterns(numbers), numbers.double().tolist()) for shape, numbers in tables.items()}


def grade_decode(answer) -> str:
    checked = 0
    for shape, (bits, right) in float_tables().items():
        ours = [answer(pattern, *shape) for pattern in bits]
        if not all(isinstance(value, (int, float)) for value in ours):
            raise Mistake(f"return a number, not {type(ours[0]).__name__}")
        if all(map(same, ours, right)):
            checked += len(bits)
            continue
        for fault, hint in DECODING.items():
            if all(map(same, ours, (decode_wrongly(fault, pattern, *shape) for pattern in bits))):
                raise Mistake(hint)
        wrong = next(i for i, pair in enumerate(zip(ours, right)) if not same(*pair))
        width = sum(shape) + 1
        raise Mistake(f"with {shape[0]} bits of exponent and {shape[1]} of mantissa, {bits[wrong]:0{width}b} is {right[wrong]:g}, "
                      f"yours is {ours[wrong]:g}")
    return f"equal to PyTorch's for {checked:,} patterns of four formats, among them every one of fp16 and bf16"


# 09.2


def nearest(x: float, exponent_bits: int, mantissa_bits: int) -> float:
    """The number of the format that is nearest to a finite x; of two that are equally near, the even one."""
    if x == 0:
        return x
    bias = 2 ** (exponent_bits - 1) - 1
    exponent = max(math.frexp(x)[1] - 1, 1 - bias)
    spacing = 2.0 ** (exponent - mantissa_bits)
    rounded = round(x / spacing) * spacing
    return rounded if abs(rounded) < 2.0 ** (bias + 1) else math.copysign(math.inf, x)


def round_wrongly(fault: str, x: float, exponent_bits: int, mantissa_bits: int) -> float:
    """`nearest` with a likely fault."""
    if x == 0 or not math.isfinite(x):
        return x
    bias = 2 ** (exponent_bits - 1) - 1
    exponent = math.frexp(x)[1] - (fault != "spacing")
    if exponent < 1 - bias and fault == "flush":
        return 0.0
    exponent = exponent if fault == "no subnormals" else max(exponent, 1 - bias)
    spacing = 2.0 ** (exponent - mantissa_bits)
    steps = x / spacing
    whole = {"truncate": math.trunc(steps), "half up": math.copysign(math.floor(abs(steps) + 0.5), steps)}.get(fault, round(steps))
    largest = (2 - 2.0**-mantissa_bits) * 2.0**bias
    if fault == "early" and abs(x) > largest:
        return math.copysign(math.inf, x)
    if abs(whole * spacing) <= largest or fault == "no limit":
        return whole * spacing
    return math.copysign(largest if fault == "saturate" else math.inf, x)


ROUNDING = {
    "truncate": "you cut off what does not fit. Round to the *nearest* number of the format",
    "half up": "halfway between two numbers the even one is taken (Python's own round does that): always up would be a bias",
    "spacing": "numbers are 2^(exponent − mantissa_bits) apart where 2^exponent ≤ |x| < 2^(exponent+1): yours are twice as far. "
               "math.frexp gives a fraction below 1, so its exponent is one more",
    "no subnormals": "below the smallest normal number the spacing gets no smaller: the exponent is at least 1 − bias",
    "flush": "between 0 and the smallest normal number there are the subnormal ones: don't make them all 0",
    "no limit": "there is a largest number: what would round to 2^(bias+1) or more is infinity",
    "saturate": "what is too large becomes infinity, not the largest number (that would hide an overflow)",
    "early": "what is a little larger than the largest number still rounds down to it: round first, then compare with 2^(bias+1)",
}


def numbers_to_round() -> list[float]:
    generator = torch.Generator().manual_seed(2)
    sign = torch.randint(2, (3000,), generator=generator) * 2 - 1
    size = torch.randint(-40, 18, (3000,), generator=generator)
    values = (sign * torch.rand(3000, generator=generator) * 2.0**size).tolist()
    ties = [1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 2.0**-25, 3 * 2.0**-25, 2049.0, 2051.0]
    edges = [0.0, 65504.0, 65519.0, 65520.0, -65520.0, 7e4, 3.38e38, 3.4e38, 2.0**-24, 2.0**-26, 2.0**-140]
    return values + ties + edges + [1.0, -0.1, 1 / 3]


def grade_nearest(answer) -> str:
    numbers = torch.tensor(numbers_to_round(), dtype=torch.float32)
    for name in ("fp16", "bf16"):
        shape, right = FORMATS[name], numbers.to(DTYPES[name]).double().tolist()
        given = numbers.double().tolist()
        ours = [answer(x, *shape) for x in given]
        if list(map(float, ours)) == right:
            continue
        for fault, hint in ROUNDING.items():
            if ours == [round_wrongly(fault, x, *shape) for x in given]:
                raise Mistake(hint)
        wrong = next(i for i, pair in enumerate(zip(ours, right)) if pair[0] != pair[1])
        raise Mistake(f"in {name} {given[wrong]!r} becomes {right[wrong]!r}, yours is {ours[wrong]!r}")
    return f"{len(numbers):,} numbers as PyTorch rounds them to fp16 and to bf16: ties, subnormals and overflow among them"


# 09.3

State = tuple[float, int]


def scaled_update(backward: Callable, step: Callable, state: State, growth: float = 2.0, backoff: float = 0.5,
                  interval: int = 2000) -> State:
    """One update with a dynamic loss scale; the new (scale, finite updates in a row)."""
    scale, in_a_row = state
    gradients = [gradient.float() / scale for gradient in backward(scale)]
    if not all(gradient.isfinite().all() for gradient in gradients):
        return scale * backoff, 0
    step(gradients)
    return (scale * growth, 0) if in_a_row + 1 == interval else (scale, in_a_row + 1)


def try_update(answer, gradients: list[Tensor], state: State, **options) -> tuple[list, list[float], State]:
    """Calls an answer: what it gave to `step`, the scales it asked for, and what it returned."""
    given, asked = [], []

    def backward(scale):
        asked.append(float(scale))
        return [(gradient * scale).half() for gradient in gradients]

    after = answer(backward, lambda grads: given.append(list(grads)), state, **options)
    if not isinstance(after, tuple) or len(after) != 2:
        raise Mistake("return two numbers: the scale for the next update, and how many finite updates came in a row")
    return given, asked, after


def grade_scaled_update(answer) -> str:
    ordinary = [torch.tensor([1e-3, -2.0, 3e-8]), torch.tensor([[0.5, 1e-7]])]
    given, asked, after = try_update(answer, ordinary, (1024.0, 3))
    if asked != [1024.0]:
        raise Mistake(f"backward(scale) is to be called once, with the scale of the state, 1024; you called it with {asked}")
    if len(given) != 1:
        raise Mistake(f"all gradients were finite, and step(gradients) was called {len(given)} times instead of once")
    scaled = [(gradient * 1024).half() for gradient in ordinary]
    if all(torch.equal(a.float(), b.float()) for a, b in zip(given[0], scaled)):
        raise Mistake("the optimiser got the *scaled* gradients: divide by the scale first")
    if any(torch.equal(a.float(), (b / 1024).float()) and a.dtype == torch.float16 for a, b in zip(given[0], scaled)):
        raise Mistake("you divide in fp16, where what was rescued vanishes again: .float() first, then divide")
    if not all(torch.equal(a.float(), b.float() / 1024) for a, b in zip(given[0], scaled)):
        raise Mistake("step is to get the gradients divided by the scale: fp16 gradient, .float(), / scale")
    if after[0] != 1024.0:
        raise Mistake(f"after a finite update the scale stays as it is (until there were `interval` in a row), yours is {after[0]:g}")
    if after[1] != 4:
        raise Mistake(f"that was the fourth finite update in a row, you count {after[1]}")
    grown = try_update(answer, ordinary, (1024.0, 4), growth=4.0, interval=5)[2]
    if grown[0] != 4096.0:
        raise Mistake(f"after `interval` finite updates in a row the scale is multiplied by `growth`: 4096 here, yours is {grown[0]:g}")
    if grown[1] != 0:
        raise Mistake("after the scale has grown the count starts again at 0: otherwise it grows only once")
    for what, bad in (("infinite", math.inf), ("nan", math.nan)):
        given, _, after = try_update(answer, [ordinary[0], torch.tensor([1.0, bad])], (1024.0, 3), backoff=0.25)
        if given:
            raise Mistake(f"one gradient was {what}, in the second tensor, and step was called all the same: the weights are spoilt "
                          "for good. Leave that update out")
        if after[0] != 256.0:
            raise Mistake(f"a gradient was {what}: the scale is multiplied by `backoff`, here to 256, yours is {after[0]:g}")
        if after[1] != 0:
            raise Mistake("after an update that was left out, the finite updates *in a row* are 0")
    return "unscaled in fp32, left out where anything is not finite, backed off, counted, grown"


# 09.4


def descend(weights: Tensor, gradient: Callable[[Tensor], Tensor], learning_rate: float, steps: int, dtype: torch.dtype) -> Tensor:
    """Gradient descent that computes in `dtype` and keeps the weights in float32."""
    master = weights.float()
    for _ in range(steps):
        master = master - learning_rate * gradient(master.to(dtype)).float()
    return master


def grade_descend(answer) -> str:
    start, target, rate = torch.tensor([1.0, -3.0, 0.2, 40.0]), torch.tensor([2.0, -4.0, 0.21, 30.0]), 1e-3
    for dtype, steps in ((torch.bfloat16, 200), (torch.float16, 150)):
        seen = []

        def gradient(w):
            seen.append(w)
            return w - target.to(w.dtype)

        given = start.clone()
        ours = answer(given, gradient, rate, steps, dtype)
        if not isinstance(ours, Tensor) or ours.shape != start.shape:
            raise Mistake("return the weights after the last step, a tensor of the same shape")
        if not torch.equal(given, start):
            raise Mistake("your function changes the weights it was given: work on a copy")
        if len(seen) != steps:
            raise Mistake(f"{steps} steps ask for {steps} gradients; you asked for {len(seen)}")
        if any(w.dtype != dtype for w in seen):
            raise Mistake(f"the gradient is to be computed at weights *in {dtype}*: that is where the speed comes from")
        right = descend(start, lambda w: w - target.to(w.dtype), rate, steps, dtype)
        if ours.dtype == dtype or torch.equal(ours, ours.to(dtype).float()) and not torch.equal(right, right.to(dtype).float()):
            moved = (ours.float() != start).sum().item()
            raise Mistake(f"your weights are rounded to {dtype} ({moved} of {len(start)} have moved at all): keep a copy in "
                          "float32, add to that, and round only what the gradient is computed at")
        if torch.allclose(ours, 2 * start - right, atol=1e-4) or torch.allclose(
                ours, descend(start, lambda w: target.to(w.dtype) - w, rate, steps, dtype), atol=1e-4):
            raise Mistake("you walk uphill: subtract the gradient")
        if not torch.allclose(ours, right, rtol=1e-5):
            raise Mistake(f"after {steps} steps the weights are {[round(v, 4) for v in right.tolist()]}, yours are "
                          f"{[round(v, 4) for v in ours.tolist()]}: master − rate · gradient, summed up in float32")
    return "gradients in 16 bits, sums in 32: bf16 and fp16"


# 09.5

DIAGNOSES = ("healthy", "gradients vanish", "updates vanish", "forward overflows", "overflow not skipped")
RIGHT_LOGS = {"A": "updates vanish", "B": "healthy", "C": "overflow not skipped", "D": "gradients vanish", "E": "forward overflows"}
CLUES = {
    "A": "in A gradients are there, of ordinary size, hardly any of them 0; but with the falling learning rate fewer and fewer weights "
         "change. What is added to them is below half a spacing",
    "B": "B leaves out its first updates while the scale comes down, and later grows the scale and leaves out one more. That is how a "
         "dynamic scale looks for its place; the loss falls all the way",
    "C": "in C the first gradient was infinite, and all weights changed: that update went through. From then on everything is nan, "
         "and the scale never moved",
    "D": "in D nearly all gradients are exactly 0, from the start, with a scale of 1. The loss falls a little, by the few that are left",
    "E": "in E the *loss itself* is infinite, before any gradient is computed. A smaller scale does not help: it halves in every step, far "
         "below 1. Look for what grew in the forward pass",
}
COLUMNS = ("step", "learning rate", "loss", "gradient norm", "scale", "gradients that are 0", "weights that changed")


def printed_logs() -> dict[str, list[tuple]]:
    """Five invented, but typical, logs with the columns of `COLUMNS`."""
    inf, nan = math.inf, math.nan
    return {
        "A": [(1, 1e-3, 9.01, 2.2, 1, 0.02, 0.97), (500, 8e-4, 5.91, 0.9, 1, 0.03, 0.71), (1000, 4e-4, 5.62, 0.8, 1, 0.03, 0.28),
              (1500, 1e-4, 5.60, 0.8, 1, 0.03, 0.02), (2000, 2e-5, 5.60, 0.8, 1, 0.03, 0.0)],
        "B": [(1, 1e-3, 9.01, inf, 2**20, 0.0, 0.0), (2, 1e-3, 9.01, inf, 2**19, 0.0, 0.0), (3, 1e-3, 9.01, 2.2, 2**18, 0.02, 0.98),
              (1000, 1e-3, 5.44, 0.9, 2**18, 0.02, 0.98), (2004, 1e-3, 4.72, inf, 2**19, 0.0, 0.0),
              (2005, 1e-3, 4.70, 0.8, 2**18, 0.02, 0.98)],
        "C": [(1, 1e-3, 9.01, inf, 2**16, 0.0, 1.0), (2, 1e-3, nan, nan, 2**16, 0.0, 1.0), (1000, 1e-3, nan, nan, 2**16, 0.0, 1.0)],
        "D": [(1, 1e-3, 9.01, 0.11, 1, 0.96, 0.04), (500, 1e-3, 8.10, 0.07, 1, 0.97, 0.03), (1000, 1e-3, 7.97, 0.06, 1, 0.97, 0.03),
              (2000, 1e-3, 7.95, 0.06, 1, 0.97, 0.03)],
        "E": [(1, 1e-3, 9.01, 2.2, 2**14, 0.02, 0.98), (1500, 1e-3, 4.91, 3.9, 2**14, 0.02, 0.98), (1501, 1e-3, inf, nan, 2**14, 0.0, 0.0),
              (1502, 1e-3, inf, nan, 2**13, 0.0, 0.0), (1530, 1e-3, inf, nan, 2**-15, 0.0, 0.0)],
    }


grade_logs = grade_diagnoses(RIGHT_LOGS, DIAGNOSES, CLUES)


# 09.6


def utilisation(config, batch: int, length: int, seconds: float, peak: float) -> tuple[int, float]:
    """FLOPs that a training step of a ModernBERT needs, every token predicted; and the share of the peak."""
    D, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    matrices = layers * (4 * D**2 + 3 * D * inner) + D**2 + D * config.vocab_size
    flops = 6 * matrices * batch * length + 12 * layers * batch * length**2 * D
    return flops, flops / seconds / peak


def count_wrongly(fault: str, config, batch: int, length: int) -> int:
    """The first number of `utilisation` with a likely fault."""
    D, inner, layers, V = config.hidden_size, config.intermediate_size, config.num_hidden_layers, config.vocab_size
    up = 2 if fault == "gate" else 3
    matrices = layers * (4 * D**2 + up * D * inner) + D**2 + D * V * (2 if fault == "embedding" else 1)
    if fault == "output":
        matrices -= D * V
    if fault == "head":
        matrices -= D**2
    each = {"forward": 2, "backward": 4}.get(fault, 6)
    squared = {"forward": 4, "backward": 8, "no attention": 0, "recomputed": 14}.get(fault, 12)
    return each * matrices * batch * length + squared * layers * batch * length**2 * D


COUNTING = {
    "gate": "the feed-forward layer is gated: two matrices go up, (D, 2 · intermediate_size), and one comes down",
    "embedding": "the word embeddings are counted twice. Looking a row up multiplies nothing; only the output layer, which has the same "
                 "weights, does",
    "output": "the output layer, D × vocab_size, is missing: for a small model it is most of the work",
    "head": "the head's own matrix, D × D, is missing: it stands between the encoder and the output layer",
    "forward": "that is the forward pass. Going back costs twice as much: a product for the gradient of each factor",
    "backward": "that is the backward pass alone: add the forward pass",
    "no attention": "scores (T × T, of D numbers each) and their use, 4 T² D a sequence and layer going forward, are missing",
    "recomputed": "you counted the scores once more for the backward pass, as kernels compute them. MFU counts what the *model* needs, "
                  "12 · layers · T² · D a sequence",
}


def counted(config: ModernBertConfig, batch: int, length: int) -> int:
    """The operations of all products that run in a step, without the scores that the kernel recomputes."""
    ids = torch.randint(5, config.vocab_size, (batch, length))
    with Products() as products:
        ModernBertForMaskedLM(config)(ids).sum().backward()
    return products.flops - 2 * config.num_hidden_layers * batch * length**2 * config.hidden_size


def grade_utilisation(answer) -> str:
    shapes = [(32, 56, 2, 2, 211, 2, 24), (16, 40, 3, 4, 97, 5, 8)]
    for hidden, inner, layers, heads, vocab_size, batch, length in shapes:
        config = ModernBertConfig(vocab_size=vocab_size, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
                                  num_attention_heads=heads, max_position_embeddings=64)
        ours = answer(config, batch, length, 0.5, 1e9)
        if not isinstance(ours, tuple) or len(ours) != 2:
            raise Mistake("return two numbers: the FLOPs of a step, and the utilisation")
        right = counted(config, batch, length)
        if ours[0] != right:
            for fault, hint in COUNTING.items():
                if ours[0] == count_wrongly(fault, config, batch, length):
                    raise Mistake(hint)
            raise Mistake(f"a step of {layers} × {hidden}, B = {batch}, T = {length} takes {right:,} FLOPs, yours are {ours[0]:,}")
        mfu = right / 0.5 / 1e9
        if math.isclose(ours[1], 100 * mfu):
            raise Mistake("the utilisation is a share, from 0 to 1: leave the per cent to the printing")
        if not math.isclose(ours[1], mfu):
            raise Mistake(f"the utilisation is FLOPs / seconds / peak, {mfu:.3g} here, yours is {ours[1]:.3g}")
    return "as many as the products that run, counted one by one, in two models"


# 09.7


def recompute(block: nn.Module, x: Tensor, gradient: Tensor, random_state: Tensor) -> Tensor:
    """The backward pass of a block of which only the input was kept: ∂L/∂x, and ∂L/∂weights added to theirs."""
    x = x.requires_grad_()
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.set_rng_state(random_state)
        block(x).backward(gradient)
    return x.grad


def grade_recompute(answer) -> str:
    block = nn.Sequential(nn.Linear(6, 12), nn.GELU(), nn.Dropout(0.5), nn.Linear(12, 6)).double()
    x = torch.randn(5, 6, dtype=torch.double)
    gradient = torch.randn(5, 6, dtype=torch.double)
    weights = list(block.parameters())
    random_state = torch.get_rng_state()
    start = x.clone().requires_grad_()
    block(start).backward(gradient)
    right = [weight.grad for weight in weights]
    before = [torch.full_like(weight, 7.0) for weight in weights]  # of an earlier micro-batch
    for weight, old in zip(weights, before):
        weight.grad = old.clone()
    torch.rand(9)
    now = torch.get_rng_state()
    with torch.no_grad():
        try:
            ours = answer(block, x.clone(), gradient.clone(), random_state.clone())
        except RuntimeError as error:
            if "does not require grad" in str(error):
                raise Mistake("inside a backward pass gradients are switched off: compute the block under torch.enable_grad(), and "
                              "let x require a gradient") from None
            raise
    if not isinstance(ours, Tensor) or ours.shape != x.shape:
        raise Mistake(f"return the gradient of x, of its shape {tuple(x.shape)}")
    if torch.equal(ours, start.grad):
        found = [weight.grad for weight in weights]
        if all(torch.equal(grad, old) for grad, old in zip(found, before)):
            raise Mistake("the gradient of x is right, but the block's own weights got none: they would never be trained. Call "
                          ".backward(gradient) on the block's output, which adds to every .grad")
        if not all(torch.allclose(grad, old + new) for grad, old, new in zip(found, before, right)):
            raise Mistake("the weights had gradients of an earlier micro-batch: add to them, don't replace them")
        if not torch.equal(torch.get_rng_state(), now):
            raise Mistake("you turn the random numbers back for everybody: what is drawn next has been drawn before. Put the state back "
                          "where it was, as torch.random.fork_rng(devices=[]) does")
        return "bit for bit the gradients of the ordinary backward pass, dropout included"
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        likely = {}
        for hint, state, upstream, training in (
            ("the block draws other dropout masks than in the forward pass: set the random state that was kept", now, gradient, True),
            ("dropout is switched off in your recomputation: compute what the forward pass computed", random_state, gradient, False),
            ("the gradient that comes from above is left out: .backward(gradient)", random_state, torch.ones_like(gradient), True),
        ):
            torch.set_rng_state(state)
            again = x.clone().requires_grad_()
            likely[hint] = torch.autograd.grad(block.train(training)(again), again, upstream)[0]
        block.train()
    for hint, value in likely.items():
        if torch.equal(ours, value):
            raise Mistake(hint)
    raise Mistake("the gradient of x is not that of the ordinary backward pass: set the random state, compute block(x) once more with "
                  "gradients switched on, and go back through it with `gradient`")


# 09.8


def mixed_step(model: nn.Module, masters: list[Tensor], optimizer: torch.optim.Optimizer, loss_of: Callable, state: State, largest_norm: float = 1.0,
               interval: int = 2000) -> tuple[float, State]:
    """One update of float32 masters by the gradients of a model in fp16; the loss, and the new (scale, finite updates in a row)."""
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


class Mixed:
    """A linear model in fp16 with masters in float32, and what an answer did to them."""

    def __init__(self, size: float = 1.0, learning_rate: float = 0.5):
        self.model = nn.Linear(6, 3).half()
        self.masters = [nn.Parameter(torch.randn(3, 6)), nn.Parameter(torch.randn(3))]
        self.optimizer = torch.optim.SGD(self.masters, lr=learning_rate, momentum=0.5)
        self.x, self.upstream = torch.randn(4, 6).half(), size * torch.randn(4, 3)
        self.seen: list[Tensor] = []

    def loss_of(self, model: nn.Module) -> Tensor:
        self.seen.append(model.weight.detach().clone())
        return (model(self.x).float() * self.upstream).sum()

    def gradients(self) -> list[Tensor]:
        """What they are in float32: the loss is linear in the weights, so they are the same everywhere."""
        return [self.upstream.T @ self.x.float(), self.upstream.sum(0)]

    def values(self) -> Tensor:
        return torch.cat([master.detach().flatten() for master in self.masters])

    def update(self, answer, state: State, **options) -> tuple[Tensor, State]:
        """By how much the masters moved against the gradient, over the learning rate; and the new state."""
        before = self.values()
        got = answer(self.model, self.masters, self.optimizer, self.loss_of, state, **options)
        if not isinstance(got, tuple) or len(got) != 2 or not isinstance(got[1], tuple) or len(got[1]) != 2:
            raise Mistake("return the loss and the new state: loss, (scale, finite updates in a row)")
        return (before - self.values()) / self.optimizer.param_groups[0]["lr"], got[1]


def near(ours: Tensor, right: Tensor) -> bool:
    """To the precision of fp16."""
    return bool((ours - right).norm() <= 5e-3 * right.norm())


def grade_mixed_step(answer) -> str:
    task = Mixed()
    start = task.values()
    right = torch.cat([g.flatten() for g in task.gradients()])
    moved, state = task.update(answer, (1024.0, 3), largest_norm=1e6)
    if len(task.seen) != 1:
        raise Mistake(f"one update asks for the loss once, you asked {len(task.seen)} times")
    if not torch.equal(task.seen[0], start[:18].view(3, 6).half()):
        raise Mistake("the loss is computed at weights that are not the masters': copy each master, rounded, into the model's weight first")
    if not moved.any():
        raise Mistake("the masters have not moved: give each master its gradient (.grad), then optimizer.step(). What is added to the model's own weights is overwritten")
    if near(moved, 1024 * right):
        raise Mistake("the masters moved by the *scaled* gradients, 1024 times too far: divide by the scale")
    if not near(moved, right):
        raise Mistake("the masters did not move by learning rate × gradient: master.grad is weight.grad.float() / scale")
    if torch.equal(task.values(), task.values().half().float()):
        raise Mistake("the masters are rounded to fp16 after the update: they stay in float32")
    if state != (1024.0, 4):
        raise Mistake(f"that was the fourth finite update in a row at scale 1024: the new state is (1024, 4), yours is {state}")
    moved, _ = task.update(answer, (1024.0, 0), largest_norm=1e6)
    if near(moved, 0.5 * right + 2 * right):
        raise Mistake("in a second update the gradient of the first is still there and is added to: set the gradients of the weights to None")
    if not near(moved, 1.5 * right):
        raise Mistake("right once, and wrong in a second update: the model starts from the masters again, and all gradients are new")

    small = Mixed(size=1e-7)
    right = torch.cat([g.flatten() for g in small.gradients()])
    small.masters[0].data.zero_(), small.masters[1].data.zero_()  # so that small updates show
    moved, _ = small.update(answer, (2.0**20, 0), largest_norm=1e6)
    if not near(moved, right):
        raise Mistake("gradients of 1e-7 do not reach the masters whole. Scale the loss *before* backward(), and divide by the scale in float32: in fp16 what was rescued vanishes again")

    clipped = Mixed()
    right = torch.cat([g.flatten() for g in clipped.gradients()])
    moved, _ = clipped.update(answer, (1024.0, 0), largest_norm=0.1)
    if near(moved, right):
        raise Mistake(f"the gradient's norm is {right.norm():.1f}, and `largest_norm` was 0.1: clip the masters' gradients (nn.utils.clip_grad_norm_)")
    if near(1024 * moved, 0.1 * right / right.norm()):
        raise Mistake("you clip the *scaled* gradients, so an update is 1024 times too short: divide by the scale first, then clip")
    if not near(moved, 0.1 * right / right.norm()):
        raise Mistake(f"with largest_norm=0.1 the update has the norm {moved.norm():.3g} instead of 0.1")

    over = Mixed()
    right = torch.cat([g.flatten() for g in over.gradients()])
    moved, state = over.update(answer, (2.0**30, 5), largest_norm=1e6)
    if moved.any() or over.optimizer.state:
        raise Mistake("with a scale of 2^30 gradients overflow, and the optimiser made its step all the same: leave that update out")
    if state != (2.0**29, 0):
        raise Mistake(f"after an overflow at scale 2^30 the new state is (2^29, 0), yours is {state}")
    moved, _ = over.update(answer, (1024.0, 0), largest_norm=1e6)
    if not near(moved, right):
        raise Mistake("after an update that was left out the next one is wrong too: its gradients are added to infinite ones. Set them to None in either case")
    if over.update(answer, (1024.0, 6), largest_norm=1e6, interval=7)[1] != (2048.0, 0):
        raise Mistake("after `interval` finite updates in a row the scale is doubled, and the count starts at 0")
    return "rounded masters, scaled loss, gradients in float32, clipped, left out where they overflow; two updates in a row"


EXERCISES = [
    Exercise("09.1", "take a number apart", 1, 15, decode, grade_decode),
    Exercise("09.2", "round by hand", 2, 20, nearest, grade_nearest),
    Exercise("09.3", "a dynamic loss scale", 2, 20, scaled_update, grade_scaled_update),
    Exercise("09.4", "master weights", 1, 10, descend, grade_descend),
    Exercise("09.5", "read five logs", 2, 10, RIGHT_LOGS, grade_logs),
    Exercise("09.6", "what a step costs", 2, 15, utilisation, grade_utilisation),
    Exercise("09.7", "compute it twice", 3, 25, recompute, grade_recompute),
    Exercise("09.8", "an update in mixed precision", 3, 30, mixed_step, grade_mixed_step),
]
