"""Exercises of chapter 13: compression."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from . import Exercise, Mistake, grade_diagnoses


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def near(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-6, atol=1e-9)


def require_tensor(answer, shape: tuple[int, ...], what: str) -> None:
    if not isinstance(answer, Tensor) or tuple(answer.shape) != shape:
        got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise Mistake(f"{what} should be a tensor {shape}, got {got}")


def name_mistake(found: Tensor, likely: dict[str, Tensor], otherwise: str) -> None:
    """Raises the first hint whose wrong value was found."""
    for hint, value in likely.items():
        if near(found, value):
            raise Mistake(hint)
    raise Mistake(otherwise)


# 13.1


def soft_loss(student: Tensor, teacher: Tensor, T: float) -> Tensor:
    """T² · KL(teacher ‖ student) at temperature T, one number per row: (B, C), (B, C) to (B,)."""
    ours, theirs = (F.log_softmax(logits / T, dim=-1) for logits in (student, teacher))
    return T**2 * (theirs.exp() * (theirs - ours)).sum(-1)


def grade_soft_loss(answer) -> str:
    student, teacher, T = numbers(4, 5, seed=0) * 2, numbers(4, 5, seed=1) * 2, 3.0
    right = soft_loss(student, teacher, T)
    found = answer(student.clone(), teacher.clone(), T)
    if isinstance(found, Tensor) and found.ndim == 0:
        raise Mistake("one number per row is wanted, (B,): the mean over rows is taken later, over all rows that an update sees")
    require_tensor(found, (4,), "the loss")
    if not near(found, right):
        p = (teacher / T).softmax(-1)
        cross = -(p * F.log_softmax(student / T, -1)).sum(-1)
        hard = F.cross_entropy(student, teacher.argmax(-1), reduction="none")
        name_mistake(found, {
            "the factor T² is missing: without it the gradient shrinks as the temperature rises": right / T**2,
            "the factor is T², not T": right / T,
            "those are hard targets: the teacher's favourite class alone, and all that it knows of the others is lost": hard,
            "the two have changed places: it is the teacher's distribution that weighs the logarithms": soft_loss(teacher, student, T),
            "that is the cross-entropy: subtract the teacher's own entropy, so that 0 means agreement": T**2 * cross,
            "the student's logits are not divided by T: both softmaxes have the same temperature":
                T**2 * (p * (p.log() - F.log_softmax(student, -1))).sum(-1),
        }, "T² Σ p log(p / q) is wanted, with p and q the softmaxes of teacher / T and student / T")
    if answer(teacher * 400, teacher * 400, 1.0).isnan().any():
        raise Mistake("large logits give NaN: log(softmax(x)) takes the logarithm of 0; use log_softmax")
    return "agrees with T² Σ p log(p / q), and large logits do no harm"


# 13.2


def soft_gradient(student: Tensor, teacher: Tensor, T: float) -> Tensor:
    """The derivative of `soft_loss` by the student's logits, (B, C)."""
    return T * ((student / T).softmax(-1) - (teacher / T).softmax(-1))


def grade_soft_gradient(answer) -> str:
    student, teacher = numbers(4, 5, seed=2) * 2, numbers(4, 5, seed=3) * 2
    for T in (1.0, 4.0):
        leaf = student.clone().requires_grad_()
        (right,) = torch.autograd.grad(soft_loss(leaf, teacher, T).sum(), leaf)
        found = answer(student.clone(), teacher.clone(), T)
        require_tensor(found, (4, 5), "the gradient")
        if near(found, right):
            continue
        name_mistake(found, {
            "the sign is turned: where the student gives more than the teacher, its logit has to fall, so the gradient is positive": -right,
            "that is the gradient without the factor T²": right / T**2,
            "T² times the chain rule's 1/T leaves one T": right / T,
            "the chain rule's 1/T is missing: the logits are divided by T before the softmax": right * T,
            "both softmaxes are taken at temperature T": T * (student.softmax(-1) - teacher.softmax(-1)),
        }, f"at T = {T:g} it is not what autograd finds for your soft_loss")
    return "agrees with autograd at two temperatures"


# 13.3


def head_importance(y: Tensor, gradient: Tensor, heads: int) -> Tensor:
    """E |∂L/∂ξ| for each head, from the heads' outputs (B, T, D) and the loss's gradient there."""
    slope = (y * gradient).sum(1).unflatten(-1, (heads, -1)).sum(-1)  # (B, H), one per sample
    return slope.abs().mean(0)


def grade_importance(answer) -> str:
    y, gradient = numbers(6, 7, 12, seed=4), numbers(6, 7, 12, seed=5)
    right = head_importance(y, gradient, 3)
    found = answer(y.clone(), gradient.clone(), 3)
    require_tensor(found, (3,), "the importance")
    if not near(found, right):
        product = (y * gradient).unflatten(-1, (3, -1))  # (B, T, H, E)
        interleaved = (y * gradient).unflatten(-1, (-1, 3)).sum((1, 2)).abs().mean(0)
        name_mistake(found, {
            "the absolute value is taken of every number: one gate closes a whole head, so its numbers and tokens are summed first":
                product.abs().sum((1, 3)).mean(0),
            "the absolute value is taken of the sum over samples: those that pull up and those that pull down cancel. Take it of each sample":
                product.sum((1, 3)).mean(0).abs(),
            "the absolute value is missing": product.sum((1, 3)).mean(0),
            "each token is taken for a sample: a gate is the same at all tokens of a text": product.sum(-1).abs().mean((0, 1)),
            "the mean over samples is wanted, not the sum": right * 6,
            "head h owns D/H neighbouring numbers, not every H-th": interleaved,
        }, "with y the heads' outputs, ξ y has the slope Σ y · gradient in ξ: sum over tokens and over the numbers of a head, for each sample")
    return "agrees with the slope of one gate per head and sample"


# 13.4


def without_head(qkv: Tensor, output: Tensor, head: int, heads: int) -> tuple[Tensor, Tensor]:
    """An attention's weights without one head: (3D, D), (D, D) to (3(D − E), D), (D, D − E)."""
    size = output.shape[1] // heads
    keep = [i for i in range(output.shape[1]) if i // size != head]
    rows = [third * output.shape[1] + i for third in range(3) for i in keep]
    return qkv[rows], output[:, keep]


def attend(x: Tensor, qkv: Tensor, output: Tensor, heads: int) -> Tensor:
    """Multi-head attention without biases: (B, T, D) to (B, T, D)."""
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in F.linear(x, qkv).chunk(3, dim=-1))
    return F.linear(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2), output)


def grade_without_head(answer) -> str:
    x, qkv, output = numbers(2, 5, 12, seed=6), numbers(36, 12, seed=7), numbers(12, 12, seed=8)
    for head in (1, 0, 2):
        found = answer(qkv.clone(), output.clone(), head, 3)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise Mistake("return both matrices: those of queries, keys and values, and the output's")
        small_qkv, small_output = found
        if tuple(small_output.shape) == (8, 12):
            raise Mistake("the output has lost rows: its *columns* read what the heads give, its rows are the D numbers that everybody gets")
        if tuple(small_qkv.shape) == (32, 12):
            raise Mistake("only one of the three is smaller: queries, keys and values are stacked, and the head has rows in each of them")
        require_tensor(small_qkv, (24, 12), "the stacked matrix")
        require_tensor(small_output, (12, 8), "the output's matrix")
        zeroed = output.clone()
        zeroed[:, 4 * head:4 * head + 4] = 0
        if near(attend(x, small_qkv, small_output, 2), attend(x, qkv, zeroed, 3)):
            continue
        rows = [i for i in range(36) if not 12 * head <= i < 12 * head + 12]
        if near(small_qkv, qkv[rows]):
            raise Mistake("that takes out all queries, or all keys, or all values: the rows are those of the queries of every head, then the keys, then "
                          "the values")
        raise Mistake(f"without head {head} the smaller attention should give what the whole one gives with that head's columns of the output at 0")
    return "each of three heads taken out: what is left computes what zeros would"


# 13.5


def quantise_rows(w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whole numbers (N, K) int8, scales (N, 1), and how far off a weight of each row can be, (N, 1)."""
    scale = w.abs().amax(1, keepdim=True) / 127
    return (w / scale).round().to(torch.int8), scale, scale / 2


def grade_quantise(answer) -> str:
    w = numbers(5, 40, seed=9) * torch.tensor([[1.0], [0.01], [30.0], [2.0], [0.5]])
    found = answer(w.clone())
    if not isinstance(found, tuple | list) or len(found) != 3:
        raise Mistake("return three things: the whole numbers, the scales, and the bounds")
    q, scale, bound = found
    if not isinstance(q, Tensor) or q.dtype != torch.int8 or q.shape != w.shape:
        raise Mistake("the whole numbers should be an int8 tensor of the weights' shape")
    if not isinstance(scale, Tensor) or scale.numel() == 1:
        raise Mistake("one scale for the whole matrix: a row of small weights is rounded to almost nothing because another row holds large ones. "
                      "Each row gets its own")
    if tuple(scale.shape) == (1, 40):
        raise Mistake("the scales belong to columns: then they cannot be taken out of the sum over a row, and the product is no longer one of whole numbers")
    require_tensor(scale, (5, 1), "the scales")
    _, right_scale, right_bound = quantise_rows(w)
    if near(scale, right_scale * 127 / 128):
        raise Mistake("divided by 128: the largest weight becomes 128, and int8 ends at 127. It wraps round to −128")
    if near(scale, 2 * right_scale):
        raise Mistake("only half of the whole numbers are used: the range is −127 to 127, which is 127 steps to either side")
    if not near(scale, right_scale):
        raise Mistake("a row's scale is its largest absolute weight / 127")
    off = (q.double() * scale - w).abs()
    if (off > right_bound * (1 + 1e-9)).any():
        raise Mistake("weights are off by more than half a scale: `.to(int8)` cuts off towards 0, so round first")
    require_tensor(bound, (5, 1), "the bounds")
    if near(bound, off.amax(1, keepdim=True)):
        raise Mistake("that is how far off these weights happen to be; the bound holds for any weights with that scale, so it follows from the scale alone")
    if not near(bound, right_bound):
        raise Mistake("the bound is not tight: between two whole numbers nothing is farther from the nearer one than half a step, and a step is one scale")
    return "five rows of very different sizes: no weight is off by more than half a scale"


# 13.6


def int8_product(q: Tensor, q_scale: Tensor, w: Tensor, w_scale: Tensor) -> Tensor:
    """x Wᵀ from whole numbers: q (B, K) int8 with scales (B, 1), w (N, K) int8 with (N, 1) to (B, N)."""
    return (q.int() @ w.int().T) * q_scale * w_scale.T


def grade_product(answer) -> str:
    q, w = ((numbers(n, 40, seed=seed) * 60).clamp(-127, 127).to(torch.int8) for n, seed in ((3, 10), (4, 11)))
    q_scale, w_scale = numbers(3, 1, seed=12).abs(), numbers(4, 1, seed=13).abs()
    whole = (q.long() @ w.long().T).double()
    right = whole * q_scale * w_scale.T
    found = answer(q.clone(), q_scale.clone(), w.clone(), w_scale.clone())
    require_tensor(found, (3, 4), "the product")
    if not near(found, right):
        name_mistake(found, {
            "the sums have overflowed: a product of two int8 needs 15 bits, and a sum of many more. Add up in int32":
                (q @ w.T).double() * q_scale * w_scale.T,
            "the sums have overflowed: 16 bits hold one product of two int8, and not a sum of many. Add up in int32":
                (q.short() @ w.short().T).double() * q_scale * w_scale.T,
            "the weights' scales are missing": whole * q_scale,
            "the activations' scales are missing": whole * w_scale.T,
            "no scales: those are whole numbers": whole,
        }, "(Σ q w) · q_scale · w_scale: the scales are outside the sum, one for the row and one for the column")
    return "agrees with whole sums, times one scale per row and one per column"


# 13.7

DIAGNOSES = ("zeros in a matrix of the same shape", "calls cost more than products", "the teacher is sure of what it has learned", "one scale for all",
             "the first layer is gone", "healthy")
RIGHT_REPORTS = {"A": "zeros in a matrix of the same shape", "B": "one scale for all", "C": "the teacher is sure of what it has learned",
                 "D": "calls cost more than products"}
CLUES = {
    "A": "the file has shrunk only because it is packed, and the time has not changed at all",
    "B": "alone, each text is answered as before; beside one with unusually large activations it is not. What do the texts of a batch share?",
    "C": "look at what the student is given: is there anything in it that the labels do not say?",
    "D": "the same model is faster with 64 sentences and slower with one: what does not get less when there is less to multiply?",
}
REPORTS = {
    "A": """                 accuracy   MB, packed   ms per batch
as trained         0.741        17.7         88.2
half of it out     0.738        10.6         88.4""",
    "B": """int8               accuracy
one text at a time   0.739     (float32: 0.741)
batches of 64        0.702
batches of 64, without the 5 in another language   0.737""",
    "C": """student taught on                    teacher's largest probability   accuracy
the 1,000 texts that the teacher learnt            0.998                 0.642
the same, labels alone                               –                   0.640
25,000 other texts                                 0.781                 0.717""",
    "D": """            64 sentences   1 sentence
float32        88 ms          4.9 ms
int8           55 ms          5.6 ms""",
}

grade_reports = grade_diagnoses(RIGHT_REPORTS, DIAGNOSES, CLUES)


# 13.8


@torch.no_grad()
def scan(parts: list, damages: list, measure) -> Tensor:
    """What `measure()` says while one part is damaged in one way and all else is whole, (parts, damages)."""
    found = torch.empty(len(parts), len(damages))
    for i, matrices in enumerate(parts):
        whole = [matrix.clone() for matrix in matrices]
        for j, damage in enumerate(damages):
            for matrix, old in zip(matrices, whole, strict=True):
                matrix.copy_(damage(old))
            found[i, j] = measure()
        for matrix, old in zip(matrices, whole, strict=True):
            matrix.copy_(old)
    return found


class Toy(torch.nn.Module):
    """Three parts, of two matrices, one and one. The last is sensitive: its rows cancel but for a little."""

    def __init__(self):
        super().__init__()
        shapes = {"a": (8, 6), "b": (6, 8), "c": (8, 6), "d": (4, 8)}
        for seed, (name, shape) in enumerate(shapes.items()):
            setattr(self, name, torch.nn.Parameter(numbers(*shape, seed=20 + seed)))
        with torch.no_grad():
            self.d[:, 4:] = -self.d[:, :4] + 0.1 * self.d[:, 4:]
            self.c[4:] = self.c[:4]

    def forward(self, x: Tensor) -> Tensor:
        return (x + x @ self.a.T @ self.b.T).tanh() @ self.c.T @ self.d.T


def grade_scan(answer) -> str:
    toy, x = Toy(), numbers(32, 6, seed=30)
    parts = [[toy.a, toy.b], [toy.c], [toy.d]]
    damages = [lambda w, step=step: (w / step).round() * step for step in (0.7, 0.2, 1.3)]
    before, whole = {name: p.detach().clone() for name, p in toy.named_parameters()}, toy(x).detach()

    def measure() -> float:
        return (toy(x) - whole).square().mean().item()

    right = scan(parts, damages, measure)
    found = answer(parts, damages, measure)
    left = {name for name, p in toy.named_parameters() if not torch.equal(p, before[name])}
    require_tensor(found, (3, 3), "the scan, a row for each part and a column for each way to damage it,")
    if not near(found, right):
        if not found[:, 0].any():
            raise Mistake("the first way does no harm to any part: measure after the damage, not before")
        name_mistake(found, wrong_scans(toy, parts, damages, measure, before), "with one part damaged in one way and all else whole, "
                     f"measure() says {right[0, 0]:.4f} for the first part and damage, got {found[0, 0]:.4f}")
    if left:
        raise Mistake(f"after the scan {len(left)} of the matrices are still damaged: put the last ones back, too")
    return "the planted part stands out, each damage was measured alone, and the model is as it was"


@torch.no_grad()
def wrong_scans(toy: Toy, parts: list, damages: list, measure, before: dict) -> dict[str, Tensor]:
    """What comes of the likely mistakes."""

    def spoiled(part_whole: bool = True, way_whole: bool = True, first_only: bool = False, all_parts: bool = False) -> Tensor:
        toy.load_state_dict(before)
        table = torch.zeros(len(parts), len(damages))
        for i, matrices in enumerate(parts):
            own = {name: before[name] for name, p in toy.named_parameters() if any(p is matrix for matrix in matrices)}
            if part_whole:
                toy.load_state_dict(before)
            for j, damage in enumerate(damages):
                if way_whole:
                    toy.load_state_dict(before if all_parts else own, strict=False)
                for matrix in [m for part in parts for m in part] if all_parts else matrices[:1] if first_only else matrices:
                    matrix.copy_(damage(matrix))
                table[i, j] = measure()
        toy.load_state_dict(before)
        return table

    return {
        "the parts before are still damaged: put each back before you go on to the next": spoiled(part_whole=False),
        "a matrix is damaged that was damaged already: start from the whole one for each way": spoiled(way_whole=False),
        "nothing is put back: the damages add up": spoiled(part_whole=False, way_whole=False),
        "only the first matrix of each part is damaged": spoiled(first_only=True),
        "all parts are damaged at once: one at a time tells which of them is sensitive": spoiled(all_parts=True),
        "rows and columns have changed places": spoiled().T,
    }


# 13.9


def choose_bits(harm: Tensor, sizes: list, bits: list, budget: int) -> list:
    """Bits of each part: while too many, the step down that does the least harm for each bit saved; harm (parts, widths), the widest first."""
    column = [0] * len(sizes)

    def price(part: int, to: int) -> float:
        return float(harm[part, to] - harm[part, column[part]]) / (sizes[part] * (bits[column[part]] - bits[to]))

    while sum(size * bits[k] for size, k in zip(sizes, column, strict=True)) > budget:
        steps = [(price(part, to), part, to) for part in range(len(sizes)) for to in range(column[part] + 1, len(bits))]
        _, part, to = min(steps)
        column[part] = to
    return [bits[k] for k in column]


def grade_choice(answer) -> str:
    bits = [8, 4, 2]
    cases = [([100, 100, 100, 100], 0.5, [2, 0.05, 0.05, 0.05]), ([1000, 100, 100, 60], 0.65, [1, 0.9, 0.9, 0.9]),
             ([400, 50, 200, 100], 0.7, [0.05, 0.05, 2, 0.05]), ([40, 300, 60, 100], 0.5, [0.05, 0.2, 0.05, 2])]
    for seed, (sizes, share, level) in enumerate(cases, 40):
        steps = torch.tensor(level)[:, None] * torch.tensor([0.001, 1, 1.2]) * (1 + 0.1 * numbers(4, 3, seed=seed).tanh())
        harm = steps.cumsum(1)
        budget = int(share * 8 * sum(sizes))
        chosen = answer(harm.clone(), list(sizes), list(bits), budget)
        if isinstance(chosen, Tensor):
            chosen = chosen.tolist()
        if not isinstance(chosen, list | tuple) or len(chosen) != 4:
            raise Mistake("return a list with the bits of each part")
        if not set(chosen) <= set(bits):
            hint = "those are numbers of columns" if set(chosen) <= {0, 1, 2} else f"each is one of {bits}"
            raise Mistake(f"return the bits of each part, not {chosen}: {hint}")
        judge_choice(list(chosen), harm, sizes, bits, budget)
    return "within four budgets, and close to the best of all 81 choices"


def judge_choice(chosen: list, harm: Tensor, sizes: list, bits: list, budget: int) -> None:
    """Raises for a choice that is too large, or does much more harm than the best one."""
    weight = sum(size * width for size, width in zip(sizes, chosen, strict=True))

    def total(choice) -> float:
        return sum(harm[part, bits.index(width)].item() for part, width in enumerate(choice))

    if weight > budget:
        raise Mistake(f"{weight} bits, and the budget is {budget}: go on until it is kept")
    within = [choice for choice in product(bits, repeat=4) if sum(s * w for s, w in zip(sizes, choice, strict=True)) <= budget]
    best = min(within, key=total)
    if total(chosen) <= 1.5 * total(best):
        return
    worst = max(range(4), key=lambda part: harm[part, bits.index(chosen[part])].item())
    why = "all parts have the same width, the sensitive one too" if len(set(chosen)) == 1 else f"part {worst} does most of it"
    raise Mistake(f"of parts of {sizes} weights {list(chosen)} bits do {total(chosen):.2f} of harm, where {list(best)} would do {total(best):.2f}: {why}. "
                  "Weigh the harm of a step by the bits that it saves: a small part saves little")

EXERCISES = [
    Exercise("13.1", "soft targets", 1, 10, soft_loss, grade_soft_loss),
    Exercise("13.2", "the gradient", 2, 15, soft_gradient, grade_soft_gradient),
    Exercise("13.3", "the slope of a gate", 2, 15, head_importance, grade_importance),
    Exercise("13.4", "take out a head", 2, 20, without_head, grade_without_head),
    Exercise("13.5", "whole numbers and their error", 1, 10, quantise_rows, grade_quantise),
    Exercise("13.6", "a product of whole numbers", 1, 10, int8_product, grade_product),
    Exercise("13.7", "read four reports", 2, 10, RIGHT_REPORTS, grade_reports),
    Exercise("13.8", "a sensitivity scan", 3, 30, scan, grade_scan),
    Exercise("13.9", "the decision", 2, 20, choose_bits, grade_choice),
]
