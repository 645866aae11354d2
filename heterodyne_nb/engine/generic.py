"""Products for models without curves: NumPy, row by row, derivatives by central differences."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine.losses import get_loss
from heterodyne_nb.engine.pixels import block_edges
from heterodyne_nb.engine.problem import Problem

if TYPE_CHECKING:
    from heterodyne_nb.engine.tiles import Weighting

FloatArray = NDArray[np.float64]


def difference_step(problem: Problem, theta: FloatArray, i: int) -> float:
    """Step of a central difference, small against the parameter and its range."""
    width = problem.table.upper[i] - problem.table.lower[i]
    return float(6e-6 * max(abs(theta[i]), 1e-4 * min(width, 1e6), 1e-12))


def z_rows(
    problem: Problem, theta: FloatArray, wanted: NDArray[np.int64], b: int, j0: int, j1: int
) -> FloatArray:
    """z = (derivatives, M, 1, data) of bin b for rows t2 in [j0, j1) and all t1 < j1, (P+3, j1-j0, j1)."""
    t2, t1 = problem.t[j0:j1, None], problem.t[None, :j1]

    def correlation(values: FloatArray) -> FloatArray:
        m = problem.model.correlation(values, t1, t2, q=problem.q[b], phi=problem.phi[b], gap=problem.gap)
        return np.broadcast_to(np.asarray(m, float), (j1 - j0, j1))

    rows = []
    for i in wanted:
        h = np.zeros_like(theta)
        h[i] = difference_step(problem, theta, int(i))
        rows.append((correlation(theta + h) - correlation(theta - h)) / (2 * h[i]))
    data = problem.data[b, j0:j1, :j1].astype(float)
    return np.stack([*rows, correlation(theta), np.ones_like(data), data])


def used_rows(problem: Problem, b: int, j0: int, j1: int) -> FloatArray:
    """1 for the used pixels t1 < t2 of these rows, (j1-j0, j1)."""
    used = problem.mask[b, j0:j1, None] * problem.mask[b, None, :j1]
    used *= np.arange(j1)[None, :] < np.arange(j0, j1)[:, None]
    return used * (problem.data[b, j0:j1, :j1] != 0.0)


def generic_tiles(
    problem: Problem, theta: FloatArray, wanted: NDArray[np.int64], clusters: int, weighting: Weighting
) -> tuple[FloatArray, FloatArray]:
    """See :func:`heterodyne_nb.engine.tiles.tile_products_at`."""
    loss = get_loss(weighting.loss)
    loss = loss if loss.name == "linear" else replace(loss, tuning=weighting.tuning)
    n = len(problem.t)
    edges, cluster = block_edges(n, min(clusters, n))
    count, size = int(cluster[-1]) + 1, len(wanted) + 3
    out = np.zeros((problem.n_bins, count * (count + 1) // 2, size, size))
    rho = np.zeros(out.shape[:2])
    for b in range(problem.n_bins):
        scale = problem.sigma[b] * weighting.scale
        for j0, j1, k2 in zip(edges[:-1], edges[1:], cluster, strict=True):
            z = z_rows(problem, theta, wanted, b, j0, j1)
            used = used_rows(problem, b, j0, j1)
            residual = (z[-1] - weighting.offset[b] - weighting.contrast[b] * z[-3]) / scale
            value, weight = loss.rho(residual**2), loss.weight(residual)
            for i0, i1, k1 in zip(edges[:-1], edges[1:], cluster, strict=True):
                if i0 >= j1:
                    break
                inside = np.s_[:, i0 : min(i1, j1)]
                tile = k2 * (k2 + 1) // 2 + k1
                factor = (used * weight)[inside].ravel()
                chosen = z[:, :, i0 : min(i1, j1)].reshape(size, -1)
                out[b, tile] += (chosen * factor) @ chosen.T
                rho[b, tile] += float((used * value)[inside].sum())
    return out, rho * weighting.scale**2
