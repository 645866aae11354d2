"""Products over pixels -> χ², gradient and Gauss-Newton matrix, with contrast and offset eliminated, and priors added.

c2 = offset_b + contrast_b M. Contrast and offset enter linearly, so for given M their best values come from a small
problem of their own (:mod:`contrast`) and the derivatives by the other parameters are those at that solution (variable
projection, Golub & Pereyra 1973); eliminating them from the joint Gauss-Newton matrix is a Schur complement.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.engine.contrast import ContrastOffset
from heterodyne_nb.models.parameters import ParameterTable


@dataclass(frozen=True)
class NormalEquations:
    """Local quadratic model of χ² after contrast and offset are eliminated."""

    chi2: float  #: Weighted sum of squares at the point (with priors, if any).
    gradient: FloatArray  #: (n,): Gradient of chi2.
    hessian: FloatArray  #: (n, n): Gauss-Newton matrix of chi2 (twice JᵀJ).
    #: contrast, offset (B,): Best values per bin.
    contrast: FloatArray
    offset: FloatArray
    chi2_bin: FloatArray  #: (B,): Contribution of each bin.

    def among(self, count: int, wanted: IntArray) -> NormalEquations:
        """By ``count`` parameters, 0 for those that are not among the ``wanted`` ones of these equations."""
        gradient, hessian = np.zeros(count), np.zeros((count, count))
        gradient[wanted], hessian[np.ix_(wanted, wanted)] = self.gradient, self.hessian
        return replace(self, gradient=gradient, hessian=hessian)

    def by(self, jacobian: FloatArray) -> NormalEquations:
        """By other coordinates, given the derivatives (n, m) of the present ones by these."""
        return replace(
            self, gradient=jacobian.T @ self.gradient, hessian=jacobian.T @ self.hessian @ jacobian
        )


def normal_equations(products: FloatArray, linear: ContrastOffset, *, added: int = 0) -> NormalEquations:
    """χ², gradient and Gauss-Newton matrix from products divided by sigma².

    ``products``: Sums of z zᵀ/sigma² over pixels, z = (derivatives, M, 1, data). ``linear``: A contrast or offset on
    its limit counts as fixed. ``added``: So many derivatives, the last ones, are of c2 itself; those before are of M
    and count times the contrast.
    """
    best = linear.solve(products)
    inner, factor = best.inner, np.repeat(best.contrast[:, None], products.shape[1] - 3, axis=1)
    factor[:, factor.shape[1] - added :] = 1.0
    chi2_bin = np.maximum(np.einsum("bi,bij,bj->b", inner, products[:, -3:, -3:], inner), 0.0)
    slopes = np.einsum("bp,bpj,bj->p", factor, products[:, :-3, -3:], inner)
    square = np.einsum("bp,bq,bpq->pq", factor, factor, products[:, :-3, :-3])
    cross = np.einsum("bp,bpi,bia->pa", factor, products[:, :-3, -3:-1], linear.design)
    reduced = square - cross @ best.share(cross)
    return NormalEquations(
        float(chi2_bin.sum()) + best.penalty,
        2.0 * slopes,
        reduced + reduced.T,
        best.contrast,
        best.offset,
        chi2_bin,
    )


class Priors:
    """Gaussian priors of published parameters: each counts as one more measurement.

    Attributes: ``index`` (k,): Parameters that have one. ``mean``, ``width`` (k,).
    """

    def __init__(self, table: ParameterTable) -> None:
        self.index = np.array([i for i, prior in enumerate(table.prior) if prior is not None], np.int64)
        self.mean, self.width = np.array([table.prior[i] for i in self.index], float).reshape(-1, 2).T

    def added(
        self,
        local: NormalEquations,
        theta: FloatArray,
        wanted: IntArray | None = None,
        means: FloatArray | None = None,
    ) -> NormalEquations:
        """Equations with the priors in them.

        ``theta`` (p,). ``wanted`` (P,): Parameters that the first rows of the equations stand for; default all in
        order. ``means`` (k,): Centres of the priors, instead of their own.
        """
        if not self.index.size:
            return local
        pull = (theta[self.index] - (self.mean if means is None else means)) / self.width
        known, rows = np.nonzero(self.index[:, None] == (np.arange(len(theta)) if wanted is None else wanted))
        gradient, hessian = local.gradient.copy(), local.hessian.copy()
        gradient[rows] += (2 * pull / self.width)[known]
        hessian[rows, rows] += (2 / self.width**2)[known]
        return replace(local, chi2=local.chi2 + float(np.sum(pull**2)), gradient=gradient, hessian=hessian)

    def penalty(self, theta: FloatArray) -> float:
        """What they add to χ² at a point (p,)."""
        return float(np.sum(((theta[self.index] - self.mean) / self.width) ** 2))

    def curvature(self, jacobian: FloatArray) -> FloatArray:
        """Their part (n, n) of the matrix of χ²/2 by coordinates, d(parameters)/d(coordinates) (p, n) given."""
        weight = np.zeros(len(jacobian))
        weight[self.index] = 1.0 / self.width**2
        return jacobian.T @ (weight[:, None] * jacobian)
