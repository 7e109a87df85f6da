"""Clusters of frames, and how much they say of phones.

Hsu et al., "HuBERT: self-supervised speech representation learning by masked prediction of hidden
units", 2021, section IV-E: phone purity, cluster purity and phone-normalised mutual information.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Clusters(NamedTuple):
    """Centres of clusters.

    Attributes:
        centres: (K, D) float32.
    """

    centres: Tensor

    def nearest(self, vectors: Tensor, rows: int = 65_536) -> Tensor:
        """The cluster of each vector, (..., D) to (...) int64: whose centre is nearest.

        Args:
            vectors: what is sorted.
            rows: how many at once.
        """
        flat = vectors.flatten(0, -2).float()
        found = [torch.cdist(part, self.centres).argmin(1) for part in flat.split(rows)]
        return torch.cat(found).view(vectors.shape[:-1])


def k_means(vectors: Tensor, number: int, seed: int = 0) -> Clusters:
    """Clusters of vectors, by scikit-learn's k-means on batches, as HuBERT's (section IV-B).

    Args:
        vectors: (N, D).
        number: K, at most N.
        seed: the same seed finds the same clusters.

    Raises:
        ValueError: if there are fewer vectors than clusters.
    """
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    if not 1 <= number <= len(vectors):
        raise ValueError(f"number must be between 1 and {len(vectors)}, as many as there are "
                         f"vectors, got {number}")
    means = MiniBatchKMeans(number, random_state=seed, batch_size=4096, n_init=3)
    with threadpool_limits(1):
        means.fit(vectors.float().numpy())
    return Clusters(torch.from_numpy(means.cluster_centers_).float())


def joint_counts(clusters: Tensor, phones: Tensor) -> np.ndarray:
    """How often each phone and each cluster are a frame's, (phones, clusters).

    Args:
        clusters: (N,) of frames.
        phones: (N,) of the same frames.

    Raises:
        ValueError: if they are not as many, or there are none, or one is negative.
    """
    if clusters.shape != phones.shape or clusters.ndim != 1 or not len(clusters):
        raise ValueError("clusters and phones must be (N,), one of each for a frame, got "
                         f"{tuple(clusters.shape)} and {tuple(phones.shape)}")
    if clusters.min() < 0 or phones.min() < 0:
        raise ValueError("clusters and phones must be at least 0: leave out frames without a phone")
    counts = np.zeros((int(phones.max()) + 1, int(clusters.max()) + 1), dtype=np.int64)
    np.add.at(counts, (phones.numpy(), clusters.numpy()), 1)
    return counts


def phone_purity(clusters: Tensor, phones: Tensor) -> float:
    """The share of frames whose phone is the commonest of their cluster (equation 8).

    It never falls when a cluster is split, and is 1 with a cluster for each frame: compare it at
    the same number of clusters. Arguments are those of `evaluation.clusters.joint_counts`.
    """
    counts = joint_counts(clusters, phones)
    return float(counts.max(0).sum() / counts.sum())


def cluster_purity(clusters: Tensor, phones: Tensor) -> float:
    """The share of frames whose cluster is the commonest of their phone (equation 9).

    It is 1 with one cluster. Arguments are those of `evaluation.clusters.joint_counts`.
    """
    counts = joint_counts(clusters, phones)
    return float(counts.max(1).sum() / counts.sum())


def phone_information(clusters: Tensor, phones: Tensor) -> float:
    """PNMI, I(phone; cluster) / H(phone): how much of a phone its cluster tells (equation 10).

    Between 0 and 1; 0 where there is one phone only. Arguments are those of
    `evaluation.clusters.joint_counts`.
    """
    joint = joint_counts(clusters, phones) / len(phones)
    phone, cluster = joint.sum(1, keepdims=True), joint.sum(0, keepdims=True)
    if (phone > 0).sum() == 1:
        return 0.0
    there, known = joint > 0, phone > 0
    information = (joint[there] * np.log(joint[there] / (phone * cluster)[there])).sum()
    return float(information / -(phone[known] * np.log(phone[known])).sum())
