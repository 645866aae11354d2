"""Repeats of one measurement averaged, outliers left out by a stated rule and named."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.core import indexing

from heterodyne_nb.data.lazyarray import BinArray, with_lazy_g2
from heterodyne_nb.data.open import open_dataset
from heterodyne_nb.data.units import METADATA, converted
from heterodyne_nb.errors import ConfigurationError, DataFormatError, DataWarning, warn

__all__ = ["average_runs"]


def average_runs(runs: Any, *, threshold: float = 3.0, **opening: Any) -> xr.Dataset:
    """Average repeats of one measurement.

    Parameters
    ----------
    runs : list of path or Dataset, or a pattern such as ``"rep*.hdf"``
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
    if isinstance(runs, str | os.PathLike):
        runs = sorted(glob.glob(os.fspath(runs)))
    if not isinstance(runs, Iterable) or len(runs := list(runs)) < 2:
        raise ConfigurationError("an average needs at least two runs", where="runs")
    data = [converted(r) if isinstance(r, xr.Dataset) else open_dataset(r, **opening) for r in runs]
    names = [_name(run, i) for i, run in enumerate(runs)]
    for ds, name in zip(data[1:], names[1:], strict=True):
        _check_alike(ds, data[0], name)
    kept = _kept(data, threshold)
    left_out = [name for name, keep in zip(names, kept, strict=True) if not keep]
    if left_out:
        warn(f"runs left out of the average, unlike the others: {', '.join(left_out)}", DataWarning)
    out = _averaged([ds for ds, keep in zip(data, kept, strict=True) if keep])
    used = [name for name, keep in zip(names, kept, strict=True) if keep]
    return out.assign_attrs(runs=", ".join(used), runs_left_out=", ".join(left_out))


def _name(run: Any, number: int) -> str:
    if isinstance(run, xr.Dataset):
        return str(run.attrs.get("source", f"run {number + 1}"))
    return Path(run).name


def _check_alike(ds: xr.Dataset, first: xr.Dataset, name: str) -> None:
    for axis in ("q", "phi", "t", "tau"):
        mine, others = (d[axis].values if axis in d.coords else np.empty(0) for d in (ds, first))
        if mine.shape != others.shape or not np.allclose(mine, others, rtol=1e-4, atol=1e-9):
            raise DataFormatError(f"its {axis} differs from that of the first run", where=name)
    if ("c2" in ds) != ("c2" in first) or ("g2" in ds) != ("g2" in first):
        raise DataFormatError("it does not hold what the first run holds, c2 or g2", where=name)


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
    attrs = {k: v for k, v in attrs.items() if k in METADATA or k in ("dt", "layout", "partition_axes")}
    out = first.drop_vars([n for n in ("sigma", "g2_measured", "g2_err_measured") if n in first])
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
