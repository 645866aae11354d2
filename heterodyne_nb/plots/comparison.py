"""Data, model and residual of one bin side by side, on the same frames and with one zoom."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.data.door import checked, one_run
from heterodyne_nb.data.prepare import estimate_sigma
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.old_paths import formerly
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.bin_model import BinModel
from heterodyne_nb.plots.maps import (
    Limits,
    MapView,
    add_map,
    colour_limits,
    hatched,
    heatmap,
    read_map,
    reduction_note,
)
from heterodyne_nb.plots.one_time import g2_comparison
from heterodyne_nb.plots.select import Bin, Choice, fit_result, frame_times, need, one_bin, used_frames

#: Frames along the side of the middle of a map that its noise is estimated from.
_MIDDLE = 1000
_BEYOND = 99.0
_COLOUR_AXES = ("coloraxis", "coloraxis", "coloraxis2")
#: Data and model share the colour bar between them and the residual.
_PANEL_DOMAINS = ((0.0, 0.29), (0.315, 0.605), (0.71, 1.0))


@formerly(ds="dataset")
def comparison(
    dataset: xr.Dataset,
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
    """Data | model | (data - model) / sigma of one bin, the three maps zooming together; of a one-time fit g2.

    Parameters
    ----------
    dataset : xarray.Dataset
        The data that were fitted.
    result : FitResult
        Its ``model_map`` gives the model.
    q, phi, bin : optional
        Which bin of `dataset`, as in :func:`c2`; it may be left out when there is only one.
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
    dataset = checked(one_run(dataset, "comparison"))
    if "t" not in fit_result(result).dataset and "g2" in dataset:  # one-time
        return g2_comparison(dataset, result, q=q, phi=phi, bin=bin, theme=theme)
    need(dataset, "c2", "data against model")
    chosen = one_bin(dataset, q=q, phi=phi, bin=bin)
    data, model = paired_maps(dataset, result, chosen, max_size)
    noise = pixel_noise(dataset, chosen)
    return three_maps(
        dataset,
        (data, model, residual_of(data, model, noise.sigma)),
        title=f"Data against model, {chosen.label}",
        note=comparison_note(data, dataset, noise),
        names=("data", "model", "(data − model) / σ"),
        colours=(percentiles, limits),
        theme=theme,
    )


def three_maps(
    dataset: xr.Dataset,
    views: tuple[MapView, MapView, MapView],
    *,
    title: str,
    note: str,
    names: tuple[str, str, str],
    colours: tuple[Limits, Limits | None],
    least: float = 3.0,
    theme: str,
) -> go.Figure:
    """Two maps in the same colours and their difference, zooming together, masked frames hatched.

    ``dataset``: Of the frames. ``views``: The colours of the first two follow the first; those of the third are
    symmetric about zero. ``names``: Above the panels. ``colours`` (percentiles, limits): As in :func:`c2`. ``least``:
    Difference that the colours reach in any case. ``theme`` {"light", "dark"}.
    """
    figure = _three_panels(title, note, names, theme)
    times = frame_times(dataset)
    hatching = hatched(used_frames(dataset), times, theme=theme)
    for column, (view, axis) in enumerate(zip(views, _COLOUR_AXES, strict=True), start=1):
        add_map(figure, heatmap(view, coloraxis=axis), times, hatching, row=1, col=column)
    _colour(figure, colour_limits([views[0]], *colours), _symmetric(views[2], least), theme)
    return figure


def comparison_note(view: MapView, dataset: xr.Dataset, noise: Noise) -> str:
    """What stands under the title: the source, what was done to the maps, and the noise."""
    return f"{reduction_note(view, dataset)} · σ = {noise.sigma:.3g}, {noise.origin}"


def residual_of(data: MapView, model: MapView, sigma: float) -> MapView:
    """(data - model) / sigma, on the blocks of the data."""
    return data.with_values((data.values - model.values) / sigma)


def _symmetric(difference: MapView, least: float) -> float:
    sizes = np.abs(difference.coloured())
    return max(least, float(np.percentile(sizes, _BEYOND))) if sizes.size else max(least, 1.0)


def _three_panels(title: str, note: str, names: tuple[str, str, str], theme: str) -> go.Figure:
    figure = canvas.panels(
        title,
        note,
        theme=theme,
        width=1060,
        height=490,
        rows=1,
        cols=3,
        subplot_titles=list(names),
    )
    canvas.legend_below(figure, 46)
    figure.update_xaxes(title_text="t<sub>1</sub> (s)")
    figure.update_yaxes(showticklabels=False)
    figure.update_yaxes(title_text="t<sub>2</sub> (s)", showticklabels=True, col=1)
    canvas.place_columns(figure, _PANEL_DOMAINS)
    return figure


def _colour(figure: go.Figure, span: Limits, residual: float, theme: str) -> None:
    maps = {"colorscale": canvas.MAP_SCALE, "cmin": span[0], "cmax": span[1]}
    rest = {"colorscale": canvas.diverging_scale(theme), "cmin": -residual, "cmax": residual}
    after_model, after_residual = (_PANEL_DOMAINS[k][1] + 0.005 for k in (1, 2))
    figure.update_layout(
        coloraxis={**maps, "colorbar": {"title": {"text": "c₂"}, "x": after_model}},
        coloraxis2={**rest, "colorbar": {"title": {"text": "σ"}, "x": after_residual}},
    )


class Noise(NamedTuple):
    """Standard deviation of one c2 pixel, and how it is known."""

    sigma: float
    origin: str


def paired_maps(
    dataset: xr.Dataset,
    result: Any,
    chosen: Bin,
    max_size: int,
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> tuple[MapView, MapView]:
    """Data and model of one bin, or of a window of its frames, reduced alike, without the diagonal.

    The model is blank wherever the data are.
    """
    data = read_map(dataset, chosen, max_size, rows, columns, diagonal=False)
    times, used = frame_times(dataset), used_frames(dataset)
    frames = np.arange(times.size)
    model = BinModel.of(result, chosen).reduced(times, used, frames[rows], frames[columns], data.factor)
    return data, data.with_values(np.where(np.isfinite(data.values), model, np.nan))


def pixel_noise(dataset: xr.Dataset, chosen: Bin) -> Noise:
    """Noise of one pixel of a bin: the dataset's ``sigma``, or an estimate from the middle of the map.

    Raises ConfigurationError: If the bin has no usable pixel.
    """
    if "sigma" in dataset.variables:
        known = dataset["sigma"].isel(
            {dim: k for dim, k in chosen.place.items() if dim in dataset["sigma"].dims}
        )
        if known.ndim == 0 and 0 < float(known) < np.inf:
            return Noise(float(known), "from the dataset")
    size = dataset.sizes["t1"]
    middle = slice(max(0, (size - _MIDDLE) // 2), (size + _MIDDLE) // 2)
    part = dataset[["c2", "mask"]] if "mask" in dataset.variables else dataset[["c2"]]
    part = part.isel({dim: [k] for dim, k in chosen.place.items()})
    part = part.isel({dim: middle for dim in ("t", "t1", "t2") if dim in part.dims})
    sigma = float(estimate_sigma(part).values.ravel()[0])
    if not np.isfinite(sigma):
        raise ConfigurationError(f"the bin {chosen.label} has no data", where="bin")
    return Noise(sigma if sigma > 0 else 1.0, "estimated from the data" if sigma > 0 else "unknown")
