"""What a linear code can reach: principal components, the bound they set, angles to a subspace."""

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
