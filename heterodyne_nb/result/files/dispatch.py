"""Which module writes and reads which file name suffix."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import xarray as xr

from heterodyne_nb.errors import ConfigurationError, MissingFileError
from heterodyne_nb.files import recover

_FORMATS = {
    ".nc": "netcdf",
    ".zarr": "zarr_store",
    ".csv": "csv_table",
    ".json": "json_summary",
    ".nxs": "nexus",
}


def write_result(dataset: xr.Dataset, path: str | Path) -> Path:
    """Write the record of a fit in the format its suffix names; return the path.

    Raises
    ------
    ConfigurationError
        Unknown suffix, or a format whose library is not installed.
    OutputError
        It cannot be written there.
    """
    target = Path(path)
    _module(target).write(dataset, target)
    return target


def read_result(path: str | Path) -> xr.Dataset:
    """Read the record of a fit, as it was written (any schema version).

    Raises
    ------
    MissingFileError
        No such file.
    DataFormatError
        Damaged, or not a file of its kind.
    ConfigurationError
        Unknown suffix, or a format that holds only part of a result.
    """
    source = Path(path)
    recover(source)
    if not source.exists():
        raise MissingFileError("no such file", where=str(source))
    module = _module(source)
    if not hasattr(module, "read"):
        raise ConfigurationError(
            f"a {source.suffix} file holds only part of a result and cannot be loaded",
            where=source.name,
            expected="a .nc file or a .zarr folder",
        )
    return module.read(source)


def _module(path: Path) -> ModuleType:
    name = _FORMATS.get(path.suffix.lower())
    if name is None:
        raise ConfigurationError(
            f"unknown result format {path.suffix!r}", where=path.name, expected=f"one of {sorted(_FORMATS)}"
        )
    return importlib.import_module(f"heterodyne_nb.result.files.{name}")
