"""Fringe rate against q·cos: a straight line through zero whose slope is the velocity, or no flow."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.velocity import Point, flow_of, fringes_of


def dispersion(
    frequencies: xr.Dataset,
    result: Any = None,
    *,
    phi0: float | None = None,
    t: float | None = None,
    theme: str = "light",
) -> go.Figure:
    """Fringe rate 2πf of every bin against q |cos(phi0 - phi)|: a flow puts all bins on one line, v its slope.

    Parameters
    ----------
    frequencies : xarray.Dataset
        What :func:`heterodyne_nb.data.prepare.fringe_spectrum` returns, or ``frequency`` in Hz for each bin.
    result : FitResult, optional
        Gives the direction, and its velocity as a line.
    phi0 : float, optional
        Direction in degrees, instead of the result's.
    t : float, optional
        Time in s; of a spectrum the nearest age is taken. Default: its middle age. A cut along a row sees the
        fringes of its age and of later times, one across the diagonal those around its age.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If neither a result nor a direction is given, or no bin has a fringe.
    """
    if result is None and phi0 is None:
        raise ConfigurationError(
            "the direction of the flow is not known", where="phi0", expected="result or phi0"
        )
    points, age = fringes_of(frequencies, t)
    if not points:
        raise ConfigurationError("no bin has a fringe frequency", where="frequencies")
    flow = None if result is None else flow_of(result, age if t is None else t)
    direction = float(phi0) if phi0 is not None else flow[2]  # type: ignore[index]
    note = _note(age, direction, str(frequencies.attrs.get("cut", "")))
    figure = canvas.panels("Fringe rate against q |cos(φ₀ − φ)|", note, theme=theme, height=460)
    reach = _add_points(figure, points, direction, theme)
    speed = slope(points, direction)
    lines = [("measured, clear fringes", speed, "dash", canvas.faint(theme))] if np.isfinite(speed) else []
    if flow is not None:
        lines.append((f"fit, t = {flow[0]:.4g} s", flow[1], "solid", canvas.ink(theme)))
    for name, v, dash, colour in lines:
        figure.add_trace(
            go.Scatter(
                x=[0.0, 1.05 * reach], y=[0.0, 1.05 * reach * v], mode="lines", hoverinfo="skip",
                name=f"{name}: v = {v:.4g} Å/s", line={"color": colour, "dash": dash, "width": 1.5},
            )
        )  # fmt: skip
    figure.update_xaxes(title_text="q |cos(φ₀ − φ)| (Å⁻¹)", rangemode="tozero")
    figure.update_yaxes(title_text="2πf (rad/s)", rangemode="tozero")
    return canvas.legend_below(figure)


def slope(points: list[Point], phi0: float) -> float:
    """Velocity (Å/s) that the clear fringes share: least squares through zero; NaN where none is clear."""
    x = np.array([_reach(point, phi0) for point in points if point.clear])
    y = np.array([2 * np.pi * point.frequency for point in points if point.clear])
    return float(x @ y / (x @ x)) if x.size and np.any(x > 0) else float("nan")


def _reach(point: Point, phi0: float) -> float:
    return point.q * abs(np.cos(np.deg2rad(phi0 - point.phi)))


def _note(age: float | None, phi0: float, cut: str) -> str:
    words = [f"φ₀ = {phi0:.4g}°".replace("-", "−"), "open: not clear"]
    if age is not None:
        words.insert(0, f"fringes at age {age:.4g} s{' and later' if cut == 'row' else ''}")
    return " · ".join(words)


def _add_points(figure: go.Figure, points: list[Point], phi0: float, theme: str) -> float:
    """Points of every ring; returns the largest q |cos|."""
    rings = sorted({point.q for point in points})
    for q, colour in zip(rings, canvas.ordered_colours(len(rings), theme), strict=True):
        named = False
        for clear in (True, False):
            mine = [point for point in points if point.q == q and point.clear == clear]
            if mine:
                figure.add_trace(_markers(mine, phi0, f"q = {q:.4g} Å⁻¹", colour, show=not named))
                named = True
    return max(_reach(point, phi0) for point in points)


def _markers(points: list[Point], phi0: float, name: str, colour: str, *, show: bool) -> go.Scatter:
    errors = 2 * np.pi * np.array([point.error for point in points])
    symbol = "circle" if points[0].clear else "circle-open"
    return go.Scatter(
        x=[_reach(point, phi0) for point in points],
        y=[2 * np.pi * point.frequency for point in points],
        error_y={"array": errors, "thickness": 1.2, "width": 3} if np.isfinite(errors).any() else None,
        mode="markers",
        name=name,
        legendgroup=name,
        showlegend=show,
        marker={"color": colour, "size": 9, "symbol": symbol, "line": {"width": 1.5, "color": colour}},
        customdata=[point.phi for point in points],
        hovertemplate="φ = %{customdata:.4g}°<br>2πf = %{y:.4g} rad/s",
    )
