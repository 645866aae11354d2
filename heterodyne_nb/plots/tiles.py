"""Where in the map a model fails: chi-square and mean residual by tiles of frames."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from heterodyne_nb.engine import residual_record
from heterodyne_nb.errors import ConfigurationError, DataWarning
from heterodyne_nb.fitting.same_fit import objective_of, optimum
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
    used_frames,
)

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
    dataset: xr.Dataset | None = None,
    *,
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
        bar = {**bar, "x": _DOMAINS[column - 1][1] + 0.01}
        add_map(figure, _map(tiles, values, end, bar, theme), times, hatching, row=1, col=column)
    figure.update_xaxes(title_text="t<sub>1</sub> (s)")
    figure.update_yaxes(title_text="t<sub>2</sub> (s)")
    canvas.place_columns(figure, _DOMAINS)
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

    Raises
    ------
    ConfigurationError
        If it keeps none and there are no data, or other ones.
    """
    kept = result.dataset
    if "chi2_tile" in kept and "sigma" in kept:
        return kept
    if dataset is None:
        raise ConfigurationError(
            "this result keeps no residuals by tile", where="result", hint="pass the dataset that was fitted"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # dead bins: the fit has said so
        objective = objective_of(result, dataset)
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


def _map(tiles: Tiles, values: np.ndarray, reach: float, bar: dict[str, Any], theme: str) -> go.Heatmap:
    text = np.stack([tiles.chi2, tiles.shift, tiles.pixels], axis=-1)
    return go.Heatmap(
        x=tiles.edges,
        y=tiles.edges,
        z=values.astype(np.float32),
        zmin=-reach,
        zmax=reach,
        colorscale=canvas.diverging_scale(theme),
        colorbar=bar,
        customdata=text,
        hovertemplate="t<sub>1</sub> near %{x:.4g} s, t<sub>2</sub> near %{y:.4g} s<br>reduced χ² %{customdata[0]:.3g}"
        "<br>mean residual %{customdata[1]:+.2g} σ<br>%{customdata[2]:.0f} pixels<extra></extra>",
        hoverongaps=False,
    )
