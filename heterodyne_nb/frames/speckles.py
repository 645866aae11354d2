"""How large a speckle is, and groups of neighbouring pixels that hold many."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.frames.photons import Photons

#: Fewest clusters of a whole fit, most of one bin, and speckles that a cluster should hold.
LEAST, MOST, SPECKLES = 40, 64, 20.0
_PAIRS, _FAR = 4000, 6


def cluster_edges(photons: Photons, area: float, least: int = LEAST) -> list[IntArray]:
    """Cut the pixels of each bin, which are ordered by neighbourhood, into clusters.

    ``area``: Pixels of a speckle. ``least``: Clusters of all bins together, where the pixels allow so many of two
    speckles each. Returns: First pixel of each cluster of a bin, and one past its last.
    """
    edges = []
    for b, n in enumerate(photons.n_pixels):
        wanted = min(n / (SPECKLES * area), MOST)
        enough = max(wanted, least / photons.n_bins)
        groups = int(np.clip(enough, 2, max(2, n / (2.0 * area))))
        edges.append(
            np.unique(np.linspace(photons.first[b], photons.first[b + 1], groups + 1).astype(np.int64))
        )
    return edges


def speckle_area(photons: Photons, columns: int, inverse: FloatArray, scale: FloatArray) -> float:
    """Pixels of a speckle, from how the counts of neighbours go together.

    ``columns``: Of the detector. ``inverse`` (B, N): 1 over the mean count of a pixel of each bin and frame, 0 where
    a frame is not used. ``scale`` (P,): What the counts of each pixel are divided by. Returns: At least 1: product of
    1 + 2 sum C(d) / C(0) along rows and along columns, C the covariance at a distance of d pixels, that of a pixel
    with itself taken without shot noise.
    """
    bins = np.repeat(np.arange(photons.n_bins), photons.n_pixels)
    order = np.argsort(photons.pixel)
    used = (inverse > 0).sum(axis=1)
    own = _covariance(photons, np.arange(len(bins)), np.arange(len(bins)), bins, inverse, scale, used)
    if not own > 0:
        return 1.0
    area = 1.0
    for step in (1, columns):
        length = 1.0
        for distance in range(1, _FAR + 1):
            there = photons.pixel + distance * step
            place = order[np.minimum(np.searchsorted(photons.pixel, there, sorter=order), len(order) - 1)]
            same_row = (step > 1) | (photons.pixel % columns + distance < columns)
            pairs = np.flatnonzero((photons.pixel[place] == there) & (bins[place] == bins) & same_row)
            if len(pairs) < 10:
                break
            some = pairs[:: max(1, len(pairs) // _PAIRS)]
            share = _covariance(photons, some, place[some], bins, inverse, scale, used) / own
            if share < 0.05:
                break
            length += 2.0 * share
        area *= length
    return max(area, 1.0)


def _covariance(
    photons: Photons,
    one: IntArray,
    other: NDArray[np.integer],
    bins: IntArray,
    inverse: FloatArray,
    scale: FloatArray,
    used: IntArray,
) -> float:
    """Mean over pairs of pixels and over used frames of x x' - 1; of a pixel with itself, n (n - 1) in place of n²."""
    some = one[:: max(1, len(one) // _PAIRS)]
    there = other[:: max(1, len(one) // _PAIRS)]
    shot = 1.0 if np.issubdtype(photons.count.dtype, np.integer) else 0.0
    found = _products(photons.frame, photons.count, photons.start, some, there, bins, inverse, scale, shot)
    return float(found.sum() / max(used[bins[some]].sum(), 1)) - 1.0


@nb.njit(cache=True, nogil=True)
def _products(frame, count, start, one, other, bins, inverse, scale, shot):
    out = np.zeros(len(one))
    for k in range(len(one)):
        p, q = one[k], other[k]
        i, j = start[p], start[q]
        weight = 1.0 / (scale[p] * scale[q])
        while i < start[p + 1] and j < start[q + 1]:
            if frame[i] < frame[j]:
                i += 1
            elif frame[i] > frame[j]:
                j += 1
            else:
                x = inverse[bins[p], frame[i]]
                n = np.float64(count[j])
                out[k] += weight * x * x * count[i] * (n - shot if p == q else n)
                i += 1
                j += 1
    return out
