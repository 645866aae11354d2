"""Zarr folders: the whole record, read back exactly; for object stores and large batches."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import xarray as xr

from heterodyne_nb.errors import ConfigurationError, DataFormatError
from heterodyne_nb.files import new_zarr

#: Files that mark a folder as a Zarr store (formats 2 and 3).
_MARKS = (".zgroup", "zarr.json")


def write(dataset: xr.Dataset, target: Path) -> None:
    """Write the record of a fit to a Zarr folder (format 2, whose string arrays every reader knows).

    Raises
    ------
    ConfigurationError
        The zarr package is not installed.
    OutputError
        The target is a folder of something else.
    """
    _need_zarr()
    with new_zarr(target) as fresh:
        dataset.to_zarr(fresh, mode="w", zarr_format=2, consolidated=True)


def read(source: Path) -> xr.Dataset:
    """Read the record of a fit from a Zarr folder.

    Raises
    ------
    DataFormatError
        The folder is not a Zarr store or is damaged.
    ConfigurationError
        The zarr package is not installed.
    """
    _need_zarr()
    if not any((source / mark).exists() for mark in _MARKS):
        raise DataFormatError(
            "is not a Zarr store", where=source.name, expected=f"a folder with one of {_MARKS}"
        )
    try:
        with xr.open_zarr(source, chunks=None, decode_times=False, decode_timedelta=False) as opened:
            return opened.load()
    except Exception as problem:  # zarr and its codecs raise many kinds for a damaged store
        raise DataFormatError(
            f"cannot be read as Zarr ({problem})",
            where=source.name,
            expected="a folder written by FitResult.save, complete",
        ) from problem


def _need_zarr() -> None:
    if importlib.util.find_spec("zarr") is None:
        raise ConfigurationError(
            "the zarr package is not installed",
            expected="zarr for .zarr results",
            hint="pip install 'heterodyne_nb[dask]', or save as .nc",
        )
