"""Where in the map a model fails: chi-square and mean residual by tiles of frames."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.engine.blocks import block_count, block_products
from heterodyne_nb.errors import ConfigurationError, DataWarning
from heterodyne_nb.plots import theme as look
from heterodyne_nb.plots.bands import map_bands
from heterodyne_nb.plots.curves import quality
from heterodyne_nb.plots.mapview import style_map_axes
from heterodyne_nb.plots.panels import legend_below, panels
from heterodyne_nb.plots.select import Bin, Choice, find_bins, fit_result, frame_times, used_frames
from heterodyne_nb.results.same_fit import objective_of, optimum

_DOMAINS = ((0.0, 0.38), (0.58, 0.96))
#: The colours reach at least this ratio of chi-square either way, and this mean residual.
_LEAST_RATIO, _LEAST_SHIFT = 2.0, 0.5


class Tiles(NamedTuple):
    """Tiles of some bins.

    Attributes
    ----------
    chi2, shift, pixels : (k, k)
        Reduced chi-square, mean residual in σ, and number of pixels of each tile; symmetric.
    edges : (k + 1,)
        Ends of the blocks in s.
    bins : str
        Which bins, in words.
    """

    chi2: np.ndarray
    shift: np.ndarray
    pixels: np.ndarray
    edges: np.ndarray
    bins: str


def chi2_by_tile(
    result: Any,
    dataset: xr.Dataset,
    *,
    q: Choice = None,
    phi: Choice = None,
    bin: int | None = None,
    blocks: int = 12,
    theme: str = "light",
) -> go.Figure:
    """Reduced chi-square and mean residual of each tile (block of t1 × block of t2), as maps.

    A model that fits everywhere leaves both even. A band beside the diagonal says that the shape of the decay
    is wrong, a corner that something changed in the run, a cross that a block of frames is bad.

    Parameters
    ----------
    result : FitResult
        Of a two-time fit.
    dataset : xarray.Dataset
        The data that were fitted.
    q, phi, bin : optional
        Which bins, as in :func:`c2`; all that fit are taken together. Default: all.
    blocks : int
        Blocks of frames along each axis, at most.
    theme : {"light", "dark"}

    Raises
    ------
    ConfigurationError
        If these are not the data of the fit, or no fitted bin is among those asked for.
    """
    tiles = tile_statistics(fit_result(result), dataset, q=q, phi=phi, bin=bin, blocks=blocks)
    once = np.tril(tiles.pixels)
    mean = float(np.nansum(tiles.chi2 * once) / once.sum())
    figure = panels(
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
    reach = max(np.log2(_LEAST_RATIO), float(np.nanmax(np.abs(np.where(np.isfinite(ratio), ratio, np.nan)))))
    shift = max(_LEAST_SHIFT, float(np.nanmax(np.abs(tiles.shift))))
    times = frame_times(dataset)
    hatched = map_bands(used_frames(dataset), times, theme=theme)
    for column, (values, end, bar) in enumerate(
        ((ratio, reach, _ratio_bar(reach)), (tiles.shift, shift, {"title": {"text": "σ"}})), start=1
    ):
        bar = {**bar, "x": _DOMAINS[column - 1][1] + 0.01}
        figure.add_trace(_map(tiles, values, end, bar, theme), row=1, col=column)
        if hatched is not None:
            figure.add_trace(hatched, row=1, col=column)
            figure.data[-1].showlegend = column == 1
        style_map_axes(figure, 1, column, times)
    _place(figure)
    return legend_below(figure, 46)


def tile_statistics(
    result: Any,
    dataset: xr.Dataset,
    *,
    q: Choice = None,
    phi: Choice = None,
    bin: int | None = None,
    blocks: int = 12,
) -> Tiles:
    """Chi-square and mean residual of each tile, of all the bins asked for together.

    Both come from the products that a pass over the data leaves of each tile, with contrast and offset as
    fitted: with z = (M, 1, data), chi-square is (c, o, −1) z zᵀ (c, o, −1)ᵀ.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # dead bins: the fit has said so
        objective = objective_of(result, dataset)
    count = block_count(objective, blocks)
    products = block_products(objective, optimum(result), np.zeros(0, np.int64), count)
    chosen = find_bins(dataset, q=q, phi=phi, bin=bin)
    problem, fitted = objective.problem, result.dataset
    kept = [k for k in range(problem.n_bins) if _among(problem.q[k], problem.phi[k], chosen)]
    words = chosen[0].label if len(chosen) == 1 else f"{len(kept)} bins together"
    if not kept:
        raise ConfigurationError("none of these bins was fitted", where="q, phi, bin")
    inner = np.stack([fitted["contrast"].values, fitted["offset"].values, -np.ones(problem.n_bins)], axis=1)
    chi2 = np.einsum("bi,btij,bj->bt", inner, products, inner)[kept].sum(axis=0)
    weight = problem.sigma[kept, None]
    shift = -np.einsum("bi,bti->bt", inner, products[:, :, 1])[kept] * weight
    pixels = products[kept, :, 1, 1] * weight**2
    late, early = np.tril_indices(count)
    square = np.full((3, count, count), np.nan)
    for layer, values in zip(square, (chi2, shift.sum(axis=0), pixels.sum(axis=0)), strict=True):
        layer[late, early] = layer[early, late] = values
    known = square[2] > 0
    mean = np.full((2, count, count), np.nan)
    np.divide(square[:2], square[2], out=mean, where=known)
    times = frame_times(dataset)
    step = float(np.median(np.diff(times)))
    cuts = np.rint(np.linspace(0, len(problem.t), count + 1)).astype(int)
    edges = np.append(problem.t[cuts[:-1]], problem.t[-1] + step) - step / 2
    return Tiles(mean[0], mean[1], np.where(known, square[2], 0.0), edges, words)


def _among(q: float, phi: float, bins: list[Bin]) -> bool:
    return any(np.isclose(q, one.q) and np.isclose(phi, one.phi) for one in bins)


def _ratio_bar(reach: float) -> dict[str, Any]:
    powers = np.arange(-int(reach), int(reach) + 1)
    return {
        "tickvals": powers.tolist(),
        "ticktext": [f"1/{2**-p}" if p < 0 else str(2**p) for p in powers.tolist()],
    }


def _map(tiles: Tiles, values: np.ndarray, reach: float, bar: dict[str, Any], theme: str) -> go.Heatmap:
    text = np.stack([tiles.chi2, tiles.shift, tiles.pixels], axis=-1)
    return go.Heatmap(
        x=tiles.edges,
        y=tiles.edges,
        z=values.astype(np.float32),
        zmin=-reach,
        zmax=reach,
        colorscale=look.diverging_scale(theme),
        colorbar=bar,
        customdata=text,
        hovertemplate="t<sub>1</sub> near %{x:.4g} s, t<sub>2</sub> near %{y:.4g} s<br>reduced χ² %{customdata[0]:.3g}"
        "<br>mean residual %{customdata[1]:+.2g} σ<br>%{customdata[2]:.0f} pixels<extra></extra>",
        hoverongaps=False,
    )


def _place(figure: go.Figure) -> None:
    figure.update_xaxes(title_text="t<sub>1</sub> (s)")
    figure.update_yaxes(title_text="t<sub>2</sub> (s)")
    for axis, name, domain in zip(figure.select_xaxes(), figure.layout.annotations, _DOMAINS, strict=True):
        axis.domain = domain
        name.x = sum(domain) / 2
