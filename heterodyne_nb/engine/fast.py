"""Normal equations of a separable model without touching a pixel more than the data require.

For pixels of equal weight the Gauss-Newton matrix needs no pixel at all: sums over t1 < t2 of products of
columns obey a recursion in t2 (:func:`model_products`, N frames x C² columns). The data enter only through

    Q_r(t2) = sum_{t1 < t2} D(t2, t1) c_r(t1) E_r,     P_r(t1) = sum_{t2 > t1} D(t2, t1) c_r(t2) E_r

(:func:`data_products`: two multiply-adds a pixel and part, no exp, no cos), from which the product of the data
with every derivative follows as sums over frames. The cost of all derivatives is that of reading the data.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine.columns import Columns

FloatArray = NDArray[np.float64]

#: Frames in a block; a block's float64 rows and columns stay in the first-level cache.
BLOCK = 64
#: A block whose every decay is below this cannot change a float64 sum of pixels near 1.
NEGLIGIBLE = 1e-40
_FAST = {"reassoc", "contract", "nsz", "arcp"}


@nb.njit(cache=True, nogil=True, fastmath=_FAST, inline="never")
def _four_dots(rows, j, width, left, g, out):  # type: ignore[no-untyped-def]
    """out[0:2, 0:4] = rows j, j+1 times columns 4g .. 4g+3 of the left block."""
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = 0.0
    d0, d1 = rows[j], rows[j + 1]
    w0, w1, w2, w3 = left[4 * g], left[4 * g + 1], left[4 * g + 2], left[4 * g + 3]
    for i in range(width):
        x, y = d0[i], d1[i]
        a0 += x * w0[i]
        a1 += x * w1[i]
        a2 += x * w2[i]
        a3 += x * w3[i]
        b0 += y * w0[i]
        b1 += y * w1[i]
        b2 += y * w2[i]
        b3 += y * w3[i]
    out[0, 0], out[0, 1], out[0, 2], out[0, 3] = a0, a1, a2, a3
    out[1, 0], out[1, 1], out[1, 2], out[1, 3] = b0, b1, b2, b3


@nb.njit(cache=True, nogil=True, fastmath=_FAST, inline="never")
def _add_four_rows(rows, j, width, s0, s1, s2, s3, target):  # type: ignore[no-untyped-def]
    d0, d1, d2, d3 = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
    for i in range(width):
        target[i] += s0 * d0[i] + s1 * d1[i] + s2 * d2[i] + s3 * d3[i]


@nb.njit(cache=True, nogil=True, fastmath=_FAST)
def _block(data, f, c, j0, j1, i0, i1, rows, left, right, out, big_q, big_p, both):  # type: ignore[no-untyped-def]
    """Add the rectangular block t2 in [j0, j1), t1 in [i0, i1), i1 <= j0, to Q and P."""
    parts = c.shape[0]
    height, width = j1 - j0, i1 - i0
    alive = False
    for r in range(parts):
        alive = alive or f[r, j0] - f[r, i1 - 1] < -np.log(NEGLIGIBLE)
    if not alive:
        return
    for j in range(height):
        for i in range(width):
            rows[j, i] = data[j0 + j, i0 + i]
    for j in range(height, 4 * ((height + 3) // 4)):
        rows[j, :width] = 0.0
    for r in range(parts):
        across = np.exp(-(f[r, j0] - f[r, i1 - 1]))
        for i in range(width):
            left[r, i] = c[r, i0 + i] * np.exp(-(f[r, i1 - 1] - f[r, i0 + i])) * across
        for j in range(height):
            right[r, j] = c[r, j0 + j] * np.exp(-(f[r, j0 + j] - f[r, j0])) * across
        for j in range(height, 4 * ((height + 3) // 4)):
            right[r, j] = 0.0
    for g in range((parts + 3) // 4):
        for j in range(0, height, 2):
            _four_dots(rows, j, width, left, g, out)
            for r in range(4 * g, min(4 * g + 4, parts)):
                big_q[r, j0 + j] += out[0, r - 4 * g] * np.exp(-(f[r, j0 + j] - f[r, j0]))
                if j + 1 < height:
                    big_q[r, j0 + j + 1] += out[1, r - 4 * g] * np.exp(-(f[r, j0 + j + 1] - f[r, j0]))
    if not both:
        return
    for r in range(parts):
        left[r, :width] = 0.0
        for j in range(0, height, 4):
            _add_four_rows(
                rows, j, width, right[r, j], right[r, j + 1], right[r, j + 2], right[r, j + 3], left[r]
            )
        for i in range(width):
            big_p[r, i0 + i] += left[r, i] * np.exp(-(f[r, i1 - 1] - f[r, i0 + i]))
    left[parts:] = 0.0


@nb.njit(cache=True, nogil=True, fastmath=_FAST)
def _corner(data, f, c, j0, j1, running, big_q, big_p, both):  # type: ignore[no-untyped-def]
    """Add the pixels t1 < t2 inside one block, by running products (never above 1, so never overflowing)."""
    for r in range(c.shape[0]):
        for j in range(j0, j1):
            if j > j0:
                fade = np.exp(-(f[r, j] - f[r, j - 1]))
                running[j - 1 - j0] = 1.0
                for i in range(j - j0):
                    running[i] *= fade
            total = 0.0
            for i in range(j - j0):
                total += data[j, j0 + i] * running[i] * c[r, j0 + i]
            big_q[r, j] += total
            if both:
                for i in range(j - j0):
                    big_p[r, j0 + i] += data[j, j0 + i] * running[i] * c[r, j]


@nb.njit(cache=True, nogil=True, parallel=True)
def data_products(data, f, u, base, stripes, big_q, big_p, both):  # type: ignore[no-untyped-def]
    """Q and P of every bin; task = (bin, stripe of rows), each with its own P so that tasks never meet.

    data (B, N, N) float32, rows t2; f (B, R, N); u (B, C, N) with c_r in column base[r];
    stripes (S + 1,) block numbers of equal area; big_q (B, R, N); big_p (B, S, R, N).
    """
    bins, n = data.shape[0], data.shape[1]
    parts, count = len(base), len(stripes) - 1
    for task in nb.prange(bins * count):
        b, s = task // count, task % count
        padded = 4 * ((parts + 3) // 4)
        rows = np.zeros((BLOCK, BLOCK))
        left = np.zeros((padded, BLOCK))
        right = np.zeros((parts, BLOCK))
        out = np.zeros((2, 4))
        running = np.ones(BLOCK)
        c = np.empty((parts, n))
        for r in range(parts):
            c[r] = u[b, base[r]]
        for block in range(stripes[s], stripes[s + 1]):
            j0, j1 = block * BLOCK, min((block + 1) * BLOCK, n)
            for other in range(block):
                i0 = other * BLOCK
                _block(
                    data[b], f[b], c, j0, j1, i0, i0 + BLOCK, rows, left, right, out, big_q[b], big_p[b, s], both
                )
            _corner(data[b], f[b], c, j0, j1, running, big_q[b], big_p[b, s], both)


@nb.njit(cache=True, nogil=True, fastmath=_FAST)
def _advance(sums, w_before, fade):  # type: ignore[no-untyped-def]
    """sums <- (sums + w wᵀ) faded to the next frame."""
    count = len(fade)
    for a in range(count):
        wa, fa = w_before[a], fade[a]
        row = sums[a]
        for b in range(count):
            row[b] = (row[b] + wa * w_before[b]) * (fa * fade[b])


@nb.njit(cache=True, nogil=True, fastmath=_FAST)
def _project(sums, a, x, b, y, target):  # type: ignore[no-untyped-def]
    row_a, row_b = sums[a], sums[b]
    for c in range(len(target)):
        target[c] += x * row_a[c] + y * row_b[c]


@nb.njit(cache=True, nogil=True, parallel=True)
def model_products(  # type: ignore[no-untyped-def]
    u, w, f, mask, column_part, base, pair_start, pair_base, pair_column, out
):
    """Products of (derivatives, M, 1) with each other, summed over pixels t1 < t2: out (B, P+2, P+2).

    The last column of the running sums is the constant 1 (the offset's column), which does not fade.
    """
    bins, columns, n = u.shape
    wanted, parts = len(pair_start) - 1, len(base)
    for b in nb.prange(bins):
        sums = np.zeros((columns + 1, columns + 1))
        fade = np.ones(columns + 1)
        before = np.zeros(columns + 1)
        projected = np.zeros(columns + 1)
        g = out[b]
        for t in range(1, n):
            for c in range(columns):
                before[c] = w[b, c, t - 1]
                fade[c] = np.exp(-(f[b, column_part[c], t] - f[b, column_part[c], t - 1]))
            before[columns] = mask[t - 1]
            _advance(sums, before, fade)
            if mask[t] == 0.0:
                continue
            now = u[b, :, t]
            for i in range(wanted + 2):
                projected[:] = 0.0
                if i < wanted:
                    for k in range(pair_start[i], pair_start[i + 1]):
                        _project(sums, pair_base[k], now[pair_column[k]], pair_column[k], now[pair_base[k]], projected)
                elif i == wanted:
                    for r in range(parts):
                        _project(sums, base[r], now[base[r]], base[r], 0.0, projected)
                else:
                    _project(sums, columns, 1.0, columns, 0.0, projected)
                for j in range(min(i, wanted - 1) + 1):
                    total = 0.0
                    for k in range(pair_start[j], pair_start[j + 1]):
                        total += now[pair_column[k]] * projected[pair_base[k]]
                        total += now[pair_base[k]] * projected[pair_column[k]]
                    g[i, j] += total
                if i >= wanted:
                    for r in range(parts):
                        g[i, wanted] += now[base[r]] * projected[base[r]]
                if i > wanted:
                    g[i, wanted + 1] += projected[columns]


def stripe_bounds(n: int, stripes: int) -> NDArray[np.int64]:
    """Block rows cut into stripes of about equal area of the triangle."""
    blocks = -(-n // BLOCK)
    cut = np.rint(blocks * np.sqrt(np.arange(stripes + 1) / stripes)).astype(np.int64)
    return np.unique(cut)


def separable_products(data: NDArray[np.float32], columns: Columns, mask: FloatArray) -> FloatArray:
    """Products of z = (derivatives, M, 1, data) over the pixels t1 < t2, per bin.

    Parameters
    ----------
    data : (B, N, N) float32
        c2, rows t2; only t1 < t2 is read; unmeasured pixels hold 0.
    columns : Columns
        Columns of the wanted parameters (C may hold none).
    mask : (N,)
        1 for a used frame, 0 for a masked one.

    Returns
    -------
    (B, P+3, P+3) float64
        Symmetric. The products of the data with 1 and with themselves do not depend on the parameters
        and are left 0, for the caller to fill.
    """
    lay = columns.layout
    bins, n = data.shape[0], data.shape[1]
    wanted = len(lay.pair_start) - 1
    stripes = stripe_bounds(n, max(1, -(-2 * nb.get_num_threads() // bins)))
    big_q = np.zeros((bins, len(lay.base), n))
    big_p = np.zeros((bins, len(stripes) - 1, len(lay.base), n) if wanted else (bins, len(stripes) - 1, 1, 1))
    data_products(data, columns.f, columns.u, lay.base, stripes, big_q, big_p, wanted > 0)
    out = np.zeros((bins, wanted + 3, wanted + 3))
    model_products(
        columns.u, columns.w, columns.f, mask, lay.column_part, lay.base, lay.pair_start, lay.pair_base,
        lay.pair_column, out,
    )  # fmt: skip
    out[:, wanted + 2, wanted] = np.einsum("brn,brn->b", columns.u[:, lay.base], big_q)
    if wanted:
        big_p = big_p.sum(axis=1)
        derivative = lay.column_parameter >= 0
        part = lay.column_part[derivative]
        rows = np.einsum("bcn,bcn->bc", columns.u[:, derivative], big_q[:, part])
        rows += np.einsum("bcn,bcn->bc", columns.w[:, derivative], big_p[:, part])
        np.add.at(out, (slice(None), wanted + 2, lay.column_parameter[derivative]), rows)
    lower = np.tril(out)
    return lower + np.swapaxes(np.tril(out, -1), 1, 2)
