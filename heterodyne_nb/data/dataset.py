"""The dataset every part of the package works on: built from arrays and checked, its bins in (q, phi) or in a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from heterodyne_nb.data.door import over_runs, with_bin_dims
from heterodyne_nb.data.units import METADATA, check_q, number, reading
from heterodyne_nb.errors import ConfigurationError, DataFormatError

if TYPE_CHECKING:
    import pandas as pd


def wrap_degrees(phi: np.ndarray) -> np.ndarray:
    """Angles in (-180, 180] degrees; those already there are left as they are, to the last bit."""
    phi = np.asarray(phi, dtype=float)
    inside = (phi > -180.0) & (phi <= 180.0)
    wrapped = 180.0 - (180.0 - phi) % 360.0
    return np.where(inside, phi, np.where(wrapped > -180.0, wrapped, 180.0))  # rounding can reach -180


ATTRS: dict[str, dict[str, str]] = {
    "c2": {"long_name": "two-time intensity correlation", "units": "1"},
    "g2": {"long_name": "one-time intensity correlation", "units": "1"},
    "g2_err": {"long_name": "standard error of g2", "units": "1"},
    "q": {"long_name": "wave-vector modulus", "units": "1/Å"},
    "phi": {"long_name": "azimuth", "units": "degrees"},
    "t": {"long_name": "time of the frame", "units": "s"},
    "t1": {"long_name": "first time", "units": "s"},
    "t2": {"long_name": "second time", "units": "s"},
    "tau": {"long_name": "lag time", "units": "s"},
    "frame": {"long_name": "frame number, from 1", "units": "1"},
    "mask": {"long_name": "frame is used", "units": "1"},
    "n_pixels": {"long_name": "detector pixels in the bin", "units": "1"},
    "intensity": {"long_name": "mean intensity of the frame", "units": "counts"},
    "sigma": {"long_name": "noise of one c2 pixel off the diagonal", "units": "1"},
    "usable": {"long_name": "bin has a two-time map that varies and is not all NaN", "units": "1"},
    "label": {"long_name": "label of the bin in the partition of the file, 0: none", "units": "1"},
}
_PIXELS = ("pixel_y", "pixel_x")
IMAGES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("saxs_2d", "dynamic_roi_map", "static_roi_map", "pixel_mask"), _PIXELS),
    "saxs_2d_segments": ("segment_2d", *_PIXELS),
    "saxs_1d": ("static_bin",),
    "saxs_1d_segments": ("segment", "static_bin"),
    "static_index_mapping": ("static_label",),
    "static_v_list_dim0": ("static_v_list_dim0",),
    "static_v_list_dim1": ("static_v_list_dim1",),
}
"""Pictures and curves of a whole run that are kept with its dataset: variable -> dims."""


def make_dataset(
    c2: Any = None,
    *,
    q: Any,
    phi: Any,
    dt: float,
    g2: Any = None,
    g2_err: Any = None,
    tau: Any = None,
    n_pixels: Any = None,
    sigma: Any = None,
    mask: Any = None,
    usable: Any = None,
    bin_form: bool = False,
    others: Mapping[str, tuple[Any, str]] | None = None,
    units: Mapping[str, str] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Build a valid dataset from arrays.

    Parameters
    ----------
    c2 : array of shape (n_q, n_phi, N, N), optional
        Two-time maps, baseline 1, symmetric, NaN where not measured; (n_bin, N, N) with `bin_form`;
        (N, N) for a single bin. Lazy arrays of xarray or dask stay lazy.
    q : float or array
        Wave-vector moduli, 1/Å: (n_q,), or (n_bin,) with `bin_form`.
    phi : float or array
        Azimuths, degrees: (n_phi,), or (n_bin,) with `bin_form`.
    dt : float
        Time from frame to frame, s. Frame k (from 1) is at t = k·dt.
    g2, g2_err : array of shape (n_q, n_phi, n_tau) or (n_bin, n_tau), optional
        Measured one-time correlation and its standard error. Without them and with `c2`, both are
        computed from the maps when they are first looked at.
    tau : array of shape (n_tau,), optional
        Lags of `g2`, s.
    n_pixels : array, optional
        Detector pixels in each bin; 1 where unknown (then marked so in its attributes).
    sigma : array, optional
        Noise of one c2 pixel, a bin.
    mask : array of shape (N,), optional
        True where the frame is used; all frames are by default.
    usable : array of bool, optional
        Bins whose map can be used; found from `c2` when it is in memory.
    bin_form : bool, optional
        One `bin` dimension instead of q and phi.
    others : mapping, optional
        Further coordinates of the bins, with `bin_form`: name -> (values, unit), as x, y, qx, qy or alpha.
    units : mapping, optional
        Units of q, phi, dt and tau where they are not those above, as ``{"q": "1/nm", "dt": "ms"}``; an xarray
        object with a ``units`` attribute and a pint quantity say theirs themselves.
    attrs : mapping, optional
        Further attributes (numbers and strings).

    Returns
    -------
    Dataset
        Data model of the package: see the attributes of each variable.

    Raises
    ------
    DataFormatError
        Shapes do not fit together, maps are not square, dt is not positive, a unit is not known, or a q is not
        possible (above 10 1/Å).
    """
    with reading(units):
        q, phi, dt, tau = (number(v, n) for n, v in (("q", q), ("phi", phi), ("dt", dt), ("tau", tau)))
    q, phi = _axis(q, "q", unknown=bool(others)), _axis(phi, "phi")
    check_q(q, "make_dataset")
    lead = ("bin",) if bin_form else ("q", "phi")
    if bin_form and q.size != phi.size:
        raise DataFormatError(
            f"{q.size} q values and {phi.size} phi values",
            expected="as many of one as of the other, one a bin",
        )
    sizes = (q.size,) if bin_form else (q.size, phi.size)
    if c2 is None and g2 is None:
        raise DataFormatError(
            "neither c2 nor g2 is given", expected="two-time maps, one-time curves, or both"
        )
    coords = {"q": (lead[0], q, ATTRS["q"]), "phi": (lead[-1], phi, ATTRS["phi"])}
    for name, (values, unit) in (others or {}).items():
        coords[name] = (lead[0], _shaped(values, sizes, name), {"long_name": name, "units": unit})
    ds = xr.Dataset(coords=coords, attrs={"dt": _positive(dt), **(attrs or {})})
    if c2 is not None:
        ds = _with_maps(ds, c2, lead, sizes, mask, usable)
    for name, values in (("n_pixels", n_pixels), ("sigma", sigma)):
        if values is not None:
            ds[name] = (lead, _shaped(values, sizes, name), ATTRS[name])
    if n_pixels is None:
        ds["n_pixels"] = (
            lead,
            np.ones(sizes),
            {**ATTRS["n_pixels"], "comment": "unknown: every bin counts as 1"},
        )
    return _with_g2(ds, g2, g2_err, tau, lead, sizes)


def metadata(ds: xr.Dataset) -> pd.DataFrame:
    """What is known of the run, one row a quantity: value and unit.

    Parameters
    ----------
    ds : Dataset
        As opened from a file that says something of its run.

    Returns
    -------
    DataFrame
        Indexed by name (start_time, sample, temperature, energy, …), with the columns ``value`` and ``unit``.
    """
    import pandas as pd

    known = [(name, ds.attrs[name], unit) for name, unit in METADATA.items() if name in ds.attrs]
    return pd.DataFrame(known, columns=["name", "value", "unit"]).set_index("name")


def time_coords(n_frames: int, dt: float, first_frame: int = 1) -> dict[str, Any]:
    """Coordinates ``t``, ``t1``, ``t2`` (s) and ``frame`` of `n_frames` consecutive frames."""
    frame = np.arange(first_frame, first_frame + n_frames)
    t = frame * dt
    return {
        "t": ("t", t, ATTRS["t"]),
        "t1": ("t1", t, ATTRS["t1"]),
        "t2": ("t2", t, ATTRS["t2"]),
        "frame": ("t", frame, ATTRS["frame"]),
    }


def _with_maps(ds: xr.Dataset, c2: Any, lead: tuple, sizes: tuple, mask: Any, usable: Any) -> xr.Dataset:
    values: Any = c2 if isinstance(c2, xr.Variable | xr.DataArray) else _as_maps(c2)
    if values.ndim == 2:
        values = values.reshape(*[1] * len(sizes), *values.shape)
    n = values.shape[-1]
    if values.shape != (*sizes, n, n):
        raise DataFormatError(
            f"c2 has shape {tuple(values.shape)}",
            expected=f"one square map for each of the {' × '.join(map(str, sizes))} bins",
        )
    data = values.variable if isinstance(values, xr.DataArray) else values
    if isinstance(data, xr.Variable):
        data = data.copy(deep=False)
        data.dims = (*lead, "t1", "t2")
        data.attrs = {**ATTRS["c2"], **data.attrs}
    else:
        data = xr.Variable((*lead, "t1", "t2"), data, ATTRS["c2"])
    ds = ds.assign_coords(time_coords(n, ds.attrs["dt"]))
    used = np.ones(n, bool) if mask is None else _frames(mask, n)
    if usable is None:
        usable = _finite_bins(data) if isinstance(data._data, np.ndarray) else np.ones(sizes, bool)
    return ds.assign(
        c2=data,
        mask=("t", used, ATTRS["mask"]),
        usable=(lead, _shaped(usable, sizes, "usable").astype(bool), ATTRS["usable"]),
    )


def _with_g2(ds: xr.Dataset, g2: Any, g2_err: Any, tau: Any, lead: tuple, sizes: tuple) -> xr.Dataset:
    if g2 is None:
        from heterodyne_nb.data.lazyarray import with_lazy_g2

        return with_lazy_g2(ds)
    if tau is None:
        raise DataFormatError("g2 is given without tau", expected="the lag times of g2, s")
    tau = _axis(tau, "tau")
    values = _shaped(g2, (*sizes, tau.size), "g2")
    errors = np.full(values.shape, np.nan) if g2_err is None else _shaped(g2_err, values.shape, "g2_err")
    measured = {"origin": "measured"}
    ds = ds.assign_coords(tau=("tau", tau, ATTRS["tau"]))
    return ds.assign(
        g2=((*lead, "tau"), values, {**ATTRS["g2"], **measured}),
        g2_err=((*lead, "tau"), errors, {**ATTRS["g2_err"], **measured}),
    )


def _as_maps(c2: Any) -> Any:
    if hasattr(c2, "dask") or not hasattr(c2, "__array__"):
        return c2 if hasattr(c2, "shape") else np.asarray(c2, dtype=np.float32)
    return np.asarray(c2, dtype=np.float32)


def _finite_bins(c2: xr.Variable) -> np.ndarray:
    flat = c2.values.reshape(-1, *c2.shape[-2:])
    return np.array([np.isfinite(one).any() for one in flat]).reshape(c2.shape[:-2])


def _axis(values: Any, name: str, *, unknown: bool = False) -> np.ndarray:
    array = np.atleast_1d(np.asarray(values, dtype=float))
    if unknown and np.isnan(array).all():
        return array
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise DataFormatError(
            f"{name} has shape {array.shape} with {np.sum(~np.isfinite(array))} values that are not finite",
            expected=f"a list of finite {name} values",
        )
    return array


def _positive(dt: float) -> float:
    value = float(dt)
    if not (np.isfinite(value) and value > 0):
        raise DataFormatError(f"dt = {dt} s", expected="a positive time from frame to frame, s")
    return value


def _shaped(values: Any, shape: tuple, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.size == np.prod(shape) and array.ndim < len(shape):
        array = array.reshape(shape)
    if array.shape != tuple(shape):
        raise DataFormatError(f"{name} has shape {array.shape}", expected=f"shape {tuple(shape)}")
    return array


def _frames(mask: Any, n: int) -> np.ndarray:
    array = np.asarray(mask)
    if array.shape != (n,):
        raise DataFormatError(
            f"mask has shape {array.shape}", expected=f"({n},): one value a frame, True where it is used"
        )
    return array.astype(bool)


#: Values of q (and of φ) that differ by less than this share of the largest are one: single precision, and sums of
#: steps, move them by 1e-7, while bins of a detector are wider than 1e-4.
SAME = 1e-6


@over_runs
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
    stacked = ds if "bin" in ds.dims else _stack(with_bin_dims(ds))
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
    from heterodyne_nb.data.lazyarray import stack_lazily

    variable = variable.transpose("q", "phi", ...)
    if isinstance(variable._data, np.ndarray):
        data = variable.values.reshape(-1, *variable.shape[2:])
        return xr.Variable(("bin", *variable.dims[2:]), data, variable.attrs)
    if hasattr(variable._data, "dask"):
        return variable.stack(bin=("q", "phi")).transpose("bin", ...)
    return stack_lazily(variable)


@over_runs
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


def need_c2(ds: xr.Dataset, purpose: str) -> None:
    """Refuse a dataset without two-time maps, saying what they were wanted for."""
    if "c2" not in ds:
        raise ConfigurationError(
            f"{purpose} needs a two-time map, and this dataset has none",
            where="c2",
            expected="a dataset with c2(…, t1, t2)",
            hint="open the two-time result of this run",
        )


def bin_dims(ds: xr.Dataset) -> tuple[str, ...]:
    """Return the dims that tell bins apart: ``("q", "phi")`` or ``("bin",)``."""
    return tuple(str(d) for d in ds["c2"].dims if d not in ("t1", "t2"))


def used_frames(ds: xr.Dataset) -> np.ndarray:
    """Return ``mask`` as a bool array, all True where there is none."""
    return ds["mask"].values.astype(bool) if "mask" in ds else np.ones(ds.sizes["t1"], dtype=bool)


def each_map(ds: xr.Dataset) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Yield ``(place, map)`` of every usable bin; the map, shape (N, N), is read when its turn comes."""
    dims = bin_dims(ds)
    c2 = ds["c2"].transpose(*dims, "t1", "t2")
    usable = ds["usable"].transpose(*dims).values if "usable" in ds else np.ones(c2.shape[:-2], dtype=bool)
    for place in np.ndindex(*c2.shape[:-2]):
        if usable[place]:
            yield place, c2.isel(dict(zip(dims, place, strict=True))).values
