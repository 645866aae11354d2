"""Two-time maps of photon lists, dense, of single frames or of sums of them."""

from __future__ import annotations

from dataclasses import replace

import numba as nb
import numpy as np
from numpy.typing import NDArray

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.frames.photons import Photons

_BLOCK = 512
#: Time of a product written to its place in a map, in units of one inside a product of dense matrices.
_SCATTERED = 60.0


def bin_map(
    photons: Photons, b: int, inverse: FloatArray, scale: FloatArray, cell: IntArray | None = None
) -> NDArray[np.float64]:
    """c2 of one bin, NaN for cells without a used frame.

    ``inverse`` (N,): 1 over the mean count of a pixel in each frame, 0 where it is not used. ``scale`` (P,): What the
    counts of each pixel are divided by. ``cell`` (N,): Cell that each frame is summed into, -1 for none; default each
    frame its own. Returns (C, C): Mean over pixels, and over the pairs of frames of two cells, of x x'. On the
    diagonal the shot noise of counts (whole numbers) is taken off.
    """
    cell = np.arange(len(inverse)) if cell is None else cell
    cell = np.where(inverse > 0, cell, -1)
    cells = int(cell.max()) + 1
    number = np.bincount(cell[cell >= 0], minlength=cells).astype(float)
    weight = np.where(cell >= 0, inverse, 0.0)
    p0, p1 = int(photons.first[b]), int(photons.first[b + 1])
    total, events = np.zeros((cells, cells)), photons.events(b)
    if _SCATTERED * events**2 / max(p1 - p0, 1) < (p1 - p0) * cells**2:
        _scattered_map(photons.frame, photons.count, photons.start, p0, p1, scale, cell, weight, total)
        total += np.triu(total, 1).T
    else:
        for p in range(p0, p1, _BLOCK):
            some = slice(p, min(p + _BLOCK, p1))
            x = photons.dense(some, cell, weight, cells) / scale[some, None]
            total += x.T @ x
    if np.issubdtype(photons.count.dtype, np.integer):
        by_frame = replace(photons, first=photons.first[b : b + 2]).sums(scale**2)[0] * weight**2
        total[np.diag_indices(cells)] -= np.bincount(cell[cell >= 0], by_frame[cell >= 0], minlength=cells)
    with np.errstate(invalid="ignore", divide="ignore"):
        c2 = total / ((p1 - p0) * np.outer(number, number))
    c2[number == 0], c2[:, number == 0] = np.nan, np.nan
    return c2


@nb.njit(cache=True, nogil=True)
def _scattered_map(frame, count, start, p0, p1, scale, cell, weight, out):
    """Add x x' of all pairs of a pixel's photons to the upper triangle."""
    longest = 0
    for p in range(p0, p1):
        longest = max(longest, start[p + 1] - start[p])
    place, value = np.empty(longest, np.int64), np.empty(longest)
    for p in range(p0, p1):
        n = 0
        for i in range(start[p], start[p + 1]):
            c = cell[frame[i]]
            if c < 0:
                continue
            x = count[i] * weight[frame[i]] / scale[p]
            if n > 0 and place[n - 1] == c:
                value[n - 1] += x
            else:
                place[n], value[n] = c, x
                n += 1
        for i in range(n):
            row = out[place[i]]
            for j in range(i, n):
                row[place[j]] += value[i] * value[j]
