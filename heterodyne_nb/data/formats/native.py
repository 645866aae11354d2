"""This package's own files: the dataset as it is, in netCDF (HDF5) or Zarr."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from xarray.core import indexing

from heterodyne_nb.data.age_lag import EDGES
from heterodyne_nb.data.door import one_index, one_run
from heterodyne_nb.data.lazyarray import SealedMaps, checksum
from heterodyne_nb.data.units import converted
from heterodyne_nb.errors import DataFormatError
from heterodyne_nb.files import new_h5, new_zarr
from heterodyne_nb.guard import SEAL, check_seal, guarded, need_room, seal_of
from heterodyne_nb.remote import AnyPath, Remote, RemoteFile, place
from heterodyne_nb.text.escaping import storable

NAME = "heterodyne_nb"
ATTRIBUTE = "heterodyne_nb_dataset"
_VERSION = SEALED_FROM = 2
#: Variable with the checksums of the tiles of the maps, in which these are stored; opened, it is taken out again.
_SUMS, _TILE = "c2_crc32", 1024


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
        return (
            path.source is None
            and path.suffix in ("", ".zarr")
            and any((path / name).exists() for name in ("zarr.json", ".zgroup"))
        )
    return path.is_dir() and any((path / name).exists() for name in ("zarr.json", ".zgroup"))


def open_own(path: Any, dt: float | None = None) -> xr.Dataset:
    """Open a file of :func:`write_dataset`; the maps stay on disk until they are looked at, and are checked then.

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
    with guarded(path, f"a {engine} file written by heterodyne_nb, complete"):
        try:
            return _opened(
                xr.open_dataset(opened, engine=engine, decode_times=False, **options), path, engine, dt
            )
        except Exception:
            if isinstance(opened, RemoteFile) and opened.failure is not None:
                raise opened.failure from None
            raise


def _opened(ds: xr.Dataset, path: Any, engine: str, dt: float | None) -> xr.Dataset:
    version = ds.attrs.get(ATTRIBUTE)
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
    for variable in ds.drop_vars("c2", errors="ignore").variables.values():
        need_room(variable.nbytes, str(path), "a variable")
        variable.load()
    whole, close = check_seal(ds, str(path), needed=int(version or 0) >= SEALED_FROM, skip=("c2",)), ds.close
    whole.attrs.pop(ATTRIBUTE, None)
    if "c2" in whole and _SUMS in whole:
        maps = SealedMaps(whole["c2"].variable, whole[_SUMS].values, _TILE, str(getattr(path, "name", path)))
        c2 = xr.Variable(
            whole["c2"].dims, indexing.LazilyIndexedArray(maps), whole["c2"].attrs, whole["c2"].encoding
        )
        whole = whole.drop_vars(_SUMS).assign(c2=c2)
    ds = whole.set_coords([name for name in ("frame",) if name in whole])
    ds.set_close(close)
    known = converted(ds)
    if known is not ds:
        known.set_close(ds.close)
    return known if dt is None else _retimed(known, dt)


def _retimed(ds: xr.Dataset, dt: float) -> xr.Dataset:
    factor = dt / float(ds.attrs["dt"])
    times = {name: ds[name] * factor for name in ("t", "t1", "t2", "tau") if name in ds.coords}
    times = {name: value.assign_attrs(ds[name].attrs) for name, value in times.items()}
    ds = ds.assign_coords({n: (v.dims, v.values, v.attrs) for n, v in times.items()}).assign_attrs(dt=dt)
    cells = {n: (ds[n] * factor).assign_attrs({**ds[n].attrs, "dt": dt}) for n in EDGES if n in ds}
    return ds.assign(cells)


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
    ds = converted(one_index(ds)) if isinstance(ds, xr.Dataset) else one_run(ds, "write_dataset")
    if deep := [name for name, index in ds.indexes.items() if index.nlevels > 1]:
        raise DataFormatError(
            f"{deep[0]} is an index of several levels", where="write_dataset", expected="q and phi of each bin",
            hint=f"ds.reset_index({deep[0]!r})",
        )  # fmt: skip
    if "c2" in ds and ds["c2"].dtype.kind not in "biuf":
        raise DataFormatError(f"values of type {ds['c2'].dtype}", where="c2", expected="numbers")
    attributes = {
        key: storable(value) if isinstance(value, str) else value for key, value in ds.attrs.items()
    }
    whole = ds.assign_attrs({**attributes, ATTRIBUTE: _VERSION})
    small = whole.drop_vars("c2", errors="ignore")
    if "c2" not in whole:
        small = small.assign_attrs({SEAL: seal_of(whole)})
    for variable in small.variables.values():
        variable.encoding = {}
    if target.suffix == ".nc":
        with new_h5(target, ds.nbytes, track_order=True) as h5file:
            _write_netcdf(whole, small, h5file)
    else:
        with new_zarr(target) as made:
            _write_zarr(whole, small, made)


def _need_zarr(path: Any) -> None:
    if importlib.util.find_spec("zarr") is None:
        raise DataFormatError(
            "zarr is not installed", where=str(path), hint="pip install 'heterodyne_nb[dask]', or use .nc"
        )


def write_netcdf(ds: xr.Dataset, h5file: h5py.File, encoding: Mapping[Any, Any] | None = None) -> None:
    """Write a dataset into an open HDF5 file, as xarray's engine h5netcdf does."""
    import h5netcdf
    from xarray.backends import H5NetCDFStore

    with h5netcdf.File(h5file, "a") as file:
        ds.compute().dump_to_store(H5NetCDFStore(file), encoding=dict(encoding or {}))


def _write_netcdf(whole: xr.Dataset, small: xr.Dataset, h5file: h5py.File) -> None:
    """The maps are added one at a time, then the checksums of their tiles and of all the rest."""
    import h5netcdf

    write_netcdf(small, h5file)
    if "c2" not in whole:
        return
    c2 = whole["c2"].variable
    with h5netcdf.File(h5file, "a") as file:
        file.dimensions.update({d: n for d, n in c2.sizes.items() if d not in file.dimensions})
        packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        out = file.create_variable("c2", c2.dims, c2.dtype, chunks=_chunks(c2), **packed)
        out.attrs.update(c2.attrs)
        sums = _copied(c2, out)
        file.dimensions.update({d: n for d, n in sums.sizes.items() if d not in file.dimensions})
        file.create_variable(_SUMS, sums.dims, sums.dtype, data=sums.values)
        file.attrs[SEAL] = seal_of(whole.assign({_SUMS: sums}), skip=("c2",))


def _write_zarr(whole: xr.Dataset, small: xr.Dataset, path: Path) -> None:
    """As for netCDF."""
    import zarr

    small.to_zarr(path, consolidated=False, zarr_format=3)
    if "c2" not in whole:
        return
    c2, group = whole["c2"].variable, zarr.open_group(str(path), mode="a")
    about: dict[str, Any] = {"dimension_names": list(c2.dims), "attributes": c2.attrs, "fill_value": np.nan}
    out = group.create_array("c2", shape=c2.shape, dtype=c2.dtype, chunks=_chunks(c2), **about)
    sums = _copied(c2, out)
    group.create_array(_SUMS, data=sums.values, dimension_names=list(map(str, sums.dims)))
    group.attrs[SEAL] = seal_of(whole.assign({_SUMS: sums}), skip=("c2",))


def _chunks(c2: xr.Variable) -> tuple[int, ...]:
    """Pieces of one map, at most a tile a side."""
    return (*[1] * (c2.ndim - 2), *(min(n, _TILE) for n in c2.shape[-2:]))


def _copied(c2: xr.Variable, out: Any) -> xr.Variable:
    """Copy map by map; the CRC-32 of each tile, uint32 of shape (*bins, tiles, tiles)."""
    sums = np.empty((*c2.shape[:-2], *(-(-n // _TILE) for n in c2.shape[-2:])), np.uint32)
    for where in np.ndindex(*c2.shape[:-2]):
        out[where] = one = c2[where].values
        for i, j in np.ndindex(*sums.shape[-2:]):
            tile = one[i * _TILE : (i + 1) * _TILE, j * _TILE : (j + 1) * _TILE]
            sums[(*where, i, j)] = checksum(tile)
    return xr.Variable((*c2.dims[:-2], "tile1", "tile2"), sums)
