"""The price of robustness: what a min-max fit pays, gains and changes as its radius grows."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.curves import symbol
from heterodyne_nb.plots.select import need
from heterodyne_nb.plots.worst import room_around

_UNITS = {
    "wasserstein": "radius (relative)",
    "scenario": "radius (1: worst sample)",
    "ellipsoidal": "radius (tolerances)",
}
_CHI2 = (
    ("nominal", "robust fit, data as they are", "solid", 0),
    ("worst_case", "robust fit, worst case", "solid", 1),
    ("worst_case_nominal", "plain fit, worst case", "dot", 1),
)
#: Values below this part of a curve's largest count as zero where changes are relative.
_ZERO = 1e-3
_PANEL_HEIGHT = 260


def radius_path(path: xr.Dataset, *, theme: str = "light") -> go.Figure:
    """Reduced chi-square against the radius, and how far each curve moves from the plain fit.

    The radius worth taking lies before the first line turns up: there the worst case has been lowered for
    hardly anything.

    Parameters
    ----------
    path : xarray.Dataset
        As :func:`heterodyne_nb.radius_path` returns it: ``nominal``, ``worst_case`` and where known
        ``worst_case_nominal`` on ``radius``; curves on (radius, t), the first radius being the plain fit.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If this is no such path, or has one radius only.
    """
    for name in ("nominal", "worst_case"):
        need(path, name, "a path of radii")
    if path.sizes["radius"] < 2:
        raise ConfigurationError("one radius makes no path", where="path", expected="two radii or more")
    method = str(path.attrs.get("method", "robust"))
    names = [str(name) for name in path.data_vars if path[name].dims == ("radius", "t")]
    columns = 1 if not names else min(3, len(names) + 1)
    rows = -(-(len(names) + 1) // columns)
    figure = canvas.panels(
        f"Price of robustness, {method} fits",
        _note(path),
        theme=theme,
        height=180 + _PANEL_HEIGHT * rows,
        rows=rows,
        cols=columns,
        subplot_titles=["price and gain", *(f"change of {symbol(name)} (%)" for name in names)],
        horizontal_spacing=0.1,
        vertical_spacing=0.2 if rows > 1 else 0.0,
    )
    _add_chi2(figure, path, theme)
    figure.update_xaxes(title_text=_UNITS.get(method, "radius"), row=1, col=1)
    drawn = np.concatenate([path[name].values for name, *_ in _CHI2 if name in path])
    figure.update_yaxes(title_text="reduced χ²", **room_around(drawn), row=1, col=1)
    for k, name in enumerate(names, start=1):
        _add_changes(figure, path, name, canvas.cell(k, columns), theme, first=k == 1)
        figure.update_xaxes(title_text="t (s)", **canvas.cell(k, columns))
    return canvas.legend_below(figure, 52)


def _note(path: xr.Dataset) -> str:
    auto = path.attrs.get("auto_radius")
    words = ["changes against the plain fit, one line a radius"]
    if auto is not None:
        dashed = "dashed: " if _reached(path) else ""
        words.insert(0, f"{dashed}the rule of this method takes radius {float(auto):.3g}")
    return " · ".join(words)


def _reached(path: xr.Dataset) -> bool:
    """Whether the path goes as far as the radius that the rule takes."""
    return float(path.attrs.get("auto_radius", np.inf)) <= 1.05 * float(path["radius"].max())


def _add_chi2(figure: go.Figure, path: xr.Dataset, theme: str) -> None:
    radius = np.asarray(path["radius"].values, dtype=float)
    for name, label, dash, colour in _CHI2:
        if name not in path:
            continue
        line = {"color": canvas.line_colour(colour, theme), "dash": dash, "width": 2}
        figure.add_trace(
            go.Scatter(
                x=radius, y=path[name].values, name=label, mode="lines+markers", line=line,
                marker={"size": 6}, hovertemplate=f"{label}<br>radius %{{x:.3g}}: %{{y:.4g}}<extra></extra>",
            ),
            row=1,
            col=1,
        )  # fmt: skip
    if _reached(path):
        line = {"dash": "dash", "width": 1, "color": canvas.faint(theme)}
        figure.add_vline(x=float(path.attrs["auto_radius"]), line=line, row=1, col=1)


def _add_changes(
    figure: go.Figure, path: xr.Dataset, name: str, place: dict[str, int], theme: str, *, first: bool
) -> None:
    radius = np.asarray(path["radius"].values, dtype=float)
    changes = relative_changes(path[name].transpose("radius", "t").values)
    for k, colour in enumerate(canvas.ordered_colours(radius.size - 1, theme), start=1):
        label = f"radius {radius[k]:.3g}"
        figure.add_trace(
            go.Scatter(
                x=path["t"].values,
                y=100 * changes[k],
                name=label,
                legendgroup=label,
                showlegend=first,
                mode="lines",
                line={"color": colour, "width": 1.6},
                hovertemplate=f"{label}<br>t = %{{x:.4g}} s: %{{y:+.3g}} %<extra></extra>",
            ),
            **place,
        )


def relative_changes(curves: np.ndarray) -> np.ndarray:
    """Change of each row of (radius, t) against the first, as a part of that; NaN where that is zero."""
    plain = curves[0]
    zero = np.abs(plain) <= _ZERO * np.max(np.abs(plain), initial=0.0)
    return np.where(zero, np.nan, curves - plain) / np.where(zero, 1.0, plain)
