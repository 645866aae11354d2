"""Data, model and residual of one bin side by side, on the same frames and with one zoom."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots import theme as look
from heterodyne_nb.plots.bands import map_bands
from heterodyne_nb.plots.mapview import (
    Limits,
    MapView,
    blank,
    colour_limits,
    heatmap,
    reduction_note,
    style_map_axes,
)
from heterodyne_nb.plots.panels import legend_below, panels
from heterodyne_nb.plots.reduce import block_centres, reduce_strips, reduction_factor
from heterodyne_nb.plots.select import Bin, Choice, frame_times, need, one_bin, used_frames

#: Frames along the side of one piece of model map, so that a model of 10⁴ frames is never whole.
_TILE = 1000
_BEYOND = 99.0
#: Data and model share the colour bar between them and the residual.
_PANEL_DOMAINS = ((0.0, 0.29), (0.315, 0.605), (0.71, 1.0))
_MAD_TO_SIGMA = 1.4826


class Noise(NamedTuple):
    """Standard deviation of one c2 pixel, and how it is known."""

    sigma: float
    origin: str


def comparison(
    ds: xr.Dataset,
    result: Any,
    *,
    q: Choice = None,
    phi: Choice = None,
    bin: int | None = None,
    percentiles: Limits = (1.0, 99.0),
    limits: Limits | None = None,
    max_size: int = 400,
    theme: str = "light",
) -> go.Figure:
    """Data | model | (data - model) / sigma of one bin, the three maps zooming together.

    Parameters
    ----------
    ds : xarray.Dataset
        The data that were fitted.
    result : FitResult
        Its ``model_map`` gives the model.
    q, phi, bin : optional
        Which bin of `ds`, as in :func:`c2`; it may be left out when there is only one.
    percentiles, limits : (low, high)
        Colours of data and model, as in :func:`c2`. Residual colours are symmetric about zero and reach
        the 99th percentile of their size, at least 3.
    max_size : int
        Longest side of a map sent to the browser; block means are taken of data and model alike, so a
        reduced residual has noise below one sigma.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If there is no such bin, or more than one.
    """
    need(ds, "c2", "data against model")
    chosen = one_bin(ds, q=q, phi=phi, bin=bin)
    data, model = paired_maps(ds, result, chosen, max_size)
    noise = pixel_noise(ds, chosen, data, model)
    residual = data.with_values((data.values - model.values) / noise.sigma)
    figure = _three_panels(
        chosen, f"{reduction_note(data, ds)} · σ = {noise.sigma:.3g}, {noise.origin}", theme
    )
    bands = map_bands(used_frames(ds), frame_times(ds), theme=theme)
    views = ((data, "coloraxis"), (model, "coloraxis"), (residual, "coloraxis2"))
    for column, (view, axis) in enumerate(views, start=1):
        figure.add_trace(heatmap(view, coloraxis=axis), row=1, col=column)
        if bands is not None:
            figure.add_trace(bands, row=1, col=column)
            figure.data[-1].showlegend = column == 1
        style_map_axes(figure, 1, column, frame_times(ds))
    _colour(figure, colour_limits([data], percentiles, limits), _symmetric(residual), theme)
    return figure


def paired_maps(ds: xr.Dataset, result: Any, chosen: Bin, max_size: int) -> tuple[MapView, MapView]:
    """Data and model of one bin, reduced alike: the model is blank wherever the data are."""
    times, used = frame_times(ds), used_frames(ds)
    frames = np.arange(times.size)
    array = ds["c2"].isel(chosen.place).transpose("t1", "t2")
    factor = reduction_factor(array.shape, max_size)

    def read(first: int, last: int) -> np.ndarray:
        data = np.array(array.isel(t1=slice(first, last)).values, dtype=float)
        blank(data, frames[first:last], frames, used, diagonal=True)
        model = model_strip(result, chosen, times, first, last)
        return np.stack([data, np.where(np.isfinite(data), model, np.nan)])

    both = reduce_strips(read, times.size, times.size, factor)
    centres = block_centres(times, factor)
    return MapView(centres, centres, both[0], factor), MapView(centres, centres, both[1], factor)


def model_strip(result: Any, chosen: Bin, times: np.ndarray, first: int, last: int) -> np.ndarray:
    """Rows first..last-1 of the model's map, shape (last - first, N), computed tile by tile."""
    rows = []
    for low in range(first, last, _TILE):
        high = min(low + _TILE, last)
        pieces = [
            _model_tile(result, chosen, times, (low, high), (left, min(left + _TILE, times.size)))
            for left in range(0, times.size, _TILE)
        ]
        rows.append(np.concatenate(pieces, axis=1))
    return np.concatenate(rows, axis=0)


def _model_tile(
    result: Any, chosen: Bin, times: np.ndarray, rows: tuple[int, int], columns: tuple[int, int]
) -> np.ndarray:
    across, down = np.arange(*columns), np.arange(*rows)
    wanted = np.union1d(across, down)
    square = np.asarray(result.model_map(q=chosen.q, phi=chosen.phi, t=times[wanted]))
    return square[np.ix_(np.searchsorted(wanted, down), np.searchsorted(wanted, across))]


def pixel_noise(ds: xr.Dataset, chosen: Bin, data: MapView, model: MapView) -> Noise:
    """Noise of one pixel of a bin: the dataset's ``sigma``, or the spread of the residual itself.

    Raises
    ------
    ConfigurationError
        If the bin has no usable pixel.
    """
    if "sigma" in ds.variables:
        known = np.asarray(ds["sigma"].isel({k: v for k, v in chosen.place.items() if k in ds["sigma"].dims}))
        if known.ndim == 0 and np.isfinite(known) and known > 0:
            return Noise(float(known), "from the dataset")
    rest = data.with_values(data.values - model.values).coloured()
    if not rest.size:
        raise ConfigurationError(f"the bin {chosen.label} has no data", where="bin")
    spread = _MAD_TO_SIGMA * float(np.median(np.abs(rest - np.median(rest))))
    return Noise(spread if spread > 0 else 1.0, "the spread of this residual")


def _symmetric(residual: MapView) -> float:
    sizes = np.abs(residual.coloured())
    return max(3.0, float(np.percentile(sizes, _BEYOND))) if sizes.size else 3.0


def _three_panels(chosen: Bin, note: str, theme: str) -> go.Figure:
    figure = panels(
        f"Data against model, {chosen.label}",
        note,
        theme=theme,
        width=1180,
        height=520,
        rows=1,
        cols=3,
        subplot_titles=["data", "model", "(data − model) / σ"],
    )
    legend_below(figure, 46)
    figure.update_xaxes(title_text="t<sub>1</sub> (s)")
    figure.update_yaxes(showticklabels=False)
    figure.update_yaxes(title_text="t<sub>2</sub> (s)", showticklabels=True, col=1)
    for axis, title, domain in zip(
        figure.select_xaxes(), figure.layout.annotations, _PANEL_DOMAINS, strict=True
    ):
        axis.domain = domain
        title.x = sum(domain) / 2
    return figure


def _colour(figure: go.Figure, span: Limits, residual: float, theme: str) -> None:
    maps = {"colorscale": look.MAP_SCALE, "cmin": span[0], "cmax": span[1]}
    rest = {"colorscale": look.diverging_scale(theme), "cmin": -residual, "cmax": residual}
    after_model, after_residual = (_PANEL_DOMAINS[k][1] + 0.005 for k in (1, 2))
    figure.update_layout(
        coloraxis={**maps, "colorbar": {"title": {"text": "c₂"}, "x": after_model}},
        coloraxis2={**rest, "colorbar": {"title": {"text": "σ"}, "x": after_residual}},
    )
