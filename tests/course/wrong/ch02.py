"""Wrong answers to the exercises of chapter 02, each with a word that its message must hold."""

import math

import torch


def wrong_sign(w, v, s):
    return s * (1 - v * w) * v, s * (1 - v * w) * w


def swapped(w, v, s):
    return -s * (1 - v * w) * w, -s * (1 - v * w) * v


def no_chain_rule(w, v, s):
    return -s * (1 - v * w), -s * (1 - v * w)


def no_data(w, v, s):
    return -(1 - v * w) * v, -(1 - v * w) * w


def eigenvalues_of(x):
    x = x - x.mean(0)
    return torch.linalg.eigvalsh(x.T @ x / len(x)).flip(0)


def no_half(x, k):
    return eigenvalues_of(x)[k:].sum().item()


def kept(x, k):
    return 0.5 * eigenvalues_of(x)[:k].sum().item()


def ascending(x, k):
    return 0.5 * eigenvalues_of(x).flip(0)[k:].sum().item()


def uncentred(x, k):
    return 0.5 * torch.linalg.eigvalsh(x.T @ x / len(x)).flip(0)[k:].sum().item()


def unbiased(x, k):
    return 0.5 * torch.linalg.eigvalsh(torch.cov(x.T)).flip(0)[k:].sum().item()


def error_of(W1, W2):
    return W2 @ W1 - torch.eye(len(W2), dtype=W2.dtype)


def transposed(W1, W2, S):
    error = error_of(W1, W2) @ S
    return (W2.T @ error).T, (error @ W1.T).T


def no_covariance(W1, W2, S):
    return W2.T @ error_of(W1, W2), error_of(W1, W2) @ W1.T


def reversed_error(W1, W2, S):
    error = -error_of(W1, W2) @ S
    return W2.T @ error, error @ W1.T


def encoder_for_decoder(W1, W2, S):
    error = error_of(W1, W2) @ S
    return W1 @ error, error @ W1.T


def cosines(A, B):
    return torch.linalg.svdvals(torch.linalg.qr(A).Q.T @ torch.linalg.qr(B).Q).clamp(max=1)


def radians(A, B):
    return cosines(A, B).min().acos().item()


def smallest(A, B):
    return math.degrees(cosines(A, B).max().acos())


def no_basis(A, B):
    A, B = A / A.norm(dim=0), B / B.norm(dim=0)
    return math.degrees(torch.linalg.svdvals(A.T @ B).clamp(max=1).min().acos())


def cut_from_the_end(x, k):
    return 0.5 * eigenvalues_of(x).flip(0)[:-k].sum().item()


def backward(x, weights, biases, error=lambda x, y: (y - x) / len(x), slope=lambda y: y * (1 - y),
             relu=lambda h: h > 0, bias=lambda delta: delta.sum(0)):
    """The right gradients, but for the parts given."""
    hidden = [x]
    for W, b in zip(weights[:-1], biases[:-1]):
        hidden.append((hidden[-1] @ W.T + b).clamp(min=0))
    y = torch.sigmoid(hidden[-1] @ weights[-1].T + biases[-1])
    delta, dW, db = error(x, y) * slope(y), [], []
    for W, h in zip(reversed(weights), reversed(hidden)):
        dW.insert(0, delta.T @ h)
        db.insert(0, bias(delta))
        delta = (delta @ W) * relu(h)
    return 0.5 * ((x - y) ** 2).sum(1).mean(), dW, db


def no_sigmoid(x, weights, biases):
    return backward(x, weights, biases, slope=torch.ones_like)


def sigmoid_twice(x, weights, biases):
    return backward(x, weights, biases, slope=lambda y: torch.sigmoid(y) * (1 - torch.sigmoid(y)))


def no_relu(x, weights, biases):
    return backward(x, weights, biases, relu=torch.ones_like)


def summed_over_the_batch(x, weights, biases):
    return backward(x, weights, biases, error=lambda x, y: y - x)


def target_minus_output(x, weights, biases):
    return backward(x, weights, biases, error=lambda x, y: (x - y) / len(x))


def mean_over_pixels(x, weights, biases):
    return backward(x, weights, biases, error=lambda x, y: (y - x) / x.numel())


def a_bias_per_sample(x, weights, biases):
    return backward(x, weights, biases, bias=lambda delta: delta)


def no_bias_gradients(x, weights, biases):
    return backward(x, weights, biases, bias=lambda delta: 0 * delta.sum(0))


def as_if_tied(x, weights, biases):
    loss, dW, db = backward(x, weights, biases)
    return loss, [a + b.T if a.shape == b.T.shape else a for a, b in zip(dW, reversed(dW))], db


def last_layer_first(x, weights, biases):
    loss, dW, db = backward(x, weights, biases)
    return loss, dW[::-1], db[::-1]


def loop(weights, biases, batches, rate, first=1, corrected=True, root=True, remembers=True, sign=1, parts=None, keep=None):
    """Adam as it should be, but for the parts given."""
    parameters, split, losses = [p.clone() for p in (*weights, *biases)], len(weights), []
    memory = [(0, 0)] * len(parameters)
    for t, x in enumerate(batches, start=first):
        loss, dW, db = backward(x, parameters[:split], parameters[split:])
        losses.append(loss)
        for i, g in enumerate(dW + db):
            m, v = memory[i] if remembers else (0, 0)
            m, v = memory[i] = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            count = t if remembers else 1
            if corrected:
                m, v = m / (1 - 0.9**count), v / (1 - 0.999**count)
            if parts is None or i in parts:
                parameters[i] = parameters[i] - sign * rate * m / ((v**0.5 if root else v) + 1e-8)
        if keep == "after":
            losses[-1] = backward(x, parameters[:split], parameters[split:])[0]
    return parameters[:split], parameters[split:], losses


def no_correction(*given):
    return loop(*given, corrected=False)


def no_root(*given):
    return loop(*given, root=False)


def without_memory(*given):
    return loop(*given, remembers=False)


def uphill(*given):
    return loop(*given, sign=-1)


def weights_alone(*given):
    return loop(*given, parts=range(4))


def loss_after_the_update(*given):
    return loop(*given, keep="after")


def from_zero(*given):
    return loop(*given, first=0)


def never_moves(*given):
    return loop(*given, parts=())


def gradient_descent(weights, biases, batches, rate):
    losses = []
    for x in batches:
        loss, dW, db = backward(x, weights, biases)
        losses.append(loss)
        weights, biases = [W - rate * g for W, g in zip(weights, dW)], [b - rate * g for b, g in zip(biases, db)]
    return weights, biases, losses


WRONG = {
    "02.1": [(128, "½"), (1 / 64, "inverse"), (640, "samples")],
    "02.2": [
        (wrong_sign, "sign"),
        (swapped, "swapped"),
        (no_chain_rule, "chain rule"),
        (no_data, "missing"),
    ],
    "02.3": [
        (no_half, "½"),
        (kept, "kept"),
        (ascending, "smallest first"),
        (uncentred, "centred"),
        (unbiased, "N − 1"),
        (cut_from_the_end, "[:-0]"),
    ],
    "02.4": [
        (transposed, "transpose"),
        (no_covariance, "S is missing"),
        (reversed_error, "sign"),
        (encoder_for_decoder, "W₂ᵀ"),
    ],
    "02.5": [(radians, "radians"), (smallest, "smallest"), (no_basis, "orthonormal")],
    "02.6": [
        ({"A": "healthy", "B": "small start", "C": "not centred", "D": "learning rate"}, "bound"),
        ({"A": "not centred", "B": "learning rate", "C": "healthy", "D": "small start"}, "saddle"),
        (["not centred", "small start", "healthy", "learning rate"], "dictionary"),
    ],
    "02.7": [
        (no_sigmoid, "sigmoid at the output is missing"),
        (sigmoid_twice, "twice"),
        (no_relu, "closed"),
        (summed_over_the_batch, "sums over the batch"),
        (target_minus_output, "sign"),
        (mean_over_pixels, "took their mean"),
        (a_bias_per_sample, "every sample of the batch"),
        (no_bias_gradients, "biases have gradients"),
        (as_if_tied, "tied"),
        (last_layer_first, "begin with the last"),
    ],
    "02.8": [
        (no_correction, "1 − βᵗ"),
        (no_root, "square root"),
        (without_memory, "outlive"),
        (uphill, "downhill"),
        (weights_alone, "biases did not move"),
        (loss_after_the_update, "before its update"),
        (never_moves, "nothing moved"),
        (from_zero, "from t = 1"),
        (gradient_descent, "plain gradient descent"),
    ],
}
