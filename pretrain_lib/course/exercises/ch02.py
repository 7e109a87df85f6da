"""Exercises of chapter 02: the mathematics of an autoencoder."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...evaluation.linear import linear_bound, pca, principal_angles
from . import Exercise, Mistake


def numbers(*shape: int, seed: int) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(ours, theirs, tolerance: float = 1e-8) -> bool:
    """Whether two answers agree to `tolerance`, relative to the larger of 1 and the right one."""
    ours, theirs = (
        torch.as_tensor(ours, dtype=torch.float64),
        torch.as_tensor(theirs, dtype=torch.float64),
    )
    scale = max(1.0, theirs.abs().max().item())
    return ours.shape == theirs.shape and bool(((ours - theirs).abs() <= tolerance * scale).all())


def as_number(value) -> float:
    """The answer as a float."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Mistake(f"a single number is wanted, not {type(value).__name__}") from None


def as_pair(value) -> tuple:
    """The answer as two gradients."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise Mistake("return two gradients: that of the encoder first, then that of the decoder")
    return tuple(value)


def grade_factor(answer) -> str:
    factor = as_number(answer)
    if math.isclose(factor, 64):
        return "128 numbers, halved: mse_loss divides by 10 · 128, the mean of L by 2 · 10"
    hints = {
        1 / 64: "that is the inverse: the formula gives the larger number",
        128: "you forgot the ½ of the formula",
        256: "the ½ makes the formula smaller, not larger",
        640: "both take the mean over the 10 samples: only the 128 numbers of one sample differ",
        1280: "both take the mean over the 10 samples, and the formula has a ½",
        0.5: "the ½ is one difference; mse_loss also divides by the numbers in a sample",
    }
    for wrong, hint in hints.items():
        if math.isclose(factor, wrong):
            raise Mistake(hint)
    raise Mistake(
        "count what each divides by: mse_loss by every number in the batch, the mean of L by ...?"
    )


def one_weight_gradients(w, v, s):
    """Gradients (∂L/∂w, ∂L/∂v) of L = ½ s (1 − v w)²."""
    rest = 1 - v * w
    return -s * rest * v, -s * rest * w


def grade_one_weight(answer) -> str:
    cases = [tuple(case) for case in (numbers(50, 3, seed=1).abs() + 0.1).tolist()]
    cases += [(-w, v, s) for w, v, s in cases]
    for w, v, s in cases:
        dw, dv = as_pair(answer(w, v, s))
        right = torch.tensor(one_weight_gradients(w, v, s), dtype=torch.float64)
        ours = torch.tensor([as_number(dw), as_number(dv)], dtype=torch.float64)
        if close(ours, right):
            continue
        rest = 1 - v * w
        for wrong, hint in [
            (-right, "the sign is reversed: ∂u/∂w is −v and ∂u/∂v is −w"),
            (
                right.flip(0),
                "the two are swapped: the gradient of w contains v, that of v contains w",
            ),
            (2 * right, "twice too large: the ½ cancels the 2 of the square"),
            (right / s, "the factor s, the mean of x², is missing"),
            (
                torch.full_like(right, -s * rest),
                "you stopped at ∂L/∂u: the chain rule goes on with ∂u/∂w = −v",
            ),
        ]:
            if close(ours, wrong):
                raise Mistake(hint)
        raise Mistake(
            f"at w = {w:.2f}, v = {v:.2f}, s = {s:.2f} autograd gives ({right[0]:.4f}, "
            f"{right[1]:.4f}), "
            f"you ({ours[0]:.4f}, {ours[1]:.4f})"
        )
    return f"equals the true gradients in {len(cases)} random cases"


def bound(samples: Tensor, code_size: int) -> float:
    """Half the variance that the best `code_size` directions discard."""
    return linear_bound(pca(samples).eigenvalues, code_size)


def grade_bound(answer) -> str:
    samples = numbers(60, 6, seed=2) * torch.tensor([3.0, 2.0, 1.5, 1.0, 0.5, 0.2]).double() + 5
    eigenvalues = pca(samples).eigenvalues
    raw = torch.linalg.eigvalsh(samples.T @ samples / len(samples)).flip(0)
    n = len(samples)
    for code_size in (2, 5, 1, 0, 6):
        ours, right = (
            as_number(answer(samples.clone(), code_size)),
            linear_bound(eigenvalues, code_size),
        )
        if close(ours, right):
            continue
        for wrong, hint in [
            (2 * right, "the ½ of the loss is missing"),
            (
                right * n / (n - 1),
                "divide by N, not N − 1: the loss is a mean over these N samples",
            ),
            (right * n, "divide XᵀX by N: the loss is a mean over samples"),
            (
                0.5 * eigenvalues[:code_size].sum(),
                "you summed the variance that is kept; the loss is what is discarded",
            ),
            (
                0.5 * eigenvalues.flip(0)[code_size:].sum(),
                "eigvalsh returns eigenvalues smallest first: you discarded the largest",
            ),
            (0.5 * raw[code_size:].sum(), "the samples are not centred: subtract their mean first"),
            (
                0.5 * eigenvalues.sqrt()[code_size:].sum(),
                "standard deviations were summed, not variances",
            ),
            (
                0.5 * eigenvalues[code_size + 1 :].sum(),
                "one too few is discarded: index K is the first discarded one",
            ),
        ]:
            if close(ours, wrong):
                raise Mistake(hint)
        raise Mistake(
            f"for a code of {code_size} of 6 numbers the bound is {right:.4f}, you have {ours:.4f}"
        )
    return "right for codes of 0, 1, 2, 5 and 6 numbers, on samples that are not centred"


def linear_gradients(W1: Tensor, W2: Tensor, S: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of ½ tr[(I − W₂W₁) S (I − W₂W₁)ᵀ] with respect to W₁ (K, D) and W₂ (D, K)."""
    error = W2 @ (W1 @ S) - S  # (D, D)
    return W2.T @ error, error @ W1.T


def grade_linear_gradients(answer) -> str:
    for seed, (code_size, size) in enumerate([(1, 2), (2, 5), (3, 7), (4, 4)]):
        W1, W2 = (
            numbers(code_size, size, seed=3 * seed),
            numbers(size, code_size, seed=3 * seed + 1),
        )
        x = numbers(20, size, seed=3 * seed + 2)
        S = x.T @ x / len(x)
        right = linear_gradients(W1, W2, S)
        ours = as_pair(answer(W1.clone(), W2.clone(), S.clone()))
        for name, matrix, gradient in [("W₁", W1, ours[0]), ("W₂", W2, ours[1])]:
            if not isinstance(gradient, Tensor) or gradient.shape != matrix.shape:
                shape = (
                    tuple(gradient.shape)
                    if isinstance(gradient, Tensor)
                    else type(gradient).__name__
                )
                raise Mistake(
                    f"the gradient of {name} must be shaped like {name}, {tuple(matrix.shape)}, "
                    f"not {shape}: "
                    "look for a transpose that is missing, or return W₁'s first"
                )
        if all(close(a, b) for a, b in zip(ours, right)):
            continue
        raise Mistake(matrix_hint(ours, right, W1, W2, S))
    return "equals the true gradients for four pairs of sizes"


def matrix_hint(ours, right, W1: Tensor, W2: Tensor, S: Tensor) -> str:
    """What is likely wrong with a pair of gradients of the right shapes."""
    rest = W2 @ W1 - torch.eye(len(S), dtype=S.dtype)
    for wrong, hint in [
        ([-g for g in right], "the sign is reversed: the error is e = y − x = (M − I) x"),
        ([2 * g for g in right], "twice too large: the ½ cancels the 2 of the square"),
        ((W2.T @ rest, rest @ W1.T), "S is missing: the mean of x xᵀ does not vanish"),
        (
            (W1 @ rest @ S, rest @ S @ W1.T),
            "going back through the decoder multiplies by W₂ᵀ, not by W₁",
        ),
        ((W2.T @ W2 @ W1 @ S, W2 @ W1 @ S @ W1.T), "the error is (M − I) x: −I is missing"),
    ]:
        if all(close(a, b) for a, b in zip(ours, wrong)):
            return hint
    wrong_ones = [name for name, a, b in zip(("W₁", "W₂"), ours, right) if not close(a, b)]
    return f"the gradient of {' and that of '.join(wrong_ones)} differs from autograd's"


def largest_angle(A: Tensor, B: Tensor) -> float:
    """The largest principal angle, in degrees, between the spans of the columns of A and B, "
    "(D, K)."""
    return principal_angles(A, B)[-1].item()


def grade_angle(answer) -> str:
    basis = torch.linalg.qr(numbers(6, 6, seed=4)).Q  # (6, 6)
    mix = numbers(2, 2, seed=5)

    def turned(degrees: float) -> tuple[Tensor, Tensor]:
        """Two planes that share a line and meet at `degrees`, each given by columns of no "
        "special kind."""
        angle = math.radians(degrees)
        other = torch.stack(
            [basis[:, 0], math.cos(angle) * basis[:, 1] + math.sin(angle) * basis[:, 2]], dim=1
        )
        return basis[:, :2] @ mix, other @ (mix.T + 2)

    for degrees in (30.0, 75.0, 90.0, 0.0):
        ours = as_number(answer(*(plane.clone() for plane in turned(degrees))))
        if math.isnan(ours):
            raise Mistake(
                "NaN: rounding pushed a cosine above 1, where acos is not defined; clamp it"
            )
        if abs(ours - degrees) < 1e-4:
            continue
        if abs(ours - math.radians(degrees)) < 1e-4 and degrees:
            raise Mistake("that is in radians: degrees are wanted")
        if abs(ours) < 1e-4:
            raise Mistake(
                "that is the smallest angle: its cosine is the largest singular value, you want "
                "the smallest"
            )
        if abs(ours - math.cos(math.radians(degrees))) < 1e-4:
            raise Mistake("that is the cosine: take acos")
        A, B = turned(degrees)
        raw = torch.linalg.svdvals(A.T @ B).clamp(max=1).min().acos().rad2deg().item()
        unit = (
            torch.linalg.svdvals((A / A.norm(dim=0)).T @ (B / B.norm(dim=0)))
            .clamp(max=1)
            .min()
            .acos()
            .rad2deg()
        )
        if abs(ours - raw) < 1e-4 or abs(ours - unit.item()) < 1e-4:
            raise Mistake(
                "the columns are not orthonormal: replace each matrix by an orthonormal basis first"
            )
        raise Mistake(
            f"two planes that share a line and meet at {degrees:.0f}° come out at {ours:.2f}°"
        )
    return "0°, 30°, 75° and 90° come out right, however the subspaces are written"


def descend(x: Tensor, learning_rate: float, std: float) -> list[float]:
    """The loss at every 37th step of plain gradient descent on a linear autoencoder with a "
    "code of 2."""
    S = x.T @ x / len(x)
    W1, W2, losses = std * numbers(2, 6, seed=1), std * numbers(6, 2, seed=2), []
    for step in range(37 * 10 + 1):
        error = W2 @ W1 @ S - S
        if step % 37 == 0:
            rest = torch.eye(6, dtype=S.dtype) - W2 @ W1
            losses.append(0.5 * torch.trace(rest @ S @ rest.T).item())
        W1, W2 = W1 - learning_rate * W2.T @ error, W2 - learning_rate * error @ W1.T
    return losses


def training_logs() -> tuple[float, dict[str, list[float]]]:
    """The bound on the centred data, and the logs of four runs, A to D, for exercise 02.6."""
    x = numbers(500, 6, seed=3) * torch.tensor([4.0, 2.5, 1.2, 0.5, 0.25, 0.1]).double().sqrt()
    x = x - x.mean(dim=0)
    moved = x + torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 3.0]).double()
    runs = {"A": (moved, 0.05, 0.4), "B": (x, 0.05, 1e-5), "C": (x, 0.05, 0.4), "D": (x, 0.27, 0.1)}
    return bound(x, 2), {name: descend(*settings) for name, settings in runs.items()}


CONDITIONS = {
    "healthy": "it falls at once, and ends on the bound",
    "small start": "it stands still before it falls, and ends on the bound: it had to leave a "
    "saddle",
    "learning rate": "it does not settle: it jumps up and down",
    "not centred": "it starts high and settles quietly above the bound: a code number is spent "
    "on the mean",
}
DIAGNOSIS = {"A": "not centred", "B": "small start", "C": "healthy", "D": "learning rate"}


def grade_diagnosis(answer) -> str:
    if not isinstance(answer, dict) or set(answer) != set(DIAGNOSIS):
        raise Mistake('a dictionary is wanted, {"A": "…", "B": "…", "C": "…", "D": "…"}')
    unknown = [value for value in answer.values() if value not in CONDITIONS]
    if unknown:
        raise Mistake(f"{unknown[0]!r} is none of {', '.join(CONDITIONS)}")
    for name, right in DIAGNOSIS.items():
        if answer[name] != right:
            raise Mistake(f"{name} is not {answer[name]!r}. Look at it again: {CONDITIONS[right]}")
    return "all four named: " + "; ".join(f"{name} {value}" for name, value in DIAGNOSIS.items())


EXERCISES = [
    Exercise("02.1", "the factor between formula and code", 1, 5, 64, grade_factor),
    Exercise(
        "02.2",
        "the gradients of one weight down and one up",
        1,
        10,
        one_weight_gradients,
        grade_one_weight,
    ),
    Exercise("02.3", "the bound from the eigenvalues", 2, 10, bound, grade_bound),
    Exercise(
        "02.4", "the gradients in matrix form", 3, 15, linear_gradients, grade_linear_gradients
    ),
    Exercise("02.5", "the largest angle between two subspaces", 3, 15, largest_angle, grade_angle),
    Exercise("02.6", "four training logs", 2, 10, DIAGNOSIS, grade_diagnosis),
]
