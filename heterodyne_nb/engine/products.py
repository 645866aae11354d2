"""Products over pixels at one parameter vector, by whichever kernel suits the model."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine.columns import problem_columns
from heterodyne_nb.engine.fast import separable_products
from heterodyne_nb.engine.problem import Problem
from heterodyne_nb.engine.tiles import tile_products_at
from heterodyne_nb.models import SeparableModel

FloatArray = NDArray[np.float64]


def products_at(problem: Problem, theta: FloatArray, wanted: NDArray[np.int64]) -> FloatArray:
    """Sums of z zᵀ over used pixels t1 < t2 of every bin, z = (derivatives, M, 1, data).

    Parameters
    ----------
    problem : Problem
    theta : (p,)
        Published parameters.
    wanted : (P,)
        Indices of the parameters whose derivatives are asked for.

    Returns
    -------
    (B, P+3, P+3) float64
    """
    if isinstance(problem.model, SeparableModel):
        out = _separable(problem, theta, wanted)
    else:
        out = tile_products_at(problem, theta, wanted)[0][:, 0]
    out[:, -2, -2] = problem.count
    out[:, -1, -2] = out[:, -2, -1] = problem.sum_data
    out[:, -1, -1] = problem.sum_squares
    return out


def _separable(problem: Problem, theta: FloatArray, wanted: NDArray[np.int64]) -> FloatArray:
    columns = problem_columns(problem, theta, wanted)
    out = separable_products(problem.data, columns, problem.mask)
    if len(problem.holes):
        lay = columns.layout
        hole_products(
            columns.u, columns.w, columns.f, problem.holes, lay.base, lay.column_part, lay.pair_start,
            lay.pair_base, lay.pair_column, out,
        )  # fmt: skip
    return out


@nb.njit(cache=True, nogil=True)
def hole_products(u, w, f, holes, base, column_part, pair_start, pair_base, pair_column, out):
    """Take unmeasured pixels (bin, t2, t1) out of the products of the model with itself; their data are 0."""
    wanted = len(pair_start) - 1
    z = np.zeros(wanted + 2)
    fade = np.zeros(f.shape[1])
    for h in range(len(holes)):
        b, late, early = holes[h]
        for r in range(len(base)):
            fade[r] = np.exp(-(f[b, r, late] - f[b, r, early]))
        z[:] = 0.0
        for i in range(wanted):
            for k in range(pair_start[i], pair_start[i + 1]):
                a, c = pair_base[k], pair_column[k]
                z[i] += fade[column_part[a]] * (
                    u[b, c, late] * w[b, a, early] + u[b, a, late] * w[b, c, early]
                )
        for r in range(len(base)):
            z[wanted] += fade[r] * u[b, base[r], late] * w[b, base[r], early]
        z[wanted + 1] = 1.0
        for i in range(wanted + 2):
            for j in range(wanted + 2):
                out[b, i, j] -= z[i] * z[j]
