"""Products of a fit to photons by clusters of neighbouring pixels: what errors from speckles are made of (THEORY 9).

At the fit's c2, f, the share of a pixel p in the score is

    u_p = sum_{t1<t2} z (x_p(t1) x_p(t2) - f) - sum_t (x_p(t) - 1) g(t),   g(t) = sum of z f over the pairs that contain t.

The last term is its share in the means m(t) by which counts are divided; over all pixels of a bin it sums to nothing. Here
it is taken into the products of z with the data, so that clusters serve as tiles wherever tiles do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numba as nb
import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.engine.columns import Columns, column_chunks
from heterodyne_nb.engine.data_products import FAST
from heterodyne_nb.engine.fast import fading, gradient_products, products_of_model
from heterodyne_nb.engine.photons import PhotonData
from heterodyne_nb.kernels import LOOPS

if TYPE_CHECKING:
    from heterodyne_nb.engine.problem import Problem

#: Numbers of Q and P that are held at once.
_HELD = 1 << 24


def cluster_products(
    problem: Problem,
    theta: FloatArray,
    wanted: NDArray[np.int64],
    contrast: FloatArray,
    offset: FloatArray,
) -> FloatArray:
    """Sums of z zᵀ of every cluster of pixels, z = (derivatives, M, 1, data), (B, G, P+3, P+3).

    ``theta`` (p,). ``wanted`` (P,). ``contrast``, ``offset`` (B,): Those of f.
    """
    data: PhotonData = problem.data  # type: ignore[assignment]
    rows = len(wanted) + 2
    out = np.empty((problem.n_bins, problem.blocks(0), rows + 1, rows + 1))
    for some, columns in column_chunks(problem, theta, wanted):
        mask = problem.mask[some]
        whole = products_of_model(columns, mask)  # those with the data are sums over the clusters
        whole[:, -2, -2], whole[:, -1, -1] = problem.count[some], problem.sum_squares[some]
        fields = pair_fields(columns, mask, contrast[some], offset[some])
        for k, b in enumerate(range(some.start, some.stop)):
            edges = data.clusters[b]
            share = np.diff(edges) / (edges[-1] - edges[0])
            out[b] = share[:, None, None] * whole[k]
            x = replace(data.photons, first=edges).sums(data.scale) * data.inverse[b] / (edges[-1] - edges[0])
            seen = _data_column(data, b, columns, k, edges)
            seen -= (x - share[:, None] * (data.inverse[b] > 0)) @ fields[k].T
            out[b, :, -1, :-1] = out[b, :, :-1, -1] = seen
        del columns  # before the next are made
    return out


def _data_column(data: PhotonData, b: int, columns: Columns, k: int, edges: NDArray[np.int64]) -> FloatArray:
    """Products of the data of each cluster of bin b, k of the columns, with the rows (derivatives, M, 1), (G, P + 2)."""
    lay = columns.layout
    wanted = len(lay.pair_start) - 1
    u, w, f, c = columns.u[k], columns.w[k], columns.f[k], columns.u[k, lay.base]
    out = np.empty((len(edges) - 1, wanted + 2))
    out[:, -1] = data.pair_sums(edges)
    few = max(1, _HELD // (2 * f.size))
    for g in range(0, len(out), few):
        q, p = data.products(b, f, c, edges[g : g + few + 1], True)
        out[g : g + few, -2] = np.einsum("rn,grn->g", c, q)
        out[g : g + few, :-2] = gradient_products(u, w, lay, q, p)
    return out


def pair_fields(columns: Columns, mask: FloatArray, contrast: FloatArray, offset: FloatArray) -> FloatArray:
    """Sum of z f over the pairs of frames that contain each frame, z = (derivatives, M, 1), (B, P + 2, N)."""
    part, row, base, _ = columns.layout.rows
    step = fading(columns.f)
    out = np.zeros((len(mask), int(row[-1]) + 1, mask.shape[1]))
    _pair_fields(columns.u, columns.w, step, mask, part, row, base, contrast, offset, out)
    return out


@nb.njit(cache=True, nogil=True, parallel=LOOPS, fastmath=FAST)
def _pair_fields(u, w, step, mask, part, row, base, contrast, offset, out):
    """Running sums W[c, r] = sum over earlier frames of w_c c_r E_part(c) E_r (of u_c c_r over later ones), fading.

    The constant 1 is one more column, a part of its own that does not fade.
    """
    bins, columns, n = u.shape
    parts = step.shape[1]
    for b in nb.prange(bins):
        for back in range(2):
            sums = np.zeros((columns + 1, parts + 1))
            level, fade = np.zeros(parts + 1), np.ones(parts + 1)
            own, other = np.zeros(columns + 1), np.zeros(columns + 1)
            for k in range(n):
                t = n - 1 - k if back else k
                for r in range(parts):
                    level[r] = contrast[b] * u[b, base[r], t]
                    if k > 0:
                        fade[r] = step[b, r, t + 1] if back else step[b, r, t]
                level[parts] = offset[b] * mask[b, t]
                for c in range(columns):
                    own[c] = w[b, c, t] if back else u[b, c, t]
                    other[c] = u[b, c, t] if back else w[b, c, t]
                own[columns] = other[columns] = mask[b, t]
                for c in range(columns + 1):
                    for r in range(parts + 1):
                        sums[c, r] *= fade[part[c]] * fade[r]
                for c in range(columns + 1):
                    first = base[part[c]]
                    with_base = with_own = 0.0
                    for r in range(parts + 1):
                        with_base += level[r] * sums[first, r]
                        with_own += level[r] * sums[c, r]
                    value = own[c] * with_base
                    if c != first:
                        value += own[first] * with_own
                    out[b, row[c], t] += value
                for c in range(columns + 1):
                    for r in range(parts):
                        sums[c, r] += other[c] * u[b, base[r], t]
                    sums[c, parts] += other[c] * mask[b, t]
