"""Two-time maps: one, or small multiples over the bins, in colours set by percentiles."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.bands import map_bands
from heterodyne_nb.plots.mapview import (
    Limits,
    MapView,
    colour_limits,
    heatmap,
    read_map,
    reduction_note,
    style_map_axes,
)
from heterodyne_nb.plots.select import Bin, Choice, find_bins, frame_times, need, used_frames

_MOST_PANELS = 36
_SMALL_MULTIPLE = 250


def c2(
    ds: xr.Dataset,
    *,
    q: Choice = None,
    phi: Choice = None,
    bin: int | None = None,
    percentiles: Limits = (1.0, 99.0),
    limits: Limits | None = None,
    log: bool = False,
    max_size: int = 500,
    theme: str = "light",
) -> go.Figure:
    """Two-time correlation map of one bin, or small multiples of all that fit.

    Parameters
    ----------
    ds : xarray.Dataset
        With ``c2``; only the drawn bins are read.
    q, phi, bin : optional
        Which bin: q in 1/Å and φ in degrees (nearest bin), or its number from 0. What is left out is
        drawn as a grid: rows of q, columns of φ.
    percentiles : (low, high)
        Percentiles of the drawn pixels that the colours span; the diagonal does not count.
    limits : (low, high), optional
        Colour limits as numbers instead.
    log : bool
        Colour log10(c2 - 1); pixels at or below the baseline 1 stay blank.
    max_size : int
        Longest side of a map sent to the browser; longer maps are reduced by block means.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If there is no such bin (it lists those there are) or a limit makes no sense.
    """
    need(ds, "c2", "a two-time map")
    bins = find_bins(ds, q=q, phi=phi, bin=bin)
    if len(bins) > _MOST_PANELS:
        raise ConfigurationError(
            f"{len(bins)} maps do not fit one figure", where="q, phi, bin", expected=f"at most {_MOST_PANELS}"
        )
    size = max_size if len(bins) == 1 else min(max_size, _SMALL_MULTIPLE)
    views = [read_map(ds, b, size) for b in bins]
    if log:
        views = [view.logarithm() for view in views]
    span = colour_limits(views, percentiles, limits)
    note = reduction_note(views[0], ds)
    bands = map_bands(used_frames(ds), frame_times(ds), theme=theme)
    figure = _single(bins[0], note, theme) if len(bins) == 1 else _grid(bins, views, note, theme)
    _draw(figure, views, bands, frame_times(ds))
    title = "log₁₀(c₂ − 1)" if log else "c₂"
    figure.update_layout(
        coloraxis={
            "colorscale": canvas.MAP_SCALE,
            "cmin": span[0],
            "cmax": span[1],
            "colorbar": {"title": {"text": title}},
        }
    )
    return figure


def _single(chosen: Bin, note: str, theme: str) -> go.Figure:
    figure = canvas.panels(f"Two-time correlation, {chosen.label}", note, theme=theme, width=680, height=660)
    canvas.legend_below(figure, 46)
    figure.update_xaxes(title_text="t<sub>1</sub> (s)")
    figure.update_yaxes(title_text="t<sub>2</sub> (s)")
    return figure


def _grid(bins: list[Bin], views: list[MapView], note: str, theme: str) -> go.Figure:
    columns, same_q = _columns(bins), len({b.q for b in bins}) == 1
    by_q = not same_q and _rectangular(bins) and columns == len({b.phi for b in bins})
    rows = -(-len(bins) // columns)
    panel = 240 if columns <= 4 else 1040 // columns
    width, height = 140 + panel * columns, 170 + (panel + 20) * rows
    figure = canvas.panels(
        f"Two-time correlation, {bins[0].q_label}" if same_q else "Two-time correlation",
        note,
        theme=theme,
        width=width,
        height=height,
        rows=rows,
        cols=columns,
        subplot_titles=[b.phi_label if same_q or by_q else b.label for b in bins],
        horizontal_spacing=22 / width,
        vertical_spacing=min(36 / (height - 170), 0.9 / rows),
    )
    canvas.legend_below(figure, 46)
    _outer_axes(figure, rows, [f"{bins[k * columns].q_label}<br>" if by_q else "" for k in range(rows)])
    for k, view in enumerate(views):
        if not np.isfinite(view.values).any():
            _say_no_data(figure, view, k // columns + 1, k % columns + 1, theme)
    return figure


def _outer_axes(figure: go.Figure, rows: int, heads: list[str]) -> None:
    figure.update_xaxes(showticklabels=False)
    figure.update_yaxes(showticklabels=False)
    figure.update_xaxes(showticklabels=True, title_text="t<sub>1</sub> (s)", row=rows)
    for k, head in enumerate(heads):
        figure.update_yaxes(showticklabels=True, title_text=f"{head}t<sub>2</sub> (s)", row=k + 1, col=1)


def _say_no_data(figure: go.Figure, view: MapView, row: int, col: int, theme: str) -> None:
    middle = float(view.t1.mean())
    figure.add_annotation(text="no data", x=middle, y=middle, bgcolor=canvas.paper(theme), row=row, col=col)


def _rectangular(bins: list[Bin]) -> bool:
    return len(bins) == len({b.phi for b in bins}) * len({b.q for b in bins})


def _columns(bins: list[Bin]) -> int:
    per_q = len({b.phi for b in bins})
    return per_q if _rectangular(bins) and per_q <= 8 and len(bins) > per_q else min(4, len(bins))


def _draw(figure: go.Figure, views: list[MapView], bands: go.Scatter | None, times: np.ndarray) -> None:
    columns = len(figure._grid_ref[0])
    for k, view in enumerate(views):
        place = {"row": k // columns + 1, "col": k % columns + 1}
        figure.add_trace(heatmap(view, coloraxis="coloraxis"), **place)
        if bands is not None:
            figure.add_trace(bands, **place)
            figure.data[-1].showlegend = k == 0
        style_map_axes(figure, place["row"], place["col"], times)
