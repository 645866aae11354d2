"""The dataset every part of the package works on, built from arrays and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.data.quality import usable_attrs
from heterodyne_nb.data.units import check_q, number, reading
from heterodyne_nb.errors import DataFormatError

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
    "usable": usable_attrs(),
    "label": {"long_name": "label of the bin in the partition of the file, 0: none", "units": "1"},
}
_PIXELS = ("pixel_y", "pixel_x")
IMAGES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("saxs_2d", "dynamic_roi_map", "static_roi_map", "pixel_mask"), _PIXELS),
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
        from heterodyne_nb.data.derived import with_lazy_g2

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
