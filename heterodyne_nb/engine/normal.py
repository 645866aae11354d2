"""Products over pixels -> χ², gradient and Gauss-Newton matrix, with contrast and offset eliminated.

c2 = offset_b + contrast_b M. Contrast and offset enter linearly, so for given M their best values are the solution
of a small linear system and the derivatives by the other parameters are those at that solution (variable
projection, Golub & Pereyra 1973); eliminating them from the joint Gauss-Newton matrix is a Schur complement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.errors import ConfigurationError

FloatArray = NDArray[np.float64]

#: How contrast and offset may be tied over bins.
CONTRAST_MODES = ("per_bin", "shared", "per_q", "smooth_phi")


def contrast_design(mode: str, q: FloatArray, phi: FloatArray) -> FloatArray:
    """Matrices L (B, 2, n): (contrast_b, offset_b) = L_b @ coefficients.

    Parameters
    ----------
    mode : str
        ``"per_bin"``: free in every bin; ``"shared"``: one pair for all; ``"per_q"``: one pair per q;
        ``"smooth_phi"``: per q, 1, cos φ, sin φ, cos 2φ, sin 2φ (as many as there are angles for).
    q, phi : (B,)
        1/Å and degrees.

    Raises
    ------
    ConfigurationError
        For an unknown mode.
    """
    if mode not in CONTRAST_MODES:
        raise ConfigurationError(
            f"unknown contrast mode {mode!r}",
            where="contrast",
            expected=f"one of {', '.join(CONTRAST_MODES)}",
        )
    bins = len(q)
    if mode == "per_bin":
        basis = np.eye(bins)
    elif mode == "shared":
        basis = np.ones((bins, 1))
    else:
        groups = np.unique(q)
        member = (q[:, None] == groups[None, :]).astype(float)
        basis = member if mode == "per_q" else _smooth_basis(member, np.radians(phi))
    design = np.zeros((bins, 2, 2 * basis.shape[1]))
    design[:, 0, : basis.shape[1]] = basis
    design[:, 1, basis.shape[1] :] = basis
    return design


def _smooth_basis(member: FloatArray, phi: FloatArray) -> FloatArray:
    shapes = np.stack([np.ones_like(phi), np.cos(phi), np.sin(phi), np.cos(2 * phi), np.sin(2 * phi)], axis=1)
    columns = []
    for group in member.T:
        angles = len(np.unique(phi[group > 0]))
        count = 5 if angles >= 6 else 3 if angles >= 4 else 1
        columns += [group * shape for shape in shapes.T[:count]]
    return np.stack(columns, axis=1)


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


def solve_linear(products: FloatArray, design: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Best coefficients of contrast and offset, and their normal matrix.

    ``products`` (B, P+3, P+3) are divided by sigma². A bin whose best contrast would be negative gets 0 when
    bins are independent: the model then says nothing about it, and nothing unphysical either.
    """
    linear = products[:, -3:-1, -3:-1]
    matrix = np.einsum("bia,bij,bjc->ac", design, linear, design)
    right = np.einsum("bia,bi->a", design, products[:, -3:-1, -1])
    floor = 1e-13 * np.trace(matrix) / len(matrix)
    coefficients = np.linalg.solve(matrix + floor * np.eye(len(matrix)), right)
    bins = len(products)
    if design.shape[2] == 2 * bins and np.array_equal(design[:, 0, :bins], np.eye(bins)):
        negative = coefficients[:bins] < 0
        if negative.any():
            coefficients[:bins][negative] = 0.0
            ones = products[:, -2, -2]
            coefficients[bins:][negative] = products[negative, -2, -1] / ones[negative]
    return coefficients, matrix


def normal_equations(products: FloatArray, design: FloatArray) -> NormalEquations:
    """χ², gradient and Gauss-Newton matrix by the wanted parameters, from products divided by sigma².

    Parameters
    ----------
    products : (B, P+3, P+3)
        Sums of z zᵀ/sigma² over pixels, z = (derivatives, M, 1, data).
    design : (B, 2, n)
        See :func:`contrast_design`.
    """
    coefficients, matrix = solve_linear(products, design)
    contrast, offset = np.einsum("bia,a->ib", design, coefficients)
    inner = np.stack([contrast, offset, -np.ones_like(contrast)], axis=1)
    chi2_bin = np.einsum("bi,bij,bj->b", inner, products[:, -3:, -3:], inner)
    by_theta = np.einsum("b,bpj,bj->p", contrast, products[:, :-3, -3:], inner)
    theta = np.einsum("b,bpq->pq", contrast**2, products[:, :-3, :-3])
    cross = np.einsum("b,bpi,bia->pa", contrast, products[:, :-3, -3:-1], design)
    floor = 1e-13 * np.trace(matrix) / len(matrix)
    reduced = theta - cross @ np.linalg.solve(matrix + floor * np.eye(len(matrix)), cross.T)
    chi2_bin = np.maximum(chi2_bin, 0.0)
    return NormalEquations(
        float(chi2_bin.sum()), 2.0 * by_theta, reduced + reduced.T, contrast, offset, chi2_bin
    )
