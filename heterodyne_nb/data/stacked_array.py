"""A lazy (q, phi, ...) variable seen as (bin, ...) without reading it."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing


class StackedArray(BackendArray):
    """The first two axes of a lazy variable as one; each bin reads alone."""

    def __init__(self, variable: xr.Variable) -> None:
        self.variable = variable
        n_q, n_phi, *rest = variable.shape
        self.shape, self.dtype = (n_q * n_phi, *rest), variable.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer
        )

    def _outer(self, key: tuple[Any, ...]) -> np.ndarray:
        first, *rest = key
        bins = np.arange(self.shape[0])[first]
        parts = [self._bin(int(b), rest) for b in np.atleast_1d(bins)]
        if np.ndim(bins) == 0:
            return parts[0]
        empty = np.empty((0, *self._bin_shape(rest)), self.dtype)
        return np.stack(parts) if parts else empty

    def _bin(self, number: int, rest: list[Any]) -> np.ndarray:
        where = divmod(number, self.variable.shape[1])
        dims = self.variable.dims
        return self.variable.isel(dict(zip(dims, (*where, *rest), strict=True))).values

    def _bin_shape(self, rest: list[Any]) -> list[int]:
        sizes = (np.arange(n)[k] for n, k in zip(self.shape[1:], rest, strict=True))
        return [s.size for s in sizes if np.ndim(s)]


def stack_lazily(variable: xr.Variable) -> xr.Variable:
    """The variable (q, phi, ...) as (bin, ...), still lazy."""
    lazy = indexing.MemoryCachedArray(indexing.LazilyIndexedArray(StackedArray(variable)))
    return xr.Variable(("bin", *variable.dims[2:]), lazy, variable.attrs)
