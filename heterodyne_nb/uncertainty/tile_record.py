"""What a fit leaves over, tile by tile: χ² and mean residual of blocks of frames against blocks of frames."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from heterodyne_nb.engine import Objective, Weighting, tile_products_at
from heterodyne_nb.engine.pixels import block_edges
from heterodyne_nb.uncertainty.uncertainty import CLUSTERS

FloatArray = NDArray[np.float64]

_NONE = np.zeros(0, np.int64)


def tile_record(objective: Objective, theta: FloatArray, clusters: int = CLUSTERS) -> xr.Dataset:
    """χ², mean residual and number of pixels of every tile, in one pass without derivatives.

    Parameters
    ----------
    objective : Objective
        Of a two-time fit.
    theta : (p,)
        Published parameters.
    clusters : int
        Blocks of frames.

    Returns
    -------
    xarray.Dataset
        ``chi2_tile``, ``residual_tile`` (c2 - model) and ``pixels_tile`` on (bin, block2, block1), NaN (0 pixels)
        above the diagonal; ``block_start`` and ``block_end`` (s) on (block1,): first and last frame of each block.
    """
    problem = objective.problem
    local = objective.equations(theta, derivatives=False)
    clusters = max(2, min(clusters, len(problem.t) // 4))
    products, _ = tile_products_at(problem, theta, _NONE, clusters, Weighting(local.contrast, local.offset))
    residual = np.stack([-local.contrast, -local.offset, np.ones(problem.n_bins)], axis=1)
    count = products[:, :, 1, 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, np.einsum("bti,bi->bt", products[:, :, 1], residual) / count, np.nan)
    chi2 = np.einsum("bi,btij,bj->bt", residual, products, residual) / problem.sigma[:, None] ** 2
    edges, cluster = block_edges(len(problem.t), clusters)
    first = np.array([edges[:-1][cluster == k].min() for k in range(clusters)])
    last = np.array([edges[1:][cluster == k].max() for k in range(clusters)]) - 1
    dims = ("bin", "block2", "block1")
    seconds = {"units": "s"}
    return xr.Dataset(
        {
            "chi2_tile": (dims, _square(np.where(count > 0, np.maximum(chi2, 0.0), np.nan), clusters)),
            "residual_tile": (
                dims,
                _square(mean, clusters),
                {"units": "1", "long_name": "mean of c2 - model"},
            ),
            "pixels_tile": (
                dims,
                np.nan_to_num(_square(count, clusters)),
                {"long_name": "pixels in the tile"},
            ),
            "block_start": ("block1", problem.t[first], seconds),
            "block_end": ("block1", problem.t[last], seconds),
        }
    )


def _square(values: FloatArray, clusters: int) -> FloatArray:
    """(B, T) to (B, c, c), NaN above the diagonal."""
    late, early = np.tril_indices(clusters)
    out = np.full((len(values), clusters, clusters), np.nan)
    out[:, late, early] = values
    return out
