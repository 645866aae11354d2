"""One bin's map as it is drawn: read strip by strip, masked, reduced, and coloured."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots.reduce import reduce_strips, reduced_curve, reduction_factor
from heterodyne_nb.plots.select import Bin, Choice, frame_times, need, one_bin, used_frames
from heterodyne_nb.text.escaping import in_figure

Limits = tuple[float, float]


@dataclass(frozen=True)
class MapView:
    """A map, or a window of it, as it is drawn.

    Attributes
    ----------
    t1, t2 : array, shapes (m,) and (n,)
        Times of the drawn rows and columns in s: centres of the blocks.
    values : float32 array, shape (m, n)
        Block means on (t1, t2); NaN where there is no used pixel.
    factor : int
        Frames per block.
    """

    t1: np.ndarray
    t2: np.ndarray
    values: np.ndarray
    factor: int

    def coloured(self) -> np.ndarray:
        """Return the finite values that set the colours: everything off the diagonal."""
        counted = np.isfinite(self.values)
        if self.factor == 1:
            counted &= self.t1[:, None] != self.t2
        return self.values[counted]

    def logarithm(self) -> MapView:
        """Return log10 of the excess over the baseline 1, NaN where there is none."""
        excess = np.where(self.values > 1, self.values - 1, np.nan)
        return self.with_values(np.log10(excess))

    def with_values(self, values: np.ndarray) -> MapView:
        """Return the same view of other values, as float32."""
        return replace(self, values=values.astype(np.float32))


def map_view(
    ds: xr.Dataset,
    *,
    q: Choice = None,
    phi: Choice = None,
    bin: int | None = None,
    t1: Limits | None = None,
    t2: Limits | None = None,
    max_size: int = 500,
) -> MapView:
    """Read one bin's map, or a window of it, as a figure needs it; for zooming in on a long run.

    Parameters
    ----------
    ds : xarray.Dataset
        With ``c2``; only the rows and columns of the window are read.
    q, phi, bin : optional
        Which bin, as in :func:`c2`; it may be left out when there is only one.
    t1, t2 : (low, high), optional
        Window in s, both ends included. Default: the whole run.
    max_size : int
        Longest side of the answer; a smaller window is therefore sharper.

    Raises
    ------
    ConfigurationError
        If there is no such bin, or more than one, or no frame in the window.
    """
    need(ds, "c2", "a two-time map")
    rows, columns = (_frames_in(ds, limits, name) for limits, name in ((t1, "t1"), (t2, "t2")))
    return read_map(ds, one_bin(ds, q=q, phi=phi, bin=bin), max_size, rows, columns)


def read_map(
    ds: xr.Dataset,
    chosen: Bin,
    max_size: int,
    rows: slice = slice(None),
    columns: slice = slice(None),
    *,
    diagonal: bool = True,
) -> MapView:
    """Read one bin's map, strip by strip, as it is drawn: masked frames out, blocks averaged.

    Block means leave the diagonal out, whose values are of another kind (the speckle variance); a map that is
    not reduced keeps it, unless `diagonal` is False.
    """
    times, used = frame_times(ds), used_frames(ds)
    down, across = (np.arange(times.size)[part] for part in (rows, columns))
    array = ds["c2"].isel(chosen.place).transpose("t1", "t2").isel(t1=rows, t2=columns)
    factor = reduction_factor(array.shape, max_size)

    def read(first: int, last: int) -> np.ndarray:
        strip = np.array(array.isel(t1=slice(first, last)).values, dtype=np.float32)
        return blank(strip, down[first:last], across, used, diagonal=factor > 1 or not diagonal)

    values = reduce_strips(read, down.size, across.size, factor)
    return MapView(reduced_curve(times[down], factor), reduced_curve(times[across], factor), values, factor)


def blank(
    strip: np.ndarray, rows: np.ndarray, columns: np.ndarray, used: np.ndarray, *, diagonal: bool
) -> np.ndarray:
    """Set masked frames, and if `diagonal` the diagonal, of some rows and columns of a map to NaN, in place."""
    strip[..., ~used[rows], :] = np.nan
    strip[..., :, ~used[columns]] = np.nan
    if diagonal:
        _, down, across = np.intersect1d(rows, columns, assume_unique=True, return_indices=True)
        strip[..., down, across] = np.nan
    return strip


def _frames_in(ds: xr.Dataset, limits: Limits | None, where: str) -> slice:
    if limits is None:
        return slice(None)
    low, high = _increasing(limits, where)
    times = frame_times(ds)
    first, last = np.searchsorted(times, low, "left"), np.searchsorted(times, high, "right")
    if first >= last:
        raise ConfigurationError(
            f"no frame from {low:g} to {high:g} s", where=where, expected=f"{times[0]:g} to {times[-1]:g} s"
        )
    return slice(int(first), int(last))


def colour_limits(views: list[MapView], percentiles: Limits, limits: Limits | None) -> Limits:
    """Colour limits shared by all maps, from percentiles of what is drawn or as given.

    Raises
    ------
    ConfigurationError
        If they do not increase, or percentiles leave [0, 100].
    """
    if limits is not None:
        return _increasing(limits, "limits")
    low, high = _increasing(percentiles, "percentiles")
    if low < 0 or high > 100:
        raise ConfigurationError(f"{percentiles} leave the range", where="percentiles", expected="0 to 100")
    values = np.concatenate([view.coloured() for view in views])
    if not values.size:
        return 0.0, 1.0
    bottom, top = (float(v) for v in np.percentile(values, [low, high]))
    return (bottom, top) if top > bottom else (bottom - 0.5, bottom + 0.5)


def reduction_note(view: MapView, ds: xr.Dataset) -> str:
    """What stands under the title: the source, and what was done to the map on its way."""
    words = [in_figure(ds.attrs["source"])] if ds.attrs.get("source") else []
    words.append(f"{frame_times(ds).size} frames")
    if view.factor > 1:
        words.append(f"shown as means of {view.factor} × {view.factor} frames, diagonal left out")
    return " · ".join(words)


def style_map_axes(figure: go.Figure, row: int, col: int, times: np.ndarray) -> None:
    """Square pixels, no margin around the frames, and zoom linked to the first panel."""
    step = float(np.median(np.diff(times))) if times.size > 1 else 1.0
    span = [times[0] - step / 2, times[-1] + step / 2]
    anchor = next(figure.select_xaxes(row=row, col=col)).plotly_name.replace("axis", "")
    common = {"constrain": "domain", "showgrid": False, "range": span, "row": row, "col": col}
    first = row == col == 1
    figure.update_xaxes(matches=None if first else "x", **common)
    figure.update_yaxes(matches=None if first else "y", scaleanchor=anchor, scaleratio=1, **common)


def _increasing(pair: Limits, where: str) -> Limits:
    try:
        low, high = (float(v) for v in pair)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"{pair!r} is no pair of numbers", where=where, expected="(low, high)"
        ) from None
    if not low < high:
        raise ConfigurationError(f"{pair!r} does not increase", where=where, expected="(low, high)")
    return low, high


def heatmap(view: MapView, **style: object) -> go.Heatmap:
    """Trace of a map, t1 to the right and t2 upwards (c2 is symmetric: the triangles mirror each other)."""
    hover = "t<sub>1</sub> = %{x:.4g} s<br>t<sub>2</sub> = %{y:.4g} s<br>%{z:.4g}<extra></extra>"
    return go.Heatmap(x=view.t1, y=view.t2, z=view.values.T, hovertemplate=hover, hoverongaps=False, **style)
