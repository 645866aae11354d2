"""g2 against lag, age by age: points with error bars, the fitted model and its band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.data.prepare import g2_cuts as g2_at_ages
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.old_paths import formerly
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.bin_model import Window, model_cut
from heterodyne_nb.plots.curves import quality
from heterodyne_nb.plots.select import Bin, Choice, need, of_one_run, one_bin
from heterodyne_nb.text.escaping import in_figure

_MOST_POINTS = 400
_MOST_AGES = 24
#: Further lags at which the model is drawn, so that its line bends smoothly.
_SMOOTH = 150
_CUT_WORDS = {"diagonal": "across the diagonal, age = (t₁ + t₂) / 2", "row": "along rows, age = t₁"}


class Cut(NamedTuple):
    """Points of one cut: lag (s), g2, its standard error, and the ages they average."""

    tau: np.ndarray
    g2: np.ndarray
    error: np.ndarray
    window: Window


@formerly(ds="dataset")
@of_one_run
def g2_cuts(
    dataset: xr.Dataset,
    *,
    q: Choice = None,
    phi: Choice = None,
    bin: int | None = None,
    ages: float | Sequence[float] | None = None,
    width: float | None = None,
    cut: str = "row",
    result: Any = None,
    log_lag: bool = True,
    theme: str = "light",
) -> go.Figure:
    """One-time correlation of one bin at several ages, with the model of a fit.

    Parameters
    ----------
    dataset : xarray.Dataset
        With ``g2`` and ``g2_err`` on ``tau`` (over all ages) or on ``(age, tau)``, or with ``c2`` to
        cut at `ages`.
    q, phi, bin : optional
        Which bin, as in :func:`c2`; it may be left out when there is only one.
    ages : float or sequence of float, optional
        Ages in s to cut ``c2`` at. Default: the ages of ``g2``, or one average over all ages.
    width, cut : optional
        Window of age in s and kind of cut (``"row"``: age = t1; ``"diagonal"``: age = (t1 + t2) / 2), as
        :func:`heterodyne_nb.data.prepare.g2_cuts` takes them; only with `ages`.
    result : FitResult, optional
        Draws its model, averaged over the same windows, with the 95 % band of its parameters.
    log_lag : bool
        Logarithmic lag, as for decays; False spreads fringes evenly.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If there is no such bin, or more than one, or nothing to cut.
    """
    chosen = one_bin(dataset, q=q, phi=phi, bin=bin)
    cuts = read_cuts(*_cut_at(dataset, chosen, ages, width, cut))
    figure = canvas.panels(f"g₂, {chosen.label}", _note(cuts, result), theme=theme, height=480)
    for k, (one, colour) in enumerate(zip(cuts, canvas.series_colours(len(cuts), theme), strict=True)):
        label = "all ages" if one.window.age is None else f"{one.window.age:.4g} s"
        if result is not None:
            _add_model(figure, dataset, result, chosen, one, colour, f"cut {k}")
        figure.add_trace(_points(one, label, colour, f"cut {k}"))
    figure.update_xaxes(title_text="lag τ (s)", **(_log_ticks(cuts) if log_lag else {"rangemode": "tozero"}))
    figure.update_yaxes(title_text="g₂(τ)")
    figure.update_layout(legend={"title": {"text": "age"}}, showlegend=cuts[0].window.age is not None)
    return figure


def _log_ticks(cuts: list[Cut]) -> dict[str, Any]:
    decades = np.log10(max(one.tau[-1] for one in cuts) / min(one.tau[0] for one in cuts))
    return canvas.log_axis(few=decades < 3)


def _cut_at(
    dataset: xr.Dataset, chosen: Bin, ages: float | Sequence[float] | None, width: float | None, cut: str
) -> tuple[xr.Dataset, Bin]:
    """Cut the map of one bin at some ages; a dataset without any ages to cut at comes back as it is."""
    if ages is None:
        return dataset, chosen
    if "age" in dataset.dims:
        raise ConfigurationError(
            "these are cuts already", where="ages", hint="choose ages with ds.sel(age=…), or pass the maps"
        )
    alone = dataset.isel({dim: [k] for dim, k in chosen.place.items()})
    place = dict.fromkeys(chosen.place, 0)
    return g2_at_ages(alone, age=ages, width=width, cut=cut), replace(chosen, number=0, place=place)


def read_cuts(dataset: xr.Dataset, chosen: Bin) -> list[Cut]:
    """Return the cuts of one bin, those without any finite point left out.

    Raises ConfigurationError: If the dataset has no g2, or nothing of it is measured in this bin.
    """
    values = need(dataset, "g2", "g2 against lag").isel(chosen.place)
    errors = (
        dataset["g2_err"].isel(chosen.place)
        if "g2_err" in dataset.variables
        else xr.full_like(values, np.nan)
    )
    tau = np.asarray(dataset["tau"].values, dtype=float)
    cut, width = _how(dataset)
    if "age" in values.dims:
        ages = np.asarray(dataset["age"].values, dtype=float)
        cuts = [
            _cut(tau, values.isel(age=k), errors.isel(age=k), Window(float(age), width, cut))
            for k, age in enumerate(ages)
        ]
    else:
        cuts = [_cut(tau, values, errors, Window(None, 0.0, cut))]
    cuts = [one for one in cuts if one.tau.size]
    if not cuts:
        raise ConfigurationError(f"no g2 is measured in the bin {chosen.label}", where="dataset")
    if len(cuts) > _MOST_AGES:
        raise ConfigurationError(
            f"{len(cuts)} ages do not fit one figure", where="ages", expected=f"at most {_MOST_AGES}"
        )
    return cuts


def _how(dataset: xr.Dataset) -> tuple[str, float]:
    """Return the kind of cut and the width of its window (s) that a dataset of cuts notes."""
    notes = {**dataset.attrs, **dataset["g2"].attrs}
    return str(notes.get("cut", "row")), float(notes.get("width", 0.0))


def _cut(tau: np.ndarray, values: xr.DataArray, errors: xr.DataArray, window: Window) -> Cut:
    g2, error = np.asarray(values.values, dtype=float), np.asarray(errors.values, dtype=float)
    known = np.flatnonzero(np.isfinite(g2) & (tau > 0))
    known = known[thinned(tau[known])]
    return Cut(tau[known], g2[known], error[known], window)


def thinned(tau: np.ndarray) -> np.ndarray:
    """Indices of at most a few hundred lags, evenly spread on the logarithmic axis."""
    if tau.size <= _MOST_POINTS:
        return np.arange(tau.size)
    wanted = np.geomspace(tau[0], tau[-1], _MOST_POINTS)
    return np.unique(np.abs(np.searchsorted(tau, wanted * (1 - 1e-12))).clip(0, tau.size - 1))


def _points(one: Cut, label: str, colour: str, group: str) -> go.Scatter:
    return go.Scatter(
        x=one.tau,
        y=one.g2,
        name=label,
        legendgroup=group,
        mode="markers",
        marker={"color": colour, "size": 5},
        error_y={"array": one.error, "thickness": 1, "width": 2, "color": canvas.band_colour(colour, 0.6)},
        hovertemplate="τ = %{x:.4g} s<br>g₂ = %{y:.5g}",
    )


def _add_model(
    figure: go.Figure, dataset: xr.Dataset, result: Any, chosen: Bin, one: Cut, colour: str, group: str
) -> None:
    timed = next(
        (one for one in (dataset, result.dataset) if "t" in one.coords), None
    )  # g2 alone has lags only
    times = np.asarray((dataset["tau"] if timed is None else timed["t"]).values, dtype=float)
    between = np.geomspace(one.tau[0], one.tau[-1], _SMOOTH)
    fitted = model_cut(result, chosen, one.window, np.union1d(one.tau, between), times)
    shaded = canvas.band(fitted.tau, fitted.lower, fitted.upper, colour=colour, name="95 % band", group=group)
    if shaded is not None:
        figure.add_trace(shaded)
    line = {"color": colour, "width": 2}
    figure.add_trace(
        go.Scatter(
            x=fitted.tau,
            y=fitted.g2,
            name="model",
            legendgroup=group,
            showlegend=False,
            mode="lines",
            line=line,
            hovertemplate="τ = %{x:.4g} s<br>model g₂ = %{y:.5g}",
        )
    )


def _note(cuts: list[Cut], result: Any) -> str:
    """How the points and the lines came about: one line of small print for each."""
    window = cuts[0].window
    words = ["error bars: one standard error"]
    if window.age is None:
        words.insert(0, "averaged over all ages")
    else:
        words.insert(0, f"cut {_CUT_WORDS.get(window.cut, window.cut)}")
        if window.width:
            words.insert(1, f"averaged over {window.width:.4g} s of age")
    first = " · ".join(words)
    return (
        first
        if result is None
        else f"{first}<br>lines: {in_figure(result.mode)}, {quality(result)}; shaded: 95 % band"
    )
