"""Products of any objective block by block: of frames, or of lags, with the weights of its robust loss."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine.objective import Objective
from heterodyne_nb.engine.one_time import OneTimeObjective
from heterodyne_nb.engine.problem import Problem
from heterodyne_nb.engine.robust import RobustObjective
from heterodyne_nb.engine.tiles import Weighting, tile_products_at

FloatArray = NDArray[np.float64]


def block_count(objective: Objective, clusters: int) -> int:
    """Number of blocks of frames (of lags) that the data allow, at most ``clusters``."""
    one_time = isinstance(objective, OneTimeObjective)
    length = len(objective.problem.tau if one_time else objective.problem.t)
    return max(2, min(clusters, length // (2 if one_time else 4)))


def pixel_weights(objective: Objective, theta: FloatArray) -> Weighting | None:
    """Weights of the converged residuals of a robust loss at theta; None for plain least squares."""
    return objective._reweighted(theta) if isinstance(objective, RobustObjective) else None


def block_products(
    objective: Objective, theta: FloatArray, wanted: NDArray[np.int64], clusters: int
) -> FloatArray:
    """Sums of z zᵀ / sigma² over each tile of frames (each block of lags), (B, T, P+3, P+3).

    With a robust loss the pixels are weighted by the residuals at theta, and the data's square is replaced so that
    χ² of a tile, at the contrast and offset of all data, is its loss.
    """
    if isinstance(objective, OneTimeObjective):
        return _lag_blocks(objective, theta, wanted, clusters)
    weighting = pixel_weights(objective, theta)
    return weighted_tiles(objective.problem, theta, wanted, clusters, weighting)


def weighted_tiles(
    problem: Problem,
    theta: FloatArray,
    wanted: NDArray[np.int64],
    clusters: int,
    weighting: Weighting | None,
) -> FloatArray:
    """See :func:`block_products`; ``weighting`` given."""
    products, rho = tile_products_at(problem, theta, wanted, clusters, weighting)
    products = products / problem.sigma[:, None, None, None] ** 2
    if weighting is None:
        return products
    inner = np.stack([weighting.contrast, weighting.offset, -np.ones(len(rho))], axis=1)
    products[..., -1, -1] += rho - np.einsum("bi,btij,bj->bt", inner, products[..., -3:, -3:], inner)
    return products


def _lag_blocks(
    objective: OneTimeObjective, theta: FloatArray, wanted: NDArray[np.int64], clusters: int
) -> FloatArray:
    z, weight = objective.columns(theta, wanted), objective.problem.weight
    edges = np.rint(np.linspace(0, z.shape[2], clusters + 1)).astype(int)
    blocks = [
        (z[:, :, i:j] * weight[:, None, i:j]) @ z[:, :, i:j].transpose(0, 2, 1) for i, j in pairwise(edges)
    ]
    return np.stack(blocks, axis=1)


def prior_terms(table: Any, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """χ², gradient (p,) and matrix (p, p) of the Gaussian priors at a published vector."""
    p, chi2 = len(theta), 0.0
    gradient, hessian = np.zeros(p), np.zeros((p, p))
    for i, prior in enumerate(table.prior):
        if prior is not None:
            pull = (theta[i] - prior[0]) / prior[1]
            chi2 += pull**2
            gradient[i], hessian[i, i] = 2 * pull / prior[1], 2 / prior[1] ** 2
    return float(chi2), gradient, hessian
