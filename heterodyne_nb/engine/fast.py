"""Normal equations of a separable model for pixels of equal weight, at the cost of reading the data.

The Gauss-Newton matrix needs no pixel at all (:mod:`model_products`); the data enter through two products a part
(:mod:`data_products`), from which the product of the data with every derivative follows as a sum over frames.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine.columns import Columns, Layout
from heterodyne_nb.engine.data_products import data_products, stripe_bounds
from heterodyne_nb.engine.model_products import model_products, value_products

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def entries(layout: Layout) -> tuple[IntArray, IntArray, IntArray]:
    """Rows of B: every derivative, then M, then 1, as (start, column, partner); see ``model_products``."""
    rows = []
    for i in range(len(layout.pair_start) - 1):
        pairs = range(layout.pair_start[i], layout.pair_start[i + 1])
        rows.append(
            [(layout.pair_base[k], layout.pair_column[k]) for k in pairs]
            + [(layout.pair_column[k], layout.pair_base[k]) for k in pairs]
        )
    rows.append([(c, c) for c in layout.base])
    one = len(layout.column_part)
    rows.append([(one, one)])
    start = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    column, partner = np.array([entry for row in rows for entry in row], np.int64).T.copy()
    return start, column, partner


def _rows(layout: Layout) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Part and row of each column, the constant 1 last; first and one-past-last column of each part."""
    wanted, columns = len(layout.pair_start) - 1, len(layout.column_part)
    part = np.append(layout.column_part, len(layout.base))
    row = np.append(np.where(layout.column_parameter < 0, wanted, layout.column_parameter), wanted + 1)
    base = np.append(layout.base, columns)
    return part, row, base, np.append(base[1:], columns + 1)


def separable_products(data: NDArray[np.float32], columns: Columns, mask: FloatArray) -> FloatArray:
    """Products of z = (derivatives, M, 1, data) over the pixels t1 < t2, per bin.

    Parameters
    ----------
    data : (B, N, N) float32
        c2, rows t2; only t1 < t2 is read; unmeasured pixels hold 0.
    columns : Columns
        Columns of the wanted parameters (there may be none).
    mask : (B, N)
        1 for a used frame, 0 for a masked one.

    Returns
    -------
    (B, P+3, P+3) float64
        Symmetric. The products of the data with 1 and with themselves do not depend on the parameters
        and are left 0, for the caller to fill.
    """
    lay, f = columns.layout, columns.f
    bins, n = data.shape[0], data.shape[1]
    wanted = len(lay.pair_start) - 1
    step = np.ones_like(f)
    np.exp(f[:, :, :-1] - f[:, :, 1:], out=step[:, :, 1:])
    stripes = stripe_bounds(n, max(1, -(-2 * nb.get_num_threads() // bins)))
    big_q = np.zeros((bins, len(lay.base), n))
    big_p = np.zeros((bins, len(stripes) - 1, len(lay.base), n) if wanted else (bins, len(stripes) - 1, 1, 1))
    data_products(data, f, step, columns.u, lay.base, stripes, big_q, big_p, wanted > 0)
    out = np.zeros((bins, wanted + 3, wanted + 3))
    if wanted:
        model_products(columns.u, columns.w, step, mask, *_rows(lay), out)
    else:
        value_products(columns.u, step, mask, out)
    out[:, wanted + 2, wanted] = np.einsum("brn,brn->b", columns.u[:, lay.base], big_q)
    if wanted:
        out[:, wanted + 2, :wanted] = _gradient_products(columns, big_q, big_p.sum(axis=1), wanted)
    return out + np.swapaxes(np.tril(out, -1), 1, 2)


def _gradient_products(columns: Columns, big_q: FloatArray, big_p: FloatArray, wanted: int) -> FloatArray:
    """Data times derivatives: sum_t2 u Q + sum_t1 w P over the columns of each parameter, (B, P)."""
    lay = columns.layout
    chosen = np.flatnonzero(lay.column_parameter >= 0)
    part = lay.column_part[chosen]
    sums = np.einsum("bcn,bcn->bc", columns.u[:, chosen], big_q[:, part])
    sums += np.einsum("bcn,bcn->bc", columns.w[:, chosen], big_p[:, part])
    gather = np.zeros((len(chosen), wanted))
    gather[np.arange(len(chosen)), lay.column_parameter[chosen]] = 1.0
    return sums @ gather
