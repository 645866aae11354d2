"""A dataset that is opened when it is first needed."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Any

import xarray as xr

from heterodyne_nb.data.open import open_dataset


class LazyDataLoader:
    """Opens a result file on first access.

    Parameters
    ----------
    file_path : str or path
        The file; it is not touched before :attr:`data` is asked for.
    **selection
        Keywords of :func:`heterodyne_nb.open_dataset`: q, phi, frames, dt, layout, mask.

    Examples
    --------
    >>> with LazyDataLoader("run_0042.hdf", q=(0.005, 0.02)) as loader:  # doctest: +SKIP
    ...     loader.data.c2
    """

    def __init__(self, file_path: str | os.PathLike[str], **selection: Any) -> None:
        self.file_path = os.fspath(file_path)
        self._selection = selection
        self._data: xr.Dataset | None = None
        self._lock = threading.Lock()

    @property
    def data(self) -> xr.Dataset:
        """The dataset, opened once; its maps stay on disk."""
        with self._lock:
            if self._data is None:
                self._data = open_dataset(self.file_path, **self._selection)
            return self._data

    @property
    def is_open(self) -> bool:
        """Whether the file has been opened."""
        return self._data is not None

    def close(self) -> None:
        """Close the file. :attr:`data` opens it again."""
        with self._lock:
            if self._data is not None:
                self._data.close()
                self._data = None

    def __enter__(self) -> LazyDataLoader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LazyDataLoader({self.file_path!r}, {'open' if self.is_open else 'not opened yet'})"
