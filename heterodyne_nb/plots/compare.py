"""Several fits, or several estimates of one fit's uncertainty, laid over each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.curves import (
    add_curve,
    columns_for,
    curve_names,
    curve_panels,
    quality,
    time_in_decades,
    unit_of,
)
from heterodyne_nb.text.escaping import in_figure

_REACH = "from the curve to the end of its 95 % band · full: above, dotted: below"


def compare_results(results: Mapping[str, Any], *, log_time: bool = False, theme: str = "light") -> go.Figure:
    """Overlay of the curves of several fits, with their reduced chi-square.

    Parameters
    ----------
    results : mapping of str to FitResult
        Name of the run -> result; a curve is drawn for every result that has it.
    log_time : bool
        Draw time logarithmically.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If `results` is empty or keeps no curves.
    """
    results = {in_figure(name): result for name, result in results.items()}
    names, units = _shared(results)
    note = " · ".join(f"{run}: {quality(result)}" for run, result in results.items())
    figure = curve_panels(names, units, "Comparison of fits", note, theme=theme)
    columns = columns_for(names)
    for number, (run, result) in enumerate(results.items()):
        colour = canvas.line_colour(number, theme)
        mine = [name for name in names if name in curve_names(result)]
        for name in mine:
            add_curve(figure, result, name, colour, run, canvas.cell(names.index(name), columns))
            figure.data[-1].showlegend = name == mine[0]
    if log_time:
        time_in_decades(figure)
    return canvas.legend_below(figure, 52)


def compare_bands(results: Mapping[str, Any], *, log_time: bool = False, theme: str = "light") -> go.Figure:
    """How far the 95 % bands of the same curves reach by several estimates, on logarithmic axes.

    Bands laid over each other hide one another where they are narrow; their reach above the curve (full
    line) and below it (dotted) does not.

    Parameters
    ----------
    results : mapping of str to FitResult
        Name of the estimate -> result, e.g. ``{"dyadic": result, "bootstrap": boot.result}``: usually one
        fit with its errors estimated in several ways.
    log_time : bool
        Draw time logarithmically.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If `results` is empty, or no result has a band.
    """
    results = {in_figure(name): result for name, result in results.items()}
    names, units = _shared(results)
    figure = curve_panels(names, units, "Reach of the 95 % bands", _REACH, theme=theme)
    for number, (estimate, result) in enumerate(results.items()):
        colour = canvas.line_colour(number, theme)
        for name in (name for name in names if name in curve_names(result)):
            _add_reach(
                figure, result, name, estimate, colour, canvas.cell(names.index(name), columns_for(names))
            )
    if not figure.data:
        raise ConfigurationError("none of these results has a band", where="results")
    _legend_once(figure)
    for k in range(len(names)):
        place = canvas.cell(k, columns_for(names))
        figure.update_yaxes(type="log", tickformat="~g", **_ticks(figure, place), **place)
    if log_time:
        time_in_decades(figure)
    return canvas.legend_below(figure, 52)


def _add_reach(
    figure: go.Figure, result: Any, name: str, estimate: str, colour: str, place: dict[str, int]
) -> None:
    """Reach of one band above and below its curve; nothing where there is no band."""
    data = result.dataset
    middle = np.asarray(data[name].values, dtype=float)
    unit = unit_of(result, name)
    for sign, end, dash in ((1, "upper", "solid"), (-1, "lower", "dot")):
        reach = sign * (np.asarray(data[f"{name}_{end}"].values, dtype=float) - middle)
        reach = np.where(reach > 0, reach, np.nan)
        if not np.isfinite(reach).any():
            continue
        hover = (
            f"{estimate}, {end}: %{{y:.3g}} {'' if unit == '1' else unit}<br>t = %{{x:.4g}} s<extra></extra>"
        )
        line = {"color": colour, "width": 2, "dash": dash}
        figure.add_trace(
            go.Scatter(
                x=data["t"].values, y=reach, name=estimate, legendgroup=estimate, mode="lines", line=line,
                hovertemplate=hover,
            ),
            **place,
        )  # fmt: skip


def _ticks(figure: go.Figure, place: dict[str, int]) -> dict[str, Any]:
    """Ticks at 1, 2, 5 where a panel spans few decades, at each decade otherwise."""
    drawn = [np.asarray(trace.y, dtype=float) for trace in figure.select_traces(**place)]
    ends = np.concatenate([values[np.isfinite(values)] for values in drawn])
    if ends.size and ends.max() < 30 * ends.min():
        return {"dtick": "D2"}
    return {"dtick": 1, "minor": {"dtick": "D1", "ticks": "outside"}}


def _legend_once(figure: go.Figure) -> None:
    seen: set[str] = set()
    for trace in figure.data:
        trace.showlegend = trace.name not in seen
        seen.add(trace.name)


def _shared(results: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    if not isinstance(results, Mapping) or not results:
        raise ConfigurationError(
            "there is no result to compare", where="results", expected="a dict of name -> FitResult"
        )
    units: dict[str, str] = {}
    for result in results.values():
        for name in curve_names(result):
            units.setdefault(name, unit_of(result, name))
    return list(units), units
