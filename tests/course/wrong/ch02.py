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
}
