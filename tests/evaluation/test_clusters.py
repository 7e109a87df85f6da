"""Clusters: what k-means finds, and what they say of phones, by scikit-learn's measure and by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from pretrain_lib.evaluation.clusters import cluster_purity, k_means, phone_information, phone_purity

FRAMES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=60)


@given(FRAMES)
@settings(max_examples=100, deadline=None)
def test_the_information_is_scikit_learns_over_the_entropy(pairs):
    clusters, phones = (torch.tensor(column) for column in zip(*pairs))
    entropy = mutual_info_score(phones, phones)
    expected = mutual_info_score(phones, clusters) / entropy if entropy > 1e-12 else 0.0
    assert phone_information(clusters, phones) == pytest.approx(expected, abs=1e-9)


@given(FRAMES)
@settings(max_examples=100, deadline=None)
def test_purities_are_those_of_their_definition(pairs):
    clusters, phones = (np.array(column) for column in zip(*pairs))
    commonest = sum(np.bincount(phones[clusters == c]).max() for c in set(clusters))
    assert phone_purity(torch.tensor(clusters), torch.tensor(phones)) == pytest.approx(commonest / len(pairs))
    commonest = sum(np.bincount(clusters[phones == p]).max() for p in set(phones))
    assert cluster_purity(torch.tensor(clusters), torch.tensor(phones)) == pytest.approx(commonest / len(pairs))


def test_their_ends():
    phones = torch.tensor([0, 0, 1, 1, 2, 2])
    one, each = torch.zeros(6, dtype=torch.long), torch.arange(6)
    assert phone_information(phones, phones) == pytest.approx(1) and phone_information(one, phones) == pytest.approx(0)
    assert phone_purity(one, phones) == pytest.approx(1 / 3) and phone_purity(each, phones) == 1 == cluster_purity(one, phones)
    assert phone_information(each, one) == 0.0  # nothing is to be known


def test_k_means_finds_what_lies_apart_and_the_same_again():
    generator = torch.Generator().manual_seed(0)
    where = torch.randint(0, 5, (500,), generator=generator)
    vectors = 10 * torch.eye(5, 7)[where] + torch.randn(500, 7, generator=generator)
    clusters = k_means(vectors, 5, seed=1)
    found = clusters.nearest(vectors)
    assert clusters.centres.shape == (5, 7) and phone_information(found, where) == pytest.approx(1)
    assert torch.equal(k_means(vectors, 5, seed=1).centres, clusters.centres)
    assert torch.equal(clusters.nearest(vectors.view(50, 10, 7), rows=33), found.view(50, 10))
    assert torch.equal(torch.cdist(vectors, clusters.centres).argmin(1), found)


@pytest.mark.parametrize("clusters, phones, said", [
    ([0, 1], [0], r"clusters and phones must be \(N,\), one of each for a frame, got \(2,\) and \(1,\)"),
    ([], [], r"must be \(N,\), one of each for a frame"),
    ([0, 1], [0, -100], "must be at least 0: leave out frames without a phone"),
])
def test_what_does_not_belong_together_is_refused(clusters, phones, said):
    with pytest.raises(ValueError, match=said):
        phone_purity(torch.tensor(clusters), torch.tensor(phones))


def test_more_clusters_than_vectors_are_refused():
    with pytest.raises(ValueError, match="number must be between 1 and 3, as many as there are vectors, got 4"):
        k_means(torch.randn(3, 2), 4)
