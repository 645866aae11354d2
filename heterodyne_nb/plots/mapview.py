"""One bin's map as it is drawn: read strip by strip, masked, reduced, and coloured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots.reduce import block_centres, reduce_strips, reduction_factor
from heterodyne_nb.plots.select import Bin, frame_times, used_frames

Limits = tuple[float, float]


@dataclass(frozen=True)
class MapView:
    """A map as it is drawn.

    Attributes
    ----------
    t : array, shape (n,)
        Times of the drawn rows and columns in s: centres of the blocks.
    values : float32 array, shape (n, n)
        Block means; NaN where there is no used pixel.
    factor : int
        Frames per block.
    """

    t: np.ndarray
    values: np.ndarray
    factor: int

    def coloured(self) -> np.ndarray:
        """Return the finite values that set the colours: everything off the diagonal."""
        values = self.values
        place = np.arange(len(values))
        counted = np.isfinite(values) & ((place[:, None] != place) | (self.factor > 1))
        return values[counted]

    def logarithm(self) -> MapView:
        """Return log10 of the excess over the baseline 1, NaN where there is none."""
        excess = np.where(self.values > 1, self.values - 1, np.nan)
        return MapView(self.t, np.log10(excess).astype(np.float32), self.factor)


def read_map(ds: xr.Dataset, chosen: Bin, max_size: int) -> MapView:
    """Read one bin's map, strip by strip, as it is drawn: masked frames out, blocks averaged.

    Block means leave the diagonal out, whose values are of another kind (the speckle variance).
    """
    times, used = frame_times(ds), used_frames(ds)
    array = ds["c2"].isel(chosen.place).transpose("t1", "t2")
    factor = reduction_factor(array.shape, max_size)

    def read(first: int, last: int) -> np.ndarray:
        strip = np.array(array.isel(t1=slice(first, last)).values, dtype=np.float32)
        return blank(strip, first, used, diagonal=factor > 1)

    values = reduce_strips(read, times.size, times.size, factor)
    return MapView(block_centres(times, factor), values, factor)


def blank(strip: np.ndarray, first: int, used: np.ndarray, *, diagonal: bool) -> np.ndarray:
    """Set masked frames (and the diagonal) of rows first.. of a map to NaN, in place."""
    rows = np.arange(strip.shape[-2])
    strip[..., ~used[first + rows], :] = np.nan
    strip[..., :, ~used] = np.nan
    if diagonal:
        strip[..., rows, first + rows] = np.nan
    return strip


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
    words = [str(ds.attrs["source"])] if ds.attrs.get("source") else []
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
    return go.Heatmap(x=view.t, y=view.t, z=view.values, hovertemplate=hover, hoverongaps=False, **style)
