"""Principal components, the bound of linear codes, angles between subspaces, linear maps."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from pretrain_lib.evaluation.linear import fit_linear, linear_bound, pca, principal_angles

seeds = st.integers(0, 2**31)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(seed=0, n=50, size=8):
    return randn(n, size, seed=seed) @ randn(size, size, seed=seed + 1) + 3


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_pca_is_scikit_learns(seed):
    x = data(seed)
    ours, theirs = pca(x), PCA().fit(x.numpy())
    np.testing.assert_allclose(ours.mean, theirs.mean_, atol=1e-10)
    np.testing.assert_allclose(
        ours.eigenvalues, theirs.explained_variance_ * 49 / 50, rtol=1e-8, atol=1e-10
    )
    cosines = (ours.components.T * torch.from_numpy(theirs.components_)).sum(dim=1)
    np.testing.assert_allclose(cosines.abs(), 1, atol=1e-6)


def test_components_are_orthonormal_eigenvectors_with_a_fixed_sign():
    x = data().float().reshape(50, 1, 2, 4)
    mean, eigenvalues, components = pca(x)
    assert mean.dtype == eigenvalues.dtype == components.dtype == torch.float64
    torch.testing.assert_close(components.T @ components, torch.eye(8, dtype=torch.float64))
    centred = x.flatten(1).double() - mean
    covariance = centred.T @ centred / 50
    torch.testing.assert_close(covariance @ components, components * eigenvalues)
    assert (eigenvalues.diff() <= 0).all()
    assert (components.gather(0, components.abs().argmax(dim=0)[None]) > 0).all()


def test_pca_by_hand():
    """Two points on a line through (1, 1): all variance lies along it."""
    mean, eigenvalues, components = pca(torch.tensor([[0.0, 0.0], [2.0, 2.0]]))
    assert mean.tolist() == [1, 1]
    torch.testing.assert_close(eigenvalues, torch.tensor([2.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(components[:, 0], torch.full((2,), 0.5**0.5, dtype=torch.float64))


@given(seeds, st.integers(0, 8))
@settings(max_examples=20, deadline=None)
def test_the_bound_is_the_loss_of_the_components(seed, code_size):
    x = data(seed)
    found = pca(x)
    loss = 0.5 * (x - found.reconstruct(x, code_size)).square().sum() / len(x)
    assert loss.item() == pytest.approx(
        linear_bound(found.eigenvalues, code_size), rel=1e-8, abs=1e-8
    )


@given(seeds, st.integers(1, 7))
@settings(max_examples=20, deadline=None)
def test_no_linear_code_is_below_the_bound(seed, code_size):
    x = data(seed)
    found = pca(x)
    centred = x - found.mean
    decoder = randn(8, code_size, seed=seed + 2)
    loss = (
        0.5 * (centred - centred @ torch.linalg.pinv(decoder).T @ decoder.T).square().sum() / len(x)
    )
    assert loss >= linear_bound(found.eigenvalues, code_size) - 1e-9


def test_reconstructions_keep_shape_and_type():
    x = torch.rand(30, 1, 4, 4)
    rebuilt = pca(x).reconstruct(x, 16)
    assert rebuilt.dtype == torch.float32
    torch.testing.assert_close(rebuilt, x)


def test_the_bound_by_hand():
    eigenvalues = torch.tensor([5.0, 3.0, 1.0])
    assert [linear_bound(eigenvalues, k) for k in range(4)] == [4.5, 2.0, 0.5, 0.0]
    for code_size in (-1, 4):
        with pytest.raises(ValueError, match=f"code_size must be between 0 and 3, got {code_size}"):
            linear_bound(eigenvalues, code_size)


@given(seeds, st.integers(1, 8), st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_angles_are_scipys(seed, k, m):
    """To what SciPy's are worth: for shared directions it may return 2e-6 in place of 0."""
    a, b = randn(9, max(k, m), seed=seed), randn(9, min(k, m), seed=seed + 1)
    theirs = np.rad2deg(scipy.linalg.subspace_angles(a.numpy(), b.numpy()))[::-1]
    np.testing.assert_allclose(principal_angles(a, b), theirs, atol=1e-5)


@given(seeds, st.floats(-12, 0))
@settings(max_examples=50, deadline=None)
def test_small_angles_keep_their_digits(seed, exponent):
    """Two planes in four dimensions that share a line and are tilted by a known angle."""
    angle = torch.tensor(10.0**exponent, dtype=torch.float64)
    frame = torch.linalg.qr(randn(5, 5, seed=seed)).Q
    tilted = torch.cos(angle) * frame[:, 1] + torch.sin(angle) * frame[:, 2]
    a, b = frame[:, :2], torch.stack([frame[:, 0], tilted], dim=1)
    angles = principal_angles(a, b @ randn(2, 2, seed=seed + 1))
    assert angles[0] < 1e-5
    assert angles[1].item() == pytest.approx(angle.rad2deg().item(), rel=1e-3, abs=1e-12)


def test_angles_by_hand():
    x, y, z = torch.eye(3)
    assert principal_angles(x[:, None], (x + y)[:, None]).tolist() == pytest.approx([45])
    assert principal_angles(x[:, None], z[:, None]).tolist() == pytest.approx([90])
    assert principal_angles(
        torch.stack([x, y], 1), torch.stack([x + y, z], 1)
    ).tolist() == pytest.approx([0, 90])
    assert principal_angles(torch.stack([x, y], 1), torch.stack([2 * x, x - y], 1)).max() < 1e-12


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="L at most K"):
        principal_angles(torch.rand(5, 2), torch.rand(5, 3))
    with pytest.raises(ValueError, match="L at most K"):
        principal_angles(torch.rand(5, 2), torch.rand(4, 2))
    with pytest.raises(ValueError, match="columns of b are linearly dependent: they span no 2-d"):
        principal_angles(torch.rand(5, 2), torch.ones(5, 2))
    with pytest.raises(ValueError, match="a must be"):
        principal_angles(torch.rand(2, 5), torch.rand(2, 2))


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_a_linear_map_is_scikit_learns_regression(seed):
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import r2_score

    x, y = data(seed, 60, 5), randn(60, 3, seed=seed + 7)
    y = y + x @ randn(5, 3, seed=seed + 8)
    ours, theirs = fit_linear(x[:40], y[:40]), LinearRegression().fit(x[:40].numpy(), y[:40].numpy())
    np.testing.assert_allclose(ours.predict(x[40:]), theirs.predict(x[40:].numpy()), atol=1e-9)
    expected = r2_score(y[40:].numpy(), theirs.predict(x[40:].numpy()), multioutput="variance_weighted")
    assert abs(ours.r2(x[40:], y[40:]) - expected) < 1e-10


def test_a_linear_map_reads_sequences_and_columns_that_depend_on_each_other():
    x = randn(20, 6, 4)
    x = torch.cat([x, x[..., :1] + x[..., 1:2]], -1)  # the last column says nothing new
    y = x[..., :2] * 3 - 1
    found = fit_linear(x, y)
    assert found.predict(x).shape == (20, 6, 2) and found.r2(x, y) == pytest.approx(1, abs=1e-12)
    noise = randn(20, 6, 2, seed=5)
    assert found.r2(x, noise) < 0
    with pytest.raises(ValueError, match="it has no variance"):
        found.r2(x, torch.ones(20, 6, 2))
    with pytest.raises(ValueError, match="one length above 6, .* got 6 and 6"):
        fit_linear(x[0], y[0])
