"""Maps that sharpen when one zooms in: reduced on the way to the browser, read again at every zoom."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import HeterodyneError
from heterodyne_nb.old_paths import formerly
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.comparison import comparison, comparison_note, paired_maps, pixel_noise, residual_of
from heterodyne_nb.plots.maps import MapView, c2, read_map, reduction_note
from heterodyne_nb.plots.select import frame_step, frame_times, of_one_run, one_bin

#: Longest side of a map sent to the browser: its pixels travel as text.
_PIXELS = 250
#: Steps of the colour scale that a number sent to the browser resolves.
_SHADES = 1000

Read = Callable[[slice, slice], list[MapView]]


class ZoomError(HeterodyneError, RuntimeError):
    """A live figure cannot be made in this environment."""


@formerly(ds="dataset")
@of_one_run
def zoom_c2(dataset: xr.Dataset, *, max_size: int = _PIXELS, log: bool = False, **settings: Any) -> Any:
    """Two-time map of one bin that is read again, sharper, whenever one zooms in; for long runs.

    Parameters
    ----------
    dataset : xarray.Dataset
        With ``c2``; of a file, only the window is read.
    max_size : int
        Longest side of what travels to the browser.
    log : bool
        Colour log10(c2 - 1).
    **settings
        ``q``, ``phi``, ``bin``, ``percentiles``, ``limits``, ``theme``, as for :func:`c2`.

    Returns
    -------
    plotly.graph_objects.FigureWidget
        Needs a running kernel; for a picture or a page use :func:`c2`.

    Raises
    ------
    ConfigurationError
        If there is no such bin, or more than one.
    ZoomError
        If anywidget is not installed.
    """
    chosen = one_bin(dataset, **{name: settings.pop(name, None) for name in ("q", "phi", "bin")})
    figure = c2(dataset, bin=chosen.number, max_size=max_size, log=log, **settings)

    def read(rows: slice, columns: slice) -> list[MapView]:
        view = read_map(dataset, chosen, max_size, rows, columns)
        return [view.logarithm() if log else view]

    return _live(figure, frame_times(dataset), read, lambda view: reduction_note(view, dataset))


@formerly(ds="dataset")
@of_one_run
def zoom_comparison(dataset: xr.Dataset, result: Any, *, max_size: int = _PIXELS, **settings: Any) -> Any:
    """Data | model | residual of one bin, all three read again, sharper, whenever one zooms in.

    Parameters
    ----------
    dataset : xarray.Dataset
        The data that were fitted.
    result : FitResult
    max_size : int
        Longest side of what travels to the browser.
    **settings
        ``q``, ``phi``, ``bin``, ``percentiles``, ``limits``, ``theme``, as for :func:`comparison`.

    Returns
    -------
    plotly.graph_objects.FigureWidget
        Needs a running kernel; for a picture or a page use :func:`comparison`.

    Raises
    ------
    ConfigurationError
        If there is no such bin, or more than one.
    ZoomError
        If anywidget is not installed.
    """
    chosen = one_bin(dataset, **{name: settings.pop(name, None) for name in ("q", "phi", "bin")})
    figure = comparison(dataset, result, bin=chosen.number, max_size=max_size, **settings)
    noise = pixel_noise(dataset, chosen)

    def read(rows: slice, columns: slice) -> list[MapView]:
        data, model = paired_maps(dataset, result, chosen, max_size, rows, columns)
        return [data, model, residual_of(data, model, noise.sigma)]

    return _live(figure, frame_times(dataset), read, lambda view: comparison_note(view, dataset, noise))


def _live(figure: go.Figure, times: np.ndarray, read: Read, note: Callable[[MapView], str]) -> Any:
    """Figure in the page whose maps follow the window of its first panel."""
    digits = [_digits(figure, trace) for trace in _maps(figure)]
    for trace, places in zip(_maps(figure), digits, strict=True):
        trace.z = _short(trace.z, places)
    for axis in (*figure.select_xaxes(), *figure.select_yaxes()):
        axis.autorangeoptions.include = axis.range
    try:
        live = go.FigureWidget(figure)
    except ImportError as error:
        raise ZoomError("a live figure needs anywidget", hint="pip install 'heterodyne_nb[app]'") from error
    shown = [_window(None, times), _window(None, times)]

    def refine(_: Any, t1: Any, t2: Any) -> None:
        wanted = [_window(t1, times), _window(t2, times)]
        if wanted == shown:
            return
        views = read(*wanted)
        shown[:] = wanted
        with live.batch_update():
            for trace, view, places in zip(_maps(live), views, digits, strict=True):
                trace.update(x=view.t1, y=view.t2, z=_short(view.values.T, places))
            live.layout.title.subtitle.text = canvas.broken(note(views[0]), live.layout.width)

    live.layout.on_change(refine, "xaxis.range", "yaxis.range")
    return live


def _maps(figure: go.Figure) -> list[go.Heatmap]:
    return [trace for trace in figure.data if trace.type == "heatmap"]


def _window(limits: tuple[float, float] | None, times: np.ndarray) -> slice:
    """Frames of an axis' range (s), two at least; all of them where there is none."""
    if limits is None:
        return slice(0, times.size)
    step = frame_step(times)
    first = int(np.searchsorted(times, min(limits) - step / 2, "left"))
    last = int(np.searchsorted(times, max(limits) + step / 2, "right"))
    first = max(0, min(first, times.size - 2))
    return slice(first, min(times.size, max(last, first + 2)))


def _digits(figure: go.Figure, trace: go.Heatmap) -> int:
    """Decimal places that tell two shades of a map's colours apart."""
    axis = figure.layout[trace.coloraxis]
    return max(0, math.ceil(math.log10(_SHADES / (axis.cmax - axis.cmin))))


def _short(values: np.ndarray, places: int) -> np.ndarray:
    """Numbers of few digits: a map travels as text."""
    return np.round(np.asarray(values, dtype=float), places)
