"""Products of photons with the columns: what a map would give, without the map, linear in the photons.

With x_p(t) = n_p(t) / m(t) the counts of pixel p over the mean of its bin, c2(t1, t2) = (1/P) sum_p x_p(t1) x_p(t2), so

    Q_r(t) = (1/P) sum_p x_p(t) S_pr(t),   S_pr(t) = e^{-(F_r(t) - F_r(t-1))} [S_pr(t-1) + c_r(t-1) x_p(t-1)],

and P_r is the same recursion run backwards. S of a pixel is touched only where it counts photons: within a block of
frames it is kept relative to the block's first frame, where decays e^{-(F(t) - F(first))} and their inverses are
float64 numbers, so a photon costs a multiply-add a part and no exp.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.engine.data_products import FAST, SAFE

FloatArray = NDArray[np.float64]
#: Frames whose columns and sums fit into the cache of a core.
TILE = 2048


@nb.njit(cache=True, nogil=True, fastmath=FAST)
def _blocks(f, c, inverse, block, first, late, early, fade, grow):
    """Cut frames into blocks in which no part decays by more than e^SAFE, and fill what photons are multiplied by.

    f, c (R, N), R <= 4; block (N,); first (N, 4): decays at the first frame of each block; late, early, fade, grow (N, 4).
    """
    parts, n = f.shape
    count, start = 0, 0
    for t in range(n):
        for r in range(parts):
            if f[r, t] - f[r, start] > SAFE:
                count, start = count + 1, t
                break
        if t == start:
            for r in range(parts):
                first[count, r] = f[r, t]
        block[t] = count
        for r in range(parts):
            down = np.exp(f[r, start] - f[r, t])
            fade[t, r] = down * inverse[t]
            grow[t, r] = inverse[t] / down
            late[t, r] = c[r, t] * fade[t, r]
            early[t, r] = c[r, t] * grow[t, r]


@nb.njit(cache=True, nogil=True, fastmath=FAST)
def _sweep(frame, count, start, weight, p0, p1, block, first, add, back, out):
    """Add w n S of pixels p0 .. p1-1 to out (N, 4), forwards or back, in units of the first frame of each block.

    Frames are taken tile by tile, so that what photons are multiplied by stays in the processor's cache.
    """
    n, pixels = len(block), p1 - p0
    state, last = np.zeros((pixels, 4)), np.zeros(pixels, np.int32)
    at = np.empty(pixels, np.int64)
    for p in range(pixels):
        at[p] = start[p0 + p + 1] - 1 if back else start[p0 + p]
        if start[p0 + p + 1] > start[p0 + p]:
            last[p] = block[frame[at[p]]]
    tiles = (n + TILE - 1) // TILE
    for k in range(tiles):
        low = (tiles - 1 - k if back else k) * TILE
        high = min(low + TILE, n)
        for p in range(pixels):
            begin, end = start[p0 + p], start[p0 + p + 1]
            i, here, w = at[p], last[p], weight[p0 + p]
            s0, s1, s2, s3 = state[p, 0], state[p, 1], state[p, 2], state[p, 3]
            while begin <= i < end:
                t = frame[i]
                if t < low or t >= high:
                    break
                if block[t] != here:
                    new = block[t]
                    sign = -1.0 if back else 1.0
                    s0 *= np.exp(sign * (first[here, 0] - first[new, 0]))
                    s1 *= np.exp(sign * (first[here, 1] - first[new, 1]))
                    s2 *= np.exp(sign * (first[here, 2] - first[new, 2]))
                    s3 *= np.exp(sign * (first[here, 3] - first[new, 3]))
                    here = new
                number = np.float64(count[i])
                share = number * w
                goal, more = out[t], add[t]
                goal[0] += share * s0
                goal[1] += share * s1
                goal[2] += share * s2
                goal[3] += share * s3
                s0 += number * more[0]
                s1 += number * more[1]
                s2 += number * more[2]
                s3 += number * more[3]
                i += -1 if back else 1
            at[p], last[p] = i, here
            state[p, 0], state[p, 1], state[p, 2], state[p, 3] = s0, s1, s2, s3


@nb.njit(cache=True, nogil=True, parallel=True)
def photon_products(frame, count, start, weight, edges, f, c, inverse, big_q, big_p, both):
    """Q and P of one bin, for each group of its pixels.

    Parameters
    ----------
    frame : (photons,) int32, count : (photons,)
        Frames, increasing within a pixel, and counts.
    start : (pixels + 1,) int64
        Where the photons of each pixel begin.
    weight : (pixels,)
        1 / (P s²), s what the counts of a pixel are divided by.
    edges : (G + 1,)
        Pixels of group g are edges[g] .. edges[g+1] - 1.
    f, c : (R, N)
        Decays and columns c_r.
    inverse : (N,)
        1 / m(t), 0 for a frame left out.
    big_q, big_p : (G, R, N)
        Added to; big_p only when ``both``.
    """
    parts, n = f.shape
    groups = len(edges) - 1
    block = np.zeros(n, np.int32)
    for r0 in range(0, parts, 4):
        here = min(4, parts - r0)
        first, late, early = np.zeros((n, 4)), np.zeros((n, 4)), np.zeros((n, 4))
        fade, grow = np.zeros((n, 4)), np.zeros((n, 4))
        _blocks(f[r0 : r0 + here], c[r0 : r0 + here], inverse, block, first, late, early, fade, grow)
        for g in nb.prange(groups):
            out = np.zeros((n, 4))
            _sweep(frame, count, start, weight, edges[g], edges[g + 1], block, first, early, False, out)
            for r in range(here):
                for t in range(n):
                    big_q[g, r0 + r, t] += out[t, r] * fade[t, r]
            if both:
                out[:] = 0.0
                _sweep(frame, count, start, weight, edges[g], edges[g + 1], block, first, late, True, out)
                for r in range(here):
                    for t in range(n):
                        big_p[g, r0 + r, t] += out[t, r] * grow[t, r]
