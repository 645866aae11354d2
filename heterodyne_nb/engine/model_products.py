"""Products of the model's derivatives with each other, without pixels: a recursion in t2.

The model row at t2 is a combination B(t2) of the columns w(t1) of all earlier frames, so with the running sums
S(t2) = sum_{t1 < t2} w wᵀ E Eᵀ, which fade from frame to frame, sum dM dMᵀ = sum_t2 B S Bᵀ. Frames are taken in
blocks: earlier blocks through S and the block's own sums of u uᵀ, the few pixels inside a block directly.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from heterodyne_nb.engine.data_products import FAST, from_block_start, to_block_end

#: Frames in a block.
SIDE = 16


@nb.njit(cache=True, nogil=True, fastmath=FAST)
def _add_squares(rows, height, fade, target):
    """target <- target * fade fadeᵀ + sum_t rows[t] rows[t]ᵀ; rows (SIDE, C), zero beyond ``height``."""
    count = len(fade)
    for a in range(count):
        goal, fa = target[a], fade[a]
        for b in range(count):
            goal[b] *= fa * fade[b]
        for t in range(0, height, 4):
            r0, r1, r2, r3 = rows[t], rows[t + 1], rows[t + 2], rows[t + 3]
            x0, x1, x2, x3 = r0[a], r1[a], r2[a], r3[a]
            for b in range(count):
                goal[b] += (x0 * r0[b] + x1 * r1[b]) + (x2 * r2[b] + x3 * r3[b])


@nb.njit(cache=True, nogil=True, fastmath=FAST)
def _contract(sums, squares, entry_start, entry_column, entry_partner, g):
    """g[i, j] += sum over entries of i and j of S[column, column'] * UU[partner, partner'], j <= i."""
    rows = len(entry_start) - 1
    for i in range(rows):
        for x in range(entry_start[i], entry_start[i + 1]):
            s, square = sums[entry_column[x]], squares[entry_partner[x]]
            for j in range(i + 1):
                total = 0.0
                for y in range(entry_start[j], entry_start[j + 1]):
                    total += s[entry_column[y]] * square[entry_partner[y]]
                g[i, j] += total


@nb.njit(cache=True, nogil=True, fastmath=FAST)
def _inside(
    u, w, step, mask, column_part, j0, j1, entry_start, entry_column, entry_partner, early, faded, panel, g
):
    """Add the pixels t1 < t2 inside the block, one by one."""
    columns, parts = len(column_part), step.shape[0]
    rows = len(entry_start) - 1
    filled = 0
    for j in range(j0 + 1, j1):
        width = j - j0
        for r in range(parts):
            value = 1.0
            for i in range(width - 1, -1, -1):
                value *= step[r, j0 + i + 1]
                faded[r, i] = value
        for c in range(columns):
            own, fade, goal = w[c, j0:j], faded[column_part[c]], early[c]
            for i in range(width):
                goal[i] = own[i] * fade[i]
        for i in range(width):
            early[columns, i] = mask[j0 + i]
        for z in range(rows):
            goal = panel[z, filled : filled + width]
            goal[:] = 0.0
            for x in range(entry_start[z], entry_start[z + 1]):
                partner = entry_partner[x]
                value = u[partner, j] if partner < columns else mask[j]
                source = early[entry_column[x], :width]
                for i in range(width):
                    goal[i] += value * source[i]
        filled += width
    for i in range(rows):
        first = panel[i, :filled]
        for j in range(i + 1):
            second = panel[j, :filled]
            total = 0.0
            for k in range(filled):
                total += first[k] * second[k]
            g[i, j] += total


@nb.njit(cache=True, nogil=True, parallel=True)
def model_products(u, w, step, mask, column_part, entry_start, entry_column, entry_partner, out):
    """Products of (derivatives, M, 1) over pixels t1 < t2, added to the lower triangle of out (B, P+2, P+2).

    Entry x of row i says: B_i has, at ``entry_column[x]``, the value of column ``entry_partner[x]`` of u.
    Column C (one past the last) is the constant 1, which does not fade.
    """
    bins, columns, n = u.shape
    parts = step.shape[1]
    for b in nb.prange(bins):
        sums, squares = np.zeros((columns + 1, columns + 1)), np.zeros((columns + 1, columns + 1))
        late, early = np.zeros((SIDE, columns + 1)), np.zeros((SIDE, columns + 1))
        inside, faded = np.zeros((columns + 1, SIDE)), np.zeros((parts, SIDE))
        panel = np.zeros((len(entry_start) - 1, SIDE * (SIDE - 1) // 2))
        fade, none = np.ones(columns + 1), np.zeros(columns + 1)
        start, end = np.empty((parts, n)), np.empty((parts, n))
        from_block_start(step[b], SIDE, start)
        to_block_end(step[b], SIDE, end)
        for j0 in range(0, n, SIDE):
            j1 = min(j0 + SIDE, n)
            late[:] = 0.0
            early[:] = 0.0
            for c in range(columns):
                r = column_part[c]
                for t in range(j0, j1):
                    late[t - j0, c] = u[b, c, t] * start[r, t]
                    early[t - j0, c] = w[b, c, t] * end[r, t]
            for t in range(j0, j1):
                late[t - j0, columns] = mask[b, t]
                early[t - j0, columns] = mask[b, t]
            if j0 > 0:
                _add_squares(late, j1 - j0, none, squares)
                _contract(sums, squares, entry_start, entry_column, entry_partner, out[b])
            _inside(
                u[b], w[b], step[b], mask[b], column_part, j0, j1, entry_start, entry_column, entry_partner,
                inside, faded, panel, out[b],
            )  # fmt: skip
            for c in range(columns):
                fade[c] = start[column_part[c], j1 - 1]
            _add_squares(early, j1 - j0, fade, sums)
            if j1 < n:  # from this block's last frame to the next one's first
                for c in range(columns):
                    fade[c] = step[b, column_part[c], j1]
                for a in range(columns + 1):
                    for c in range(columns + 1):
                        sums[a, c] *= fade[a] * fade[c]
