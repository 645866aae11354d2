"""g2 computed from the two-time maps when it is first looked at."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing


class _G2OfMaps:
    """Computes g2 and its error of one bin from its map, once, and keeps the two curves."""

    def __init__(self, c2: xr.DataArray, mask: np.ndarray, usable: np.ndarray) -> None:
        self.c2, self.mask, self.usable = c2, mask, usable
        self.n_lags = c2.shape[-1] - 1
        self.kept: dict[tuple[int, ...], tuple[np.ndarray, np.ndarray]] = {}
        self.lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, lock=threading.Lock())

    def curves(self, where: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """``(g2, error)`` of one bin at lags 1 .. N-1; NaN where the bin cannot be used."""
        from heterodyne_nb.data.g2 import g2_from_c2

        if not self.usable[where]:
            nothing = np.full(self.n_lags, np.nan)
            return nothing, nothing
        with self.lock:
            if where not in self.kept:
                one = self.c2.isel(dict(zip(self.c2.dims, where, strict=False)))
                self.kept[where] = g2_from_c2(one.values, self.mask)
            return self.kept[where]


class LazyG2Array(BackendArray):
    """g2 (``part=0``) or its error (``part=1``) as a lazy array of shape (*bins, N-1)."""

    def __init__(self, source: _G2OfMaps, part: int) -> None:
        self.source, self.part = source, part
        self.shape = (*source.c2.shape[:-2], source.n_lags)
        self.dtype = np.dtype(float)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer
        )

    def _outer(self, key: tuple[Any, ...]) -> np.ndarray:
        wanted = [np.atleast_1d(np.arange(n)[k]) for k, n in zip(key, self.shape, strict=True)]
        *bins, lags = wanted
        out = np.empty([w.size for w in wanted])
        for at in np.ndindex(*out.shape[:-1]):
            where = tuple(int(b[i]) for b, i in zip(bins, at, strict=True))
            out[at] = self.source.curves(where)[self.part][lags]
        dropped = tuple(axis for axis, k in enumerate(key) if np.ndim(k) == 0 and not isinstance(k, slice))
        return out.squeeze(axis=dropped) if dropped else out


def with_lazy_g2(ds: xr.Dataset) -> xr.Dataset:
    """Give a dataset ``g2`` and ``g2_err`` that are computed from ``c2`` when looked at.

    Parameters
    ----------
    ds : Dataset
        With ``c2``; ``mask`` and ``usable`` are respected. Earlier g2 variables are replaced.

    Returns
    -------
    Dataset
        With ``g2(…, tau)``, ``g2_err(…, tau)``, tau = dt, 2 dt, … (s). Their attribute
        ``origin`` says ``"computed from c2"``. Each map is read once, when its curve is wanted.
    """
    from heterodyne_nb.data.model import ATTRS

    c2 = ds["c2"]
    lead = c2.dims[:-2]
    if c2.shape[-1] < 2:
        return ds
    ds = ds.drop_vars(["g2", "g2_err", "tau"], errors="ignore")
    mask = ds["mask"].values if "mask" in ds else np.ones(c2.shape[-1], bool)
    usable = ds["usable"].values if "usable" in ds else np.ones(c2.shape[:-2], bool)
    source = _G2OfMaps(c2, mask, usable)
    tau = np.arange(1, c2.shape[-1]) * float(ds.attrs["dt"])
    origin = {"origin": "computed from c2"}
    lazy = {
        name: xr.Variable(
            (*lead, "tau"),
            indexing.MemoryCachedArray(indexing.LazilyIndexedArray(LazyG2Array(source, part))),
            {**ATTRS[name], **origin},
        )
        for part, name in enumerate(("g2", "g2_err"))
    }
    return ds.assign_coords(tau=("tau", tau, ATTRS["tau"])).assign(lazy)
