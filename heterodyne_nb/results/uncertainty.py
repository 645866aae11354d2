"""Parameter errors that respect correlated pixels.

Pixels (t1, t2) of a two-time map share frames with thousands of others, so (JᵀJ)⁻¹ understates errors. The
covariance here is the dyadic cluster-robust one: frames are cut into clusters, a tile (k1, k2) is a dyad, and scores
of tiles that share a cluster are taken as correlated (Aronow, Samii & Assenova 2015; Cameron & Miller 2014):

    V = A⁻¹ [ sum_k S_k S_kᵀ - sum_{k1 < k2} s_{k1 k2} s_{k1 k2}ᵀ ] A⁻¹,   S_k = sum of the scores of tiles with k.

Bins are separate sets of speckles and count as independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine import NormalEquations, Objective, RobustObjective, Weighting, tile_products_at

FloatArray = NDArray[np.float64]

#: Clusters of frames; each should be longer than the noise stays correlated.
CLUSTERS = 12
#: Directions with a relative eigenvalue below this hold no information.
_NULL = 1e-11
#: So does a coordinate whose curvature is below this, relative to the largest.
_NOTHING = 1e-24


@dataclass(frozen=True)
class Covariance:
    """Covariance of the published parameters and what could not be estimated.

    Attributes
    ----------
    covariance : (p, p)
        Dyadic cluster-robust.
    naive : (p, p)
        (JᵀJ)⁻¹ with the residual variance, for comparison.
    at_bound : (p,) bool
        Parameters that rest on a bound; they count as fixed.
    hessian : (p, p)
        Gauss-Newton matrix of χ² by all varying published parameters.
    """

    covariance: FloatArray
    naive: FloatArray
    at_bound: NDArray[np.bool_]
    hessian: FloatArray


def tile_scores(
    objective: Objective, theta: FloatArray, local: NormalEquations, clusters: int
) -> tuple[FloatArray, FloatArray]:
    """Scores (B, T, n + m) of every tile and the joint Gauss-Newton matrix (n + m, n + m).

    The n internal coordinates come first, then the m coefficients of contrast and offset; signs and factors are
    those of χ²/2.
    """
    problem, wanted = objective.problem, objective.moving
    weighting = Weighting(local.contrast, local.offset)
    if isinstance(objective, RobustObjective):
        weighting = Weighting(
            local.contrast, local.offset, objective.loss.name, objective.loss.tuning, objective.scale
        )
    products, _ = tile_products_at(problem, theta, wanted, clusters, weighting)
    products = products / problem.sigma[:, None, None, None] ** 2
    inner = np.stack([local.contrast, local.offset, -np.ones(problem.n_bins)], axis=1)
    against = np.einsum("btij,bj->bti", products[:, :, :, -3:], inner)
    jacobian = objective.coordinates.jacobian(theta)[wanted]
    by_theta = local.contrast[:, None, None] * against[:, :, : len(wanted)] @ jacobian
    by_linear = np.einsum("bti,bia->bta", against[:, :, -3:-1], objective.design)
    total = products.sum(axis=1)
    outer = _joint_map(jacobian, local.contrast, objective.design)
    matrix = np.einsum("bia,bij,bjc->ac", outer, total[:, :-1, :-1], outer)
    if isinstance(objective, RobustObjective):
        matrix *= objective.slope_ratio(theta, local.contrast, local.offset)
    return np.concatenate([by_theta, by_linear], axis=2), matrix


def _joint_map(jacobian: FloatArray, contrast: FloatArray, design: FloatArray) -> FloatArray:
    """d(residual) = z · map: (B, P + 2, n + m)."""
    bins, (wanted, n), m = len(contrast), jacobian.shape, design.shape[2]
    out = np.zeros((bins, wanted + 2, n + m))
    out[:, :wanted, :n] = contrast[:, None, None] * jacobian
    out[:, wanted:, n:] = design
    return out


def dyadic_meat(scores: FloatArray) -> FloatArray:
    """Sum over bins of the dyadic cluster sums of scores (B, T, k), T = c (c + 1) / 2; positive semidefinite."""
    tiles = scores.shape[1]
    clusters = int((np.sqrt(8 * tiles + 1) - 1) / 2)
    late, early = np.tril_indices(clusters)
    meat = np.zeros((scores.shape[2], scores.shape[2]))
    for s in scores:
        for k in range(clusters):
            own = s[(late == k) | (early == k)].sum(axis=0)
            meat += np.outer(own, own)
        off = s[late != early]
        meat -= off.T @ off
    meat *= clusters / (clusters - 1)
    values, vectors = np.linalg.eigh(meat)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def estimate_covariance(objective: Objective, theta: FloatArray, *, clusters: int = CLUSTERS) -> Covariance:
    """Covariance of a fit's published parameters at its optimum.

    Parameters
    ----------
    objective : Objective
    theta : (p,)
        The optimum, published.
    clusters : int
        Clusters of frames.
    """
    local = objective.equations(theta)
    clusters = max(2, min(clusters, len(objective.problem.t) // 4))
    scores, matrix = tile_scores(objective, theta, local, clusters)
    n = objective.coordinates.size
    jacobian = objective.coordinates.jacobian(theta)
    matrix[:n, :n] += _prior_curvature(objective, jacobian)
    z, (lower, upper) = objective.to_internal(theta), objective.internal_bounds(theta)
    resting = (z - lower < 1e-6) | (upper - z < 1e-6)
    keep = np.concatenate([~resting, np.ones(matrix.shape[0] - n, bool)])
    inverse = np.zeros_like(matrix)
    inverse[np.ix_(keep, keep)] = _pseudo_inverse(matrix[np.ix_(keep, keep)])
    dyadic = inverse @ dyadic_meat(scores) @ inverse
    naive = inverse * objective.reduced(local.chi2)
    every = np.flatnonzero(objective.problem.table.vary)
    at_bound = _on_a_bound(objective, theta)
    for k in np.flatnonzero(resting):
        at_bound[list(objective.coordinates.sets[k])] = True
    return Covariance(
        jacobian @ dyadic[:n, :n] @ jacobian.T,
        jacobian @ naive[:n, :n] @ jacobian.T,
        at_bound,
        objective.equations(theta, wanted=every).hessian,
    )


def _on_a_bound(objective: Objective, theta: FloatArray) -> NDArray[np.bool_]:
    """Fitted parameters that rest on a published bound."""
    near = 1e-9 * np.abs(theta)
    out = np.zeros(len(theta), bool)
    fitted = objective.coordinates.order
    lower, upper = objective.bounds.T
    out[fitted] = ((theta - lower <= near) | (upper - theta <= near))[fitted]
    return out


def _prior_curvature(objective: Objective, jacobian: FloatArray) -> FloatArray:
    table = objective.problem.table
    curvature = [0.0 if prior is None else 1.0 / prior[1] ** 2 for prior in table.prior]
    return jacobian.T @ (np.array(curvature)[:, None] * jacobian)


def _pseudo_inverse(matrix: FloatArray) -> FloatArray:
    """Inverse on the directions that carry information, columns scaled first."""
    diagonal = np.diag(matrix)
    known = diagonal > _NOTHING * np.max(diagonal, initial=0.0)
    scale = np.sqrt(np.where(known, diagonal, np.inf))
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    good = values > _NULL * np.max(values, initial=0.0)
    inverse = (vectors[:, good] / values[good]) @ vectors[:, good].T
    return inverse / np.outer(scale, scale)
