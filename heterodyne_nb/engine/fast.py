"""Normal equations of a separable model for pixels of equal weight, at the cost of reading the data.

The Gauss-Newton matrix needs no pixel at all (:mod:`model_products`); the data enter through two products a part
(:mod:`data_products`), from which the product of the data with every derivative follows as a sum over frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine.columns import Columns, Layout
from heterodyne_nb.engine.data_products import data_products, stripe_bounds
from heterodyne_nb.engine.model_products import model_products, value_products
from heterodyne_nb.engine.photons import PhotonData

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


def separable_products(
    data: NDArray[np.float32] | PhotonData, columns: Columns, mask: FloatArray, first: int = 0
) -> FloatArray:
    """Products of z = (derivatives, M, 1, data) over the pixels t1 < t2, per bin.

    ``data`` (B, N, N): c2, rows t2; only t1 < t2 is read; unmeasured pixels hold 0. Or the photons that c2 would be
    made of. ``columns``: Columns of the wanted parameters (there may be none). ``mask`` (B, N): 1 for a used frame, 0
    for a masked one. ``first``: Bin of the photons that the first of the columns belongs to. Returns: Symmetric. The
    products of the data with 1 and with themselves do not depend on the parameters and are left 0, for the caller to
    fill.
    """
    lay, f = columns.layout, columns.f
    bins = len(f)
    wanted = len(lay.pair_start) - 1
    step = np.ones_like(f)
    np.exp(f[:, :, :-1] - f[:, :, 1:], out=step[:, :, 1:])
    big_q, big_p = _data_products(data, columns, step, wanted > 0, first)
    out = np.zeros((bins, wanted + 3, wanted + 3))
    if wanted:
        model_products(columns.u, columns.w, step, mask, *lay.rows, out)
    else:
        value_products(columns.u, step, mask, out)
    for b in range(bins):  # each by itself: its sum does not depend on how many there are
        out[b, wanted + 2, wanted] = np.einsum("rn,rn->", columns.u[b, lay.base], big_q[b])
    if wanted:
        out[:, wanted + 2, :wanted] = gradient_products(columns.u, columns.w, lay, big_q, big_p)
    return out + np.swapaxes(np.tril(out, -1), 1, 2)


def _data_products(
    data: NDArray[np.float32] | PhotonData, columns: Columns, step: FloatArray, both: bool, first: int
) -> tuple[FloatArray, FloatArray]:
    """Q and P of every bin, (B, R, N); P only when ``both``."""
    base, f = columns.layout.base, columns.f
    if isinstance(data, PhotonData):
        bins = [(first + b, f[b], columns.u[b, base]) for b in range(len(f))]
        sums = np.stack([data.products(*bin_, data.shares(bin_[0]), both).sum(axis=1) for bin_ in bins])
        return sums[:, 0], sums[:, -1]
    stripes = stripe_bounds(f.shape[2])
    big_q = np.zeros_like(f)
    big_p = np.zeros((len(f), len(stripes) - 1, *f.shape[1:]) if both else (len(f), len(stripes) - 1, 1, 1))
    data_products(data, f, step, columns.u, base, stripes, big_q, big_p, both)
    return big_q, big_p.sum(axis=1)


def gradient_products(
    u: FloatArray, w: FloatArray, lay: Layout, big_q: FloatArray, big_p: FloatArray
) -> FloatArray:
    """Data times derivatives: sum_t2 u Q + sum_t1 w P over the columns of each parameter, (…, P).

    u, w are (…, C, N), Q and P (…, R, N); what stands before is broadcast.
    """
    columns, parts, matrix = lay.sums
    late = np.einsum("...cn,...cn->...c", u[..., columns, :], big_q[..., parts, :])
    early = np.einsum("...cn,...cn->...c", w[..., columns, :], big_p[..., parts, :])
    return np.asarray((late + early) @ matrix)
