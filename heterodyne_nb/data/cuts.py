"""g2(τ) at given ages: cuts along the rows of a two-time map, or across its diagonal (Bikondoa 2017)."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.data.dataset import bin_dims, each_map, need_c2, used_frames
from heterodyne_nb.data.door import over_runs
from heterodyne_nb.data.noise import MapNoise, diagonal
from heterodyne_nb.errors import ConfigurationError, DataFormatError

__all__ = ["checked_mask", "g2_cuts", "g2_from_c2"]


def g2_from_c2(c2: np.ndarray, mask: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Average a two-time map over all ages.

    g2(τ_k) is the mean of c2[i, i+k] over the used frames i and i+k with a finite pixel, k = 1 .. N−1.

    Parameters
    ----------
    c2 : ndarray, shape (N, N)
        Two-time map; only the pixels above the diagonal are read. NaN: not measured.
    mask : bool ndarray, shape (N,), optional
        True where the frame is used.

    Returns
    -------
    g2, err : float64 ndarray, shape (N − 1,)
        Mean and standard error at lags of 1 .. N−1 frames; NaN where no pixel is left. The error counts
        correlated pixels as such: see :mod:`heterodyne_nb.data.noise`.

    Raises
    ------
    DataFormatError
        The map is not square or the mask has another length.
    """
    c2 = np.asarray(c2)
    used = checked_mask(c2, mask)
    n = len(used)
    if n < 2:
        return np.empty(0), np.empty(0)
    g2, count = lag_means(c2, used)
    err = MapNoise(c2, used).errors(lambda lag: np.array([[0, n - lag]]), count[None])[0]
    return g2, err


def lag_means(c2: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the map at each lag of 1 .. N−1 frames (NaN where no pixel is left), and of how many pixels."""
    g2, count = np.full(len(used) - 1, np.nan), np.zeros(len(used) - 1)
    for lag in range(1, len(used)):
        pixels = diagonal(c2, used, lag)
        good = np.isfinite(pixels)
        if good.any():
            g2[lag - 1], count[lag - 1] = pixels[good].mean(), good.sum()
    return g2, count


def checked_mask(c2: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Return the mask as bool, all True for None; refuse a map or mask of the wrong shape."""
    if c2.ndim != 2 or c2.shape[0] != c2.shape[1]:
        raise DataFormatError(f"the map has shape {c2.shape}", where="c2", expected="a square array (N, N)")
    if mask is None:
        return np.ones(len(c2), dtype=bool)
    used = np.asarray(mask, dtype=bool)
    if used.shape != (len(c2),):
        raise DataFormatError(f"shape {used.shape}", where="mask", expected=f"({len(c2)},), one a frame")
    return used


CUTS = ("row", "diagonal")


@over_runs
def g2_cuts(ds: xr.Dataset, *, age: Any = None, width: float | None = None, cut: str = "row") -> xr.Dataset:
    """Average c2 over windows of age, lag by lag.

    Parameters
    ----------
    ds : xarray.Dataset
        With two-time maps.
    age : float or list of float, optional
        Centres of the windows in s (absolute time). Default: windows of ``width`` one after the other.
    width : float, optional
        Width of a window in s: at least dt. Default: dt, or the whole run if no ``age`` is given either.
        0 means one row, or one anti-diagonal alone.
    cut : {"row", "diagonal"}
        ``"row"``: age is t1, the pixels (t1, t1 + τ). ``"diagonal"``: age is (t1 + t2)/2.

    Returns
    -------
    xarray.Dataset
        ``g2(…, age, tau)``, ``g2_err``, ``n_pixels_used`` (two-time pixels averaged), tau = dt … (N−1) dt;
        NaN where no pixel is left. Attributes ``cut`` and ``width``.

    Raises
    ------
    ConfigurationError
        No c2, an age outside the run, a width below dt, or an unknown cut.

    Notes
    -----
    A pixel belongs to the window of an age if age − width/2 ≤ its own age < age + width/2, so windows one
    after the other use every pixel once. On one anti-diagonal (t1 + t2 fixed) the lag steps by 2 dt; the ages
    (t1 + t2)/2 of odd lags lie half a frame off those of even lags. A window of n dt therefore holds n pixels
    of every lag, from 2n neighbouring anti-diagonals; with ``width=0`` every other lag is NaN.
    Frames with ``mask`` False and NaN pixels are left out. Errors: :mod:`heterodyne_nb.data.noise`.
    """
    need_c2(ds, "a cut at an age")
    if cut not in CUTS:
        raise ConfigurationError(f"no cut {cut!r}", where="cut", expected=" or ".join(map(repr, CUTS)))
    dt = float(ds.attrs["dt"])
    ages, width = _windows(ds["t"].values, dt, age, width)
    limits = _half_frames(ages, width, ds["t"].values[0], dt, cut)
    return _result(ds, ages, _cut_maps(ds, limits, cut), {"cut": cut, "width": width})


def _windows(t: np.ndarray, dt: float, age: Any, width: float | None) -> tuple[np.ndarray, float]:
    span = len(t) * dt
    width = _checked_width(width, dt, default=span if age is None else dt)
    if age is not None:
        return _checked_ages(age, t, dt), width
    step = min(width or dt, span)
    n_windows = max(round(span / step), 1)
    return t[0] - dt / 2 + step * (np.arange(n_windows) + 0.5), width


def _checked_width(width: Any, dt: float, default: float) -> float:
    if width is None:
        return default
    expected = f"a number of seconds: 0, or at least dt = {dt:g}"
    try:
        value = float(width)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{width!r} is not a width", where="width", expected=expected) from None
    if not np.isfinite(value) or value < 0 or 0 < value < dt * (1 - 1e-9):
        raise ConfigurationError(f"a window of {value:g} s holds no frame", where="width", expected=expected)
    return value


def _checked_ages(age: Any, t: np.ndarray, dt: float) -> np.ndarray:
    expected = f"seconds from {t[0]:g} to {t[-1]:g} (frame number × dt)"
    try:
        ages = np.atleast_1d(np.asarray(age, dtype=float))
    except (TypeError, ValueError):
        ages = np.empty(0)
    if ages.ndim != 1 or not ages.size:
        raise ConfigurationError(f"{age!r} is not an age or a list of ages", where="age", expected=expected)
    slack = dt * (0.5 + 1e-6)
    outside = ~((ages >= t[0] - slack) & (ages <= t[-1] + slack))
    if outside.any():
        raise ConfigurationError(
            f"age {ages[outside][0]:g} s is outside the run", where="age", expected=expected
        )
    return ages


def _half_frames(ages: np.ndarray, width: float, t_first: float, dt: float, cut: str) -> np.ndarray:
    """Return (n_age, 2): first and one past the last half-frame (2 × frame index) of each window."""
    centre = 2 * (ages - t_first) / dt
    if width == 0:
        first = 2 * np.round(centre / 2) if cut == "row" else np.round(centre)
        return np.stack([first, first + (2 if cut == "row" else 1)], axis=1).astype(int)
    edges = centre[:, None] + np.array([-1, 1]) * width / dt
    return np.ceil(edges - 1e-6).astype(int)


def _cut_maps(ds: xr.Dataset, limits: np.ndarray, cut: str) -> np.ndarray:
    """Return (3, bins…, n_age, n_lag): g2, its error, the number of pixels."""
    sizes = [ds.sizes[d] for d in bin_dims(ds)]
    out = np.full((3, *sizes, len(limits), ds.sizes["t1"] - 1), np.nan)
    out[2] = 0
    used = used_frames(ds)
    for place, one_map in each_map(ds):
        here: tuple[int | slice, ...] = (slice(None), *place)
        out[here] = _cut_one(one_map, used, limits, cut)
    return out


def _cut_one(c2: np.ndarray, used: np.ndarray, limits: np.ndarray, cut: str) -> np.ndarray:
    def spans(lag: int) -> np.ndarray:
        return _pixels(limits - (lag if cut == "diagonal" else 0), len(used) - lag)

    out = np.full((3, len(limits), len(used) - 1), np.nan)
    for lag in range(1, len(used)):
        values, weights = _gather(diagonal(c2, used, lag), spans(lag))
        out[2, :, lag - 1] = count = weights.sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            out[0, :, lag - 1] = (values * weights).sum(1) / count
    out[1] = MapNoise(c2, used).errors(spans, out[2])
    return out


def _pixels(limits: np.ndarray, n: int) -> np.ndarray:
    """Return first and one past the last pixel i with limits[:, 0] ≤ 2 i < limits[:, 1], of n pixels."""
    first, stop = np.clip(-(-limits // 2), 0, n).T
    return np.stack([first, np.maximum(stop, first)], axis=1)


def _gather(pixels: np.ndarray, spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of each span, a window a row, and weights 0 or 1."""
    first, stop = spans.T
    at = first[:, None] + np.arange(max(int((stop - first).max()), 1))
    inside = at < stop[:, None]
    values = pixels[np.where(inside, at, 0)]
    good = inside & np.isfinite(values)
    return np.where(good, values, 0.0), good.astype(float)


def _result(ds: xr.Dataset, ages: np.ndarray, cuts: np.ndarray, attrs: dict[str, Any]) -> xr.Dataset:
    dims = (*bin_dims(ds), "age", "tau")
    tau = np.arange(1, ds.sizes["t1"]) * float(ds.attrs["dt"])
    how = "t1" if attrs["cut"] == "row" else "(t1 + t2)/2"
    variables = {
        "g2": (dims, cuts[0], {"units": "1", "long_name": "one-time intensity correlation"}),
        "g2_err": (dims, cuts[1], {"units": "1", "long_name": "standard error of g2"}),
        "n_pixels_used": (dims, cuts[2].astype(int), {"units": "1", "long_name": "two-time pixels averaged"}),
    }
    coords: dict[str, Any] = {name: ds[name] for name in ("q", "phi") if name in ds.coords}
    coords["age"] = ("age", ages, {"units": "s", "long_name": f"age, {how}"})
    coords["tau"] = ("tau", tau, {"units": "s", "long_name": "lag time"})
    kept = {k: ds.attrs[k] for k in ("dt", "layout", "source") if k in ds.attrs}
    return xr.Dataset(variables, coords=coords, attrs={**kept, **attrs, "age_is": how})
