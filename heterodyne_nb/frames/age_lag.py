"""Averages of c2 over cells of age and lag, straight from photons: linear in the photons, without a map, with errors."""

from __future__ import annotations

from dataclasses import replace

import numba as nb
import numpy as np

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.data.age_lag import AgeLagCells
from heterodyne_nb.frames.multitau import lags
from heterodyne_nb.frames.photons import Photons
from heterodyne_nb.kernels import LOOPS


def usual_edges(n_frames: int, first_frame: int, per_level: int, ages: int) -> tuple[FloatArray, FloatArray]:
    """Edges in lag, of the levels of multi-tau, and in age, of about so many cells of equal length; in frames."""
    lag, level = lags(n_frames, per_level)
    ends = np.append(lag << level, (lag[-1] + 1) << level[-1])
    width = -(-n_frames // ages)
    ages_at = first_frame - 0.25 + width * np.arange((n_frames - 1) // width + 2, dtype=float)
    return ends - 0.5, np.asarray(ages_at, float)


def cell_sums(
    photons: Photons, b: int, edges: np.ndarray, inverse: FloatArray, scale: FloatArray, cells: AgeLagCells
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sums over the pairs t1 < t2 of each cell, of one bin.

    ``edges`` (G + 1,): Pixels of each cluster. ``inverse`` (N,): 1 over the mean count of a pixel in each frame, 0 where
    it is not used. ``scale`` (P,): What the counts of each pixel are divided by. Returns: x x' of each cluster, summed
    over its pixels, (G, n_lag, n_age); x_g u' + u x_g', x_g the sum over the pixels of a cluster and u 1 for used
    frames, (G, n_lag, n_age); and u u', (n_lag, n_age).
    """
    groups, places = len(edges) - 1, (cells.first_lag, cells.first_sum, cells.age_of)
    sums = np.zeros((groups, *cells.pixels.shape))
    _photon_pairs(photons.frame, photons.count, photons.start, 1.0 / scale**2, edges, inverse, *places, sums)
    used = (inverse > 0).astype(float)
    x = replace(photons, first=edges).sums(scale) * inverse
    series = np.ascontiguousarray(np.vstack([x, used]).T)
    shares = np.zeros((*cells.pixels.shape, groups + 1))
    before = np.concatenate([np.zeros((1, groups + 1)), np.cumsum(series, axis=0)])
    _frame_pairs(series, before, *places, shares)
    return sums, np.moveaxis(shares[..., :-1], -1, 0), np.rint(0.5 * shares[..., -1])


@nb.njit(cache=True, nogil=True, parallel=LOOPS)
def _photon_pairs(frame, count, start, weight, edges, inverse, first_lag, first_sum, age_of, out):
    """Add weight x x' of all pairs of photons of each pixel to the cells of its group, out (G, n_lag, n_age).

    The photons that lie a row of lags before one are consecutive, and of these those of one age: differences of running
    sums, whose ends move on from photon to photon.
    """
    rows = len(first_lag) - 1
    for g in nb.prange(len(edges) - 1):
        longest = 0
        for p in range(edges[g], edges[g + 1]):
            longest = max(longest, start[p + 1] - start[p])
        place, value, before = np.empty(longest, np.int64), np.empty(longest), np.zeros(longest + 1)
        ends = np.empty(rows + 1, np.int64)
        for p in range(edges[g], edges[g + 1]):
            n = 0
            for i in range(start[p], start[p + 1]):
                if inverse[frame[i]] > 0.0:
                    place[n], value[n] = frame[i], count[i] * inverse[frame[i]]
                    before[n + 1] = before[n] + value[n]
                    n += 1
            ends[:] = 0
            for j in range(n):
                late, x = place[j], weight[p] * value[j]
                for k in range(rows + 1):
                    i = ends[k]
                    while i < j and place[i] <= late - first_lag[k]:
                        i += 1
                    ends[k] = i
                    if k > 0:
                        end = ends[k - 1]
                        while i < end and place[i] + late < first_sum[0]:
                            i += 1
                        while i < end and place[i] + late < first_sum[-1]:
                            age = age_of[place[i] + late]
                            last = _beyond(place, i, end, first_sum[age + 1] - late)
                            out[g, k - 1, age] += x * (before[last] - before[i])
                            i = last
                    if ends[k] == 0:
                        break


@nb.njit(cache=True, nogil=True)
def _beyond(place, first, end, wanted):
    """Where in place[first:end], rising, the first of at least ``wanted`` is."""
    if place[end - 1] < wanted:
        return end
    low, high = first, end - 1
    while low < high:
        middle = (low + high) // 2
        if place[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@nb.njit(cache=True, nogil=True, parallel=LOOPS)
def _frame_pairs(series, before, first_lag, first_sum, age_of, out):
    """Add x u' + u x' of all pairs of frames to their cells, out (n_lag, n_age, G + 1).

    ``series`` (N, G + 1): x of each group, u last. ``before`` (N + 1, G + 1): Sums of all frames before each.
    """
    n, columns = series.shape
    for k in nb.prange(len(first_lag) - 1):
        for late in range(first_lag[k], n):
            early = max(late - first_lag[k + 1] + 1, 0, first_sum[0] - late)
            last = min(late - first_lag[k], first_sum[-1] - 1 - late)
            used = series[late, columns - 1]
            if used == 0.0:
                continue
            while early <= last:
                age = age_of[early + late]
                end = min(last, first_sum[age + 1] - 1 - late)
                pairs = before[end + 1, columns - 1] - before[early, columns - 1]
                goal = out[k, age]
                for g in range(columns):
                    goal[g] += before[end + 1, g] - before[early, g] + series[late, g] * pairs
                early = end + 1
