"""Draws of the parameters: standard errors, percentile intervals and bands of curves from repeated estimates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.result.derived_table import derived_draws
from heterodyne_nb.result.fit_result import FitResult
from heterodyne_nb.text.html import heading, page, table
from heterodyne_nb.text.numbers import number, value_with_band

FloatArray = NDArray[np.float64]


def percentiles(draws: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Lower and upper end of the central interval of draws (n, ...) at a level in (0, 1)."""
    if not 0 < level < 1:
        raise ConfigurationError(f"{level!r}", where="level", expected="a number between 0 and 1")
    lower, upper = np.quantile(draws, [0.5 * (1 - level), 0.5 * (1 + level)], axis=0)
    return lower, upper


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap:
    """Repeated estimates of a fit; made by :func:`heterodyne_nb.bootstrap`.

    Attributes
    ----------
    dataset : xarray.Dataset
        ``draws(draw, parameter)`` with ``estimate(parameter)``, ``unit(parameter)``, the times ``t`` (s) of the
        fit, and in its attributes how the draws were made.
    """

    dataset: xr.Dataset

    @property
    def draws(self) -> FloatArray:
        """Published parameters of every draw, (n, p)."""
        return np.asarray(self.dataset["draws"].values)

    @property
    def n(self) -> int:
        """Number of draws."""
        return int(self.dataset.sizes["draw"])

    @property
    def method(self) -> str:
        """How the draws were made, in words."""
        return str(self.dataset.attrs["method"])

    @property
    def mode(self) -> str:
        """Name of the model."""
        return str(self.dataset.attrs["mode"])

    @property
    def covariance(self) -> FloatArray:
        """Covariance of the draws, (p, p)."""
        return np.atleast_2d(np.cov(self.draws, rowvar=False))

    def intervals(self, level: float = 0.95) -> xr.Dataset:
        """Percentile intervals of the parameters: estimate, stderr, lower, upper, unit on (parameter,)."""
        lower, upper = percentiles(self.draws, level)
        return self.dataset[["estimate", "unit"]].assign(
            stderr=("parameter", self.draws.std(axis=0, ddof=1)),
            lower=("parameter", lower),
            upper=("parameter", upper),
        )

    def curve_draws(self, name: str, t: FloatArray | None = None) -> xr.DataArray:
        """One curve of every draw, on (draw, t).

        Parameters
        ----------
        name : str
            A curve of the mode, e.g. ``"v"``.
        t : array, optional
            Times in s, default those of the fit.
        """
        return self._curves(self._times(t))[self._known(name)]

    def curves(self, level: float = 0.95, t: FloatArray | None = None) -> xr.Dataset:
        """Percentile bands: every curve of the estimate with ``_lower`` and ``_upper``, on (t,).

        They are percentiles of curves that each obey the model's limits (J ≥ 0, 0 ≤ x ≤ 1), so they do too.
        """
        times = self._times(t)
        model, best = ModelFactory.create_model(self.mode), self.dataset["estimate"].values
        units = model.curve_units
        data: dict[str, Any] = {}
        middle = model.curves(best, times)
        for name, every in self._curves(times).items():
            lower, upper = percentiles(every.values, level)
            for suffix, values in (("", middle[name]), ("_lower", lower), ("_upper", upper)):
                data[f"{name}{suffix}"] = ("t", np.asarray(values, float), {"units": units[name]})
        return xr.Dataset(data, coords={"t": ("t", times, {"units": "s"})}, attrs={"level": level})

    def of(self, function: Callable[[FloatArray], Any], level: float = 0.95) -> tuple[float, float, float]:
        """Standard error and interval (stderr, lower, upper) of a number computed from parameters (p,)."""
        values = np.array([float(function(draw)) for draw in self.draws])
        lower, upper = percentiles(values, level)
        return float(values.std(ddof=1)), float(lower), float(upper)

    def derived(self, bins: xr.Dataset | None = None, level: float = 0.95) -> xr.Dataset:
        """Derived figures with bootstrap errors and intervals; see :meth:`FitResult.derived`.

        Parameters
        ----------
        bins : Dataset, optional
            With ``q`` and ``phi`` on ``bin``: fringe rates are added.
        level : float
        """
        model = ModelFactory.create_model(self.mode)
        t = self.dataset["t"].values if "t" in self.dataset else None
        return derived_draws(model, self.dataset["estimate"].values, self.draws, t, bins, level)

    def apply_to(self, result: FitResult) -> FitResult:
        """The fit with the errors and bands of these draws in place of its own."""
        if list(result.parameter_names) != self.dataset["parameter"].values.tolist():
            raise ConfigurationError(
                f"draws of {self.mode} cannot describe a fit of {result.mode}", where="result"
            )
        bands: Mapping[str, tuple[FloatArray, FloatArray]] | None = None
        if result.curve_names:
            found = self.curves()
            bands = {
                str(n): (found[f"{n}_lower"].values, found[f"{n}_upper"].values) for n in result.curve_names
            }
        spread = self.draws.std(axis=0, ddof=1)
        return result.with_uncertainty(
            self.method,
            covariance=self.covariance,
            stderr=np.where(spread > 0, spread, np.nan),
            bands=bands,
        )

    def table(self, level: float = 0.95) -> pd.DataFrame:
        """Intervals as a table, one row a parameter."""
        return self.intervals(level)[["estimate", "stderr", "lower", "upper", "unit"]].to_dataframe()

    def __repr__(self) -> str:
        rows = _rows(self)
        widths = [max(len(row[k]) for row in rows) for k in range(3)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([_title(self), *lines])

    def _repr_html_(self) -> str:
        head, *rows = _rows(self)
        return page(heading(_title(self)) + table(list(head), [list(row) for row in rows]))

    def _curves(self, t: FloatArray) -> dict[str, xr.DataArray]:
        model = ModelFactory.create_model(self.mode)
        every = [model.curves(draw, t) for draw in self.draws]
        return {
            name: xr.DataArray(
                np.stack([np.asarray(curves[name], float) for curves in every]),
                dims=("draw", "t"),
                coords={"t": ("t", t, {"units": "s"})},
                name=name,
                attrs={"units": unit},
            )
            for name, unit in model.curve_units.items()
        }

    def _times(self, t: FloatArray | None) -> FloatArray:
        if t is None and "t" not in self.dataset:
            raise ConfigurationError("the fit keeps no times", hint="pass t, in s")
        return np.asarray(self.dataset["t"].values if t is None else t, dtype=float)

    def _known(self, name: str) -> str:
        units = ModelFactory.create_model(self.mode).curve_units
        if name not in units:
            raise ConfigurationError(f"no curve {name!r}", expected=f"one of {list(units)}")
        return name


def _title(found: Bootstrap) -> str:
    return f"{found.mode}: {found.n} draws, {found.method}"


def _rows(found: Bootstrap) -> list[tuple[str, str, str]]:
    rows = [("parameter", "value [95 % interval]", "unit")]
    intervals = found.intervals()
    for i, name in enumerate(intervals["parameter"].values.tolist()):
        one = intervals.isel(parameter=i)
        value, lower, upper = (float(one[key]) for key in ("estimate", "lower", "upper"))
        unit = str(one["unit"].values)
        shown = value_with_band(value, lower, upper) if upper > lower else f"{number(value)} (held)"
        rows.append((name, shown, "" if unit == "1" else unit))
    return rows
