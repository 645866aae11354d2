"""Profiles of chi-square: how fast it rises as one number moves and everything else follows."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from scipy.interpolate import PchipInterpolator
from scipy.stats import norm

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.select import need
from heterodyne_nb.text.numbers import number, value_with_band

_ENDS = {"reached": "reached", "bound": "at a bound", "open": "not found", "stopped": "not looked for"}
_PANEL_HEIGHT = 250
#: Profiles are drawn up to this many times the rise at the ends of the interval.
_ABOVE = 1.7


def profile(profiles: Any, *, theme: str = "light") -> go.Figure:
    """Rise of chi-square along each number, with its interval, its threshold, and the parabola it should be.

    Where line and parabola part, the standard error does not tell the whole story: the interval is lopsided,
    or has no end on one side.

    Parameters
    ----------
    profiles : Profiles
        As :func:`heterodyne_nb.profile` returns them, or their dataset.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If these are no profiles.
    """
    ds = profiles if isinstance(profiles, xr.Dataset) else getattr(profiles, "dataset", None)
    if ds is None:
        raise ConfigurationError(
            f"a {type(profiles).__name__} holds no profile", where="profiles", expected="what profile returns"
        )
    need(ds, "root", "a profile")
    level = float(ds.attrs["level"])
    threshold = float(norm.ppf(0.5 * (1 + level))) ** 2
    names = [str(name) for name in ds["quantity"].values]
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = canvas.panels(
        f"Profiles of χ², {100 * level:g} % intervals",
        f"shaded: interval, where χ² has risen by less than {threshold:.3g} times its scale · "
        "dotted: the parabola that the standard error stands for",
        theme=theme,
        height=170 + _PANEL_HEIGHT * rows,
        rows=rows,
        cols=columns,
        subplot_titles=[_title(ds.isel(quantity=k)) for k in range(len(names))],
        horizontal_spacing=0.09,
        vertical_spacing=0.22 / max(rows - 1, 1) if rows > 1 else 0.0,
    )
    for k, name in enumerate(names):
        place = canvas.cell(k, columns)
        _add(figure, ds.isel(quantity=k), threshold, place, theme, first=k == 0)
        figure.update_xaxes(title_text=canvas.quantity(name, str(ds["unit"].values[k])), nticks=5, **place)
    figure.update_yaxes(range=[0, _ABOVE * threshold], title_text=None)
    for row in range(rows):
        figure.update_yaxes(title_text="rise of χ² / its scale", row=row + 1, col=1)
    return canvas.legend_below(figure, 54)


def _title(one: xr.Dataset) -> str:
    """Value and interval as a person writes them."""
    value, lower, upper = (float(one[name]) for name in ("value", "lower", "upper"))
    if np.isfinite([lower, upper]).all():
        shown = value_with_band(value, lower, upper)
    else:
        shown = f"{number(value)} [{number(lower)}, {number(upper)}]"
    ends = [f"{side} end {_ENDS[str(one[f'{side}_end'].values)]}" for side in ("lower", "upper")]
    return "<br>".join([shown, *(words for words in ends if not words.endswith(_ENDS["reached"]))])


def _add(
    figure: go.Figure, one: xr.Dataset, threshold: float, place: dict[str, int], theme: str, *, first: bool
) -> None:
    known = np.isfinite(one["position"].values)
    x, root = one["position"].values[known], one["root"].values[known]
    value, error = float(one["value"]), float(one["stderr"])
    colour, faint = canvas.line_colour(0, theme), canvas.faint(theme)
    low, high, top = max(float(one["lower"]), x[0]), min(float(one["upper"]), x[-1]), _ABOVE * threshold
    shade = {"fill": "toself", "fillcolor": canvas.band_colour(colour), "line": {"width": 0}}
    near = np.linspace(x[0], x[-1], 81)
    smooth = PchipInterpolator(x, root)(near) if x.size > 1 else np.full(near.size, root[0])
    lines: list[tuple[str, Any, Any, dict[str, Any]]] = [
        ("interval", [low, high, high, low], [0, 0, top, top], shade),
        ("profile", near, smooth**2, {"line": {"color": colour, "width": 2}}),
    ]
    if np.isfinite(error) and error > 0:
        dotted = {"color": faint, "width": 1.5, "dash": "dot"}
        lines.insert(1, ("parabola", near, ((near - value) / error) ** 2, {"line": dotted}))
    for name, across, up, style in lines:
        figure.add_trace(
            go.Scatter(
                x=across, y=up, name=name, legendgroup=name, mode="lines", hoverinfo="skip",
                showlegend=first, **style,
            ),
            **place,
        )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=x, y=root**2, name="points", legendgroup="profile", mode="markers", showlegend=False,
            marker={"size": 5, "color": colour}, hovertemplate="%{x:.5g}: %{y:.3g} × scale<extra></extra>",
        ),
        **place,
    )  # fmt: skip
    figure.add_hline(y=threshold, line={"dash": "dash", "width": 1, "color": faint}, **place)
