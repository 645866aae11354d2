"""Derived figures with errors: by the delta method from a covariance, or from draws; and how they print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from heterodyne_nb.text.html import page, table
from heterodyne_nb.text.numbers import number, value_with_band, value_with_error
from heterodyne_nb.uncertainty.bands import NORMAL_95, propagate
from heterodyne_nb.uncertainty.derived import fringe_counts, fringe_rates, has_fringes, quantities_of

FloatArray = NDArray[np.float64]
#: Vector function of the parameters -> (stderr, lower, upper).
Spread = Callable[[Callable[[FloatArray], FloatArray]], tuple[FloatArray, FloatArray, FloatArray]]

#: With more bins than this only the range of their fringes is printed.
MANY_BINS = 8

_FRINGES = {
    "fringe_rate": ("rad/s", "fringe rate q cos(phi0 - phi) v at mid-time", fringe_rates),
    "fringe_count": ("1", "fringes from the first to the last frame", fringe_counts),
}


class Derived(xr.Dataset):
    """Derived figures; a Dataset that prints as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        if "value" not in self or "unit" not in self:
            return super().__repr__()
        rows = _rows(self)
        if not rows:
            return "this mode has no derived figures"
        widths = [max(len(row[k]) for row in rows) for k in range(3)]
        return "\n".join(
            "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]) for row in rows
        )

    def _repr_html_(self) -> str:
        if "value" not in self or "unit" not in self:
            return super()._repr_html_()
        return page(table(["", "value", "unit", ""], _rows(self)))


def derived_quantities(
    model: Any,
    parameters: FloatArray,
    covariance: FloatArray | None,
    t: FloatArray | None,
    bins: xr.Dataset | None = None,
) -> Derived:
    """Compute derived figures with delta-method errors.

    Parameters
    ----------
    model : model of :class:`heterodyne_nb.models.ModelFactory`
    parameters : array, shape (p,)
        Published values.
    covariance : array, shape (p, p), optional
        Without it the errors are NaN.
    t : array, optional
        Times of the run in s; its first and last count. None for one-time models.
    bins : xarray.Dataset, optional
        With coordinates ``q`` (1/Å) and ``phi`` (degrees) on ``bin``: figures of the fringes are added.

    Returns
    -------
    Derived
        ``value``, ``stderr``, ``lower``, ``upper`` (95 %), ``unit``, ``description`` on dimension
        ``quantity``; where the model has a velocity and a flow direction also ``fringe_rate(bin)`` =
        q cos(phi0 - phi) v at mid-time (rad/s) and ``fringe_count(bin)``, the fringes over the run, each
        with ``_stderr``, ``_lower``, ``_upper``.
    """

    def spread(function: Callable[[FloatArray], FloatArray]) -> tuple[FloatArray, FloatArray, FloatArray]:
        value = function(parameters)
        if covariance is None or not value.size:
            unknown = np.full(value.shape, np.nan)
            return unknown, unknown, unknown
        error = propagate(function, parameters, covariance)
        return error, value - NORMAL_95 * error, value + NORMAL_95 * error

    return _table(model, parameters, t, bins, spread)


def derived_draws(
    model: Any,
    parameters: FloatArray,
    draws: FloatArray,
    t: FloatArray | None,
    bins: xr.Dataset | None = None,
    level: float = 0.95,
) -> Derived:
    """Compute derived figures with errors and percentile intervals from draws (n, p) of the parameters.

    Other parameters and the return value are those of :func:`derived_quantities`.
    """

    def spread(function: Callable[[FloatArray], FloatArray]) -> tuple[FloatArray, FloatArray, FloatArray]:
        values = np.array([function(draw) for draw in draws])
        lower, upper = np.quantile(values, [0.5 * (1 - level), 0.5 * (1 + level)], axis=0)
        return values.std(axis=0, ddof=1), lower, upper

    return _table(model, parameters, t, bins, spread)


def _table(
    model: Any, parameters: FloatArray, t: FloatArray | None, bins: xr.Dataset | None, spread: Spread
) -> Derived:
    quantities = quantities_of(model, t)

    def all_of(p: FloatArray) -> FloatArray:
        return np.array([quantity.compute(p) for quantity in quantities], dtype=float)

    error, lower, upper = spread(all_of)
    data: dict[str, Any] = {
        "value": ("quantity", all_of(parameters)),
        "stderr": ("quantity", error),
        "lower": ("quantity", lower),
        "upper": ("quantity", upper),
        "unit": ("quantity", [quantity.unit for quantity in quantities]),
        "description": ("quantity", [quantity.description for quantity in quantities]),
    }
    coords: dict[str, Any] = {"quantity": [quantity.name for quantity in quantities]}
    if bins is not None and t is not None and has_fringes(model, t):
        coords |= {name: bins[name] for name in ("bin", "q", "phi") if name in bins.coords}
        for name, (unit, long_name, make) in _FRINGES.items():
            data |= _of_bins(name, unit, long_name, make(model, t, bins), parameters, spread)
    return Derived(data, coords=coords)


def _of_bins(
    name: str,
    unit: str,
    long_name: str,
    function: Callable[[FloatArray], FloatArray],
    parameters: FloatArray,
    spread: Spread,
) -> dict[str, Any]:
    error, lower, upper = spread(function)
    parts = {
        "": (function(parameters), long_name),
        "_stderr": (error, f"standard error of the {long_name}"),
        "_lower": (lower, f"{long_name}, lower end of the 95 % interval"),
        "_upper": (upper, f"{long_name}, upper end of the 95 % interval"),
    }
    return {
        name + suffix: ("bin", values, {"units": unit, "long_name": told})
        for suffix, (values, told) in parts.items()
    }


def _rows(ds: xr.Dataset) -> list[list[str]]:
    rows = []
    for i in range(ds.sizes["quantity"]):
        one = ds.isel(quantity=i)
        unit = str(one["unit"].values)
        rows.append(
            [
                str(one["quantity"].values),
                _shown(one, "value", "stderr", "lower", "upper"),
                "" if unit == "1" else unit,
                str(one["description"].values) if "description" in one else "",
            ]
        )
    bins = ds.sizes.get("bin", 0) if "fringe_rate" in ds else 0
    if bins > MANY_BINS:
        rates = np.abs(ds["fringe_rate"].values)
        shown = f"{number(float(rates.min()), 3)} to {number(float(rates.max()), 3)}"
        return [*rows, ["fringe_rate", shown, "rad/s", f"q cos(phi0 - phi) v at mid-time, {bins} bins"]]
    for b in range(bins):
        one = ds.isel(bin=b)
        shown = _shown(one, *(f"fringe_rate{s}" for s in ("", "_stderr", "_lower", "_upper")))
        where = f"q = {number(float(one['q']))} 1/Å, phi = {number(float(one['phi']))}°"
        count = number(float(one["fringe_count"]), 3) if "fringe_count" in one else ""
        rows.append(["fringe_rate", shown, "rad/s", f"{where}; {count} fringes in the run"])
    return rows


def _shown(one: xr.Dataset, value: str, error: str, lower: str, upper: str) -> str:
    """A value with its error, or with its interval where that is not symmetric."""
    middle, sigma = float(one[value]), float(one[error]) if error in one else float("nan")
    if lower in one and np.isfinite([float(one[lower]), float(one[upper])]).all():
        low, high = middle - float(one[lower]), float(one[upper]) - middle
        if abs(low - high) > 0.1 * (low + high):
            return value_with_band(middle, float(one[lower]), float(one[upper]))
    return value_with_error(middle, sigma)
