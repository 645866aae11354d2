"""Many fits in one Dataset: parameters, curves and trust flags against q, age or run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.result.record import curve_names
from heterodyne_nb.result.trust import trust_flags

if TYPE_CHECKING:
    from heterodyne_nb.result.fit_result import FitResult

#: Flag codes (serious ones, and what is not determined) and the columns they fill; each column is True where there is cause for doubt.
FLAG_COLUMNS = {
    "bounds_hit": ("at_bound",),
    "not_converged": ("not_converged",),
    "poor_chi2": ("poor_chi2", "small_chi2", "poor_bins", "bent_curve"),
    "ambiguous": ("several_answers", "contrast_limit", "loose_contrast", "no_contrast"),
    "outside_window": ("no_decay", "not_decayed", "decayed_early"),
    "unidentified": ("not_determined",),
}


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
    table = xr.Dataset(
        {
            "parameters": ((coord, "parameter"), _stacked(rows, "parameters"), first["parameters"].attrs),
            "stderr": ((coord, "parameter"), _stacked(rows, "stderr"), first["stderr"].attrs),
            "status": ((coord, "parameter"), _stacked(rows, "status"), first["status"].attrs),
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
    return table.assign(_flags(rows, coord)).assign(_curves(rows, table[coord])).assign(levels)


def _curves(rows: list[xr.Dataset], along: xr.DataArray) -> dict[str, xr.DataArray]:
    """Curves and bands of all fits, on the union of their times."""
    names = [f"{name}{end}" for name in curve_names(rows[0]) for end in ("", "_lower", "_upper")]
    if not names:
        return {}
    parts = [row[names].reset_coords(drop=True) for row in rows]
    joined = xr.concat(parts, dim=along, join="outer", combine_attrs="override")
    return {name: joined[name] for name in names}


def _stacked(rows: list[xr.Dataset], name: str) -> np.ndarray:
    return np.stack([row[name].values for row in rows])


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
