"""Sums over tiles that share frames: the middle of the dyadic cluster-robust covariance, corrected for the fit.

A fit bends towards the noise, so its residuals, and with them the scores of the tiles, are smaller than the noise
was. With H the leverage of a cluster (its share of the Gauss-Newton matrix, whitened by the whole), (I - H)⁻¹ takes
that back; it is what leaving the cluster out would give (the CR3 of MacKinnon, Nielsen & Webb 2023). The root of it
(CR2) would do for independent clusters; those here follow each other in time, and bands of a single component then
held the truth in 86 % of experiments (tests/benchmarks/coverage_study.py). A cluster is the tiles of one bin that
hold a block of frames; a tile off the diagonal belongs to two, so its own square is subtracted once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Least share of a cluster's information that the rest must hold: where it holds none, nothing can be corrected.
_LEAST_LEFT = 1e-3


def cluster_count(tiles: int) -> int:
    """Number c of clusters of frames from the number c (c + 1) / 2 of tiles."""
    return round((np.sqrt(8 * tiles + 1) - 1) / 2)


def membership(clusters: int) -> FloatArray:
    """Which tile holds which cluster, (c, T), 1 or 0; tile of clusters (late >= early) is late (late + 1) / 2 + early."""
    late, early = np.tril_indices(clusters)
    k = np.arange(clusters)[:, None]
    return ((late == k) | (early == k)).astype(float)


def dyadic_sum(scores: FloatArray) -> FloatArray:
    """Sum (k, k) of the products of scores (B, T, k) of all pairs of tiles of a bin that share a cluster of frames.

    Its expectation is the variance of the total score; where clusters are few, directions of negative variance are
    possible.
    """
    clusters = cluster_count(scores.shape[1])
    late, early = np.tril_indices(clusters)
    own = np.einsum("kt,bti->bki", membership(clusters), scores).reshape(-1, scores.shape[2])
    off = scores[:, late != early].reshape(-1, scores.shape[2])
    return np.asarray(own.T @ own - off.T @ off)


def dyadic_meat(scores: FloatArray) -> FloatArray:
    """The dyadic sum of scores (B, T, k), T = c (c + 1) / 2, made positive semidefinite.

    Of scores as they are, with c / (c - 1) for few clusters, not corrected for what the fit took up.
    """
    clusters = cluster_count(scores.shape[1])
    values, vectors = np.linalg.eigh(clusters / (clusters - 1) * dyadic_sum(scores))
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


def corrected_meat(scores: FloatArray, leverage: FloatArray) -> FloatArray:
    """Variance of the sum of one bin's tile scores when tiles that share frames are correlated.

    Parameters
    ----------
    scores : (T, k)
        Scores of the tiles in coordinates in which the inverse Gauss-Newton matrix is the unit matrix.
    leverage : (T, k, k)
        Gauss-Newton matrix of each tile in the same coordinates; the sum over all bins is the unit matrix.

    Returns
    -------
    (k, k)
        Symmetric; directions of negative variance are possible where there are few clusters.
    """
    clusters = cluster_count(len(scores))
    member = membership(clusters)
    own = _undo_fit(member @ scores, np.einsum("kt,tij->kij", member, leverage))
    late, early = np.tril_indices(clusters)
    off = _undo_fit(scores[late != early], leverage[late != early])
    return own.T @ own - off.T @ off


def independent_meat(scores: FloatArray) -> FloatArray:
    """Variance (k, k) of the sum of one bin's scores (G, k) when its clusters, of neighbouring pixels, are independent."""
    apart = scores - scores.mean(axis=0)
    return np.asarray(len(scores) / (len(scores) - 1.0) * apart.T @ apart)


def independent_freedom(shares: FloatArray) -> FloatArray:
    """Degrees of freedom (m,) of such a variance: G - 1 of each bin, pooled after Satterthwaite; shares as below."""
    by_bin = shares.sum(axis=1)
    return (shares.shape[1] - 1.0) * _ratio(by_bin.sum(axis=0) ** 2, (by_bin**2).sum(axis=0))


def _undo_fit(scores: FloatArray, leverage: FloatArray) -> FloatArray:
    """(I - H)⁻¹ s of every cluster or tile."""
    values, vectors = np.linalg.eigh(leverage)
    left = np.maximum(1.0 - values, _LEAST_LEFT)
    turned = np.einsum("kij,ki->kj", vectors, scores) / left
    return np.einsum("kij,kj->ki", vectors, turned)


def degrees_of_freedom(shares: FloatArray) -> FloatArray:
    """Degrees of freedom of a dyadic variance, Satterthwaite's (Bell & McCaffrey 2002) for noise of two kinds.

    With h the variance that noise in each tile gives the quantity: (sum h)² / sum h h' over pairs of tiles of a bin
    that share frames if the noise of tiles is independent, (sum g)² / sum g² with g = sum h of a cluster if the sums
    of clusters are, their noise being that of frames. Speckle has some of either; returned is the geometric mean.

    Parameters
    ----------
    shares : (B, T, m)
        h of m quantities.

    Returns
    -------
    (m,)
        At least 1.
    """
    member = membership(cluster_count(shares.shape[1]))
    related = (member.T @ member > 0).astype(float)
    pairs = np.einsum("btm,tu,bum->m", shares, related, shares, optimize=True)
    of_clusters = np.einsum("kt,btm->bkm", member, shares)
    white = _ratio(shares.sum(axis=(0, 1)) ** 2, pairs)
    common = _ratio(of_clusters.sum(axis=(0, 1)) ** 2, (of_clusters**2).sum(axis=(0, 1)))
    return np.sqrt(white * common)


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """A quotient of at least 1; 1 where nothing is below."""
    return np.maximum(np.divide(above, below, out=np.ones_like(above), where=below > 0), 1.0)
