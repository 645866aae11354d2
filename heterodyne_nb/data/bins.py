"""From (q, phi) to one `bin` dimension and back."""

from __future__ import annotations

import numpy as np
import xarray as xr

from heterodyne_nb.errors import DataFormatError

#: Values of q (and of φ) that differ by less than this share of the largest are one: single precision, and sums of
#: steps, move them by 1e-7, while bins of a detector are wider than 1e-4.
SAME = 1e-6


def stack_bins(ds: xr.Dataset, *, drop_dead: bool = True) -> xr.Dataset:
    """Put the bins of a dataset along one dimension.

    Parameters
    ----------
    ds : Dataset
        With dims (q, phi), or already with `bin`.
    drop_dead : bool, optional
        Leave out bins without a usable map (or, where there are no maps, without a finite g2).

    Returns
    -------
    Dataset
        With dims (bin, …) and coords q(bin), phi(bin); q varies slowest. Maps stay lazy.

    Raises
    ------
    DataFormatError
        No bin is left.
    """
    stacked = ds if "bin" in ds.dims else _stack(ds)
    if not drop_dead:
        return stacked
    alive = live_bins(stacked)
    if not alive.any():
        raise DataFormatError(
            f"none of the {alive.size} bins can be used: every map is NaN or constant",
            where=str(ds.attrs.get("source", "dataset")),
        )
    return stacked if alive.all() else stacked.isel(bin=np.flatnonzero(alive))


def live_bins(stacked: xr.Dataset) -> np.ndarray:
    """Which bins of the stacked form hold data, bool of shape (bin,)."""
    if "usable" in stacked:
        return stacked["usable"].values.astype(bool)
    name = "c2" if "c2" in stacked else "g2"
    return np.array([bool(np.isfinite(stacked[name].isel(bin=i)).any()) for i in range(stacked.sizes["bin"])])


def _stack(ds: xr.Dataset) -> xr.Dataset:
    """Select every (q, phi) pair, concatenating lazily where the maps are on disk."""
    if "q" not in ds.dims or "phi" not in ds.dims:
        raise DataFormatError(f"the dataset has dims {tuple(ds.dims)}", expected="dims q and phi, or bin")
    large = [name for name in ds.data_vars if ds[name].ndim > 2 and {"q", "phi"} <= set(ds[name].dims)]
    stacked = ds.drop_vars(large).stack(bin=("q", "phi")).reset_index("bin")
    for axis in ("q", "phi"):
        stacked[axis].attrs.update(ds[axis].attrs)
    for name in large:
        stacked[name] = _stack_variable(ds[name].variable)
    return stacked.transpose("bin", ...)


def _stack_variable(variable: xr.Variable) -> xr.Variable:
    from heterodyne_nb.data.stacked_array import stack_lazily

    variable = variable.transpose("q", "phi", ...)
    if isinstance(variable._data, np.ndarray):
        data = variable.values.reshape(-1, *variable.shape[2:])
        return xr.Variable(("bin", *variable.dims[2:]), data, variable.attrs)
    if hasattr(variable._data, "dask"):
        return variable.stack(bin=("q", "phi")).transpose("bin", ...)
    return stack_lazily(variable)


def unstack_bins(ds: xr.Dataset) -> xr.Dataset:
    """Put bins back on a (q, phi) grid where they fill most of one.

    Parameters
    ----------
    ds : Dataset
        With dim `bin` (or already with q and phi, then returned as it is).

    Returns
    -------
    Dataset
        With dims (q, phi, …), NaN (or False) where the grid has no bin. Maps are loaded.
        Bins that do not suit a grid (:func:`grid_of`) stay in the `bin` form.
    """
    if "bin" not in ds.dims:
        return ds
    grid = grid_of(ds["q"].values, ds["phi"].values)
    if grid is None:
        return ds
    q_axis, phi_axis, cells = grid
    coords = {"q": ("q", q_axis, ds["q"].attrs), "phi": ("phi", phi_axis, ds["phi"].attrs)}
    kept = {k: v for k, v in ds.coords.items() if "bin" not in v.dims}
    out = xr.Dataset(coords={**coords, **kept}, attrs=ds.attrs)
    for name, variable in ds.data_vars.items():
        if "bin" not in variable.dims:
            out[name] = variable
            continue
        values = variable.transpose("bin", ...).values
        fill = False if values.dtype == bool else 0 if name == "n_pixels" else np.nan
        full = np.full((q_axis.size * phi_axis.size, *values.shape[1:]), fill, values.dtype)
        full[cells] = values
        full = full.reshape(q_axis.size, phi_axis.size, *values.shape[1:])
        dims = ("q", "phi", *[d for d in variable.dims if d != "bin"])
        out[name] = (dims, full, variable.attrs)
    return out


def grid_of(q: np.ndarray, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The (q, phi) grid that bins lie on, or None where they do not suit one.

    Returns
    -------
    q_axis, phi_axis : ndarray
        Ascending; see :func:`levels`.
    cells : ndarray of int
        Place of each bin in the ravelled grid. Bins suit a grid when no two share a place and
        they fill more than half of it.
    """
    q_axis, q_at = levels(q)
    phi_axis, phi_at = levels(phi)
    cells = q_at * phi_axis.size + phi_at
    if np.unique(cells).size != cells.size or 2 * cells.size <= q_axis.size * phi_axis.size:
        return None
    return q_axis, phi_axis, cells


def levels(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values of q or φ, ascending, and which one each value is; see :data:`SAME`."""
    values = np.asarray(values, dtype=float)
    order = np.argsort(values, kind="stable")
    new = np.diff(values[order], prepend=-np.inf) > SAME * np.max(np.abs(values), initial=0.0)
    at = np.empty(values.size, int)
    at[order] = np.cumsum(new) - 1
    return values[order][new], at


def is_level(values: np.ndarray, value: float) -> np.ndarray:
    """Which values of q or φ are this one, bool; see :data:`SAME`."""
    values = np.asarray(values, dtype=float)
    return np.abs(values - value) <= SAME * np.max(np.abs(values), initial=0.0)
