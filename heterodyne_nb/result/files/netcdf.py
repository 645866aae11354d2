"""netCDF-4 through h5netcdf: the whole record, read back exactly."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from heterodyne_nb.errors import DataFormatError
from heterodyne_nb.files import new_file


def write(dataset: xr.Dataset, target: Path) -> None:
    """Write the record of a fit to a netCDF-4 file."""
    encoding = {name: {"_FillValue": None} for name, v in dataset.variables.items() if v.dtype.kind == "f"}
    with new_file(target) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)


def read(source: Path) -> xr.Dataset:
    """Read the record of a fit from a netCDF-4 file.

    Raises
    ------
    DataFormatError
        The file is not netCDF-4/HDF5 or is damaged.
    """
    try:
        with xr.open_dataset(source, engine="h5netcdf", decode_times=False, decode_timedelta=False) as opened:
            return opened.load()
    except Exception as problem:  # h5py and h5netcdf raise many kinds for a damaged file
        raise DataFormatError(
            f"cannot be read as netCDF-4 ({problem})",
            where=source.name,
            expected="a file written by FitResult.save, complete",
        ) from problem
