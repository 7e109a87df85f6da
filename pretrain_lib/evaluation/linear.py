"""What linear maps can reach: principal components and their bound, angles, and what they read."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class PCA(NamedTuple):
    """The principal components of data.

    Attributes:
        mean: (D,) float64.
        eigenvalues: (D,) float64, of the covariance, largest first.
        components: (D, D) float64, their eigenvectors as columns.
    """

    mean: Tensor
    eigenvalues: Tensor
    components: Tensor

    def reconstruct(self, x: Tensor, code_size: int) -> Tensor:
        """The best reconstruction of x, (B, ...), from its first `code_size` components."""
        basis = self.components[:, :code_size]  # (D, K)
        centred = x.flatten(1).double() - self.mean
        return (centred @ basis @ basis.T + self.mean).to(x.dtype).reshape(x.shape)


def pca(x: Tensor) -> PCA:
    """Principal components of samples, in float64.

    The covariance is a mean over the N samples, not over N − 1, so that ½ Σ of the eigenvalues
    that a code discards is exactly its mean loss ½ Σᵢ (xᵢ − yᵢ)² on these samples.

    Args:
        x: (N, ...) with D numbers a sample.

    Returns:
        Mean, eigenvalues and components; each component's largest entry is positive.
    """
    x = x.flatten(1).double()  # (N, D)
    mean = x.mean(dim=0)
    centred = x - mean
    eigenvalues, components = torch.linalg.eigh(centred.T @ centred / len(x))  # ascending
    eigenvalues, components = eigenvalues.flip(0).clamp(min=0), components.flip(1)
    largest = components.gather(0, components.abs().argmax(dim=0, keepdim=True))  # (1, D)
    return PCA(mean, eigenvalues, components * largest.sign())


def linear_bound(eigenvalues: Tensor, code_size: int) -> float:
    """The lowest mean loss ½ Σᵢ (xᵢ − yᵢ)² of any linear code: half the discarded eigenvalues.

    From Eckart and Young, Psychometrika 1936; for autoencoders Baldi and Hornik, Neural Networks
    1989.

    Args:
        eigenvalues: (D,) of the covariance of centred data, largest first.
        code_size: numbers in the code, 0 to D.

    Raises:
        ValueError: for a code size outside 0 to D.
    """
    if not 0 <= code_size <= len(eigenvalues):
        raise ValueError(f"code_size must be between 0 and {len(eigenvalues)}, got {code_size}")
    return 0.5 * eigenvalues[code_size:].sum().item()


def orthonormal_basis(a: Tensor, name: str) -> Tensor:
    """An orthonormal basis, (D, K), of the columns of a, (D, K)."""
    if a.ndim != 2 or a.shape[1] > a.shape[0] or a.shape[1] == 0:
        raise ValueError(f"{name} must be (D, K) with K from 1 to D, got {tuple(a.shape)}")
    u, singular, _ = torch.linalg.svd(a.detach().double(), full_matrices=False)
    if singular[-1] <= singular[0] * max(a.shape) * torch.finfo(torch.float64).eps:
        raise ValueError(
            f"the columns of {name} are linearly dependent: they span no {a.shape[1]}-d subspace"
        )
    return u


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """Angles between the subspaces that the columns of two matrices span.

    The singular values of QₐᵀQᵦ are cosines and lose half of the digits of small angles; those of
    (I − QₐQₐᵀ)Qᵦ are sines and lose those of large ones. Each is used where it is good (Björck
    and Golub, Mathematics of Computation 1973).

    Args:
        a: (D, K).
        b: (D, L) with L at most K.

    Returns:
        (L,) float64 in degrees, smallest first; 0 where a direction is shared, 90 at most.

    Raises:
        ValueError: for shapes that do not fit or columns that are linearly dependent.
    """
    if a.shape[0] != b.shape[0] or b.shape[1] > a.shape[1]:
        raise ValueError(
            "a must be (D, K) and b (D, L) with L at most K, "
            f"got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    qa, qb = orthonormal_basis(a, "a"), orthonormal_basis(b, "b")
    overlap = qa.T @ qb  # (K, L)
    cosines = torch.linalg.svdvals(overlap).clamp(max=1)  # descending: smallest angle first
    sines = torch.linalg.svdvals(qb - qa @ overlap).clamp(max=1).flip(0)  # the same order
    return torch.where(cosines**2 > 0.5, sines.asin(), cosines.acos()).rad2deg()


class LinearMap(NamedTuple):
    """An affine map y = x W + b, such as the one that reads a known quantity from activations.

    Attributes:
        weight: (D, K) float64.
        bias: (K,) float64.
    """

    weight: Tensor
    bias: Tensor

    def predict(self, x: Tensor) -> Tensor:
        """Activations (..., D) to predictions (..., K), float64."""
        return x.detach().double().cpu() @ self.weight + self.bias

    def r2(self, x: Tensor, y: Tensor) -> float:
        """The share of the variance of y that the map tells from x, all K numbers together.

        1 − Σ ‖y − ŷ‖² / Σ ‖y − ȳ‖², on whatever samples are given: on those that the map was
        fitted to it flatters, and of a random network it may still be near 1, so that both belong
        beside held-out samples of a trained one.

        Args:
            x: (..., D).
            y: (..., K).

        Raises:
            ValueError: if y does not vary.
        """
        y = y.double().cpu().reshape(-1, self.bias.numel())
        error = (y - self.predict(x.reshape(len(y), -1))).square().sum()
        spread = (y - y.mean(0)).square().sum()
        if spread == 0:
            raise ValueError("what is to be read is the same in all samples: it has no variance")
        return 1 - (error / spread).item()


def fit_linear(x: Tensor, y: Tensor) -> LinearMap:
    """The affine map of least squares; of several that are as good, the one of least weights.

    Args:
        x: (..., D) activations.
        y: (..., K) what they should tell.

    Raises:
        ValueError: if they differ in length, or there are no more samples than weights in a column:
            then every y can be met, and the fit tells nothing.
    """
    x, y = (each.detach().double().cpu().flatten(0, -2) for each in (x, y))  # (N, D), (N, K)
    if len(x) != len(y) or len(x) <= x.shape[1] + 1:
        raise ValueError(f"x and y must be of one length above {x.shape[1] + 1}, the numbers that "
                         f"are fitted for each of y, got {len(x)} and {len(y)}")
    centre, level = x.mean(0), y.mean(0)
    weight = torch.linalg.lstsq(x - centre, y - level, driver="gelsd").solution
    return LinearMap(weight, level - centre @ weight)
