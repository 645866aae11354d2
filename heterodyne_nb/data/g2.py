"""One-time g2 from one two-time map: the average over all ages, with its error."""

from __future__ import annotations

import numpy as np

from heterodyne_nb.data.lag_noise import MapNoise
from heterodyne_nb.data.noise_cells import diagonal
from heterodyne_nb.errors import DataFormatError

__all__ = ["checked_mask", "g2_from_c2"]


def g2_from_c2(c2: np.ndarray, mask: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Average a two-time map over all ages.

    g2(τ_k) is the mean of c2[i, i+k] over the used frames i and i+k with a finite pixel, k = 1 .. N−1.

    Parameters
    ----------
    c2 : ndarray, shape (N, N)
        Two-time map; only the pixels above the diagonal are read. NaN: not measured.
    mask : bool ndarray, shape (N,), optional
        True where the frame is used.

    Returns
    -------
    g2, err : float64 ndarray, shape (N − 1,)
        Mean and standard error at lags of 1 .. N−1 frames; NaN where no pixel is left. The error counts
        correlated pixels as such: see :mod:`heterodyne_nb.data.lag_noise`.

    Raises
    ------
    DataFormatError
        The map is not square or the mask has another length.
    """
    c2 = np.asarray(c2)
    used = checked_mask(c2, mask)
    n = len(used)
    if n < 2:
        return np.empty(0), np.empty(0)
    g2, count = np.full(n - 1, np.nan), np.zeros((1, n - 1))
    for lag in range(1, n):
        pixels = diagonal(c2, used, lag)
        good = np.isfinite(pixels)
        if good.any():
            g2[lag - 1], count[0, lag - 1] = pixels[good].mean(), good.sum()
    err = MapNoise(c2, used).errors(lambda lag: np.array([[0, n - lag]]), count)[0]
    return g2, err


def checked_mask(c2: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Return the mask as bool, all True for None; refuse a map or mask of the wrong shape."""
    if c2.ndim != 2 or c2.shape[0] != c2.shape[1]:
        raise DataFormatError(f"the map has shape {c2.shape}", where="c2", expected="a square array (N, N)")
    if mask is None:
        return np.ones(len(c2), dtype=bool)
    used = np.asarray(mask, dtype=bool)
    if used.shape != (len(c2),):
        raise DataFormatError(f"shape {used.shape}", where="mask", expected=f"({len(c2)},), one a frame")
    return used
