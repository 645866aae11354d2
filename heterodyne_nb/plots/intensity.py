"""A trace in time that shows bad frames: the intensity, or how well each frame correlates."""

from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.maps import hatched
from heterodyne_nb.plots.select import Bin, Choice, find_bins, frame_times, need, used_frames

_STRIP = 512


class Trace(NamedTuple):
    """What is drawn: a name, its unit, where it was measured, and a value for each frame."""

    name: str
    unit: str
    place: str
    values: np.ndarray


def intensity(
    ds: xr.Dataset, *, q: Choice = None, phi: Choice = None, bin: int | None = None, theme: str = "light"
) -> go.Figure:
    """Mean intensity of each frame, masked frames hatched.

    The panel is as high as the used frames ask; masked ones may run out of it. A file without intensities
    gives the mean of c2 of each frame with all used frames instead, which also jumps where a frame is bad;
    the title says which of the two it is, and the line under it of which bin, or of the whole detector.

    Parameters
    ----------
    ds : xarray.Dataset
        With ``intensity(t)`` (or per bin), or ``c2``.
    q, phi, bin : optional
        Which bin, as in :func:`c2`; the first where several fit.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If there is no such bin, or neither intensity nor maps.
    """
    chosen = find_bins(ds, q=q, phi=phi, bin=bin)[0]
    times, used = frame_times(ds), used_frames(ds)
    trace = _trace(ds, chosen, used)
    name, values = trace.name, trace.values
    note = f"{trace.place} · {int((~used).sum())} of {used.size} frames masked"
    figure = canvas.panels(f"{name[0].upper()}{name[1:]} of each frame", note, theme=theme, height=340)
    span = _span(values, used)
    hatching = hatched(used, times, theme=theme, heights=span)
    if hatching is not None:
        figure.add_trace(hatching)
    line = {"color": canvas.line_colour(0, theme), "width": 1.3}
    frames = ds["frame"].values if "frame" in ds.variables else np.arange(1, times.size + 1)
    figure.add_trace(
        go.Scatter(
            x=times,
            y=values,
            name=name,
            mode="lines",
            line=line,
            showlegend=False,
            customdata=frames,
            hovertemplate="frame %{customdata}, t = %{x:.5g} s<br>%{y:.5g}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="t (s)")
    figure.update_yaxes(title_text=canvas.quantity(name, trace.unit), range=span)
    return canvas.legend_below(figure, 50)


def _trace(ds: xr.Dataset, chosen: Bin, used: np.ndarray) -> Trace:
    if "intensity" in ds.variables:
        array = ds["intensity"]
        own = {dim: k for dim, k in chosen.place.items() if dim in array.dims}
        values = np.asarray(array.isel(own).values, dtype=float)
        unit = str(array.attrs.get("units", "counts"))
        return Trace("intensity", unit, chosen.label if own else "whole detector", values)
    maps = need(ds, "c2", "a trace of the frames").isel(chosen.place)
    return Trace("mean c₂", "1", chosen.label, frame_means(maps, used))


def frame_means(array: xr.DataArray, used: np.ndarray) -> np.ndarray:
    """Mean of c2 of each frame with all used frames but itself, shape (N,); read in strips of rows."""
    array = array.transpose("t1", "t2")
    means = np.full(used.size, np.nan)
    for first in range(0, used.size, _STRIP):
        strip = np.array(array.isel(t1=slice(first, first + _STRIP)).values, dtype=float)
        rows = np.arange(len(strip))
        strip[rows, first + rows] = np.nan
        strip[:, ~used] = np.nan
        known = np.isfinite(strip)
        count = known.sum(axis=1)
        total = np.where(known, strip, 0.0).sum(axis=1)
        np.divide(total, count, out=means[first : first + len(strip)], where=count > 0)
    return means


def _span(values: np.ndarray, used: np.ndarray) -> tuple[float, float]:
    """Limits of the panel: all used frames; masked ones may run out of it."""
    counted = np.isfinite(values) & used
    finite = values[counted] if counted.any() else values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    margin = 0.15 * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin
