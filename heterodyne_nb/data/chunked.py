"""Work through data too large for memory, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.errors import ConfigurationError, DataFormatError

__all__ = ["ChunkStatistics", "ChunkedDataProcessor"]

_FRAME_DIMS = ("t2", "t", "tau")


@dataclass(frozen=True)
class ChunkStatistics:
    """Count, mean, minimum, maximum and NaNs of data; ``a + b`` is exactly that of both together.

    Attributes
    ----------
    count, n_nan : int
        Finite and other values.
    total : float
        Sum of the finite values.
    minimum, maximum : float
        inf and −inf where there is none.
    """

    count: int = 0
    n_nan: int = 0
    total: float = 0.0
    minimum: float = np.inf
    maximum: float = -np.inf

    @property
    def mean(self) -> float:
        """Mean of the finite values, NaN where there is none."""
        return self.total / self.count if self.count else np.nan

    def __add__(self, other: ChunkStatistics) -> ChunkStatistics:
        return ChunkStatistics(
            self.count + other.count,
            self.n_nan + other.n_nan,
            self.total + other.total,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
        )


class ChunkedDataProcessor:
    """Applies one function to data chunk by chunk; one chunk is in memory at a time.

    Parameters
    ----------
    chunk_size : int
        Length of a chunk along the first axis of an array; along ``t2``, ``t`` or ``tau`` of an xarray object.
    function : callable, optional
        ``function(chunk) -> result``. Default: :meth:`process_chunk`, which a subclass may replace.
    combine : callable, optional
        ``combine(list of results) -> result``, for :meth:`combined`. Default: :meth:`combine`.

    Raises
    ------
    ConfigurationError
        The chunk size is not a positive whole number.

    Examples
    --------
    >>> processor = ChunkedDataProcessor(chunk_size=2)
    >>> [chunk.mean for chunk in processor.process_large_dataset(np.arange(5.0))]
    [0.5, 2.5, 4.0]
    >>> processor.combined(np.arange(5.0)).mean
    2.0
    """

    def __init__(
        self,
        chunk_size: int = 1000,
        function: Callable[[Any], Any] | None = None,
        combine: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        whole = isinstance(chunk_size, (int, np.integer)) and not isinstance(chunk_size, bool)
        if not whole or chunk_size < 1:
            raise ConfigurationError(f"{chunk_size!r}", where="chunk_size", expected="a whole number from 1")
        self.chunk_size = int(chunk_size)
        self._function, self._combine = function, combine

    def process_large_dataset(self, data: Any) -> Iterator[Any]:
        """Yield the result of each chunk, in order.

        Parameters
        ----------
        data : array, DataArray, or Dataset with c2 (or g2)
            Lazily read data are read chunk by chunk.

        Yields
        ------
        object
            What the function makes of a chunk: by default its :class:`ChunkStatistics`.

        Raises
        ------
        DataFormatError
            The data have no axis to go along.
        """
        return map(self._function or self.process_chunk, self.chunk_data(data))

    def combined(self, data: Any) -> Any:
        """What ``combine`` makes of the results of all chunks: by default one :class:`ChunkStatistics`."""
        return (self._combine or self.combine)(list(self.process_large_dataset(data)))

    def chunk_data(self, data: Any) -> Iterator[Any]:
        """Yield the chunks in order, each of the kind of ``data``.

        A DataArray gives loaded DataArrays, map by map where it has bins; an array gives views.
        """
        if isinstance(data, xr.Dataset):
            data = _main_variable(data)
        if not hasattr(data, "shape"):
            data = np.asarray(data)
        if not data.shape:
            raise DataFormatError("a single value cannot be cut into chunks", expected="at least one axis")
        if isinstance(data, xr.DataArray):
            return self._chunks_of_dataarray(data)
        starts = range(0, data.shape[0], self.chunk_size)
        return (np.asarray(data[start : start + self.chunk_size]) for start in starts)

    def _chunks_of_dataarray(self, data: xr.DataArray) -> Iterator[xr.DataArray]:
        axis = next((d for d in _FRAME_DIMS if d in data.dims), data.dims[0])
        bins = [d for d in data.dims if d in ("q", "phi", "bin") and d != axis]
        for place in np.ndindex(*(data.sizes[d] for d in bins)):
            one = data.isel({d: [k] for d, k in zip(bins, place, strict=True)})
            for start in range(0, data.sizes[axis], self.chunk_size):
                yield one.isel({axis: slice(start, start + self.chunk_size)}).copy(deep=False).load()

    def process_chunk(self, chunk: Any) -> Any:
        """Process one chunk: its :class:`ChunkStatistics`. Replace it in a subclass."""
        values = np.asarray(chunk)
        if not np.issubdtype(values.dtype, np.number) and values.dtype != bool:
            raise DataFormatError(f"data of type {values.dtype}", where="chunk", expected="numbers")
        finite = values[np.isfinite(values)].astype(float)
        if not finite.size:
            return ChunkStatistics(n_nan=values.size)
        return ChunkStatistics(
            finite.size,
            values.size - finite.size,
            float(finite.sum()),
            float(finite.min()),
            float(finite.max()),
        )

    def combine(self, results: list[Any]) -> Any:
        """Combine the results of all chunks: statistics are added up, anything else stays a list."""
        if results and not all(isinstance(one, ChunkStatistics) for one in results):
            return results
        return reduce(ChunkStatistics.__add__, results, ChunkStatistics())


def _main_variable(ds: xr.Dataset) -> xr.DataArray:
    for name in ("c2", "g2"):
        if name in ds:
            return ds[name]
    raise DataFormatError(
        f"the dataset holds {sorted(map(str, ds.data_vars))}", expected="c2 or g2", hint="pass one variable"
    )
