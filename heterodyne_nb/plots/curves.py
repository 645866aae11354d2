"""The curves in time that the data determine: of one result, of several, or how far their bands reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
_REACH = "from the curve to the end of its 95 % band · full: above, dotted: below"


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
    units = {name: _unit(result, name) for name in names}
    note = f"{quality(result)} · {_about_bands(result)}"
    figure = _curve_panels(names, units, f"Curves of the {in_figure(result.mode)} fit", note, theme=theme)
    for k, name in enumerate(names):
        place = _place(names, name)
        _add_curve(figure, result, name, canvas.line_colour(k, theme), name, place)
        figure.update_yaxes(range=_span(result.dataset, name), **place)
    figure.update_traces(showlegend=False)
    if log_time:
        _time_in_decades(figure)
    if not against:
        return figure
    for number, (label, values) in enumerate(against.items()):
        dash = _DASHES[number % len(_DASHES)]
        _add_given(figure, result, label, values, canvas.ink(theme), dash, names)
    return canvas.legend_below(figure, 52)


def compare_results(
    results: Mapping[str, Any],
    *,
    against: Mapping[str, Mapping[str, float]] | None = None,
    log_time: bool = False,
    theme: str = "light",
) -> go.Figure:
    """Overlay of the curves of several fits, with their reduced chi-square.

    Bands run out of their panels as those of :func:`curves` do.

    Parameters
    ----------
    results : mapping of str to FitResult
        Name of the run -> result; a curve is drawn for every result that has it.
    against : mapping of str to (mapping of str to float), optional
        Curves to compare with, dashed, as in :func:`curves`; parameters are of the mode of the first result.
    log_time : bool
        Draw time logarithmically.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If `results` is empty or keeps no curves, or a parameter of `against` is missing or unknown.
    """
    results = {in_figure(name): result for name, result in results.items()}
    names, units = _shared(results)
    note = " · ".join(f"{run}: {quality(result)}" for run, result in results.items())
    figure = _curve_panels(names, units, "Comparison of fits", note, theme=theme)
    for number, (run, result) in enumerate(results.items()):
        colour = canvas.line_colour(number, theme)
        mine = [name for name in names if name in curve_names(result)]
        for name in mine:
            _add_curve(figure, result, name, colour, run, _place(names, name))
            figure.data[-1].showlegend = name == mine[0]
    for name in names:
        spans = [_span(one.dataset, name) for one in results.values() if name in curve_names(one)]
        if all(spans):
            low, high = zip(*(span for span in spans if span), strict=True)
            figure.update_yaxes(range=(min(low), max(high)), **_place(names, name))
    if log_time:
        _time_in_decades(figure)
    first = next(iter(results.values()))
    for number, (label, values) in enumerate((against or {}).items()):
        dash = _DASHES[number % len(_DASHES)]
        _add_given(figure, first, label, values, canvas.ink(theme), dash, names)
    return canvas.legend_below(figure, 52)


def referee(found: Any, *, theme: str = "light") -> go.Figure:
    """The curves of a fit beside their free form, with bands; dotted: where a curve changes at once.

    Parameters
    ----------
    found : Referee
        Of :meth:`heterodyne_nb.FitResult.referee`.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        An unknown theme.
    """
    figure = compare_results({"fitted": found.result, "free form": found.free}, theme=theme)
    names, _ = _shared({"fitted": found.result, "free form": found.free})
    for change in found.change_points or ():
        place = _place(names, change.curve)
        figure.add_vline(x=change.t, line={"dash": "dot", "color": canvas.line_colour(2, theme)}, **place)
    return figure


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
    figure = _curve_panels(names, units, "Reach of the 95 % bands", _REACH, theme=theme)
    for number, (estimate, result) in enumerate(results.items()):
        colour = canvas.line_colour(number, theme)
        for name in (name for name in names if name in curve_names(result)):
            _add_reach(figure, result, name, estimate, colour, _place(names, name))
    if not figure.data:
        raise ConfigurationError("none of these results has a band", where="results")
    _legend_once(figure)
    for name in names:
        place = _place(names, name)
        figure.update_yaxes(**_ticks(figure, place), **place)
    if log_time:
        _time_in_decades(figure)
    return canvas.legend_below(figure, 52)


def curve_names(result: Any) -> tuple[str, ...]:
    """Curves that a result keeps.

    Raises ConfigurationError: If it keeps none.
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


def _with_band(data: Any, name: str) -> list[np.ndarray]:
    """A curve, and the lower and upper end of its band."""
    return [np.asarray(data[f"{name}{end}"].values, dtype=float) for end in ("", "_lower", "_upper")]


def _span(data: Any, name: str) -> tuple[float, float] | None:
    """Limits of a panel: all of the curve, and its band but for where it is exceptionally wide."""
    values, lower, upper = _with_band(data, name)
    known = np.isfinite(values) & np.isfinite(lower) & np.isfinite(upper)
    if not known.any():
        return None
    values, lower, upper = values[known], lower[known], upper[known]
    beyond = max(0.25 * np.ptp(values), 2 * float(np.median(upper - lower)))
    low, high = max(lower.min(), values.min() - beyond), min(upper.max(), values.max() + beyond)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return float(low - margin), float(high + margin)


def _add_given(
    figure: go.Figure,
    result: Any,
    label: str,
    values: Mapping[str, float],
    colour: str,
    dash: str,
    panels: Sequence[str],
) -> None:
    """Draw the curves of given parameters, dashed, over those of the fit, in the panels of curves of these names."""
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
    line = {"color": colour, "width": 1.5, "dash": dash}
    for k, name in enumerate(curve_names(result)):
        figure.add_trace(
            go.Scatter(
                x=t, y=given[name], name=label, legendgroup=label, showlegend=k == 0, mode="lines",
                line=line, hovertemplate=f"{label}: %{{y:.5g}}",
            ),
            **_place(panels, name),
        )  # fmt: skip
        axis = figure.get_subplot(**_place(panels, name)).yaxis
        if axis.range is not None:
            axis.range = min(axis.range[0], np.min(given[name])), max(axis.range[1], np.max(given[name]))


def _unit(result: Any, name: str, pure: str = "1") -> str:
    """Unit of a curve, `pure` for a pure number."""
    unit = str(result.dataset[name].attrs.get("units", "1"))
    return pure if unit == "1" else unit


def _about_bands(result: Any) -> str:
    """What the shading means, and by which estimate."""
    data = result.dataset
    if not any(np.isfinite(data[f"{name}_lower"].values).any() for name in curve_names(result)):
        return "no uncertainty known"
    return f"shaded: 95 % band ({result.uncertainty})" if result.uncertainty else "shaded: 95 % band"


def _time_in_decades(figure: go.Figure) -> None:
    """Make every time axis logarithmic."""
    minor = {"dtick": "D1", "ticks": "outside", "showgrid": True}
    figure.update_xaxes(**canvas.log_axis(), minor=minor)


def _columns(names: Sequence[str]) -> int:
    return 1 if len(names) == 1 else 2


def _place(names: Sequence[str], name: str) -> dict[str, int]:
    """Row and column of the panel of a curve."""
    return canvas.cell(names.index(name), _columns(names))


def _curve_panels(
    names: Sequence[str], units: Mapping[str, str], title: str, note: str, *, theme: str
) -> go.Figure:
    """Empty figure with a panel for each curve, over a common time axis."""
    columns = _columns(names)
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
        horizontal_spacing=0.18 if any(units[name] == "1/s" for name in names) else 0.12,  # 1.5×10⁻⁴
        vertical_spacing=0.14 if rows > 1 else 0.0,
    )
    for name in names:
        figure.update_yaxes(title_text=canvas.quantity(symbol(name), units[name]), **_place(names, name))
    for last in names[-columns:]:
        figure.update_xaxes(title_text="t (s)", showticklabels=True, **_place(names, last))
    return figure


def _add_curve(
    figure: go.Figure, result: Any, name: str, colour: str, run: str, place: dict[str, int]
) -> None:
    """Draw one curve over its band, where it has one."""
    data = result.dataset
    t, (values, lower, upper) = np.asarray(data["t"].values, dtype=float), _with_band(data, name)
    shaded = canvas.band(t, lower, upper, colour=colour, name=f"{run}, 95 % band", group=run)
    if shaded is not None:
        figure.add_trace(shaded, **place)
    hover = f"t = %{{x:.4g}} s<br>{symbol(name)} = %{{y:.5g}} {_unit(result, name, '')}"
    line = {"color": colour, "width": 2}
    figure.add_trace(
        go.Scatter(x=t, y=values, name=run, legendgroup=run, mode="lines", line=line, hovertemplate=hover),
        **place,
    )


def _add_reach(
    figure: go.Figure, result: Any, name: str, estimate: str, colour: str, place: dict[str, int]
) -> None:
    """Reach of one band above and below its curve; nothing where there is no band."""
    data = result.dataset
    middle, lower, upper = _with_band(data, name)
    for end, reach, dash in (("upper", upper - middle, "solid"), ("lower", middle - lower, "dot")):
        reach = np.where(reach > 0, reach, np.nan)
        if not np.isfinite(reach).any():
            continue
        hover = f"{estimate}, {end}: %{{y:.3g}} {_unit(result, name, '')}<br>t = %{{x:.4g}} s<extra></extra>"
        line = {"color": colour, "width": 2, "dash": dash}
        figure.add_trace(
            go.Scatter(
                x=data["t"].values, y=reach, name=estimate, legendgroup=estimate, mode="lines", line=line,
                hovertemplate=hover,
            ),
            **place,
        )  # fmt: skip


def _ticks(figure: go.Figure, place: dict[str, int]) -> dict[str, Any]:
    """Ticks of a panel by what is drawn in it."""
    drawn = [np.asarray(trace.y, dtype=float) for trace in figure.select_traces(**place)]
    return canvas.log_ticks(np.concatenate(drawn))


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
            units.setdefault(name, _unit(result, name))
    return list(units), units
