"""Polar views: fringe frequency by angle, and the velocity it means."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.fringes import clear_peaks
from heterodyne_nb.plots.select import all_bins, need


class Point(NamedTuple):
    """Fringe of one bin: q (1/Å), φ (degrees), frequency and its error (Hz), and whether it is clear."""

    q: float
    phi: float
    frequency: float
    error: float
    clear: bool


_ANGLES = np.linspace(-180.0, 180.0, 361)


def velocity_polar(
    result: Any = None,
    frequencies: xr.Dataset | None = None,
    *,
    t: float | None = None,
    theme: str = "light",
) -> go.Figure:
    """Fringe frequency by angle, and v |cos(phi0 - phi)| which all q must share.

    A fringe of frequency f (Hz) at wave vector q means a velocity component 2 pi f / q along the bin.

    Parameters
    ----------
    result : FitResult, optional
        Its curve ``v`` and parameter ``phi0`` give the lines, for the q of its bins.
    frequencies : xarray.Dataset, optional
        ``frequency`` in Hz, and ``frequency_err`` where known, for each (q, phi) bin: the points. Or what
        :func:`heterodyne_nb.data.prepare.fringe_spectrum` returns: its peaks at the age nearest to `t`.
    t : float, optional
        Time in s at which v is taken. Default: the age of the points, or the middle of the run.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If neither is given, or the result has no velocity.
    """
    if result is None and frequencies is None:
        raise ConfigurationError(
            "nothing to draw", where="velocity_polar", expected="a result or frequencies"
        )
    measured = None if frequencies is None else _measured(frequencies, t)
    if t is None and measured is not None and "age" in measured.coords:
        t = float(measured["age"])
    flow = None if result is None else flow_of(result, t)
    points = [] if measured is None else _points(measured)
    rings = sorted({point.q for point in points} or {b.q for b in all_bins(result.dataset)})
    figure = _empty(_note(flow, measured), 90.0 if flow is None else flow[2] + 90.0, theme)
    for q, colour in zip(rings, canvas.ordered_colours(len(rings), theme), strict=True):
        label = f"q = {q:.4g} Å⁻¹"
        if flow is not None:
            figure.add_trace(_line(q / (2 * np.pi) * _component(flow), label, colour, "Hz"), row=1, col=1)
        mine = [point for point in points if point.q == q]
        if mine:
            _add_points(figure, mine, label, colour, with_legend=flow is None)
    if flow is not None:
        line = _line(_component(flow), "v |cos(φ₀ − φ)|", canvas.ink(theme), "Å/s")
        figure.add_trace(line, row=1, col=2)
    return figure


def flow_of(result: Any, t: float | None) -> tuple[float, float, float]:
    """Time (s), velocity (Å/s) and direction (degrees) of a result."""
    if "v" in result.curve_names:
        times = np.asarray(result.dataset["t"].values, dtype=float)
        when = float((times[0] + times[-1]) / 2) if t is None else float(t)
        speed = float(np.interp(when, times, np.asarray(result.dataset["v"].values, dtype=float)))
    elif "v" in result.values:
        when, speed = float("nan"), float(result.values["v"])
    else:
        raise ConfigurationError(f"a {result.mode} result has no velocity", where="result")
    return when, speed, float(result.values["phi0"])


def _component(flow: tuple[float, float, float]) -> np.ndarray:
    return np.abs(flow[1] * np.cos(np.deg2rad(flow[2] - _ANGLES)))


def _measured(frequencies: xr.Dataset, t: float | None) -> xr.Dataset:
    """``frequency`` (and ``frequency_err``) of each bin; of a spectrum the peaks at the age nearest to t."""
    if "peak_frequency" not in frequencies:
        need(frequencies, "frequency", "a polar view")
        return frequencies
    peaks = frequencies[["peak_frequency"]].rename(peak_frequency="frequency")
    peaks["clear"] = frequencies["peak_frequency"].copy(data=clear_peaks(frequencies))
    if "age" not in peaks.dims:
        return peaks
    ages = np.asarray(peaks["age"].values, dtype=float)
    when = (ages.min() + ages.max()) / 2 if t is None else t
    return peaks.isel(age=int(np.argmin(np.abs(ages - when))))


def fringes_of(frequencies: xr.Dataset, t: float | None = None) -> tuple[list[Point], float | None]:
    """Fringes of all bins that have one, and their age in s where there are ages.

    Parameters
    ----------
    frequencies : xarray.Dataset
        ``frequency`` for each bin, or a spectrum, of which the age nearest to `t` is taken.
    t : float, optional
        Default: the middle of the ages.
    """
    measured = _measured(frequencies, t)
    age = float(measured["age"]) if "age" in measured.coords else None
    return _points(measured), age


def _points(measured: xr.Dataset) -> list[Point]:
    """The fringe of each bin that has one."""
    found = []
    for one in all_bins(measured):
        here = measured.isel(one.place)
        value = float(here["frequency"])
        if np.isfinite(value):
            error = float(here["frequency_err"]) if "frequency_err" in here else float("nan")
            clear = bool(here["clear"]) if "clear" in here else True
            found.append(Point(one.q, one.phi, abs(value), error, clear))
    return found


def _note(flow: tuple[float, float, float] | None, measured: xr.Dataset | None) -> str:
    words = []
    if flow is not None:
        when = "" if np.isnan(flow[0]) else f" at t = {flow[0]:.4g} s"
        words.append(f"lines: v = {flow[1]:.4g} Å/s{when}, φ₀ = {flow[2]:.4g}°".replace("-", "−"))
    if measured is not None:
        age = f" at age {float(measured['age']):.4g} s" if "age" in measured.coords else ""
        words.append(f"points: measured fringes{age}{', open: not clear' if 'clear' in measured else ''}")
    return " · ".join(words)


def _empty(note: str, quiet: float, theme: str) -> go.Figure:
    figure = canvas.panels(
        "Fringes by angle",
        note,
        theme=theme,
        height=520,
        rows=1,
        cols=2,
        specs=[[{"type": "polar"}, {"type": "polar"}]],
        subplot_titles=["fringe frequency (Hz)", "2πf / q  and  v |cos(φ₀ − φ)|  (Å/s)"],
        horizontal_spacing=0.12,
    )
    canvas.legend_below(figure, 40)
    figure.update_layout(margin={"t": figure.layout.margin.t + 25, "b": 70})
    figure.update_annotations(yshift=22)
    figure.update_polars(angularaxis={"dtick": 45, "ticksuffix": "°"}, radialaxis={"rangemode": "tozero"})
    figure.layout.polar.radialaxis.ticksuffix = " Hz"
    figure.layout.polar2.radialaxis.ticksuffix = " Å/s"
    for polar in (figure.layout.polar, figure.layout.polar2):
        polar.radialaxis.showticksuffix = "last"
        polar.radialaxis.update(
            nticks=4, angle=quiet, tickangle=quiet
        )  # where the fringes vanish, text is free
    return figure


def _line(r: np.ndarray, label: str, colour: str, unit: str) -> go.Scatterpolar:
    return go.Scatterpolar(
        theta=_ANGLES,
        r=r,
        mode="lines",
        name=label,
        legendgroup=label,
        line={"color": colour, "width": 1.8},
        hovertemplate=f"φ = %{{theta:.4g}}<br>%{{r:.4g}} {unit}",
    )


def _add_points(figure: go.Figure, mine: list[Point], label: str, colour: str, *, with_legend: bool) -> None:
    """Points of one ring in both panels, errors in the hover text."""
    phi, frequency, error = (np.array(part) for part in list(zip(*mine, strict=True))[1:4])
    symbols = ["circle" if point.clear else "circle-open" for point in mine]
    for column, scale, unit in ((1, 1.0, "Hz"), (2, 2 * np.pi / mine[0].q, "Å/s")):
        figure.add_trace(
            go.Scatterpolar(
                theta=phi,
                r=scale * frequency,
                mode="markers",
                name=label,
                legendgroup=label,
                showlegend=with_legend and column == 1,
                marker={
                    "color": colour,
                    "size": 8,
                    "symbol": symbols,
                    "line": {"width": 1.5, "color": colour},
                },
                customdata=scale * error,
                hovertemplate=f"φ = %{{theta:.4g}}<br>(%{{r:.4g}} ± %{{customdata:.2g}}) {unit}",
            ),
            row=1,
            col=column,
        )
