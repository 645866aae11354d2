"""The curves in time that the data determine, of one result or of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import theme as look
from heterodyne_nb.plots.bands import band
from heterodyne_nb.plots.panels import cell, legend_below, panels, quantity

_SYMBOLS = {
    "J": "J",
    "J_ref": "J<sub>ref</sub>",
    "J_sample": "J<sub>sample</sub>",
    "v": "v",
    "x_sample": "x<sub>sample</sub>",
    "gamma_dot": "γ̇",
}
_TITLES = {
    "J": "transport coefficient",
    "J_ref": "transport, reference",
    "J_sample": "transport, sample",
    "v": "mean velocity",
    "x_sample": "sample fraction of the field",
    "gamma_dot": "shear rate",
}
_PANEL_HEIGHT = 250


def curves(result: Any, *, theme: str = "light") -> go.Figure:
    """Each curve of a fit against time, with its 95 % band.

    Parameters
    ----------
    result : FitResult
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If the result keeps no curves.
    """
    names = curve_names(result)
    figure = _panels_of(
        names, {n: _unit(result, n) for n in names}, f"Curves of the {result.mode} fit", theme
    )
    columns = _columns(names)
    banded = False
    for k, name in enumerate(names):
        banded |= _add_curve(figure, result, name, look.line_colour(k, theme), name, cell(k, columns))
    shade = "shaded: 95 % band" if banded else "no uncertainty known"
    figure.layout.title.subtitle.text = f"{quality(result)} · {shade}"
    figure.update_traces(showlegend=False)
    return figure


def compare_results(results: Mapping[str, Any], *, theme: str = "light") -> go.Figure:
    """Overlay of the curves of several fits, with their reduced chi-square.

    Parameters
    ----------
    results : mapping of str to FitResult
        Name of the run -> result; a curve is drawn for every result that has it.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If `results` is empty or keeps no curves.
    """
    if not results:
        raise ConfigurationError(
            "there is no result to compare", where="results", expected="name -> FitResult"
        )
    names, units = _shared(results)
    figure = _panels_of(names, units, "Comparison of fits", theme)
    columns = _columns(names)
    for number, (run, result) in enumerate(results.items()):
        colour = look.line_colour(number, theme)
        mine = [name for name in names if name in curve_names(result)]
        for name in mine:
            _add_curve(figure, result, name, colour, run, cell(names.index(name), columns))
            figure.data[-1].showlegend = name == mine[0]
    figure.layout.title.subtitle.text = "   ".join(f"{run}: {quality(r)}" for run, r in results.items())
    return legend_below(figure, 52)


def curve_names(result: Any) -> tuple[str, ...]:
    """Curves that a result keeps.

    Raises
    ------
    ConfigurationError
        If it keeps none.
    """
    names = tuple(result.curve_names)
    if not names:
        raise ConfigurationError(
            f"this result of mode {result.mode!r} keeps no curves in time", where="result"
        )
    return names


def quality(result: Any) -> str:
    """Reduced chi-square, and a warning where the fit did not converge."""
    words = f"reduced χ² = {result.chi2_reduced:.4g}"
    return words if result.success else f"{words}, NOT converged"


def symbol(name: str) -> str:
    """How a curve's name is written in a figure."""
    return _SYMBOLS.get(name, name)


def _shared(results: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    units: dict[str, str] = {}
    for result in results.values():
        for name in curve_names(result):
            units.setdefault(name, _unit(result, name))
    return list(units), units


def _unit(result: Any, name: str) -> str:
    return str(result.dataset[name].attrs.get("units", "1"))


def _columns(names: Any) -> int:
    return 1 if len(names) == 1 else 2


def _panels_of(names: Any, units: Mapping[str, str], title: str, theme: str) -> go.Figure:
    columns = _columns(names)
    rows = -(-len(names) // columns)
    figure = panels(
        title,
        theme=theme,
        height=170 + _PANEL_HEIGHT * rows,
        rows=rows,
        cols=columns,
        shared_xaxes="all",
        subplot_titles=[_TITLES.get(name, name) for name in names],
        horizontal_spacing=0.12,
        vertical_spacing=0.14 if rows > 1 else 0.0,
    )
    for k, name in enumerate(names):
        figure.update_yaxes(title_text=quantity(symbol(name), units[name]), **cell(k, columns))
    for column in range(1, columns + 1):
        last = max(k // columns + 1 for k in range(len(names)) if k % columns + 1 == column)
        figure.update_xaxes(title_text="t (s)", showticklabels=True, row=last, col=column)
    return figure


def _add_curve(
    figure: go.Figure, result: Any, name: str, colour: str, run: str, place: dict[str, int]
) -> bool:
    """Draw one curve over its band; say whether there is a band."""
    data = result.dataset
    t, values = np.asarray(data["t"].values, dtype=float), np.asarray(data[name].values, dtype=float)
    lower, upper = (np.asarray(data[f"{name}_{end}"].values, dtype=float) for end in ("lower", "upper"))
    shaded = band(t, lower, upper, colour=colour, name=f"{run}, 95 % band", group=run)
    if shaded is not None:
        figure.add_trace(shaded, **place)
    unit = _unit(result, name)
    hover = f"t = %{{x:.4g}} s<br>{symbol(name)} = %{{y:.5g}} {'' if unit == '1' else unit}"
    line = {"color": colour, "width": 2}
    figure.add_trace(
        go.Scatter(x=t, y=values, name=run, legendgroup=run, mode="lines", line=line, hovertemplate=hover),
        **place,
    )
    return shaded is not None
