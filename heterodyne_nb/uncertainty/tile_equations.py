"""Scores and Gauss-Newton matrices of every tile of frames: what parameter errors are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine import NormalEquations, Objective, RobustObjective, Weighting, tile_products_at

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class TileEquations:
    """Scores and Gauss-Newton matrices of χ²/2, tile by tile, and the matrix of all.

    Attributes
    ----------
    scores : (B, T, n + m)
        By the n internal coordinates and the m coefficients of contrast and offset.
    inner : (B, T, P + 2, P + 2)
        Products of the derivatives by the P moving parameters, M and 1.
    outer : (B, P + 2, n + m)
        Derivatives of a bin's residual by the coordinates are ``z @ outer``.
    matrix : (n + m, n + m)
    scale : float
        What a robust loss multiplies the matrices with.
    """

    scores: FloatArray
    inner: FloatArray
    outer: FloatArray
    matrix: FloatArray
    scale: float = 1.0

    def of_bin(self, b: int) -> tuple[NDArray[np.int64], FloatArray]:
        """Coordinates that act on a bin (k,), and its tiles' matrices by these (T, k, k)."""
        acting = np.flatnonzero(np.any(self.outer[b] != 0, axis=0))
        outer = self.outer[b][:, acting]
        return acting, self.scale * (outer.T @ self.inner[b] @ outer)


def tile_scores(
    objective: Objective, theta: FloatArray, local: NormalEquations, clusters: int
) -> tuple[FloatArray, FloatArray]:
    """Scores (B, T, n + m) of every tile and the joint Gauss-Newton matrix (n + m, n + m).

    The n internal coordinates come first, then the m coefficients of contrast and offset; signs and factors are
    those of χ²/2.
    """
    equations = tile_equations(objective, theta, local, clusters)
    return equations.scores, equations.matrix


def tile_equations(
    objective: Objective, theta: FloatArray, local: NormalEquations, clusters: int
) -> TileEquations:
    """Everything the covariance is made of, at a published vector and its contrasts and offsets."""
    problem = objective.problem
    weighting, scale = Weighting(local.contrast, local.offset), 1.0
    if isinstance(objective, RobustObjective):
        weighting = Weighting(
            local.contrast, local.offset, objective.loss.name, objective.loss.tuning, objective.scale
        )
        scale = objective.slope_ratio(theta, local.contrast, local.offset)
    products, _ = tile_products_at(problem, theta, objective.moving, clusters, weighting)
    return equations_from_products(
        objective, theta, local, products / problem.sigma[:, None, None, None] ** 2, scale
    )


def equations_from_products(
    objective: Objective, theta: FloatArray, local: NormalEquations, products: FloatArray, scale: float
) -> TileEquations:
    """The same from weighted products (B, T, P + 3, P + 3) divided by sigma²."""
    residual = np.stack([local.contrast, local.offset, -np.ones(len(products))], axis=1)
    against = np.einsum("btij,bj->bti", products[:, :, :-1, -3:], residual)
    jacobian = objective.coordinates.jacobian(theta)[objective.moving]
    outer = _joint_map(jacobian, local.contrast, objective.linear.design)
    inner = products[:, :, :-1, :-1]
    matrix = scale * np.einsum("bia,bij,bjc->ac", outer, inner.sum(axis=1), outer, optimize=True)
    return TileEquations(against @ outer, inner, outer, matrix, scale)


def _joint_map(jacobian: FloatArray, contrast: FloatArray, design: FloatArray) -> FloatArray:
    """d(residual) = z · map: (B, P + 2, n + m)."""
    bins, (wanted, n), m = len(contrast), jacobian.shape, design.shape[2]
    out = np.zeros((bins, wanted + 2, n + m))
    out[:, :wanted, :n] = contrast[:, None, None] * jacobian
    out[:, wanted:, n:] = design
    return out
