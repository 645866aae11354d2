"""Many runs as one dataset or a tree of them; repeats of one measurement averaged, outliers left out and named."""

from __future__ import annotations

import contextlib
import functools
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.core import indexing

from heterodyne_nb import remote
from heterodyne_nb.data.age_lag import CELLS, EDGES
from heterodyne_nb.data.dataset import IMAGES
from heterodyne_nb.data.door import RUN, runs_of
from heterodyne_nb.data.formats import native
from heterodyne_nb.data.lazyarray import BinArray, as_slices, with_lazy_g2
from heterodyne_nb.data.units import METADATA, converted
from heterodyne_nb.errors import (
    ConfigurationError,
    DataFormatError,
    DataWarning,
    HeterodyneError,
    MissingFileError,
    warn,
)

__all__ = ["average_runs", "join_runs", "open_runs", "run_files"]

_ENDINGS = (".h5", ".hdf", ".hdf5", ".nxs", ".nx5", ".cxi", ".nc", ".npz", ".npy", ".mat", ".zarr")
_PER_RUN = {
    "c2",
    "g2",
    "g2_err",
    "mask",
    "usable",
    "sigma",
    "intensity",
    "saxs_2d",
    "saxs_1d",
    "saxs_1d_segments",
}


def run_files(path: Any) -> list[Any] | None:
    """The files that a list, a pattern or a folder stands for, in the order of their names; None for a single file.

    Raises
    ------
    MissingFileError
        A pattern matches nothing, or a folder holds no result file.
    """
    if is_listed(path):
        return [file for one in path for file in run_files(one) or [one]]
    if isinstance(path, str) and path.startswith("file://"):
        path = remote.place(path)
    if remote.is_url(path):
        return _files_elsewhere(remote.Remote(path))
    if not isinstance(path, str | os.PathLike):
        return None
    text = os.path.expanduser(os.fspath(path))
    if os.path.isdir(text) and not native.is_zarr(Path(text)):
        names = sorted(n for n in os.listdir(text) if n.lower().endswith(_ENDINGS) and n[0] != ".")
        files = [os.path.join(text, name) for name in names]
    elif glob.has_magic(text) and not os.path.exists(text):
        files = sorted(glob.glob(text, recursive=True))
    else:
        return None
    if not files:
        raise _no_file(text, os.path.isdir(text))
    return files


def is_listed(path: Any) -> bool:
    """Whether runs are given one by one: in a list, an array, a series, or as a generator yields them."""
    return (isinstance(path, list | tuple | np.ndarray | Iterator) and not hasattr(path, "read")) or (
        type(path).__module__.startswith("pandas") and hasattr(path, "tolist")
    )


def _files_elsewhere(path: remote.Remote) -> list[str] | None:
    """Those that a pattern or a folder of an address stands for; a plain web server has neither."""
    if path.url.startswith("http"):
        return None
    pattern = glob.has_magic(path.url.partition("://")[2])
    if not pattern and (path.suffix or not path.is_dir() or native.is_zarr(path)):
        return None
    files = path.found() if pattern else path.found("*")
    files = [one for one in files if pattern or one.lower().endswith(_ENDINGS)]
    if not files:
        raise _no_file(str(path), not pattern)
    return files


def _no_file(where: str, folder: bool) -> MissingFileError:
    what = "the folder holds no result file" if folder else "no file has such a name"
    return MissingFileError(what, where=where, expected=f"files ending in {', '.join(_ENDINGS)}")


def open_runs(path: Any, **opening: Any) -> xr.Dataset | xr.DataTree:
    """What :func:`heterodyne_nb.open_dataset` makes of a list, a pattern or a folder."""
    opened = _opened(path, opening)
    if not opened:
        raise DataFormatError(
            "no run is given" if is_listed(path) else "none of the files can be read", where=str(path)
        )
    data, given = list(opened.values()), list(opened)
    different = [text for name, ds in opened.items() if (text := _unlike(ds, data[0], name))]
    if not different:
        return join_runs(data, given)
    tree = xr.DataTree.from_dict({name.replace("/", "_"): ds for name, ds in opened.items()})
    tree.attrs["runs_differ"] = "; ".join(different)
    return tree


def _opened(path: Any, opening: dict[str, Any]) -> dict[str, xr.Dataset]:
    """Runs by name; of a pattern or a folder, without the files that cannot be read, which are named."""
    from heterodyne_nb.data.open import open_dataset

    listed, files = is_listed(path), run_files(path) or []
    opened: dict[str, xr.Dataset] = {}
    for name, file in zip(_labels(files), files, strict=True):
        try:
            opened[name] = file if isinstance(file, xr.Dataset) else open_dataset(file, **opening)
        except ConfigurationError:
            raise
        except HeterodyneError as error:
            if listed:
                raise
            warn(f"{name} is left out: {error}", DataWarning)
    return opened


def _labels(files: Sequence[Any]) -> list[str]:
    """A name for each run: its file's, with the folder where several have the same."""
    names = [_name(one, k) for k, one in enumerate(files)]
    if len(set(names)) < len(names):
        names = [n if isinstance(f, xr.Dataset) else str(f) for n, f in zip(names, files, strict=True)]
    return names if len(set(names)) == len(names) else [f"{k + 1}: {name}" for k, name in enumerate(names)]


def join_runs(data: Sequence[xr.Dataset], names: Sequence[str]) -> xr.Dataset:
    """Runs that share their bins and frames as one dataset with the dimension ``run``; maps stay lazy.

    Parameters
    ----------
    data : sequence of Dataset
    names : sequence of str
        Coordinate ``run``.

    Returns
    -------
    Dataset
        ``c2(run, q, phi, t1, t2)``, ``mask(run, t)`` and so on; what is the same in all runs has no such dimension.
        Coordinate ``file(run)``, and each quantity of :func:`~heterodyne_nb.data.dataset.metadata` that differs.
    """
    first = data[0]
    attrs = {k: v for k, v in first.attrs.items() if all(_same(ds.attrs.get(k), v) for ds in data)}
    files = [str(ds.encoding.get("source") or ds.attrs.get("source", "")) for ds in data]
    coords: dict[str, Any] = {RUN: (RUN, list(names)), "file": (RUN, files)}
    for name, unit in METADATA.items():
        if name not in attrs and any(name in ds.attrs for ds in data):
            values = [ds.attrs.get(name, np.nan if unit else "") for ds in data]
            coords[name] = (RUN, values, {"units": unit} if unit else {})
    out = xr.Dataset(coords=first.coords, attrs=attrs).assign_coords(coords)
    for key in [n for n in first.data_vars if all(n in ds for ds in data)]:
        parts = [ds[key].variable for ds in data]
        alike = key not in _PER_RUN and (key in IMAGES or all(parts[0].identical(p) for p in parts[1:]))
        out[key] = parts[0] if alike else _stacked(parts)
    out.set_close(functools.partial(_close, list(data)))
    return out


def _close(data: list[xr.Dataset]) -> None:
    for ds in data:
        ds.close()


def _stacked(parts: list[xr.Variable]) -> xr.Variable:
    parts = [one.transpose(*parts[0].dims) for one in parts]
    if any(hasattr(one._data, "dask") for one in parts):
        return xr.Variable.concat(parts, RUN)
    if all(isinstance(one._data, np.ndarray) for one in parts):
        data: Any = np.stack([one.values for one in parts])
    else:
        data = indexing.LazilyIndexedArray(_RunsArray(parts))
    return xr.Variable((RUN, *parts[0].dims), data, parts[0].attrs)


class _RunsArray(BinArray):
    """A variable of many runs as one lazy array (run, ...)."""

    def __init__(self, parts: list[xr.Variable]) -> None:
        self.parts, self.inner, self.dtype = parts, parts[0].ndim, parts[0].dtype
        self.shape = (len(parts), *parts[0].shape)

    def read_bin(self, place: tuple[int, ...], *wanted: np.ndarray) -> np.ndarray:
        return self.parts[place[0]][tuple(as_slices(wanted))].values


def average_runs(runs: Any, *, threshold: float = 3.0, **opening: Any) -> xr.Dataset:
    """Average repeats of one measurement.

    Parameters
    ----------
    runs : list of path or Dataset, a folder, a pattern such as ``"rep*.hdf"``, or what ``open_dataset`` makes of these
        At least two, with the same bins and the same delays or frames.
    threshold : float
        A run is left out where the root mean square of its distance from the median of all runs is more than
        this many times the median of these distances (three runs at least).
    **opening
        Keywords of :func:`heterodyne_nb.open_dataset`.

    Returns
    -------
    Dataset
        g2 is the mean over the runs that are kept and measured there, g2_err = √(Σ err²)/n; where no run has an
        error, the scatter of the runs over √n. Maps are averaged when they are looked at, and g2 computed from
        them. ``runs`` and ``runs_left_out`` in the attributes name the runs; metadata are kept where all agree.

    Raises
    ------
    ConfigurationError
        Fewer than two runs, or a threshold that is not positive.
    DataFormatError
        A run has other bins, delays or frames than the first.

    Warns
    -----
    DataWarning
        Runs that are left out.
    """
    if not threshold > 0:
        raise ConfigurationError(f"{threshold!r}", where="threshold", expected="a positive number")
    if isinstance(runs, xr.Dataset | xr.DataTree):
        names, runs = list(found := runs_of(runs)), list(found.values())
    else:
        runs = run_files(runs) and _opened(runs, opening)
        names, runs = (list(runs), list(runs.values())) if runs else ([], [])
    if len(runs) < 2:
        raise ConfigurationError("an average needs at least two runs", where="runs")
    data = [converted(r) for r in runs]
    for ds, name in zip(data[1:], names[1:], strict=True):
        if different := _unlike(ds, data[0]):
            raise DataFormatError(different, where=name)
    kept = _kept(data, threshold)
    left_out = [name for name, keep in zip(names, kept, strict=True) if not keep]
    if left_out:
        warn(f"runs left out of the average, unlike the others: {', '.join(left_out)}", DataWarning)
    out = _averaged([ds for ds, keep in zip(data, kept, strict=True) if keep])
    used = [name for name, keep in zip(names, kept, strict=True) if keep]
    out = out.assign_attrs(runs=", ".join(used), runs_left_out=", ".join(left_out))
    out.encoding = {}  # it is not the file of its first run
    return out


def _name(run: Any, number: int) -> str:
    if isinstance(run, xr.Dataset):
        return str(run.attrs.get("source", f"run {number + 1}"))
    with contextlib.suppress(TypeError):  # which open_dataset names
        return remote.place(run).name
    return f"run {number + 1}"


def _unlike(ds: xr.Dataset, first: xr.Dataset, name: str = "") -> str:
    """In words, where a run does not have the bins, frames and delays of the first; empty where it does."""
    where = f"{name}: " if name else ""
    if ("c2" in ds) != ("c2" in first) or ("g2" in ds) != ("g2" in first):
        return f"{where}it does not hold what the first run holds, c2 or g2"
    if ("bin" in ds.dims) != ("bin" in first.dims):
        return f"{where}its bins differ from those of the first run"
    for axis in ("q", "phi", "t", "tau"):
        mine, others = (d[axis].values if axis in d.coords else np.empty(0) for d in (ds, first))
        if mine.shape != others.shape or not np.allclose(mine, others, rtol=1e-4, atol=1e-9):
            return f"{where}its {axis} differs from that of the first run"
    return ""


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(np.all(np.asarray(one == other)))


def _kept(data: list[xr.Dataset], threshold: float) -> np.ndarray:
    """Which runs are like the others."""
    if len(data) < 3:
        return np.ones(len(data), bool)
    curves = np.stack([ds["g2"].values for ds in data])
    known = np.isfinite(curves)
    middle = np.nanmedian(np.where(known.any(axis=0), curves, 1.0), axis=0)
    square = np.where(known, (curves - middle) ** 2, 0.0).reshape(len(data), -1).sum(axis=1)
    distance = np.sqrt(square / np.maximum(known.reshape(len(data), -1).sum(axis=1), 1))
    return distance <= threshold * np.median(distance)


def _averaged(data: list[xr.Dataset]) -> xr.Dataset:
    first = data[0]
    attrs = {k: v for k, v in first.attrs.items() if all(ds.attrs.get(k) == v for ds in data)}
    attrs |= {k: first.attrs[k] for k in ("dt",)}
    attrs = {
        k: v
        for k, v in attrs.items()
        if k in METADATA or k in ("dt", "layout", "opened_with", "partition_axes")
    }
    out = first.drop_vars([n for n in ("sigma", "g2_measured", "g2_err_measured") if n in first])
    if "c2_cells" in first:
        out = _with_mean_cells(out, data)
    out.attrs = attrs
    if "c2" in first:
        used = np.logical_and.reduce([ds["mask"].values for ds in data])
        usable = np.logical_or.reduce([ds["usable"].values for ds in data])
        array = indexing.LazilyIndexedArray(_MeanMaps([ds["c2"].variable for ds in data]))
        c2 = xr.Variable(first["c2"].dims, array, first["c2"].attrs)
        out = out.assign(c2=c2, mask=first["mask"].copy(data=used), usable=first["usable"].copy(data=usable))
        if first["g2"].attrs.get("origin") == "computed from c2":
            return with_lazy_g2(out)
    mean, error = _mean_and_error(data)
    return out.assign(g2=first["g2"].copy(data=mean), g2_err=first["g2_err"].copy(data=error))


def _with_mean_cells(out: xr.Dataset, data: list[xr.Dataset]) -> xr.Dataset:
    """The cells of age and lag averaged over the runs; without any where the runs have other ones."""
    same = (*EDGES, "cell_pixels")
    if not all(all(name in ds and ds[name].equals(data[0][name]) for name in same) for ds in data):
        warn("the runs have other cells of age and lag: their average has none", DataWarning)
        return out.drop_vars([*CELLS, *EDGES])
    values, errors = (np.stack([ds[name].values for ds in data]) for name in ("c2_cells", "c2_cells_err"))
    error = np.sqrt((errors**2).sum(axis=0)) / len(data)
    return out.assign(
        c2_cells=out["c2_cells"].copy(data=values.mean(axis=0)),
        c2_cells_err=out["c2_cells_err"].copy(data=error),
    )


def _mean_and_error(data: list[xr.Dataset]) -> tuple[np.ndarray, np.ndarray]:
    values, errors = (np.stack([ds[name].values for ds in data]) for name in ("g2", "g2_err"))
    known = np.isfinite(values)
    n = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, values, 0.0).sum(axis=0) / n
        scatter = np.sqrt(np.where(known, (values - mean) ** 2, 0.0).sum(axis=0) / (n - 1) / n)
        propagated = np.sqrt(np.where(known, errors**2, 0.0).sum(axis=0)) / n
    return np.where(n > 0, mean, np.nan), np.where(np.isfinite(propagated), propagated, scatter)


class _MeanMaps(BinArray):
    """The mean of the runs' maps over the runs in which a pixel is measured."""

    def __init__(self, maps: list[xr.Variable]) -> None:
        self.maps, self.shape, self.dtype = maps, maps[0].shape, np.dtype(np.float32)

    def read_bin(self, place: tuple[int, ...], *wanted: np.ndarray) -> np.ndarray:
        total, count = np.zeros((2, *(w.size for w in wanted)))
        for one in self.maps:
            block = np.asarray(one[(*place, *wanted)].values, dtype=float)
            known = np.isfinite(block)
            total += np.where(known, block, 0.0)
            count += known
        with np.errstate(invalid="ignore", divide="ignore"):
            return (total / count).astype(np.float32)
