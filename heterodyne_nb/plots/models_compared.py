"""Which model the data ask for: several modes side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas

_ROW, _AROUND = 46, 220
_CRITERIA = (("clic", "CLIC", "circle", 0), ("bic", "BIC", "diamond-open", 1))
#: Where the best mode stands on an axis of differences.
_BEST = 0.5


def model_comparison(found: Any, *, theme: str = "light") -> go.Figure:
    """Modes fitted to the same data: reduced chi-square, information criteria, and how they predict angles left out.

    Simplest mode on top; the one that the data ask for is marked. A richer mode always fits better; it is worth
    having where it also predicts better.

    Parameters
    ----------
    found : ModelComparison
        As :func:`heterodyne_nb.compare_models` returns it.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If this is no comparison of models.
    """
    ds = getattr(found, "dataset", None)
    if not isinstance(ds, xr.Dataset) or "clic" not in ds or not hasattr(found, "verdict"):
        raise ConfigurationError(
            f"a {type(found).__name__} is no comparison of models",
            where="found",
            expected="what compare_models returns",
        )
    rows = [_row_name(ds.isel(mode=k), found.chosen) for k in range(ds.sizes["mode"])]
    held_out = "held_out_fold" in ds
    names = ["of the fit", "above the best", "of angles left out"][: 3 if held_out else 2]
    figure = canvas.panels(
        "Which model do the data ask for?",
        found.verdict(),
        theme=theme,
        height=_AROUND + _ROW * len(rows),
        rows=1,
        cols=len(names),
        shared_yaxes=True,
        horizontal_spacing=0.05,
        subplot_titles=names,
    )
    _add_chi2(figure, ds, rows, theme)
    _add_criteria(figure, ds, rows, theme)
    if held_out:
        _add_held_out(figure, ds, rows, theme)
    figure.update_yaxes(range=[len(rows) - 0.5, -0.5], type="category", showgrid=True)
    return canvas.legend_below(figure, 56)


def _row_name(one: xr.Dataset, chosen: str) -> str:
    mode = str(one["mode"].values)
    name = f"{mode.replace('_', ' ')}<br>{int(one['numbers'])} numbers"
    return f"<b>▶ {name}</b>" if mode == chosen else name


def _dots(x: np.ndarray, rows: list[str], name: str, symbol: str, colour: str, hover: str) -> go.Scatter:
    return go.Scatter(
        x=x, y=rows, name=name, mode="markers", marker={"color": colour, "size": 11, "symbol": symbol, "line": {"width": 2, "color": colour}},
        showlegend=name in ("CLIC", "BIC"),
        hovertemplate=f"{hover}<extra></extra>",
    )  # fmt: skip


def _add_chi2(figure: go.Figure, ds: xr.Dataset, rows: list[str], theme: str) -> None:
    values = ds["chi2_reduced"].values
    dots = _dots(values, rows, "reduced χ²", "square", canvas.line_colour(2, theme), "reduced χ² %{x:.4g}")
    figure.add_trace(dots, row=1, col=1)
    figure.update_xaxes(title_text="reduced χ²", **_scale(values), row=1, col=1)


def _add_criteria(figure: go.Figure, ds: xr.Dataset, rows: list[str], theme: str) -> None:
    for key, name, symbol, colour in _CRITERIA:
        values = np.asarray(ds[key].values, dtype=float)
        dots = _dots(
            np.maximum(values, _BEST), rows, name, symbol, canvas.line_colour(colour, theme),
            f"{name}: %{{customdata:.4g}} above the best",
        )  # fmt: skip
        figure.add_trace(dots.update(customdata=values), row=1, col=2)
    largest = max(10.0, float(np.nanmax([ds[key].values for key, *_ in _CRITERIA])))
    ends = [np.log10(_BEST) - 0.3, np.log10(largest) + 0.4]
    figure.update_xaxes(
        title_text="difference (best at the left edge)", type="log", range=ends,
        dtick=max(1, round((ends[1] - ends[0]) / 4)), tickangle=0, row=1, col=2,
    )  # fmt: skip


def _add_held_out(figure: go.Figure, ds: xr.Dataset, rows: list[str], theme: str) -> None:
    """Mean square residual a pixel of angles left out, with the standard error of the folds."""
    folds = ds["held_out_fold"].transpose("mode", "fold").values
    values = np.asarray(ds["held_out"].values, dtype=float)
    count = folds.shape[1]
    share = folds / folds.sum(axis=1, keepdims=True)
    error = values * np.sqrt(count) * share.std(axis=1, ddof=1) if count > 1 else np.full(len(rows), np.nan)
    colour = canvas.line_colour(3, theme)
    dots = _dots(values, rows, "angles left out", "circle", colour, "held-out χ² %{x:.4g} a pixel")
    figure.add_trace(dots, row=1, col=3)
    figure.data[-1].error_x = {"array": error, "color": colour, "thickness": 1.2, "width": 4}
    figure.update_xaxes(title_text="χ² a pixel", **_scale(values), row=1, col=3)


def _scale(values: np.ndarray) -> dict[str, Any]:
    """Logarithmic where values differ several-fold."""
    finite = values[np.isfinite(values) & (values > 0)]
    if finite.size and finite.max() > 4 * finite.min():
        return {"type": "log", "tickformat": "~g", "dtick": "D2" if finite.max() < 100 * finite.min() else 1}
    return {}
