"""One-time g2 from two-time maps: for one map, and lazily for a whole dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from heterodyne_nb.errors import DataFormatError

__all__ = ["COMPUTED", "attach_g2", "g2_from_c2"]

COMPUTED = "computed from c2"
"""Value of ``ds.g2.attrs["origin"]`` when g2 does not come from the file."""


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
        Mean and standard error at lags of 1 .. N−1 frames; NaN where no pixel is left.

    Raises
    ------
    DataFormatError
        The map is not square or the mask has another length.
    """
    c2 = np.asarray(c2)
    used = _checked_mask(c2, mask)
    n = len(used)
    total, square, count = np.zeros((3, max(n - 1, 0)))
    for i in np.flatnonzero(used[:-1]):
        row = np.where(used[i + 1 :], c2[i, i + 1 :], np.nan).astype(float)
        good = np.isfinite(row)
        row[~good] = 0.0
        total[: n - 1 - i] += row
        square[: n - 1 - i] += row**2
        count[: n - 1 - i] += good
    with np.errstate(invalid="ignore", divide="ignore"):
        g2 = total / count
        err = np.sqrt(np.maximum(square / count - g2**2, 0) / (count - 1))
    return g2, err


def _checked_mask(c2: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    if c2.ndim != 2 or c2.shape[0] != c2.shape[1]:
        raise DataFormatError(f"the map has shape {c2.shape}", where="c2", expected="a square array (N, N)")
    if mask is None:
        return np.ones(len(c2), dtype=bool)
    used = np.asarray(mask, dtype=bool)
    if used.shape != (len(c2),):
        raise DataFormatError(
            f"shape {used.shape}", where="mask", expected=f"({len(c2)},), one value a frame"
        )
    return used


def attach_g2(ds: xr.Dataset) -> xr.Dataset:
    """Give a dataset with c2 g2 and g2_err, computed bin by bin when their values are asked for.

    Parameters
    ----------
    ds : xarray.Dataset
        With ``c2(..., t1, t2)``, ``mask(t)`` and ``t``; any g2, g2_err and tau it has are replaced.

    Returns
    -------
    xarray.Dataset
        With ``g2(..., tau)`` and ``g2_err(..., tau)``, tau = dt .. (N−1) dt in seconds.
    """
    c2 = ds["c2"].transpose(..., "t1", "t2")
    t = ds["t"].values
    dims = (*c2.dims[:-2], "tau")
    maps = _G2OfMaps(c2.variable, ds["mask"].values.astype(bool))
    ds = ds.drop_vars(["g2", "g2_err", "tau"], errors="ignore")
    return ds.assign(
        g2=(dims, indexing.LazilyIndexedArray(_LazyG2(maps, 0)), _attrs("one-time intensity correlation")),
        g2_err=(dims, indexing.LazilyIndexedArray(_LazyG2(maps, 1)), _attrs("standard error of g2")),
    ).assign_coords(tau=("tau", t[1:] - t[0], {"units": "s", "long_name": "lag time"}))


def _attrs(long_name: str) -> dict[str, str]:
    return {"units": "1", "long_name": long_name, "origin": COMPUTED}


class _G2OfMaps:
    """Computes (g2, err) of single maps of a lazy c2, and remembers these small results."""

    def __init__(self, c2: xr.Variable, mask: np.ndarray) -> None:
        self.c2, self.mask = c2, mask
        self.shape = (*c2.shape[:-2], max(c2.shape[-1] - 1, 0))
        self._known: dict[tuple[int, ...], np.ndarray] = {}

    def __call__(self, place: tuple[int, ...]) -> np.ndarray:
        if place not in self._known:
            one_map = self.c2[place].values
            self._known[place] = np.stack(g2_from_c2(one_map, self.mask))
        return self._known[place]


class _LazyG2(BackendArray):
    """The array xarray indexes: part 0 (g2) or 1 (its error) of the maps' results."""

    def __init__(self, maps: _G2OfMaps, part: int) -> None:
        self.maps, self.part = maps, part
        self.shape, self.dtype = maps.shape, np.dtype(float)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer_indexed
        )

    def _outer_indexed(self, key: tuple[Any, ...]) -> np.ndarray:
        """Compute the maps that an outer key (ints, slices, 1-D arrays) reaches, and cut out its lags."""
        chosen = [np.arange(n)[k] for n, k in zip(self.shape, key[:-1], strict=False)]
        flat = [np.atleast_1d(places) for places in chosen]
        out = np.empty((*(len(places) for places in flat), self.shape[-1]))
        for slot in np.ndindex(*out.shape[:-1]):
            out[slot] = self.maps(tuple(int(p[s]) for p, s in zip(flat, slot, strict=True)))[self.part]
        return out.reshape(*(n for places in chosen for n in places.shape), -1)[..., key[-1]]
