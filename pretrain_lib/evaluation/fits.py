"""How the loss falls with parameters and tokens: L(N, D) = E + A / N^α + B / D^β.

Hoffmann et al., "Training Compute-Optimal Large Language Models", NeurIPS 2022, section 3.3. E is
what no model can get below, A / N^α what a model of N parameters lacks, B / D^β what D tokens leave
unlearned. The law is fitted in two ways that know nothing of each other, and each fit comes with
intervals and with runs that it has not seen: one look at a curve through points shows neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

LEAST, LARGEST = 0.02, 5.0  # between these the exponents are looked for
FIRST_EXPONENTS = (0.2, 0.6, 1.8)  # where the search for each starts
FIRST_SHARES = (0.3, 0.8)  # of the mean loss, where the search for E starts
HUBER = 1e-3  # errors of log L beyond this count linearly (Hoffmann et al., section 3.3)


@dataclass(frozen=True, eq=False)
class TrainingRuns:
    """What was trained, and the loss that each ended with.

    Attributes:
        parameters: (R,) N, the size of each run's model.
        tokens: (R,) D, the tokens that it was trained on.
        loss: (R,) its held-out loss, in nats a token.

    Raises:
        ValueError: for lengths that differ, a number that is not positive and finite, fewer than
            six runs, or fewer than three sizes or numbers of tokens.
    """

    parameters: np.ndarray
    tokens: np.ndarray
    loss: np.ndarray

    def __post_init__(self):
        for name in ("parameters", "tokens", "loss"):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            object.__setattr__(self, name, values)
            bad = values[~(np.isfinite(values) & (values > 0))]
            if len(bad):
                raise ValueError(f"{name} must be finite and above 0, got {bad[0]}")
        shapes = {self.parameters.shape, self.tokens.shape, self.loss.shape}
        if len(shapes) > 1 or self.loss.ndim != 1:
            raise ValueError(f"parameters {self.parameters.shape}, tokens {self.tokens.shape} and "
                             f"loss {self.loss.shape} must be of one length, one number a run")
        if len(self) < 6:
            raise ValueError(f"a law of five constants needs at least six runs, got {len(self)}")
        for name in ("parameters", "tokens"):
            different = len(np.unique(getattr(self, name)))
            if different < 3:
                raise ValueError(f"an exponent needs at least three different {name}, "
                                 f"got {different}")

    def __len__(self) -> int:
        return len(self.loss)

    def take(self, chosen) -> TrainingRuns:
        """Some of the runs: by number, as often as each is named, or by a mask (R,)."""
        return TrainingRuns(self.parameters[chosen], self.tokens[chosen], self.loss[chosen])


class ScalingLaw(NamedTuple):
    """The law L(N, D) = E + A / N^alpha + B / D^beta.

    Attributes:
        E: the irreducible loss, in nats a token.
        A: what stands over the power of the parameters.
        B: what stands over the power of the tokens.
        alpha: the exponent of the parameters.
        beta: the exponent of the tokens.
    """

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def loss(self, parameters, tokens) -> np.ndarray:
        """What the law says of models of N parameters after D tokens, in nats a token."""
        parameters, tokens = (np.asarray(x, dtype=np.float64) for x in (parameters, tokens))
        return self.E + self.A * parameters**-self.alpha + self.B * tokens**-self.beta

    def optimum(self, compute, per_token: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
        """The size and the number of tokens that a budget is best spent on.

        Where C = 6 N D, the loss is least at N = G (C/6)^(β/(α+β)) and D = (C/6)^(α/(α+β)) / G,
        with G = (α A / (β B))^(1/(α+β)) (Hoffmann et al., section 3.3, eq. 4).

        Args:
            compute: C, floating-point operations of a whole training.
            per_token: how many of them each parameter costs for each token.

        Returns:
            N and D, shaped like `compute`.

        Raises:
            ValueError: if A or B is 0: then one of the two costs loss and never gains any.
        """
        if not (self.A > 0 and self.B > 0):
            raise ValueError(f"A and B must be above 0 for a best size, got A={self.A}, B={self.B}")
        product = np.asarray(compute, dtype=np.float64) / per_token  # N · D
        total = self.alpha + self.beta
        G = (self.alpha * self.A / (self.beta * self.B)) ** (1 / total)
        return G * product ** (self.beta / total), product ** (self.alpha / total) / G

    @property
    def at_limit(self) -> bool:
        """Whether a constant is as small or large as is looked for: the runs do not tell it."""
        exponents = (self.alpha, self.beta)
        return (min(self.E, self.A, self.B) < 1e-9 or min(exponents) < LEAST * 1.01
                or max(exponents) > LARGEST / 1.01)


Fit = Callable[[TrainingRuns], ScalingLaw]


class Centred(NamedTuple):
    """N, D divided by their geometric means, on which products and powers are well conditioned."""

    parameters: np.ndarray
    tokens: np.ndarray
    scales: tuple[float, float]

    def law(self, E: float, A: float, B: float, alpha: float, beta: float) -> ScalingLaw:
        """The law of N and D themselves, from that of the divided ones."""
        N, D = self.scales
        return ScalingLaw(*map(float, (E, A * N**alpha, B * D**beta, alpha, beta)))


def centred(runs: TrainingRuns) -> Centred:
    scales = tuple(math.exp(np.log(x).mean()) for x in (runs.parameters, runs.tokens))
    return Centred(runs.parameters / scales[0], runs.tokens / scales[1], scales)


def fit_law(runs: TrainingRuns) -> ScalingLaw:
    """The law of least squares, by variable projection.

    For given exponents the rest is linear, so E, A and B come from non-negative least squares, and
    only the two exponents are searched for (Golub and Pereyra, SIAM Journal on Numerical Analysis
    1973; for scaling laws "Problems with Chinchilla Approach 2", arXiv 2603.22339, 2026). Errors
    are relative to the loss, ((L̂ − L) / L)²: where they are small, that is the error of log L.

    Args:
        runs: what was trained.
    """
    from scipy.optimize import least_squares, nnls

    x = centred(runs)

    def solved(exponents) -> tuple[np.ndarray, np.ndarray]:
        alpha, beta = np.exp(exponents)
        columns = np.stack([np.ones(len(runs)), x.parameters**-alpha, x.tokens**-beta], 1)
        relative = columns / runs.loss[:, None]  # (R, 3)
        constants, _ = nnls(relative, np.ones(len(runs)))
        return constants, relative @ constants - 1

    starts = np.log(list(product(FIRST_EXPONENTS, repeat=2)))
    start = min(starts, key=lambda exponents: np.square(solved(exponents)[1]).sum())
    found = least_squares(lambda exponents: solved(exponents)[1], start, xtol=1e-12, ftol=1e-12,
                          gtol=1e-12, bounds=np.log([[LEAST] * 2, [LARGEST] * 2]))
    return x.law(*solved(found.x)[0], *np.exp(found.x))


def fit_law_robustly(runs: TrainingRuns) -> ScalingLaw:
    """The law of the least Huber loss of log L, by L-BFGS from a grid of starts.

    With E = eᵉ, A = eᵃ and B = eᵇ, log L̂ is the LogSumExp of e, a − α log N and b − β log D;
    errors beyond 0.001 count linearly, so no single run decides (Hoffmann et al., section 3.3, eq. 3,
    and appendix D.3). Here N and D are divided by their means, and the sum by the square of 0.001:
    L-BFGS stops where a step gains little in absolute terms, and of the plain sum it stops early.

    Args:
        runs: what was trained.
    """
    from scipy.optimize import minimize

    x = centred(runs)
    n, d, target = np.log(x.parameters), np.log(x.tokens), np.log(runs.loss)

    def huber(theta: np.ndarray) -> tuple[float, np.ndarray]:
        e, a, b, alpha, beta = theta
        terms = np.stack([np.full_like(n, e), a - alpha * n, b - beta * d])  # (3, R)
        logs = np.logaddexp.reduce(terms)
        share = np.exp(terms - logs)  # of each term in L̂
        error = (logs - target) / HUBER
        size, slope = np.abs(error), np.clip(error, -1, 1) / HUBER
        loss = np.where(size <= 1, 0.5 * error**2, size - 0.5).sum()
        return loss, np.array([*(share @ slope), -share[1] @ (slope * n), -share[2] @ (slope * d)])

    bounds = [(-30, 30)] * 3 + [(LEAST, LARGEST)] * 2
    level = target.mean()
    found = []
    for share, alpha, beta in product(FIRST_SHARES, FIRST_EXPONENTS, FIRST_EXPONENTS):
        rest = level + math.log((1 - share) / 2)
        start = [level + math.log(share), rest, rest, alpha, beta]
        found.append(minimize(huber, start, jac=True, method="L-BFGS-B", bounds=bounds,
                              options={"maxiter": 2000, "maxcor": 20, "ftol": 1e-13}))
    e, a, b, alpha, beta = min(found, key=lambda result: result.fun).x
    return x.law(*np.exp([e, a, b]), alpha, beta)


def bootstrap_laws(runs: TrainingRuns, resamples: int = 200, seed: int = 0,
                   fit: Fit = fit_law) -> list[ScalingLaw]:
    """Laws of runs drawn anew with replacement: how far each constant is known.

    The intervals of Hoffmann et al. were far narrower than their number of runs allows (Besiroglu
    et al., "Chinchilla Scaling: A replication attempt", 2024). A draw of too few sizes or numbers
    of tokens for a law is drawn again.

    Args:
        runs: what was trained.
        resamples: how many laws.
        seed: of the draws.
        fit: `fit_law` or `fit_law_robustly`.
    """
    generator = np.random.default_rng(seed)
    laws = []
    while len(laws) < resamples:
        try:
            drawn = runs.take(generator.integers(len(runs), size=len(runs)))
        except ValueError:
            continue
        laws.append(fit(drawn))
    return laws


def intervals(laws: list[ScalingLaw], confidence: float = 0.95) -> dict[str, tuple[float, float]]:
    """The percentile interval of each constant, by its name.

    Args:
        laws: from `bootstrap_laws`.
        confidence: share of the laws within it, between 0 and 1.

    Raises:
        ValueError: if there is no law, or for a confidence outside (0, 1).
    """
    if not laws or not 0 < confidence < 1:
        raise ValueError("intervals need one law or more and a confidence between 0 and 1, got "
                         f"{len(laws)} laws and {confidence}")
    low, high = np.quantile(laws, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)  # (5,)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(ScalingLaw._fields)}


def held_out_errors(runs: TrainingRuns, held_out, fit: Fit = fit_law) -> np.ndarray:
    """How far a law misses the runs that it was not fitted to.

    Args:
        runs: what was trained.
        held_out: (R,) bool, the runs to judge by, such as `runs.tokens == runs.tokens.max()`.
        fit: `fit_law` or `fit_law_robustly`.

    Returns:
        L̂ − L of those runs, in nats a token.

    Raises:
        ValueError: if none is held out, or too few are left.
    """
    held_out = np.asarray(held_out, dtype=bool)
    if held_out.shape != runs.loss.shape or not held_out.any():
        raise ValueError(f"held_out must name at least one of the {len(runs)} runs, got shape "
                         f"{held_out.shape} with {held_out.sum()} named")
    law = fit(runs.take(~held_out))
    return law.loss(runs.parameters[held_out], runs.tokens[held_out]) - runs.loss[held_out]


class Valley(NamedTuple):
    """The bottom of a curve of equal compute.

    Attributes:
        parameters: the size at which the parabola is lowest.
        loss: its loss there.
        curvature: how fast the loss rises to both sides, per squared unit of log N.
    """

    parameters: float
    loss: float
    curvature: float


def isoflop_valley(parameters, loss) -> Valley:
    """The best size at one compute: the minimum of a parabola in log N.

    Hoffmann et al., section 3.2. The law itself is no parabola: the wider the sizes, and the less
    their middle is the minimum, the further off this is (arXiv 2603.22339, 2026).

    Args:
        parameters: (R,) sizes of models that were trained with equal compute.
        loss: (R,) the loss that each ended with.

    Raises:
        ValueError: for fewer than three sizes, or if the parabola has no minimum among them.
    """
    parameters, loss = (np.asarray(x, dtype=np.float64) for x in (parameters, loss))
    if parameters.shape != loss.shape or len(np.unique(parameters)) < 3:
        raise ValueError("a parabola needs at least three different sizes with a loss each, got "
                         f"{parameters.shape} and {loss.shape}")
    logs = np.log(parameters)
    middle = logs.mean()
    square, slope, level = np.polyfit(logs - middle, loss, 2)
    lowest = -slope / (2 * square) + middle if square > 0 else math.inf
    if not logs.min() <= lowest <= logs.max():
        raise ValueError(f"the loss has no minimum between {parameters.min():.0f} and "
                         f"{parameters.max():.0f} parameters: train models beyond its lower end")
    return Valley(math.exp(lowest), float(level - slope**2 / (4 * square)), float(2 * square))


def power_law(x, y) -> tuple[float, float]:
    """The factor and the exponent of y = factor · x^exponent, by least squares of logarithms.

    Args:
        x: (R,) such as the compute, above 0.
        y: (R,) such as the best size for each, above 0.
    """
    exponent, factor = np.polyfit(np.log(x), np.log(y), 1)
    return math.exp(factor), float(exponent)
