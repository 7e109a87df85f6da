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
    for code_size in (2, 5, 1, 6, 0):
        ours, right = (
            as_number(answer(samples.clone(), code_size)),
            linear_bound(eigenvalues, code_size),
        )
        if close(ours, right):
            continue
        if code_size == 0 and close(ours, 0):
            raise Mistake("right for every code but that of 0 numbers, which discards everything: a slice [:-0] is empty; "
                          "take [code_size:] of the largest first")
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


# 02.7 and 02.8


def forward(x: Tensor, weights: list[Tensor], biases: list[Tensor]) -> list[Tensor]:
    """The input, what every ReLU layer gives, and the sigmoid output, each (B, size)."""
    activations = [x]
    for W, b in zip(weights[:-1], biases[:-1]):
        activations.append((activations[-1] @ W.T + b).clamp(min=0))
    return [*activations, torch.sigmoid(activations[-1] @ weights[-1].T + biases[-1])]


def backpropagate(x: Tensor, weights: list[Tensor], biases: list[Tensor],
                  slope=lambda y: y * (1 - y), open_where=lambda h: h > 0) -> tuple[float, list[Tensor], list[Tensor]]:
    """The mean of ½ Σ (x − y)² over samples x (B, D), and its gradients of all weights and all biases.

    Args:
        slope: the derivative of the output's activation, from its value.
        open_where: the derivative of a hidden one, from its value.
    """
    *hidden, y = forward(x, weights, biases)
    delta = (y - x) * slope(y) / len(x)  # (B, D)
    dW, db = [], []
    for W, h in zip(reversed(weights), reversed(hidden)):
        dW.insert(0, delta.T @ h)
        db.insert(0, delta.sum(dim=0))
        delta = (delta @ W) * open_where(h)
    return 0.5 * (x - y).square().sum(dim=1).mean().item(), dW, db


def by_autograd(x: Tensor, weights: list[Tensor], biases: list[Tensor]) -> tuple[float, list[Tensor], list[Tensor]]:
    """The same by autograd."""
    leaves = [p.detach().clone().requires_grad_() for p in (*weights, *biases)]
    y = forward(x, leaves[: len(weights)], leaves[len(weights) :])[-1]
    loss = 0.5 * (x - y).square().sum(dim=1).mean()
    gradients = torch.autograd.grad(loss, leaves)
    return loss.item(), list(gradients[: len(weights)]), list(gradients[len(weights) :])


def network(sizes: tuple[int, ...], seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """Weights (out, in) and biases (out,) of a network with layers of these sizes."""
    weights = [numbers(out, size, seed=seed + i) for i, (size, out) in enumerate(zip(sizes, sizes[1:]))]
    return weights, [0.3 * numbers(size, seed=seed + 50 + i) for i, size in enumerate(sizes[1:])]


def all_close(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(close(a, b) for a, b in zip(ours, theirs, strict=True))


def require_shapes(name: str, ours, like: list[Tensor]):
    """The answer's list must hold one tensor shaped like each of `like`."""
    if not isinstance(ours, (list, tuple)) or len(ours) != len(like):
        raise Mistake(f"the gradients of the {name} are a list of {len(like)} tensors, one for each layer")
    for number, (tensor, right) in enumerate(zip(ours, like), start=1):
        shape = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
        if shape == tuple(right.shape):
            continue
        if [tuple(t.shape) for t in reversed(ours) if isinstance(t, Tensor)] == [tuple(t.shape) for t in like]:
            raise Mistake("the first layer's gradients come first; yours begin with the last layer's")
        if name == "biases" and isinstance(tensor, Tensor) and tensor.ndim == 2:
            raise Mistake("a bias serves every sample of the batch: sum its gradient over them")
        raise Mistake(f"the gradient of layer {number}'s {name} must be shaped like them, {tuple(right.shape)}, not {shape}: "
                      "error at the layer's output times the layer's input")


def grade_backpropagate(answer) -> str:
    cases = [((5, 12, 5), 1), ((6, 9, 4, 9, 6), 7), ((7, 8, 7), 4), ((4, 6, 5, 7, 4), 9)]
    for seed, (sizes, count) in enumerate(cases):
        weights, biases = network(sizes, 100 * seed)
        x = numbers(count, sizes[0], seed=seed + 7).sigmoid()
        kept = [p.clone() for p in (x, *weights, *biases)]
        value = answer(x, weights, biases)
        if not isinstance(value, (tuple, list)) or len(value) != 3:
            raise Mistake("return three things: the loss, the gradients of all weights, and those of all biases")
        if not all(torch.equal(a, b) for a, b in zip(kept, (x, *weights, *biases))):
            raise Mistake("your function changes what it was given: it only finds gradients, a later step moves the weights")
        loss, dW, db = value
        right, right_dW, right_db = by_autograd(x, weights, biases)
        require_shapes("weights", dW, weights)
        require_shapes("biases", db, biases)
        if not (all_close(dW, right_dW) and all_close(db, right_db)):
            raise Mistake(backward_hint(dW, db, x, weights, biases))
        if not close(as_number(loss), right):
            raise Mistake(f"the gradients are right, the loss isn't: ½ Σ (x − y)² per sample, in the mean over samples, is {right:.4f} here")
    return f"the loss and all gradients of {len(cases)} networks equal autograd's"


def backward_hint(dW, db, x: Tensor, weights, biases) -> str:
    """What is likely wrong with gradients of the right shapes."""
    _, right_dW, right_db = by_autograd(x, weights, biases)
    for kind, wrong in {
        "the sign is reversed: the error at the output is y − x": -1,
        "those are sums over the batch: the loss is a mean over its samples, so divide by their number": len(x),
        "twice too large: the ½ cancels the 2 of the square": 2,
        "the loss sums over the numbers of a sample; you took their mean as well": 1 / x.shape[1],
    }.items():
        if wrong != 1 and all_close(dW, [wrong * g for g in right_dW]):
            return kind
    for kind, changes in {
        "the sigmoid at the output is missing: its derivative y (1 − y) belongs into δ of the last layer": {"slope": torch.ones_like},
        "the sigmoid was taken twice: its derivative in terms of the output y is y (1 − y)":
            {"slope": lambda y: torch.sigmoid(y) * (1 - torch.sigmoid(y))},
        "errors pass where ReLU was closed: multiply by 1 where its output is above 0, and by 0 elsewhere": {"open_where": torch.ones_like},
    }.items():
        _, wrong, _ = backpropagate(x, weights, biases, **changes)
        if all_close(dW, wrong):
            return kind
    if not all_close(dW, right_dW):
        tied = [a + b.T if a.shape == b.T.shape else a for a, b in zip(right_dW, reversed(right_dW))]
        if all_close(dW, tied):
            return "a layer's gradient was added to its mirror's, as for tied weights: here every matrix is its own"
        layer = next(i for i in range(len(weights), 0, -1) if not close(dW[i - 1], right_dW[i - 1]))
        return f"seen from the output, the gradient of layer {layer}'s weights is the first that differs from autograd's"
    if all(b.abs().max() == 0 for b in db):
        return "the biases have gradients, too: the sum of δ over the samples"
    return "the gradients of the weights are right, those of the biases are not: the sum of δ over the samples"


def train_network(weights: list[Tensor], biases: list[Tensor], batches, learning_rate: float,
                  ) -> tuple[list[Tensor], list[Tensor], list[float]]:
    """One Adam update for each batch (B, D): the new weights and biases, and the loss before each update."""
    return adam(weights, biases, batches, learning_rate)


def adam(weights, biases, batches, learning_rate: float, corrected=True, root=True, forgets=False, moves_biases=True, plain=False):
    """`train_network`, with the parts that a learner may leave out."""
    parameters = [p.clone() for p in (*weights, *biases)]
    split = len(weights)
    means, squares = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    losses = []
    for step, x in enumerate(batches, start=1):
        loss, dW, db = backpropagate(x, parameters[:split], parameters[split:])
        losses.append(loss)
        for i, (p, g) in enumerate(zip(parameters, dW + db)):
            m, v = (means[i], squares[i]) if not forgets else (torch.zeros_like(p), torch.zeros_like(p))
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            t = 1 if forgets else step
            m_hat, v_hat = (m / (1 - 0.9**t), v / (1 - 0.999**t)) if corrected else (m, v)
            if i < split or moves_biases:
                p -= learning_rate * (g if plain else m_hat / ((v_hat.sqrt() if root else v_hat) + 1e-8))
    return parameters[:split], parameters[split:], losses


def by_torch(weights, biases, batches, learning_rate: float) -> tuple[list[Tensor], list[float]]:
    """All parameters after torch.optim.Adam on autograd's gradients, and the losses."""
    parameters = [p.detach().clone().requires_grad_() for p in (*weights, *biases)]
    optimizer, losses, split = torch.optim.Adam(parameters, lr=learning_rate), [], len(weights)
    for x in batches:
        loss, dW, db = by_autograd(x, parameters[:split], parameters[split:])
        losses.append(loss)
        for p, g in zip(parameters, dW + db):
            p.grad = g
        optimizer.step()
    return [p.detach() for p in parameters], losses


def grade_train(answer) -> str:
    weights, biases = network((6, 4, 2, 4, 6), 500)
    batches = [numbers(8, 6, seed=600 + i).sigmoid() for i in range(6)]
    rate = 0.05

    def run(change=None):
        start = [p.clone() for p in weights], [p.clone() for p in biases]
        return (change or answer)(*start, [x.clone() for x in batches], rate)

    value = run()
    if not isinstance(value, (tuple, list)) or len(value) != 3:
        raise Mistake("return three things: the new weights, the new biases, and the losses")
    require_shapes("weights", value[0], weights)
    require_shapes("biases", value[1], biases)
    ours, losses = [*value[0], *value[1]], [as_number(loss) for loss in value[2]]
    right, right_losses = by_torch(weights, biases, batches, rate)
    if len(losses) != len(batches):
        raise Mistake(f"{len(batches)} batches give {len(batches)} losses, you have {len(losses)}")
    if any(not p.isfinite().all() for p in ours):
        raise Mistake("a weight is NaN: count updates from t = 1, since 1 − β⁰ is 0")
    if all_close(ours, right):
        if all(close(a, b) for a, b in zip(losses, right_losses)):
            return f"{len(batches)} updates equal those of torch.optim.Adam on autograd's gradients"
        raise Mistake("the weights are right, the losses are not: note each loss before its update, as backpropagate returns it")
    if all_close(ours, [*weights, *biases]):
        raise Mistake("nothing moved: subtract the update from each parameter, and return the new ones")
    if all_close(ours[: len(weights)], weights):
        raise Mistake("the weights did not move: only the biases were updated")
    for hint, change in {
        "the means start at 0 and are too small at first: divide them by 1 − βᵗ": {"corrected": False},
        "divide by the square root of v̂, not by v̂": {"root": False},
        "m and v were set to 0 again for every batch: they must outlive the loop": {"forgets": True},
        "the biases did not move: they have gradients, too": {"moves_biases": False},
        "that is plain gradient descent: Adam divides a running mean of g by the root of one of g²": {"plain": True},
    }.items():
        changed = run(lambda *given: adam(*given, **change))
        if all_close(ours, [*changed[0], *changed[1]]):
            raise Mistake(hint)
    uphill = run(lambda w, b, x, rate: adam(w, b, x, -rate))
    if all_close(ours, [*uphill[0], *uphill[1]]):
        raise Mistake("the update was added: to go downhill, subtract it")
    difference = max((a - b).abs().max().item() for a, b in zip(ours, right))
    raise Mistake(f"after {len(batches)} batches the parameters differ from Adam's by up to {difference:.2g}: "
                  "check t (from 1), β₁ = 0.9, β₂ = 0.999, ε = 1e-8, and one m and one v for each parameter")


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
    Exercise("02.7", "backpropagation through an autoencoder", 3, 40, backpropagate, grade_backpropagate),
    Exercise("02.8", "the training loop", 3, 30, train_network, grade_train),
]
