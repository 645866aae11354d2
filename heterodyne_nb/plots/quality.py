"""How good data and fit are: intensity of the frames, chi-square by angle and by tile, correlation, convergence."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.data.dataset import levels
from heterodyne_nb.engine import residual_record
from heterodyne_nb.errors import ConfigurationError, DataWarning
from heterodyne_nb.fitting.same_fit import objective_of, optimum
from heterodyne_nb.old_paths import formerly
from heterodyne_nb.plots import canvas
from heterodyne_nb.plots.curves import quality
from heterodyne_nb.plots.maps import add_map, hatched
from heterodyne_nb.plots.select import (
    Bin,
    Choice,
    all_bins,
    find_bins,
    fit_result,
    frame_step,
    frame_times,
    need,
    of_one_run,
    used_frames,
)

_NUMBERS_UP_TO = 16
_TILE_DOMAINS = ((0.0, 0.38), (0.58, 0.96))
#: The colours reach at least this ratio of chi-square either way, and this mean residual.
_LEAST_RATIO, _LEAST_SHIFT = 2.0, 0.5
_STRIP = 512


class Trace(NamedTuple):
    """What is drawn: a name, its unit, where it was measured, and a value for each frame."""

    name: str
    unit: str
    place: str
    values: np.ndarray


@formerly(ds="dataset")
@of_one_run
def intensity(
    dataset: xr.Dataset, *, q: Choice = None, phi: Choice = None, bin: int | None = None, theme: str = "light"
) -> go.Figure:
    """Mean intensity of each frame, masked frames hatched.

    The panel is as high as the used frames ask; masked ones may run out of it. A file without intensities
    gives the mean of c2 of each frame with all used frames instead, which also jumps where a frame is bad;
    the title says which of the two it is, and the line under it of which bin, or of the whole detector.

    Parameters
    ----------
    dataset : xarray.Dataset
        With ``intensity(t)`` (or per bin), or ``c2``.
    q, phi, bin : optional
        Which bin, as in :func:`c2`; the first where several fit.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If there is no such bin, or neither intensity nor maps.
    """
    chosen = find_bins(dataset, q=q, phi=phi, bin=bin)[0]
    times, used = frame_times(dataset), used_frames(dataset)
    trace = intensity_trace(dataset, chosen, used)
    name, values = trace.name, trace.values
    note = f"{trace.place} · {int((~used).sum())} of {used.size} frames masked"
    figure = canvas.panels(f"{name[0].upper()}{name[1:]} of each frame", note, theme=theme, height=340)
    span = intensity_limits(values, used)
    hatching = hatched(used, times, theme=theme, heights=span)
    if hatching is not None:
        figure.add_trace(hatching)
    line = {"color": canvas.line_colour(0, theme), "width": 1.3}
    frames = dataset["frame"].values if "frame" in dataset.variables else np.arange(1, times.size + 1)
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


def intensity_trace(dataset: xr.Dataset, chosen: Bin, used: np.ndarray) -> Trace:
    """Intensity of each frame; where the file has none, the mean of c2 of each frame of a bin."""
    if "intensity" in dataset.variables:
        array = dataset["intensity"]
        own = {dim: k for dim, k in chosen.place.items() if dim in array.dims}
        values = np.asarray(array.isel(own).values, dtype=float)
        unit = str(array.attrs.get("units", "counts"))
        return Trace("intensity", unit, chosen.label if own else "whole detector", values)
    maps = need(dataset, "c2", "a trace of the frames").isel(chosen.place)
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


def intensity_limits(values: np.ndarray, used: np.ndarray) -> tuple[float, float]:
    """Limits of the panel: all used frames; masked ones may run out of it."""
    counted = np.isfinite(values) & used
    finite = values[counted] if counted.any() else values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    margin = 0.15 * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin


def chi2_by_angle(result: Any, *, theme: str = "light") -> go.Figure:
    """Reduced chi-square of every bin against its angle, one line a q.

    Parameters
    ----------
    result : FitResult
        With ``chi2_reduced_bin``.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If the result holds no chi-square per bin.
    """
    data = result.dataset
    if "chi2_reduced_bin" not in data:
        raise ConfigurationError("this result holds no chi-square per bin", where="result")
    q, phi = (np.atleast_1d(data[name].values).astype(float) for name in ("q", "phi"))
    chi2 = np.atleast_1d(data["chi2_reduced_bin"].values).astype(float)
    figure = canvas.panels("Reduced χ² by angle", quality(result), theme=theme, height=420)
    rings, ring_of = levels(q)
    colours = canvas.ordered_colours(rings.size, theme)
    for k, (ring, colour) in enumerate(zip(rings, colours, strict=True)):
        inside = np.flatnonzero(ring_of == k)
        order = inside[np.argsort(phi[inside])]
        figure.add_trace(_points(phi[order], chi2[order], f"q = {ring:.4g} Å⁻¹", colour))
    figure.add_hline(y=1, line={"dash": "dash", "width": 1, "color": canvas.faint(theme)})
    figure.update_xaxes(title_text="φ (°)", dtick=45 if np.ptp(phi) >= 135 else None)
    figure.update_yaxes(title_text="reduced χ² of the bin")
    return canvas.legend_below(figure)


def correlation(result: Any, *, theme: str = "light") -> go.Figure:
    """Correlation of the parameters that have a variance.

    Parameters
    ----------
    result : FitResult
        With ``covariance``.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If the result holds no covariance, or fewer than two parameters have a variance.
    """
    data = result.dataset
    if "covariance" not in data:
        raise ConfigurationError("this result holds no covariance", where="result")
    covariance = np.asarray(data["covariance"].values, dtype=float)
    names = np.array([str(name) for name in data["parameter"].values])
    variance = np.diag(covariance)
    kept = np.isfinite(variance) & (variance > 0)
    if kept.sum() < 2:
        raise ConfigurationError("fewer than two parameters have a variance", where="result")
    spread = np.sqrt(variance[kept])
    matrix = np.clip(covariance[np.ix_(kept, kept)] / np.outer(spread, spread), -1, 1)
    left_out = ", ".join(names[~kept])
    note = f"without a variance, left out: {left_out}" if left_out else ""
    return _matrix_figure(matrix, names[kept], note, theme)


def convergence(result: Any, *, theme: str = "light") -> go.Figure:
    """Reduced chi-square along the path that led to a result.

    Parameters
    ----------
    result : FitResult
        Its ``path`` lists the runs (``strategy``, ``iterations``, ``chi2_reduced``, and where it is
        known ``history``, the reduced chi-square of every iteration).
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If the path says nothing about chi-square.
    """
    runs = [(_run_name(step), *_trace_of(step)) for step in result.path]
    runs = [run for run in runs if run[1].size]
    if not runs:
        raise ConfigurationError("the path of this result holds no chi-square", where="result")
    figure = canvas.panels(
        "Convergence", f"{quality(result)} · {_run_time(result.path)}", theme=theme, height=420
    )
    kinds = list(dict.fromkeys(name for name, *_ in runs))
    for name in kinds:
        alike = [(iterations, chi2) for other, iterations, chi2 in runs if other == name]
        colour, label = (
            canvas.line_colour(kinds.index(name), theme),
            _label(name, [chi2 for _, chi2 in alike]),
        )
        for number, (iterations, chi2) in enumerate(alike):
            points = _points(iterations, chi2, label, colour, faint=len(alike) > 3)
            figure.add_trace(points.update(legendgroup=name, showlegend=number == 0))
    values = np.concatenate([chi2 for _, _, chi2 in runs])
    figure.update_xaxes(title_text="iteration", rangemode="tozero")
    decades = _decades(values)
    if decades > 1:
        figure.update_yaxes(**canvas.log_axis(few=decades < 3))
    figure.update_yaxes(title_text="reduced χ²")
    return canvas.legend_below(figure)


def _label(name: str, runs: list[np.ndarray]) -> str:
    if len(runs) > 1:
        return f"{name} ({len(runs)} runs)"
    return f"{name} (its end)" if runs[0].size == 1 else name


def _points(x: np.ndarray, y: np.ndarray, name: str, colour: str, *, faint: bool = False) -> go.Scatter:
    line = {"color": colour, "width": 1 if faint else 1.5}
    marker = {"color": colour, "size": 4 if faint else 7}
    return go.Scatter(
        x=x, y=y, name=name, mode="lines+markers", line=line, marker=marker, cliponaxis=False,
        opacity=0.6 if faint else 1.0,
    )  # fmt: skip


def _matrix_figure(matrix: np.ndarray, names: np.ndarray, note: str, theme: str) -> go.Figure:
    size = 210 + 42 * len(names)
    figure = canvas.panels(
        "Correlation of the parameters", note, theme=theme, width=size + 60, height=size + 20
    )
    text = np.array([[_two_digits(value) for value in row] for row in matrix])
    figure.add_trace(
        canvas.diverging_map(
            names,
            names,
            matrix,
            1,
            theme,
            text=text if len(names) <= _NUMBERS_UP_TO else None,
            texttemplate="%{text}" if len(names) <= _NUMBERS_UP_TO else None,
            textfont={"size": 10},
            xgap=1,
            ygap=1,
            colorbar={"title": {"text": "ρ"}},
            hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(tickangle=-50, showgrid=False, constrain="domain")
    figure.update_yaxes(autorange="reversed", showgrid=False, scaleanchor="x", constrain="domain")
    return figure


def _two_digits(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")  # + 0.0 makes -0.0 plain


def _run_name(step: dict[str, Any]) -> str:
    parts = [str(step[key]) for key in ("strategy", "start") if isinstance(step.get(key), str | int)]
    return ", ".join(parts) or "run"


def _trace_of(step: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Iterations and reduced chi-square of a run: its history (values, or pairs with the iteration), or its end."""
    history = np.asarray(step.get("history") or [], dtype=float)
    if history.ndim == 2:
        return history[:, 0], history[:, 1]
    if history.size:
        return np.arange(history.size), history
    end = step.get("chi2_reduced")
    if end is None:
        return np.array([]), np.array([])
    return np.array([float(step.get("iterations") or 0)]), np.array([float(end)])


def _decades(values: np.ndarray) -> float:
    positive = values[np.isfinite(values) & (values > 0)]
    return float(np.log10(positive.max() / positive.min())) if positive.size else 0.0


def _run_time(path: list[dict[str, Any]]) -> str:
    seconds = [float(step["seconds"]) for step in path if step.get("seconds") is not None]
    runs = f"{len(path)} run{'s' if len(path) != 1 else ''}"
    return f"{runs}, {sum(seconds):.3g} s" if seconds else runs


class Tiles(NamedTuple):
    """Tiles of some bins."""

    #: chi2, shift, pixels (k, k): Reduced chi-square, mean residual in σ, and number of pixels of each tile;
    #: symmetric.
    chi2: np.ndarray
    shift: np.ndarray
    pixels: np.ndarray
    edges: np.ndarray  #: Ends of the blocks in s.
    bins: str  #: Which bins, in words.


@formerly("result", "dataset")
def chi2_by_tile(
    result: Any,
    *,
    dataset: xr.Dataset | None = None,
    q: Choice = None,
    phi: Choice = None,
    bin: int | None = None,
    theme: str = "light",
) -> go.Figure:
    """Reduced chi-square and mean residual of each tile (block of t1 × block of t2), as maps.

    A model that fits everywhere leaves both even. A band beside the diagonal says that the shape of the decay
    is wrong, a corner that something changed in the run, a cross that a block of frames is bad.

    Parameters
    ----------
    result : FitResult
        Of a two-time fit.
    dataset : xarray.Dataset, optional
        The data that were fitted: their masked frames are hatched, and a result that keeps no tiles gets them.
    q, phi, bin : optional
        Which bins, as in :func:`c2`; all that fit are taken together. Default: all. `bin` counts those of
        the dataset, and those of the fit where no dataset is given.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If these are not the data of the fit, or no fitted bin is among those asked for.
    """
    tiles = tile_statistics(fit_result(result), dataset, q=q, phi=phi, bin=bin)
    once = np.tril(tiles.pixels)
    mean = float(np.nansum(tiles.chi2 * once) / once.sum())
    figure = canvas.panels(
        "Where the model fails, tile by tile",
        f"{tiles.bins} · mean reduced χ² of the tiles {mean:.3g} · whole fit: {quality(result)}",
        theme=theme,
        width=940,
        height=500,
        rows=1,
        cols=2,
        subplot_titles=["χ² of the tile / mean", "mean residual, data − model (σ)"],
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log2(tiles.chi2 / mean)
    ratio[~np.isfinite(ratio)] = np.nan
    reach = max(np.log2(_LEAST_RATIO), float(np.nanmax(np.abs(ratio))))
    shift = max(_LEAST_SHIFT, float(np.nanmax(np.abs(tiles.shift))))
    times = frame_times(result.dataset if dataset is None else dataset)
    hatching = None if dataset is None else hatched(used_frames(dataset), times, theme=theme)
    for column, (values, end, bar) in enumerate(
        ((ratio, reach, _ratio_bar(reach)), (tiles.shift, shift, {"title": {"text": "σ"}})), start=1
    ):
        bar = {**bar, "x": _TILE_DOMAINS[column - 1][1] + 0.01}
        add_map(figure, _tile_map(tiles, values, end, bar, theme), times, hatching, row=1, col=column)
    figure.update_xaxes(title_text="t<sub>1</sub> (s)")
    figure.update_yaxes(title_text="t<sub>2</sub> (s)")
    canvas.place_columns(figure, _TILE_DOMAINS)
    return canvas.legend_below(figure, 46)


def tile_statistics(
    result: Any,
    dataset: xr.Dataset | None = None,
    *,
    q: Choice = None,
    phi: Choice = None,
    bin: int | None = None,
) -> Tiles:
    """Chi-square and mean residual of each tile, of all the bins asked for together."""
    kept = with_tiles(result, dataset)
    chosen = find_bins(kept if dataset is None else dataset, q=q, phi=phi, bin=bin)
    here = [k for k, one in enumerate(all_bins(kept)) if _among(one.q, one.phi, chosen)]
    if not here:
        raise ConfigurationError("none of these bins was fitted", where="q, phi, bin")
    words = chosen[0].label if len(chosen) == 1 else f"{len(here)} bins together"
    part = kept.isel(bin=here)
    pixels = part["pixels_tile"].values
    shift = part["residual_tile"].values / part["sigma"].values[:, None, None] * pixels
    sums = [np.nansum(values, axis=0) for values in (part["chi2_tile"].values, shift, pixels)]
    chi2, shift, count = (values + np.tril(values, -1).T for values in sums)
    mean = np.full((2, *count.shape), np.nan)
    np.divide(np.stack([chi2, shift]), count, out=mean, where=count > 0)
    step = frame_step(kept["t"].values)
    edges = np.append(kept["block_start"].values, kept["block_end"].values[-1] + step) - step / 2
    return Tiles(mean[0], mean[1], count, edges, words)


def with_tiles(result: Any, dataset: xr.Dataset | None) -> xr.Dataset:
    """What a result holds, with its tiles; made from the data where it keeps none.

    Raises ConfigurationError: If it keeps none and there are no data, or other ones.
    """
    kept: xr.Dataset = result.dataset
    if "chi2_tile" in kept and "sigma" in kept:
        return kept
    if dataset is None:
        raise ConfigurationError(
            "this result keeps no residuals by tile", where="result", hint="pass the dataset that was fitted"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # dead bins: the fit has said so
        objective = objective_of(dataset, result)
    sigma = ("bin", np.asarray(objective.problem.sigma, dtype=float))
    return kept.assign(residual_record(objective, optimum(result)).data_vars).assign(sigma=sigma)


def _among(q: float, phi: float, bins: list[Bin]) -> bool:
    return any(np.isclose(q, one.q) and np.isclose(phi, one.phi) for one in bins)


def _ratio_bar(reach: float) -> dict[str, Any]:
    powers = np.arange(-int(reach), int(reach) + 1)
    return {
        "tickvals": powers.tolist(),
        "ticktext": [f"1/{2**-p}" if p < 0 else str(2**p) for p in powers.tolist()],
    }


def _tile_map(tiles: Tiles, values: np.ndarray, reach: float, bar: dict[str, Any], theme: str) -> go.Heatmap:
    text = np.stack([tiles.chi2, tiles.shift, tiles.pixels], axis=-1)
    return canvas.diverging_map(
        tiles.edges,
        tiles.edges,
        values,
        reach,
        theme,
        colorbar=bar,
        customdata=text,
        hovertemplate="t<sub>1</sub> near %{x:.4g} s, t<sub>2</sub> near %{y:.4g} s<br>reduced χ² %{customdata[0]:.3g}"
        "<br>mean residual %{customdata[1]:+.2g} σ<br>%{customdata[2]:.0f} pixels<extra></extra>",
        hoverongaps=False,
    )
