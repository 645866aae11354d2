"""Products of the data with the columns: the only place where a least-squares pass touches pixels.

    Q_r(t2) = sum_{t1 < t2} D(t2, t1) c_r(t1) E_r,     P_r(t1) = sum_{t2 > t1} D(t2, t1) c_r(t2) E_r

in float64 from float32 data, block by block. Inside a block E_r splits into factors of t2 alone, of t1 alone and
of the block, each at most 1: no exp and no cos a pixel, and nothing overflows however long the decay.
"""

from __future__ import annotations

from functools import lru_cache

import numba as nb
import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.kernels import LOOPS

#: Blocks of frames: rows and columns of one for most of the triangle (wide, as memory is read along rows),
#: and fine ones along its diagonal.
HEIGHT, WIDTH, FINE = 256, 512, 32
#: Most stripes of rows that threads share a bin by.
STRIPES = 8
#: Decay (in the exponent) beyond which a block cannot change a float64 sum of pixels near 1.
NEGLIGIBLE = 90.0
#: Largest decay inside a fine block for which exp(+decay) is still used.
SAFE = 300.0
FAST = {"reassoc", "contract", "nsz", "arcp"}


def kernels_ready() -> bool:
    """Whether this process has its kernels; else the next call compiles them, or reads them from numba's cache."""
    return bool(data_products.signatures)


@nb.njit(cache=True, nogil=True, fastmath=FAST)
def from_block_start(step, size, out):
    """Decay of each frame from its block's first one; step (R, N) is the decay from the frame before."""
    parts, n = step.shape
    for first in range(0, n, size):
        for r in range(parts):
            value = 1.0
            out[r, first] = 1.0
            for t in range(first + 1, min(first + size, n)):
                value *= step[r, t]
                out[r, t] = value


@nb.njit(cache=True, nogil=True, fastmath=FAST)
def to_block_end(step, size, out):
    """Decay from each frame to its block's last one."""
    parts, n = step.shape
    for first in range(0, n, size):
        last = min(first + size, n) - 1
        for r in range(parts):
            value = 1.0
            out[r, last] = 1.0
            for t in range(last - 1, first - 1, -1):
                value *= step[r, t + 1]
                out[r, t] = value


@nb.njit(cache=True, nogil=True, fastmath=FAST)
def _rows_times_four(data, j0, j1, i0, i1, left, g, out):
    """out[j, 0:4] = data rows times columns g .. g+3 of the block, two rows at a time."""
    width = i1 - i0
    w0, w1, w2, w3 = left[g, :width], left[g + 1, :width], left[g + 2, :width], left[g + 3, :width]
    for j in range(j0, j1, 2):
        second = min(j + 1, j1 - 1)
        d0, d1 = data[j, i0:i1], data[second, i0:i1]
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = 0.0
        for i in range(width):
            x, y = np.float64(d0[i]), np.float64(d1[i])
            a0 += x * w0[i]
            a1 += x * w1[i]
            a2 += x * w2[i]
            a3 += x * w3[i]
            b0 += y * w0[i]
            b1 += y * w1[i]
            b2 += y * w2[i]
            b3 += y * w3[i]
        k, m = j - j0, second - j0
        out[m, 0], out[m, 1], out[m, 2], out[m, 3] = b0, b1, b2, b3
        out[k, 0], out[k, 1], out[k, 2], out[k, 3] = a0, a1, a2, a3


@nb.njit(cache=True, nogil=True, fastmath=FAST)
def _rows_times_one(data, j0, j1, i0, i1, left, out):
    width = i1 - i0
    w = left[0, :width]
    for j in range(j0, j1):
        d = data[j, i0:i1]
        total = 0.0
        for i in range(width):
            total += np.float64(d[i]) * w[i]
        out[j - j0, 0] = total


@nb.njit(cache=True, nogil=True, fastmath=FAST)
def _columns_times_rows(data, j0, j1, i0, i1, right, parts, target):
    """target[r, i] = sum over rows of right[r, j] * data[j, i], eight rows at a time."""
    width = i1 - i0
    for r in range(parts):
        goal = target[r, :width]
        goal[:] = 0.0
        s = right[r]
        for j in range(j0, j1 - 7, 8):
            d0, d1, d2, d3 = data[j, i0:i1], data[j + 1, i0:i1], data[j + 2, i0:i1], data[j + 3, i0:i1]
            d4, d5, d6, d7 = data[j + 4, i0:i1], data[j + 5, i0:i1], data[j + 6, i0:i1], data[j + 7, i0:i1]
            k = j - j0
            s0, s1, s2, s3, s4, s5, s6, s7 = (
                s[k], s[k + 1], s[k + 2], s[k + 3], s[k + 4], s[k + 5], s[k + 6], s[k + 7]
            )  # fmt: skip
            for i in range(width):
                early = (np.float64(d0[i]) * s0 + np.float64(d1[i]) * s1) + (
                    np.float64(d2[i]) * s2 + np.float64(d3[i]) * s3
                )
                later = (np.float64(d4[i]) * s4 + np.float64(d5[i]) * s5) + (
                    np.float64(d6[i]) * s6 + np.float64(d7[i]) * s7
                )
                goal[i] += early + later
        for j in range(j0 + ((j1 - j0) // 8) * 8, j1):
            d, value = data[j, i0:i1], s[j - j0]
            for i in range(width):
                goal[i] += np.float64(d[i]) * value


@nb.njit(cache=True, nogil=True, fastmath=FAST)
def _rectangle(data, f, step, c, j0, j1, i0, i1, to_start, to_end, left, end, right, out, big_q, big_p, both):
    """Add the block t2 in [j0, j1), t1 in [i0, i1), i1 <= j0.

    ``to_start`` is the decay from frame j0, ``to_end`` that to the last frame of a fine block.
    """
    parts, width, height = c.shape[0], i1 - i0, j1 - j0
    least = f[0, j0] - f[0, i1 - 1]
    for r in range(1, parts):
        least = min(least, f[r, j0] - f[r, i1 - 1])
    if least > NEGLIGIBLE:
        return
    for r in range(parts):
        across = np.exp(-(f[r, j0] - f[r, i1 - 1]))
        own, fade, goal, share = c[r, i0:i1], to_end[r, i0:i1], left[r, :width], end[r, :width]
        for k in range(((width - 1) // FINE) * FINE, -1, -FINE):
            for i in range(k, min(k + FINE, width)):
                share[i] = fade[i] * across
            if k > 0:
                across *= fade[k] * step[r, i0 + k]
        for i in range(width):
            goal[i] = own[i] * share[i]
        own, fade = c[r, j0:j1], to_start[r, j0:j1]
        for j in range(height):
            right[r, j] = own[j] * fade[j]
    for first in range(0, parts, 4):
        if parts - first == 1:
            _rows_times_one(data, j0, j1, i0, i1, left[first:], out)
        else:
            _rows_times_four(data, j0, j1, i0, i1, left, first, out)
        for r in range(first, min(first + 4, parts)):
            for j in range(height):
                big_q[r, j0 + j] += out[j, r - first] * to_start[r, j0 + j]
    if both:
        _columns_times_rows(data, j0, j1, i0, i1, right, parts, left)
        for r in range(parts):
            goal, share, own = big_p[r, i0:i1], end[r], left[r]
            for i in range(width):
                goal[i] += own[i] * share[i]


@nb.njit(cache=True, nogil=True, fastmath=FAST)
def _corner(data, f, c, j0, j1, to_start, square, left, grown, out, big_q, big_p, both):
    """Add the pixels t1 < t2 inside one fine block, as a square that holds 0 above the triangle."""
    parts, size = c.shape[0], j1 - j0
    for j in range(size):
        for i in range(FINE):
            square[j, i] = data[j0 + j, j0 + i] if i < j else np.float32(0.0)
    gentle = True
    for r in range(parts):
        gentle = gentle and f[r, j1 - 1] - f[r, j0] < SAFE
    if not gentle:
        _steep_corner(f, c, j0, j1, square, big_q, big_p, both)
        return
    for r in range(parts):
        for i in range(size):
            grown[r, i] = 1.0 / to_start[r, j0 + i]
            left[r, i] = c[r, j0 + i] * grown[r, i]
    for first in range(0, parts, 4):
        _rows_times_four(square, 0, size, 0, size, left, first, out)
        for r in range(first, min(first + 4, parts)):
            for j in range(size):
                big_q[r, j0 + j] += out[j, r - first] * to_start[r, j0 + j]
    if both:
        for r in range(parts):
            for j in range(1, size):
                late = c[r, j0 + j] * to_start[r, j0 + j]
                for i in range(size):
                    big_p[r, j0 + i] += square[j, i] * grown[r, i] * late


@nb.njit(cache=True, nogil=True, fastmath=FAST)
def _steep_corner(f, c, j0, j1, square, big_q, big_p, both):
    """The corner where a decay inside the block is too long for its inverse to be a float64."""
    for r in range(c.shape[0]):
        for j in range(1, j1 - j0):
            for i in range(j):
                value = square[j, i] * np.exp(-(f[r, j0 + j] - f[r, j0 + i]))
                big_q[r, j0 + j] += value * c[r, j0 + i]
                if both:
                    big_p[r, j0 + i] += value * c[r, j0 + j]


@nb.njit(cache=True, nogil=True)
def _stripe_products(data, f, step, u, base, first, last, big_q, big_p, both):
    """Q and P of block rows first .. last - 1 of one bin."""
    parts, n = len(base), data.shape[0]
    padded = 4 * ((parts + 3) // 4)
    left, end, right = np.zeros((padded, WIDTH)), np.zeros((parts, WIDTH)), np.zeros((parts, HEIGHT))
    out, grown = np.zeros((HEIGHT, 4)), np.zeros((parts, FINE))
    square = np.zeros((FINE, FINE), np.float32)
    start, fine_start, fine_end = np.empty((parts, n)), np.empty((parts, n)), np.empty((parts, n))
    from_block_start(step, HEIGHT, start)
    from_block_start(step, FINE, fine_start)
    to_block_end(step, FINE, fine_end)
    c = np.empty((parts, n))
    for r in range(parts):
        for t in range(n):
            c[r, t] = u[base[r], t]
    for block in range(first, last):
        j0, j1 = block * HEIGHT, min((block + 1) * HEIGHT, n)
        for i0 in range(0, j0, WIDTH):
            i1 = min(i0 + WIDTH, j0)
            _rectangle(
                data, f, step, c, j0, j1, i0, i1, start, fine_end, left, end, right, out, big_q, big_p, both
            )
        for k0 in range(j0, j1, FINE):
            k1 = min(k0 + FINE, n)
            if k0 > j0:
                _rectangle(
                    data, f, step, c, k0, k1, j0, k0, fine_start, fine_end, left, end, right, out, big_q, big_p,
                    both,
                )  # fmt: skip
            _corner(data, f, c, k0, k1, fine_start, square, left, grown, out, big_q, big_p, both)


@nb.njit(cache=True, nogil=True, parallel=LOOPS)
def data_products(data, f, step, u, base, stripes, big_q, big_p, both):
    """Q and P of every bin; task = (bin, stripe of rows), each with its own P so that tasks never meet.

    ``data`` (B, N, N): Rows t2; only t1 < t2 is read. ``f``, ``step`` (B, R, N): Decays and exp(-(increase since the
    frame before)). ``u`` (B, C, N): Columns, with c_r in column ``base[r]``. ``stripes`` (S + 1,): Block rows, see
    :func:`stripe_bounds`. ``big_q`` (B, R, N): Added to; big_p only when ``both``.
    """
    count = len(stripes) - 1
    for task in nb.prange(len(data) * count):
        b, s = task // count, task % count
        first, last = stripes[s], stripes[s + 1]
        _stripe_products(data[b], f[b], step[b], u[b], base, first, last, big_q[b], big_p[b, s], both)


@lru_cache(maxsize=64)
def stripe_bounds(n: int) -> NDArray[np.int64]:
    """Block rows cut into stripes of about equal area of the triangle.

    Their number depends on the frames alone: sums are then the same bit for bit on any number of threads, and whether
    bins are taken together, one by one, or on several machines.
    """
    blocks = -(-n // HEIGHT)
    stripes = min(blocks, STRIPES)
    cut = np.rint(blocks * np.sqrt(np.arange(stripes + 1) / stripes)).astype(np.int64)
    return np.unique(cut)
