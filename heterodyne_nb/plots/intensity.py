"""A trace in time that shows bad frames: the intensity, or how well each frame correlates."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.plots import theme as look
from heterodyne_nb.plots.bands import trace_bands
from heterodyne_nb.plots.panels import legend_below, panels, quantity
from heterodyne_nb.plots.select import Bin, Choice, find_bins, frame_times, need, used_frames

_STRIP = 512


def intensity(
    ds: xr.Dataset, *, q: Choice = None, phi: Choice = None, bin: int | None = None, theme: str = "light"
) -> go.Figure:
    """Mean intensity of each frame, masked frames hatched.

    A file without intensities gives the mean of c2 of each frame with all used frames instead, which
    also jumps where a frame is bad; the title says which of the two it is.

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
    name, unit, values = _trace(ds, chosen, used)
    note = f"{chosen.label} · {int((~used).sum())} of {used.size} frames masked"
    figure = panels(f"{name[0].upper()}{name[1:]} of each frame", note, theme=theme, height=340)
    span = _span(values)
    bands = trace_bands(used, times, span, theme=theme)
    if bands is not None:
        figure.add_trace(bands)
    line = {"color": look.line_colour(0, theme), "width": 1.3}
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
    figure.update_yaxes(title_text=quantity(name, unit), range=span)
    return legend_below(figure, 50)


def _trace(ds: xr.Dataset, chosen: Bin, used: np.ndarray) -> tuple[str, str, np.ndarray]:
    """Name, unit and values (one a frame) of what is drawn."""
    if "intensity" in ds.variables:
        array = ds["intensity"]
        array = array.isel({dim: k for dim, k in chosen.place.items() if dim in array.dims})
        return "intensity", str(array.attrs.get("units", "counts")), np.asarray(array.values, dtype=float)
    return "mean c₂", "1", frame_means(need(ds, "c2", "a trace of the frames").isel(chosen.place), used)


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


def _span(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin
