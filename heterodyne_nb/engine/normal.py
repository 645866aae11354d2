"""Products over pixels -> χ², gradient and Gauss-Newton matrix, with contrast and offset eliminated.

c2 = offset_b + contrast_b M. Contrast and offset enter linearly, so for given M their best values come from a small
problem of their own (:mod:`contrast`) and the derivatives by the other parameters are those at that solution (variable
projection, Golub & Pereyra 1973); eliminating them from the joint Gauss-Newton matrix is a Schur complement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine.contrast import ContrastOffset

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class NormalEquations:
    """Local quadratic model of χ² after contrast and offset are eliminated.

    Attributes
    ----------
    chi2 : float
        Weighted sum of squares at the point (with priors, if any).
    gradient : (n,)
        Gradient of chi2.
    hessian : (n, n)
        Gauss-Newton matrix of chi2 (twice JᵀJ).
    contrast, offset : (B,)
        Best values per bin.
    chi2_bin : (B,)
        Contribution of each bin.
    """

    chi2: float
    gradient: FloatArray
    hessian: FloatArray
    contrast: FloatArray
    offset: FloatArray
    chi2_bin: FloatArray


def normal_equations(products: FloatArray, linear: ContrastOffset) -> NormalEquations:
    """χ², gradient and Gauss-Newton matrix by the wanted parameters, from products divided by sigma².

    Parameters
    ----------
    products : (B, P+3, P+3)
        Sums of z zᵀ/sigma² over pixels, z = (derivatives, M, 1, data).
    linear : ContrastOffset
        A contrast or offset on its limit counts as fixed.
    """
    best = linear.solve(products)
    contrast, inner = best.contrast, best.inner
    chi2_bin = np.einsum("bi,bij,bj->b", inner, products[:, -3:, -3:], inner)
    by_theta = np.einsum("b,bpj,bj->p", contrast, products[:, :-3, -3:], inner)
    theta = np.einsum("b,bpq->pq", contrast**2, products[:, :-3, :-3])
    cross = np.einsum("b,bpi,bia->pa", contrast, products[:, :-3, -3:-1], linear.design)
    reduced = theta - cross @ best.share(cross)
    chi2_bin = np.maximum(chi2_bin, 0.0)
    return NormalEquations(
        float(chi2_bin.sum()) + best.penalty,
        2.0 * by_theta,
        reduced + reduced.T,
        contrast,
        best.offset,
        chi2_bin,
    )
