"""Two-time maps: one, or small multiples over the bins, read strip by strip, reduced for the screen, and coloured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.old_paths import formerly
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.select import (
    Bin,
    Choice,
    find_bins,
    frame_edges,
    frame_step,
    frame_times,
    need,
    of_one_run,
    one_bin,
    used_frames,
)
from heterodyne_nb.text.escaping import in_figure

_MOST_PANELS = 36
_SMALL_MULTIPLE = 250
#: Pixels read from a file at once, about 64 MB of float32.
_STRIP_PIXELS = 16_000_000
#: Pixels averaged at once: they and what is made of them stay in the processor's cache.
_CACHED_PIXELS = 1 << 18
_HATCH = {"light": ("rgba(120, 126, 138, 0.55)", "#FFFFFF"), "dark": ("rgba(120, 128, 140, 0.55)", "#14181D")}

Limits = tuple[float, float]
ReadStrip = Callable[[int, int], np.ndarray]


@formerly(ds="dataset")
@of_one_run
def c2(
    dataset: xr.Dataset,
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
    dataset : xarray.Dataset
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
    need(dataset, "c2", "a two-time map")
    bins = find_bins(dataset, q=q, phi=phi, bin=bin)
    if len(bins) > _MOST_PANELS:
        raise ConfigurationError(
            f"{len(bins)} maps do not fit one figure", where="q, phi, bin", expected=f"at most {_MOST_PANELS}"
        )
    size = max_size if len(bins) == 1 else min(max_size, _SMALL_MULTIPLE)
    views = [read_map(dataset, b, size) for b in bins]
    if log:
        views = [view.logarithm() for view in views]
    span = colour_limits(views, percentiles, limits)
    note = reduction_note(views[0], dataset)
    times = frame_times(dataset)
    hatching = hatched(used_frames(dataset), times, theme=theme)
    figure = _single(bins[0], note, theme) if len(bins) == 1 else _grid(bins, views, note, theme)
    for k, view in enumerate(views):
        place = canvas.cell(k, len(figure._grid_ref[0]))
        add_map(figure, heatmap(view, coloraxis="coloraxis"), times, hatching, **place)
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


@dataclass(frozen=True)
class MapView:
    """A map, or a window of it, as it is drawn."""

    #: t1, t2 (m,): Times of the drawn rows and columns in s: centres of the blocks.
    t1: np.ndarray
    t2: np.ndarray
    values: np.ndarray  #: (m, n): Block means on (t1, t2); NaN where there is no used pixel.
    factor: int  #: Frames per block.

    def coloured(self) -> np.ndarray:
        """Return the finite values that set the colours: everything off the diagonal."""
        counted = np.isfinite(self.values)
        if self.factor == 1:
            counted &= self.t1[:, None] != self.t2
        return np.asarray(self.values[counted])

    def logarithm(self) -> MapView:
        """Return log10 of the excess over the baseline 1, NaN where there is none."""
        excess = np.where(self.values > 1, self.values - 1, np.nan)
        return self.with_values(np.log10(excess))

    def with_values(self, values: np.ndarray) -> MapView:
        """Return the same view of other values, as float32."""
        return replace(self, values=values.astype(np.float32))


@formerly(ds="dataset")
@of_one_run
def map_view(
    dataset: xr.Dataset,
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
    dataset : xarray.Dataset
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
    need(dataset, "c2", "a two-time map")
    rows, columns = (_frames_in(dataset, limits, name) for limits, name in ((t1, "t1"), (t2, "t2")))
    return read_map(dataset, one_bin(dataset, q=q, phi=phi, bin=bin), max_size, rows, columns)


def read_map(
    dataset: xr.Dataset,
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
    times, used = frame_times(dataset), used_frames(dataset)
    down, across = (np.arange(times.size)[part] for part in (rows, columns))
    array = dataset["c2"].isel(chosen.place).transpose("t1", "t2").isel(t1=rows, t2=columns)
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


def _frames_in(dataset: xr.Dataset, limits: Limits | None, where: str) -> slice:
    if limits is None:
        return slice(None)
    low, high = _increasing(limits, where)
    times = frame_times(dataset)
    first, last = np.searchsorted(times, low, "left"), np.searchsorted(times, high, "right")
    if first >= last:
        raise ConfigurationError(
            f"no frame from {low:g} to {high:g} s", where=where, expected=f"{times[0]:g} to {times[-1]:g} s"
        )
    return slice(int(first), int(last))


def colour_limits(views: list[MapView], percentiles: Limits, limits: Limits | None) -> Limits:
    """Colour limits shared by all maps, from percentiles of what is drawn or as given.

    Raises ConfigurationError: If they do not increase, or percentiles leave [0, 100].
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


def reduction_note(view: MapView, dataset: xr.Dataset) -> str:
    """What stands under the title: the source, and what was done to the map on its way."""
    words = [in_figure(dataset.attrs["source"])] if dataset.attrs.get("source") else []
    words.append(f"{frame_times(dataset).size} frames")
    if view.factor > 1:
        words.append(f"shown as means of {view.factor} × {view.factor} frames, diagonal left out")
    return " · ".join(words)


def add_map(
    figure: go.Figure, trace: go.Heatmap, times: np.ndarray, hatching: go.Scatter | None, row: int, col: int
) -> None:
    """Draw a map with square pixels, no margin around the frames, and its zoom linked to the first panel."""
    figure.add_trace(trace, row=row, col=col)
    if hatching is not None:
        figure.add_trace(hatching, row=row, col=col)
        figure.data[-1].showlegend = row == col == 1
    anchor = next(figure.select_xaxes(row=row, col=col)).plotly_name.replace("axis", "")
    common = {
        "constrain": "domain",
        "showgrid": False,
        "range": list(frame_edges(times)),
        "row": row,
        "col": col,
    }
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


def reduction_factor(shape: tuple[int, ...], max_size: int) -> int:
    """Smallest whole block edge that brings both sides of a (rows, columns) map to `max_size` or less.

    Raises ConfigurationError: If `max_size` is below 1.
    """
    if max_size < 1:
        raise ConfigurationError(
            f"a map cannot be reduced to {max_size} pixels",
            where="max_size",
            expected="1 or more",
        )
    return max(1, -(-max(shape[-2:], default=1) // int(max_size)))


def reduce_map(values: np.ndarray, max_size: int = 500) -> tuple[np.ndarray, int]:
    """Reduce a map by the mean over square blocks, leaving NaN pixels out of each mean.

    Parameters
    ----------
    values : array, shape (rows, columns)
        Any unit; NaN where there is nothing.
    max_size : int
        Longest side wanted.

    Returns
    -------
    reduced : float32 array
        Shape (ceil(rows / factor), ceil(columns / factor)); the last blocks may be smaller, and a
        block without any value is NaN.
    factor : int
        Block edge in pixels; 1 means `values` came back unreduced.

    Raises
    ------
    ConfigurationError
        If `values` is not a map or `max_size` is below 1.
    """
    values = np.asarray(values)
    if values.ndim != 2:
        raise ConfigurationError(f"a map has two axes, not {values.ndim}", where="values")
    factor = reduction_factor(values.shape, max_size)
    return block_mean(values, factor), factor


def block_mean(values: np.ndarray, factor: int) -> np.ndarray:
    """Mean over factor × factor blocks of the last two axes, NaN left out, as float32."""
    if factor == 1:
        return values.astype(np.float32)
    step = max(factor, _CACHED_PIXELS // max(values.shape[-1], 1) // factor * factor)
    parts = [_mean(values[..., low : low + step, :], factor) for low in range(0, values.shape[-2], step)]
    return np.concatenate(parts, axis=-2).astype(np.float32)


def _mean(values: np.ndarray, factor: int) -> np.ndarray:
    total = _block_sum(values, factor)
    if np.isfinite(total).all():
        down, across = (_sizes(length, factor) for length in values.shape[-2:])
        return np.asarray(total / (down[:, None] * across))
    finite = np.isfinite(values)
    total = _block_sum(np.where(finite, values, values.dtype.type(0)), factor)
    count = _block_sum(finite.view(np.uint8), factor)
    mean = np.full(total.shape, np.nan)
    return np.asarray(np.divide(total, count, out=mean, where=count > 0))


def _block_sum(values: np.ndarray, factor: int) -> np.ndarray:
    """Sum over blocks: down the rows first, where neighbours in memory stay neighbours."""
    rows = values.shape[-2]
    whole = rows // factor * factor
    dtype = np.uint32 if values.dtype == np.uint8 else None
    blocks = values[..., :whole, :].reshape(*values.shape[:-2], -1, factor, values.shape[-1])
    down = blocks.sum(axis=-2, dtype=dtype)
    if whole < rows:
        rest = values[..., whole:, :].sum(axis=-2, keepdims=True, dtype=dtype)
        down = np.concatenate([down, rest], axis=-2)
    starts = np.arange(0, values.shape[-1], factor)
    return np.add.reduceat(down, starts, axis=-1, dtype=np.float64)


def _sizes(length: int, factor: int) -> np.ndarray:
    """Pixels of each block along an axis; the last may be short."""
    return np.minimum(factor, length - np.arange(0, length, factor))


def reduced_curve(values: np.ndarray, factor: int) -> np.ndarray:
    """Mean of each block of `factor` points of a curve or coordinate; the last block may be short."""
    values = np.asarray(values, dtype=float)
    return np.asarray(
        np.add.reduceat(values, np.arange(0, values.size, factor)) / _sizes(values.size, factor)
    )


def reduce_strips(
    read: ReadStrip, rows: int, columns: int, factor: int, pixels: int | None = None
) -> np.ndarray:
    """Block means of a map that is read strip by strip, so that it never has to be in memory.

    ``read``: ``read(first, last)`` returns rows first..last-1, shape (..., last - first, columns). ``rows``,
    ``columns``: Size of the whole map. ``factor``: Block edge. ``pixels``: Pixels read at once, about.
    """
    step = max(factor, (pixels or _STRIP_PIXELS) // max(columns, 1) // factor * factor)
    strips = [block_mean(read(low, min(low + step, rows)), factor) for low in range(0, rows, step)]
    return np.concatenate(strips, axis=-2)


def masked_runs(used: np.ndarray, times: np.ndarray) -> list[tuple[float, float]]:
    """Time spans (s) of the runs of frames that are not used, each frame reaching half a step either way.

    ``used`` (n,): True where a frame is used. ``times`` (n,): Frame times in s, increasing.
    """
    half = frame_step(times) / 2
    edges = np.diff(np.concatenate([[0], (~used).astype(int), [0]]))
    firsts, lasts = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    return [(times[i] - half, times[j] + half) for i, j in zip(firsts, lasts, strict=True)]


def hatched(
    used: np.ndarray, times: np.ndarray, *, theme: str, heights: Limits | None = None
) -> go.Scatter | None:
    """One trace that hatches the masked frames; None where all are used.

    On a map it hatches their rows and columns, in a plot against time what lies between two `heights`.
    """
    runs, (low, high) = masked_runs(used, times), frame_edges(times)
    if not runs:
        return None
    if heights is None:
        boxes = [box for first, last in runs for box in ((first, last, low, high), (low, high, first, last))]
    else:
        boxes = [(first, last, *heights) for first, last in runs]
    background, stripes = _HATCH[canvas.check_theme(theme)]
    return go.Scatter(
        x=[x for left, right, *_ in boxes for x in (left, right, right, left, left, None)][:-1],
        y=[y for *_, bottom, top in boxes for y in (bottom, bottom, top, top, bottom, None)][:-1],
        name="masked frames",
        legendgroup="masked frames",
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillpattern={"shape": "/", "bgcolor": background, "fgcolor": stripes, "size": 6, "solidity": 0.25},
        hoverinfo="skip",
    )
