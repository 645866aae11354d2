"""Normal equations of a separable model for pixels of equal weight, at the cost of reading the data.

The Gauss-Newton matrix needs no pixel at all; the data enter through two products a part
(:mod:`data_products`), from which the product of the data with every derivative follows as a sum over frames.

Products of the model's derivatives with each other, without pixels: a recursion in t2.

The model row at t2 is a combination B(t2) of the columns w(t1) of all earlier frames, so with the running sums
S(t2) = sum_{t1 < t2} w wᵀ E Eᵀ, which fade from frame to frame, sum dM dMᵀ = sum_t2 B S Bᵀ. Frames are taken in
blocks: earlier blocks through S and the block's own sums of u uᵀ, the few pixels inside a block directly.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.engine.columns import Columns, Layout
from heterodyne_nb.engine.data_products import FAST, data_products, stripe_bounds
from heterodyne_nb.engine.photons import PhotonData
from heterodyne_nb.kernels import LOOPS

#: Frames in a block.
SIDE = 16


@nb.njit(cache=True, nogil=True, fastmath=FAST, forceinline=True)
def _add_squares(rows, height, fade, target):
    """target <- target * fade fadeᵀ + sum_t rows[t] rows[t]ᵀ; rows (SIDE, C), zero beyond ``height``."""
    count = len(fade)
    for a in range(0, count, 2):
        second = min(a + 1, count - 1)
        goal, other = target[a], target[second]
        fa, fb = fade[a], fade[second]
        for b in range(count):
            goal[b] *= fa * fade[b]
        if second > a:
            for b in range(count):
                other[b] *= fb * fade[b]
        for t in range(0, height, 4):
            r0, r1, r2, r3 = rows[t], rows[t + 1], rows[t + 2], rows[t + 3]
            x0, x1, x2, x3 = r0[a], r1[a], r2[a], r3[a]
            for b in range(count):
                goal[b] += (x0 * r0[b] + x1 * r1[b]) + (x2 * r2[b] + x3 * r3[b])
            if second > a:
                x0, x1, x2, x3 = r0[second], r1[second], r2[second], r3[second]
                for b in range(count):
                    other[b] += (x0 * r0[b] + x1 * r1[b]) + (x2 * r2[b] + x3 * r3[b])


@nb.njit(cache=True, nogil=True, fastmath=FAST, forceinline=True)
def _contract(sums, squares, column_base, base, part_end, out):
    """out[c, d] += products of the contributions of columns c and d <= c, from S and the block's sums of u uᵀ.

    A derivative column c of part base b contributes u_c w_b + u_b w_c, a base column u_b w_b (counted twice here,
    halved at the end), so the product of two contributions has four terms.
    """
    count = len(column_base)
    for c in range(count):
        b = column_base[c]
        sb, sc, ub, uc, goal = sums[b], sums[c], squares[b], squares[c], out[c]
        for r in range(len(base)):
            first, last = base[r], part_end[r]
            s_bb, s_cb, u_bb, u_cb = sb[first], sc[first], ub[first], uc[first]
            for d in range(first, last):
                goal[d] += (s_bb * uc[d] + sb[d] * u_cb) + (s_cb * ub[d] + sc[d] * u_bb)
            if last > c:
                break


@nb.njit(cache=True, nogil=True, fastmath=FAST, forceinline=True)
def _inside(late, early, start, base, part_end, column_row, height, fade, panel, g):
    """Add the pixels t1 < t2 inside one block of ``height`` frames to g, lower triangle, one by one.

    ``late`` (SIDE, C), ``early`` (C, SIDE): u and w of the block's frames; ``start`` (SIDE, R): decay from the frame
    before. ``fade`` (2, SIDE), ``panel`` (P + 2, pixels): Room to work in.
    """
    filled = height * (height - 1) // 2
    panel[:, :filled] = 0.0
    for r in range(len(base)):
        first, last = base[r], part_end[r]
        own = early[first]
        for j in range(1, height):
            u, at, value = late[j], j * (j - 1) // 2, 1.0
            x, y = fade[0, :j], fade[1, :j]
            for i in range(j - 1, -1, -1):
                value *= start[i + 1, r]
                x[i], y[i] = value * own[i], value * u[first]
            for c in range(first, last):
                goal, w, now = panel[column_row[c], at : at + j], early[c, :j], u[c]
                for i in range(j):
                    goal[i] += x[i] * now + y[i] * w[i]
    rows = panel.shape[0]
    for i in range(rows - 2, rows):
        for k in range(filled):
            panel[i, k] *= 0.5  # a base column was counted twice
    for i in range(rows):
        first = panel[i, :filled]
        for j in range(i + 1):
            second = panel[j, :filled]
            total = 0.0
            for k in range(filled):
                total += first[k] * second[k]
            g[i, j] += total


@nb.njit(cache=True, nogil=True, fastmath=FAST, forceinline=True)
def _gather(contracted, column_part, column_base, column_row, g):
    """Sum the products of columns into those of parameters, M and 1 (lower triangle of g)."""
    count = len(column_part)
    for c in range(count):
        half = 0.5 if column_base[c] == c else 1.0
        for d in range(count):
            i, j = column_row[c], column_row[d]
            if j > i:
                continue
            value = contracted[c, d] if column_part[d] <= column_part[c] else contracted[d, c]
            g[i, j] += value * half * (0.5 if column_base[d] == d else 1.0)


@nb.njit(cache=True, nogil=True)
def _model_products(u, w, step, mask, column_part, column_row, base, part_end, out):
    """:func:`model_products` of one bin: a function of its own, as numba takes long over what stands in a prange."""
    columns, n = u.shape
    parts = step.shape[0] + 1
    rows = column_row[columns] + 1
    count = columns + 1
    sums, squares = np.zeros((count, count)), np.zeros((count, count))
    contracted, fades, pair_fades = np.zeros((count, count)), np.zeros(parts), np.zeros((2, SIDE))
    late, early = np.zeros((SIDE, count)), np.zeros((count, SIDE))
    late_faded, early_faded = np.zeros((SIDE, count)), np.zeros((SIDE, count))
    panel, near = np.zeros((rows, SIDE * (SIDE - 1) // 2)), np.ones((SIDE, parts))
    column_base = np.empty(count, np.int64)
    for c in range(count):
        column_base[c] = base[column_part[c]]
    fade, none = np.ones(count), np.zeros(count)
    for j0 in range(0, n, SIDE):
        j1 = min(j0 + SIDE, n)
        height = j1 - j0
        late[height:] = 0.0
        late_faded[height:] = 0.0
        early_faded[height:] = 0.0
        for t in range(height):
            late[t, columns] = early[columns, t] = mask[j0 + t]
            for r in range(parts - 1):
                near[t, r] = step[r, j0 + t]
            for c in range(columns):
                late[t, c] = u[c, j0 + t]
                early[c, t] = w[c, j0 + t]
        fades[:] = 1.0
        for t in range(height):
            if t > 0:
                for r in range(parts):
                    fades[r] *= near[t, r]
            for c in range(count):
                late_faded[t, c] = late[t, c] * fades[column_part[c]]
        for c in range(count):
            fade[c] = fades[column_part[c]]
        fades[:] = 1.0
        for t in range(height - 1, -1, -1):
            if t < height - 1:
                for r in range(parts):
                    fades[r] *= near[t + 1, r]
            for c in range(count):
                early_faded[t, c] = early[c, t] * fades[column_part[c]]
        if j0 > 0:
            _add_squares(late_faded, height, none, squares)
            _contract(sums, squares, column_base, base, part_end, contracted)
        _inside(late, early, near, base, part_end, column_row, height, pair_fades, panel, out)
        _add_squares(early_faded, height, fade, sums)
        if j1 < n:  # from this block's last frame to the next one's first
            for c in range(columns):
                fade[c] = step[column_part[c], j1]
            fade[columns] = 1.0
            for a in range(count):
                for c in range(count):
                    sums[a, c] *= fade[a] * fade[c]
    _gather(contracted, column_part, column_base, column_row, out)


@nb.njit(cache=True, nogil=True, parallel=LOOPS)
def model_products(u, w, step, mask, column_part, column_row, base, part_end, out):
    """Products of (derivatives, M, 1) over pixels t1 < t2, added to the lower triangle of out (B, P+2, P+2).

    ``u``, ``w`` (B, C, N). ``column_part``, ``column_row`` (C + 1,): Part of each column, and the row of ``out`` it
    adds to; the last column is the constant 1, a part of its own that does not fade. ``base``, ``part_end`` (R + 1,):
    First column of each part, which holds c_r, and one past its last.
    """
    for b in nb.prange(len(u)):
        _model_products(u[b], w[b], step[b], mask[b], column_part, column_row, base, part_end, out[b])


@nb.njit(cache=True, nogil=True, fastmath=FAST, forceinline=True)
def _value_products(c, step, mask, out):
    parts, n = c.shape
    sums, ones = np.zeros((parts, parts)), np.zeros(parts)
    squares = level = frames = pairs = 0.0
    for t in range(1, n):
        frames += mask[t - 1]
        pairs += frames * mask[t]
        for r in range(parts):
            w, fade, now = c[r, t - 1], step[r, t], c[r, t]
            ones[r] = (ones[r] + w) * fade
            level += now * ones[r]
            for k in range(r):
                value = (sums[r, k] + w * c[k, t - 1]) * (fade * step[k, t])
                sums[r, k] = value
                squares += 2.0 * now * c[k, t] * value
            value = (sums[r, r] + w * w) * (fade * fade)
            sums[r, r] = value
            squares += now * now * value
    out[0, 0] += squares
    out[1, 0] += level
    out[1, 1] += pairs


@nb.njit(cache=True, nogil=True, parallel=LOOPS)
def value_products(c, step, mask, out):
    """Products of (M, 1) over pixels t1 < t2, added to the lower triangle of out (B, 2, 2); c (B, R, N).

    The recursion of :func:`model_products` frame by frame, for when no derivative is asked for.
    """
    for b in nb.prange(len(c)):
        _value_products(c[b], step[b], mask[b], out[b])


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
    wanted = len(lay.pair_start) - 1
    step = fading(f)
    big_q, big_p = _data_products(data, columns, step, wanted > 0, first)
    out = _of_model(columns, step, mask)
    data_row(columns.u, columns.w, lay.column_part, lay.column_parameter, big_q, big_p, out)
    return out


def products_of_model(columns: Columns, mask: FloatArray) -> FloatArray:
    """:func:`separable_products` without the data: those of (derivatives, M, 1), all others 0."""
    out = _of_model(columns, fading(columns.f), mask)
    return out + np.swapaxes(np.tril(out, -1), 1, 2)


def _of_model(columns: Columns, step: FloatArray, mask: FloatArray) -> FloatArray:
    wanted = len(columns.layout.pair_start) - 1
    out = np.zeros((len(step), wanted + 3, wanted + 3))
    if wanted:
        model_products(columns.u, columns.w, step, mask, *columns.layout.rows, out)
    else:
        value_products(columns.u, step, mask, out)
    return out


def fading(f: FloatArray) -> FloatArray:
    """Decay of every part from the frame before, (B, R, N)."""
    step = np.ones_like(f)
    np.exp(f[:, :, :-1] - f[:, :, 1:], out=step[:, :, 1:])
    return step


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


@nb.njit(cache=True, nogil=True, fastmath=FAST)
def data_row(u, w, column_part, column_parameter, big_q, big_p, out):
    """Add the products of the data with the derivatives and M to the last row of out, and mirror its lower triangle.

    ``u``, ``w`` (B, C, N). ``big_q``, ``big_p`` (B, R, N); the latter is read for derivatives only.
    """
    size, n = out.shape[1], u.shape[2]
    for b in range(len(out)):  # each by itself: its sums do not depend on how many there are
        for c in range(len(column_part)):
            i, r = column_parameter[c], column_part[c]
            late, q = u[b, c], big_q[b, r]
            total = 0.0
            if i < 0:
                i = size - 3
                for t in range(n):
                    total += late[t] * q[t]
            else:
                early, p = w[b, c], big_p[b, r]
                for t in range(n):
                    total += late[t] * q[t] + early[t] * p[t]
            out[b, size - 1, i] += total
        for i in range(size):
            for j in range(i):
                out[b, j, i] = out[b, i, j]


def _each(rows: FloatArray, data: FloatArray) -> FloatArray:
    """Products of rows (…, C, N), or (C, N) for all, with data (…, N), (…, C)."""
    if rows.ndim == 2:
        return np.asarray(data @ rows.T)
    return np.asarray(np.matmul(rows, data[..., None])[..., 0])


def gradient_products(
    u: FloatArray, w: FloatArray, lay: Layout, big_q: FloatArray, big_p: FloatArray
) -> FloatArray:
    """Data times derivatives: sum_t2 u Q + sum_t1 w P over the columns of each parameter, (…, P).

    u, w are (…, C, N), Q and P (…, R, N); what stands before is broadcast.
    """
    columns, parts, matrix = lay.sums
    found = []
    for r in range(len(lay.base)):  # the columns of a part stand together
        own = columns[parts == r]
        some = slice(own[0], own[-1] + 1) if len(own) else slice(0, 0)
        found.append(_each(u[..., some, :], big_q[..., r, :]) + _each(w[..., some, :], big_p[..., r, :]))
    return np.asarray(np.concatenate(found, axis=-1) @ matrix)
