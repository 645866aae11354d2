"""How good a fit is: chi-square by angle, correlation of the parameters, convergence."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from heterodyne_nb.data.bins import levels
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.curves import quality

_NUMBERS_UP_TO = 16


def chi2_by_angle(result: Any, *, theme: str = "light") -> go.Figure:
    """Reduced chi-square of every bin against its angle, one line a q.

    Parameters
    ----------
    result : FitResult
        With ``chi2_reduced_bin``.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If the result holds no chi-square per bin.
    """
    data = result.dataset
    if "chi2_reduced_bin" not in data:
        raise ConfigurationError("this result holds no chi-square per bin", where="result")
    q, phi = (np.atleast_1d(data[name].values).astype(float) for name in ("q", "phi"))
    chi2 = np.atleast_1d(data["chi2_reduced_bin"].values).astype(float)
    figure = canvas.panels("Reduced χ² by angle", quality(result), theme=theme, height=420)
    rings, ring_of = levels(q)
    colours = canvas.ordered_colours(rings.size, theme)
    for k, (ring, colour) in enumerate(zip(rings, colours, strict=True)):
        inside = np.flatnonzero(ring_of == k)
        order = inside[np.argsort(phi[inside])]
        figure.add_trace(_points(phi[order], chi2[order], f"q = {ring:.4g} Å⁻¹", colour))
    figure.add_hline(y=1, line={"dash": "dash", "width": 1, "color": canvas.faint(theme)})
    figure.update_xaxes(title_text="φ (°)", dtick=45 if np.ptp(phi) >= 135 else None)
    figure.update_yaxes(title_text="reduced χ² of the bin")
    return canvas.legend_below(figure)


def correlation(result: Any, *, theme: str = "light") -> go.Figure:
    """Correlation of the parameters that have a variance.

    Parameters
    ----------
    result : FitResult
        With ``covariance``.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If the result holds no covariance, or fewer than two parameters have a variance.
    """
    data = result.dataset
    if "covariance" not in data:
        raise ConfigurationError("this result holds no covariance", where="result")
    covariance = np.asarray(data["covariance"].values, dtype=float)
    names = np.array([str(name) for name in data["parameter"].values])
    variance = np.diag(covariance)
    kept = np.isfinite(variance) & (variance > 0)
    if kept.sum() < 2:
        raise ConfigurationError("fewer than two parameters have a variance", where="result")
    spread = np.sqrt(variance[kept])
    matrix = np.clip(covariance[np.ix_(kept, kept)] / np.outer(spread, spread), -1, 1)
    left_out = ", ".join(names[~kept])
    note = f"without a variance, left out: {left_out}" if left_out else ""
    return _matrix_figure(matrix, names[kept], note, theme)


def convergence(result: Any, *, theme: str = "light") -> go.Figure:
    """Reduced chi-square along the path that led to a result.

    Parameters
    ----------
    result : FitResult
        Its ``path`` lists the runs (``strategy``, ``iterations``, ``chi2_reduced``, and where it is
        known ``history``, the reduced chi-square of every iteration).
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If the path says nothing about chi-square.
    """
    runs = [(_run_name(step), *_trace_of(step)) for step in result.path]
    runs = [run for run in runs if run[1].size]
    if not runs:
        raise ConfigurationError("the path of this result holds no chi-square", where="result")
    figure = canvas.panels(
        "Convergence", f"{quality(result)} · {_time(result.path)}", theme=theme, height=420
    )
    kinds = list(dict.fromkeys(name for name, *_ in runs))
    for name in kinds:
        alike = [(iterations, chi2) for other, iterations, chi2 in runs if other == name]
        colour, label = (
            canvas.line_colour(kinds.index(name), theme),
            _label(name, [chi2 for _, chi2 in alike]),
        )
        for number, (iterations, chi2) in enumerate(alike):
            points = _points(iterations, chi2, label, colour, faint=len(alike) > 3)
            figure.add_trace(points.update(legendgroup=name, showlegend=number == 0))
    values = np.concatenate([chi2 for _, _, chi2 in runs])
    figure.update_xaxes(title_text="iteration", rangemode="tozero")
    decades = _decades(values)
    if decades > 1:
        ticks = {"dtick": "D2"} if decades < 3 else {"dtick": 1}
        figure.update_yaxes(type="log", tickformat="~g", **ticks)
    figure.update_yaxes(title_text="reduced χ²")
    return canvas.legend_below(figure)


def _label(name: str, runs: list[np.ndarray]) -> str:
    if len(runs) > 1:
        return f"{name} ({len(runs)} runs)"
    return f"{name} (its end)" if runs[0].size == 1 else name


def _points(x: np.ndarray, y: np.ndarray, name: str, colour: str, *, faint: bool = False) -> go.Scatter:
    line = {"color": colour, "width": 1 if faint else 1.5}
    marker = {"color": colour, "size": 4 if faint else 7}
    return go.Scatter(
        x=x, y=y, name=name, mode="lines+markers", line=line, marker=marker, cliponaxis=False,
        opacity=0.6 if faint else 1.0,
    )  # fmt: skip


def _matrix_figure(matrix: np.ndarray, names: np.ndarray, note: str, theme: str) -> go.Figure:
    size = 210 + 42 * len(names)
    figure = canvas.panels(
        "Correlation of the parameters", note, theme=theme, width=size + 60, height=size + 20
    )
    text = np.array([[_two_digits(value) for value in row] for row in matrix])
    figure.add_trace(
        go.Heatmap(
            x=names,
            y=names,
            z=matrix.astype(np.float32),
            text=text if len(names) <= _NUMBERS_UP_TO else None,
            texttemplate="%{text}" if len(names) <= _NUMBERS_UP_TO else None,
            textfont={"size": 10},
            colorscale=canvas.diverging_scale(theme),
            zmin=-1,
            zmax=1,
            xgap=1,
            ygap=1,
            colorbar={"title": {"text": "ρ"}},
            hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(tickangle=-50, showgrid=False, constrain="domain")
    figure.update_yaxes(autorange="reversed", showgrid=False, scaleanchor="x", constrain="domain")
    return figure


def _two_digits(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")  # + 0.0 makes -0.0 plain


def _run_name(step: dict[str, Any]) -> str:
    parts = [str(step[key]) for key in ("strategy", "start") if isinstance(step.get(key), str | int)]
    return ", ".join(parts) or "run"


def _trace_of(step: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Iterations and reduced chi-square of a run: its history (values, or pairs with the iteration), or its end."""
    history = np.asarray(step.get("history") or [], dtype=float)
    if history.ndim == 2:
        return history[:, 0], history[:, 1]
    if history.size:
        return np.arange(history.size), history
    end = step.get("chi2_reduced")
    if end is None:
        return np.array([]), np.array([])
    return np.array([float(step.get("iterations") or 0)]), np.array([float(end)])


def _decades(values: np.ndarray) -> float:
    positive = values[np.isfinite(values) & (values > 0)]
    return float(np.log10(positive.max() / positive.min())) if positive.size else 0.0


def _time(path: list[dict[str, Any]]) -> str:
    seconds = [float(step["seconds"]) for step in path if step.get("seconds") is not None]
    runs = f"{len(path)} run{'s' if len(path) != 1 else ''}"
    return f"{runs}, {sum(seconds):.3g} s" if seconds else runs
