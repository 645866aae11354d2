"""Tables of results: many fits against q, age or run, and derived figures with errors and how they print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from heterodyne_nb.arrays import FloatArray
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.result.record import curve_names, unit_shown
from heterodyne_nb.result.trust import trust_flags
from heterodyne_nb.text.html import aligned, page, table
from heterodyne_nb.text.numbers import number, value_with_band, value_with_error
from heterodyne_nb.uncertainty.bands import NORMAL_95, propagate
from heterodyne_nb.uncertainty.derived import fringe_counts, fringe_rates, has_fringes, quantities_of

if TYPE_CHECKING:
    from heterodyne_nb.result.fit_result import FitResult

#: Vector function of the parameters -> (stderr, lower, upper).
Spread = Callable[[Callable[[FloatArray], FloatArray]], tuple[FloatArray, FloatArray, FloatArray]]

#: With more bins than this only the range of their fringes is printed.
MANY_BINS = 8

#: Flag codes (serious ones, and what is not determined) and the columns they fill; each column is True where there is cause for doubt.
FLAG_COLUMNS = {
    "bounds_hit": ("at_bound",),
    "not_converged": ("not_converged",),
    "poor_chi2": ("poor_chi2", "small_chi2", "poor_bins", "bent_curve"),
    "ambiguous": ("several_answers", "contrast_limit", "loose_contrast", "no_contrast"),
    "outside_window": ("no_decay", "not_decayed", "decayed_early"),
    "unidentified": ("not_determined",),
}

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
        return "\n".join(aligned(rows)) if rows else "this mode has no derived figures"

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

    ``model`` (model of :class:`heterodyne_nb.models.ModelFactory`). ``parameters`` (p,): Published values.
    ``covariance`` (p, p): Without it the errors are NaN. ``t``: Times of the run in s; its first and last count. None
    for one-time models. ``bins``: With coordinates ``q`` (1/Å) and ``phi`` (degrees) on ``bin``: figures of the
    fringes are added. Returns: ``value``, ``stderr``, ``lower``, ``upper`` (95 %), ``unit``, ``description`` on
    dimension ``quantity``; where the model has a velocity and a flow direction also ``fringe_rate(bin)`` = q cos(phi0
    - phi) v at mid-time (rad/s) and ``fringe_count(bin)``, the fringes over the run, each with ``_stderr``,
    ``_lower``, ``_upper``.
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

    columns = dict(zip(("stderr", "lower", "upper"), spread(all_of), strict=True))
    told = {name: [getattr(quantity, name) for quantity in quantities] for name in ("unit", "description")}
    data: dict[str, Any] = {
        name: ("quantity", values)
        for name, values in ({"value": all_of(parameters)} | columns | told).items()
    }
    coords: dict[str, Any] = {"quantity": [quantity.name for quantity in quantities]}
    if bins is not None and t is not None and has_fringes(model, t):
        coords |= {name: bins[name] for name in ("bin", "q", "phi") if name in bins.coords}
        for name, (unit, long_name, make) in _FRINGES.items():
            function = make(model, t, bins)
            error, lower, upper = spread(function)
            for suffix, values, meaning in (
                ("", function(parameters), long_name),
                ("_stderr", error, f"standard error of the {long_name}"),
                ("_lower", lower, f"{long_name}, lower end of the 95 % interval"),
                ("_upper", upper, f"{long_name}, upper end of the 95 % interval"),
            ):
                data[name + suffix] = ("bin", values, {"units": unit, "long_name": meaning})
    return Derived(data, coords=coords)


def _rows(ds: xr.Dataset) -> list[list[str]]:
    rows = []
    for i in range(ds.sizes["quantity"]):
        one = ds.isel(quantity=i)
        rows.append(
            [
                str(one["quantity"].values),
                _shown(one, "value", "stderr", "lower", "upper"),
                unit_shown(one["unit"].values),
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


def batch_table(
    results: Sequence[FitResult],
    coord: str = "index",
    values: Sequence[Any] | None = None,
    *,
    unit: str = "",
) -> xr.Dataset:
    """Put many fits of one mode into one Dataset.

    Parameters
    ----------
    results : sequence of FitResult
        At least one; all of the same mode.
    coord : str
        Name of the dimension the fits lie along, e.g. ``"q"``, ``"age"``, ``"file"``.
    values : sequence, optional
        Value of `coord` for every fit; default 0, 1, 2, ...
    unit : str
        Of `values`.

    Returns
    -------
    xarray.Dataset
        ``parameters(coord, parameter)``, ``stderr``, ``status``; ``unit(parameter)``;
        ``chi2_reduced(coord)``, ``success``, ``n_data``, ``message``; the trust flags ``bounds_hit``,
        ``not_converged``, ``poor_chi2``, ``ambiguous``, ``outside_window``, ``unidentified`` (True: cause for doubt),
        ``trusted`` (none but the last), and ``flags`` in words; ``contrast`` and ``offset``, mean over bins. Of models with curves in time also each curve with its band,
        ``v(coord, t)``, ``v_lower``, ``v_upper``; NaN at the times a fit does not cover.

    Raises
    ------
    ConfigurationError
        No results, several modes, or as many values as there are not fits.
    """
    labels = list(range(len(results))) if values is None else list(values)
    _check(results, labels, coord)
    rows = [result.dataset for result in results]
    first = rows[0]
    of_parameters = {
        name: ((coord, "parameter"), np.stack([row[name].values for row in rows]), first[name].attrs)
        for name in ("parameters", "stderr", "status")
    }
    batch = xr.Dataset(
        {
            **of_parameters,
            "unit": ("parameter", first["unit"].values, first["unit"].attrs),
            "chi2_reduced": (coord, [r.chi2_reduced for r in results], {"long_name": "reduced chi-square"}),
            "n_data": (coord, [int(row.attrs["n_data"]) for row in rows]),
            "success": (coord, [r.success for r in results]),
            "message": (coord, [r.message for r in results]),
        },
        coords={
            coord: (coord, labels, {"units": unit} if unit else {}),
            "parameter": first["parameter"].values,
        },
        attrs={"mode": results[0].mode},
    )
    levels = {
        name: (
            coord,
            [float(row[name].mean()) for row in rows],
            {"units": "1", "long_name": f"mean {name} of the bins"},
        )
        for name in ("contrast", "offset")
        if all(name in row for row in rows)
    }
    return batch.assign(_flags(rows, coord)).assign(_curves(rows, batch[coord])).assign(levels)


def _curves(rows: list[xr.Dataset], along: xr.DataArray) -> dict[str, xr.DataArray]:
    """Curves and bands of all fits, on the union of their times."""
    names = [f"{name}{end}" for name in curve_names(rows[0]) for end in ("", "_lower", "_upper")]
    if not names:
        return {}
    parts = [row[names].reset_coords(drop=True) for row in rows]
    joined = xr.concat(parts, dim=along, join="outer", combine_attrs="override")
    return {name: joined[name] for name in names}


def _flags(rows: list[xr.Dataset], coord: str) -> dict[str, Any]:
    found = [trust_flags(row) for row in rows]
    codes = [
        {flag.code for flag in flags if flag.serious or flag.code == "not_determined"} for flags in found
    ]
    columns: dict[str, Any] = {
        name: (coord, [bool(one & set(meant)) for one in codes]) for name, meant in FLAG_COLUMNS.items()
    }
    doubts = np.array([columns[name][1] for name in FLAG_COLUMNS if name != "unidentified"])
    columns["trusted"] = (coord, ~doubts.any(axis=0))
    columns["flags"] = (coord, [" ".join(flag.text for flag in flags) for flags in found])
    return columns


def _check(results: Sequence[FitResult], labels: list[Any], coord: str) -> None:
    if not results:
        raise ConfigurationError("no results to put in a table", expected="at least one FitResult")
    modes = sorted({result.mode for result in results})
    if len(modes) > 1:
        raise ConfigurationError(f"results of several modes: {', '.join(modes)}", expected="one mode")
    if len({result.parameter_names for result in results}) > 1:
        raise ConfigurationError("results with different parameters", expected="the same parameters")
    if len(labels) != len(results):
        raise ConfigurationError(f"{len(labels)} values of {coord} for {len(results)} results")
