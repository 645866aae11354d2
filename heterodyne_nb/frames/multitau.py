"""One-time correlations of photon lists at lags that widen with their length (multi-tau)."""

from __future__ import annotations

import numba as nb
import numpy as np

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.kernels import LOOPS

#: Lags a level: 1 ... 2 L - 1 frames one by one, then L ... 2 L - 1 sums of 2, 4, 8 ... frames.
PER_LEVEL = 8


def lags(n_frames: int, per_level: int = PER_LEVEL) -> tuple[IntArray, IntArray]:
    """Lags in sums of frames and the level of each, such that at least two sums are apart by each.

    Returns ``lag, level`` (K,): The lag is lag 2^level frames.
    """
    lag, level = [], []
    for at in range(64):
        cells = -(-n_frames >> at)
        here = [j for j in range(1 if at == 0 else per_level, 2 * per_level) if j < cells]
        if not here:
            break
        lag += here
        level += [at] * len(here)
    return np.array(lag, np.int64), np.array(level, np.int64)


@nb.njit(cache=True, nogil=True, parallel=LOOPS)
def pair_sums(frame, count, start, weight, edges, inverse, lag, level, out):
    """Sum over pixels and times of X(T) X(T + lag), X the sums of x over 2^level frames, for each group of pixels.

    ``frame``, ``count``, ``start``, ``weight``, ``edges``: As for
    :func:`heterodyne_nb.engine.photons.photon_products`; x = sqrt(weight) count inverse[frame]. ``inverse`` (N,).
    ``lag``, ``level`` (K,). ``out`` (G, K): Added to.
    """
    levels = level[-1] + 1
    for g in nb.prange(len(edges) - 1):
        longest = 0
        for p in range(edges[g], edges[g + 1]):
            longest = max(longest, start[p + 1] - start[p])
        place, value = np.empty(longest, np.int64), np.empty(longest)
        wide = lag.max() + 1
        found = np.zeros(wide)
        for p in range(edges[g], edges[g + 1]):
            n = 0
            for i in range(start[p], start[p + 1]):
                if inverse[frame[i]] > 0.0:
                    place[n], value[n] = frame[i], count[i] * inverse[frame[i]]
                    n += 1
            k = 0
            for at in range(levels):
                if at > 0:
                    m = 0
                    for i in range(n):
                        cell = place[i] >> 1
                        if m > 0 and place[m - 1] == cell:
                            value[m - 1] += value[i]
                        else:
                            place[m], value[m] = cell, value[i]
                            m += 1
                    n = m
                last = k
                while last < len(lag) and level[last] == at:
                    last += 1
                most = lag[last - 1]
                found[:] = 0.0
                for i in range(n):
                    for j in range(i + 1, n):
                        apart = place[j] - place[i]
                        if apart > most:
                            break
                        found[apart] += value[i] * value[j]
                for m in range(k, last):
                    out[g, m] += weight[p] * found[lag[m]]
                k = last


def lagged(early: FloatArray, late: FloatArray, lag: IntArray, level: IntArray) -> FloatArray:
    """Sum over T of the sums of ``early`` (…, N) at T and of ``late`` (…, N) at T + lag, (…, K)."""
    out, here = [], 0
    for j, at in zip(lag, level, strict=True):
        while here < at:
            early, late, here = _halved(early), _halved(late), here + 1
        out.append(np.sum(early[..., :-j] * late[..., j:], axis=-1))
    return np.stack(out, axis=-1)


def _halved(series: FloatArray) -> FloatArray:
    if series.shape[-1] % 2:
        series = np.concatenate([series, np.zeros((*series.shape[:-1], 1))], axis=-1)
    return series[..., ::2] + series[..., 1::2]
