"""The curves in time that the data determine, of one result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.models import ModelFactory
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.select import fit_result
from heterodyne_nb.text.escaping import in_figure

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
    "x_sample": "sample fraction",
    "gamma_dot": "shear rate",
}
_PANEL_HEIGHT = 250
_DASHES = ("dash", "dot", "dashdot")


def curves(
    result: Any,
    *,
    against: Mapping[str, Mapping[str, float]] | None = None,
    log_time: bool = False,
    theme: str = "light",
) -> go.Figure:
    """Each curve of a fit against time, with its 95 % band.

    A band that is far wider somewhere than it mostly is (the first frames, often) runs out of its panel
    rather than flatten the curve.

    Parameters
    ----------
    result : FitResult
    against : mapping of str to (mapping of str to float), optional
        Curves to compare with, dashed: name in the legend -> published parameters of the same mode, e.g.
        ``{"truth": simulate.example_truth()["parameters"]}``.
    log_time : bool
        Draw time logarithmically, which gives the first seconds of a power law their room.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If the result keeps no curves, or a parameter of `against` is missing or unknown.
    """
    names = curve_names(result)
    units = {name: unit_of(result, name) for name in names}
    note = f"{quality(result)} · {_about_bands(result)}"
    figure = curve_panels(names, units, f"Curves of the {in_figure(result.mode)} fit", note, theme=theme)
    columns = columns_for(names)
    for k, name in enumerate(names):
        place = canvas.cell(k, columns)
        add_curve(figure, result, name, canvas.line_colour(k, theme), name, place)
        figure.update_yaxes(range=_span(result.dataset, name), **place)
    figure.update_traces(showlegend=False)
    if log_time:
        time_in_decades(figure)
    if not against:
        return figure
    for number, (label, values) in enumerate(against.items()):
        _add_given(figure, result, label, values, canvas.ink(theme), _DASHES[number % len(_DASHES)])
    return canvas.legend_below(figure, 52)


def curve_names(result: Any) -> tuple[str, ...]:
    """Curves that a result keeps.

    Raises
    ------
    ConfigurationError
        If it keeps none.
    """
    names = tuple(fit_result(result).curve_names)
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


def _span(data: Any, name: str) -> tuple[float, float] | None:
    """Limits of a panel: all of the curve, and its band but for where it is exceptionally wide."""
    values, lower, upper = (
        np.asarray(data[part].values, dtype=float) for part in (name, f"{name}_lower", f"{name}_upper")
    )
    known = np.isfinite(values) & np.isfinite(lower) & np.isfinite(upper)
    if not known.any():
        return None
    values, lower, upper = values[known], lower[known], upper[known]
    beyond = max(0.25 * np.ptp(values), 2 * float(np.median(upper - lower)))
    low, high = max(lower.min(), values.min() - beyond), min(upper.max(), values.max() + beyond)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return float(low - margin), float(high + margin)


def _add_given(
    figure: go.Figure, result: Any, label: str, values: Mapping[str, float], colour: str, dash: str
) -> None:
    """Draw the curves of given parameters, dashed, over those of the fit."""
    model = ModelFactory.create_model(result.mode)
    wrong = sorted(set(model.parameter_names) ^ set(values))
    if wrong:
        raise ConfigurationError(
            f"{label!r}: missing or unknown: {', '.join(wrong)}",
            where="against",
            expected=f"every parameter of {result.mode!r}: {', '.join(model.parameter_names)}",
        )
    t = np.asarray(result.dataset["t"].values, dtype=float)
    given = model.curves([float(values[name]) for name in model.parameter_names], t)
    names = curve_names(result)
    line = {"color": colour, "width": 1.5, "dash": dash}
    for k, name in enumerate(names):
        figure.add_trace(
            go.Scatter(
                x=t, y=given[name], name=label, legendgroup=label, showlegend=k == 0, mode="lines",
                line=line, hovertemplate=f"{label}: %{{y:.5g}}",
            ),
            **canvas.cell(k, columns_for(names)),
        )  # fmt: skip
        axis = figure.get_subplot(**canvas.cell(k, columns_for(names))).yaxis
        if axis.range is not None:
            axis.range = min(axis.range[0], np.min(given[name])), max(axis.range[1], np.max(given[name]))


def unit_of(result: Any, name: str) -> str:
    """Unit of a curve."""
    return str(result.dataset[name].attrs.get("units", "1"))


def _about_bands(result: Any) -> str:
    """What the shading means, and by which estimate."""
    data = result.dataset
    if not any(np.isfinite(data[f"{name}_lower"].values).any() for name in curve_names(result)):
        return "no uncertainty known"
    return f"shaded: 95 % band ({result.uncertainty})" if result.uncertainty else "shaded: 95 % band"


def time_in_decades(figure: go.Figure) -> None:
    """Make every time axis logarithmic."""
    minor = {"dtick": "D1", "ticks": "outside", "showgrid": True}
    figure.update_xaxes(type="log", dtick=1, tickformat="~g", minor=minor)


def columns_for(names: Any) -> int:
    """Columns that the panels of some curves stand in."""
    return 1 if len(names) == 1 else 2


def curve_panels(names: Any, units: Mapping[str, str], title: str, note: str, *, theme: str) -> go.Figure:
    """Empty figure with a panel for each curve, over a common time axis."""
    columns = columns_for(names)
    rows = -(-len(names) // columns)
    figure = canvas.panels(
        title,
        note,
        theme=theme,
        height=170 + _PANEL_HEIGHT * rows,
        rows=rows,
        cols=columns,
        shared_xaxes="all",
        subplot_titles=[_TITLES.get(name, name) for name in names],
        horizontal_spacing=0.18 if any(name.startswith("gamma_dot") for name in names) else 0.12,  # 1.5×10⁻⁴
        vertical_spacing=0.14 if rows > 1 else 0.0,
    )
    for k, name in enumerate(names):
        figure.update_yaxes(title_text=canvas.quantity(symbol(name), units[name]), **canvas.cell(k, columns))
    for column in range(1, columns + 1):
        last = max(k // columns + 1 for k in range(len(names)) if k % columns + 1 == column)
        figure.update_xaxes(title_text="t (s)", showticklabels=True, row=last, col=column)
    return figure


def add_curve(
    figure: go.Figure, result: Any, name: str, colour: str, run: str, place: dict[str, int]
) -> None:
    """Draw one curve over its band, where it has one."""
    data = result.dataset
    t, values = np.asarray(data["t"].values, dtype=float), np.asarray(data[name].values, dtype=float)
    lower, upper = (np.asarray(data[f"{name}_{end}"].values, dtype=float) for end in ("lower", "upper"))
    shaded = canvas.band(t, lower, upper, colour=colour, name=f"{run}, 95 % band", group=run)
    if shaded is not None:
        figure.add_trace(shaded, **place)
    unit = unit_of(result, name)
    hover = f"t = %{{x:.4g}} s<br>{symbol(name)} = %{{y:.5g}} {'' if unit == '1' else unit}"
    line = {"color": colour, "width": 2}
    figure.add_trace(
        go.Scatter(x=t, y=values, name=run, legendgroup=run, mode="lines", line=line, hovertemplate=hover),
        **place,
    )
