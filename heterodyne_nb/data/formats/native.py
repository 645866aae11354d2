"""This package's own files: the dataset as it is, in netCDF (HDF5) or Zarr."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from heterodyne_nb.data.units import converted
from heterodyne_nb.errors import DataFormatError
from heterodyne_nb.files import new_file, new_zarr
from heterodyne_nb.remote import AnyPath, Remote, RemoteFile, place
from heterodyne_nb.text.escaping import storable

NAME = "heterodyne_nb"
ATTRIBUTE = "heterodyne_nb_dataset"
_VERSION = 1


def is_own(h5file: h5py.File) -> bool:
    """Whether an HDF5 file was written by :func:`write_dataset`, or by xarray from a dataset of this package."""
    return ATTRIBUTE in h5file.attrs or ("_NCProperties" in h5file.attrs and _is_ours(h5file))


def _is_ours(names: Any) -> bool:
    return ("c2" in names or "g2" in names) and "q" in names and "phi" in names


def is_zarr_object(path: Any) -> bool:
    """Whether it is a group or a store of the zarr package."""
    return type(path).__module__.partition(".")[0] == "zarr"


def is_zarr(path: Any) -> bool:
    """Whether a path is a Zarr store, here or elsewhere."""
    if is_zarr_object(path):
        return True
    if isinstance(path, Remote):
        return path.suffix in ("", ".zarr") and any(
            (path / name).exists() for name in ("zarr.json", ".zgroup")
        )
    return path.is_dir() and any((path / name).exists() for name in ("zarr.json", ".zgroup"))


def open_own(path: Any, dt: float | None = None) -> xr.Dataset:
    """Open a file of :func:`write_dataset`; everything stays on disk until it is looked at.

    Raises
    ------
    DataFormatError
        It is some other netCDF or Zarr, a newer version, or unreadable.
    """
    zarr = is_zarr(path)
    engine, opened = "zarr" if zarr else "h5netcdf", path
    options: dict[str, Any] = {"consolidated": False} if zarr else {}
    if zarr:
        _need_zarr(path)
    if isinstance(path, Remote):
        opened = path.url if zarr else path.open()
    elif zarr and not isinstance(path, Path) and hasattr(path, "store"):
        opened, options["group"] = path.store, path.path
    try:
        ds = xr.open_dataset(opened, engine=engine, decode_times=False, **options)
    except Exception as error:  # of fsspec's services, too
        if isinstance(opened, RemoteFile) and opened.failure is not None:
            raise opened.failure from None
        raise DataFormatError(f"the {engine} file cannot be read ({error})", where=str(path)) from error
    version = ds.attrs.pop(ATTRIBUTE, None)
    if version is None and not _is_ours(ds.variables):
        raise DataFormatError(
            f"this {engine} file was not written by heterodyne_nb",
            where=str(path),
            expected=f"the attribute {ATTRIBUTE}, or c2 or g2 with q and phi",
        )
    if int(version or _VERSION) > _VERSION:
        raise DataFormatError(
            f"the file is of version {version}", where=str(path), expected=f"version {_VERSION} or older"
        )
    ds = ds.set_coords([name for name in ("frame",) if name in ds])
    known = converted(ds)
    if known is not ds:
        known.set_close(ds.close)
    return known if dt is None else _retimed(known, dt)


def _retimed(ds: xr.Dataset, dt: float) -> xr.Dataset:
    factor = dt / float(ds.attrs["dt"])
    times = {name: ds[name] * factor for name in ("t", "t1", "t2", "tau") if name in ds.coords}
    times = {name: value.assign_attrs(ds[name].attrs) for name, value in times.items()}
    return ds.assign_coords({n: (v.dims, v.values, v.attrs) for n, v in times.items()}).assign_attrs(dt=dt)


def write_dataset(ds: xr.Dataset, path: AnyPath) -> None:
    """Save a dataset as it is, exactly, to ``.nc`` (netCDF) or ``.zarr``.

    Parameters
    ----------
    ds : Dataset
        Of the package's data model. Maps on disk are copied one bin at a time.
    path : str or path
        Ending in ``.nc`` or ``.zarr``; what is there is replaced once the new file is complete. Also an address
        that fsspec can write to, such as ``s3://bucket/run.nc``.

    Raises
    ------
    DataFormatError
        Another ending.
    OutputError
        There is no such folder, it has no room, or something else than a Zarr store is at ``.zarr``.
    """
    target = place(path)
    if target.suffix not in (".nc", ".zarr"):
        raise DataFormatError(f"the ending is {target.suffix!r}", where=str(path), expected=".nc or .zarr")
    if target.suffix == ".zarr":
        _need_zarr(target)
    with new_zarr(target) if target.suffix == ".zarr" else new_file(target) as made:
        _write(ds, made)


def _need_zarr(path: Any) -> None:
    if importlib.util.find_spec("zarr") is None:
        raise DataFormatError(
            "zarr is not installed", where=str(path), hint="pip install 'heterodyne_nb[dask]', or use .nc"
        )


def _write(ds: xr.Dataset, path: Path) -> None:
    attributes = {
        key: storable(value) if isinstance(value, str) else value for key, value in ds.attrs.items()
    }
    small = ds.drop_vars("c2", errors="ignore").assign_attrs({**attributes, ATTRIBUTE: _VERSION})
    for variable in small.variables.values():
        variable.encoding = {}
    if path.suffix == ".nc":
        small.to_netcdf(path, engine="h5netcdf")
        if "c2" in ds:
            _append_maps_netcdf(ds["c2"], path)
    else:
        small.to_zarr(path, consolidated=False, zarr_format=3)
        if "c2" in ds:
            _append_maps_zarr(ds["c2"], path)


def _append_maps_netcdf(c2: xr.DataArray, path: Path) -> None:
    import h5netcdf

    with h5netcdf.File(path, "a") as file:
        file.dimensions.update({d: n for d, n in c2.sizes.items() if d not in file.dimensions})
        out = file.create_variable(
            "c2", c2.dims, c2.dtype, chunks=_chunks(c2), compression="gzip", compression_opts=1, shuffle=True
        )
        out.attrs.update(c2.attrs)
        _copy_maps(c2, out)


def _append_maps_zarr(c2: xr.DataArray, path: Path) -> None:
    import zarr

    out = zarr.open_group(str(path), mode="a").create_array(
        "c2",
        shape=c2.shape,
        dtype=c2.dtype,
        chunks=_chunks(c2),
        fill_value=np.nan,
        dimension_names=[str(d) for d in c2.dims],
        attributes=c2.attrs,
    )
    _copy_maps(c2, out)


def _chunks(c2: xr.DataArray) -> tuple[int, ...]:
    """Pieces of one map, at most 1024 frames a side."""
    return tuple(min(n, 1024) if d in ("t1", "t2") else 1 for d, n in c2.sizes.items())


def _copy_maps(c2: xr.DataArray, out: object) -> None:
    for where in np.ndindex(*c2.shape[:-2]):
        out[where] = c2[where].values  # type: ignore[index]
