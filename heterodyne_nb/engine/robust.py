"""The objective of a fit with a robust loss: sum of rho over pixels, weights in the same pass."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine.generic import used_rows, z_rows
from heterodyne_nb.engine.losses import get_loss, robust_scale
from heterodyne_nb.engine.objective import Objective
from heterodyne_nb.engine.problem import Problem
from heterodyne_nb.engine.tiles import Weighting, tile_products_at

FloatArray = NDArray[np.float64]
_ROWS = 64
_NONE = np.zeros(0, np.int64)
_STEP = 1e-4


def residual_scale(problem: Problem, theta: FloatArray, contrast: FloatArray, offset: FloatArray) -> float:
    """Robust scale (normalised MAD) of all residuals in units of sigma, at given contrast and offset (B,)."""
    medians = [
        robust_scale(np.concatenate(list(_residuals(problem, theta, b, contrast[b], offset[b]))))
        for b in range(problem.n_bins)
    ]
    return float(np.median(medians))


def _residuals(
    problem: Problem, theta: FloatArray, b: int, contrast: float, offset: float
) -> Iterator[FloatArray]:
    """Residuals of one bin in units of sigma, some rows at a time."""
    for j0 in range(0, len(problem.t), _ROWS):
        j1 = min(j0 + _ROWS, len(problem.t))
        z = z_rows(problem, theta, _NONE, b, j0, j1)
        used = used_rows(problem, b, j0, j1) > 0
        yield (z[-1] - offset - contrast * z[-3])[used] / problem.sigma[b]


class RobustObjective(Objective):
    """Sum of a robust loss over pixels, minimised over contrast and offset by reweighting.

    Parameters
    ----------
    problem, contrast
        See :class:`Objective`.
    loss : {"huber", "soft_l1", "cauchy", "tukey"}
    scale : float
        Scale of the residuals in units of sigma; see :func:`residual_scale`.
    start : (contrast, offset), each (B,)
        Where the reweighting starts, at every point alike, so that the objective is a function of theta.
    """

    #: Most reweighting rounds at one point, and the relative change of the loss at which they end.
    ROUNDS, TOLERANCE = 30, 1e-10

    def __init__(
        self,
        problem: Problem,
        *,
        loss: str,
        scale: float,
        start: tuple[FloatArray, FloatArray],
        contrast: str = "per_bin",
    ) -> None:
        super().__init__(problem, contrast=contrast)
        self.loss, self.scale, self.start = get_loss(loss), scale, start

    def slope_ratio(self, theta: FloatArray, contrast: FloatArray, offset: FloatArray) -> float:
        """Mean slope of psi(u) = weight(u) u over the mean weight, at given contrast and offset (B,).

        The weighted normal matrix times this is the curvature of the loss (Huber & Ronchetti, ch. 7): beyond
        its tuning constant a loss is flatter than its weights, and errors are larger than they say.
        """
        slope = weight = 0.0
        for b in range(self.problem.n_bins):
            for r in _residuals(self.problem, theta, b, contrast[b], offset[b]):
                u = r / self.scale
                above, below = u + _STEP, u - _STEP
                psi = self.loss.weight(above) * above - self.loss.weight(below) * below
                slope += float(psi.sum()) / (2 * _STEP)
                weight += float(self.loss.weight(u).sum())
        return max(slope, 0.1 * weight) / weight

    def weighted_products(self, theta: FloatArray, wanted: NDArray[np.int64]) -> FloatArray:
        """Products with the weights of the converged residuals.

        The data's square is replaced so that χ² of the products is the loss itself.
        """
        weighting = self._reweighted(theta)
        inverse = 1.0 / self.problem.sigma[:, None, None] ** 2
        products, rho = tile_products_at(self.problem, theta, wanted, 1, weighting)
        out = products[:, 0] * inverse
        inner = np.stack([weighting.contrast, weighting.offset, -np.ones(len(rho))], axis=1)
        quadratic = np.einsum("bi,bij,bj->b", inner, out[:, -3:, -3:], inner)
        out[:, -1, -1] += rho[:, 0] - quadratic
        return out

    def _reweighted(self, theta: FloatArray) -> Weighting:
        contrast, offset = self.start
        before = np.inf
        inverse = 1.0 / self.problem.sigma[:, None, None] ** 2
        for _ in range(self.ROUNDS):
            weighting = Weighting(contrast, offset, self.loss.name, self.loss.tuning, self.scale)
            products, rho = tile_products_at(self.problem, theta, _NONE, 1, weighting)
            total = float(rho.sum())
            if before - total <= self.TOLERANCE * total:
                return weighting
            before = total
            best = self.linear.solve(products[:, 0] * inverse)
            contrast, offset = best.contrast, best.offset
        return weighting
