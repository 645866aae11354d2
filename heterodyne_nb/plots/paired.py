"""Data and model of one bin, reduced alike, and the noise to measure their difference with."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from heterodyne_nb.data.prepare import estimate_sigma
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots.mapview import MapView, blank
from heterodyne_nb.plots.reduce import block_centres, reduce_strips, reduction_factor
from heterodyne_nb.plots.select import Bin, frame_times, used_frames

#: Frames along the side of one piece of model map, so that a model of 10⁴ frames is never whole.
_TILE = 1000


class Noise(NamedTuple):
    """Standard deviation of one c2 pixel, and how it is known."""

    sigma: float
    origin: str


def paired_maps(ds: xr.Dataset, result: Any, chosen: Bin, max_size: int) -> tuple[MapView, MapView]:
    """Data and model of one bin, reduced alike: the model is blank wherever the data are."""
    times, used = frame_times(ds), used_frames(ds)
    frames = np.arange(times.size)
    array = ds["c2"].isel(chosen.place).transpose("t1", "t2")
    factor = reduction_factor(array.shape, max_size)

    def read(first: int, last: int) -> np.ndarray:
        data = np.array(array.isel(t1=slice(first, last)).values, dtype=float)
        blank(data, frames[first:last], frames, used, diagonal=True)
        model = model_strip(result, chosen, times, first, last)
        return np.stack([data, np.where(np.isfinite(data), model, np.nan)])

    both = reduce_strips(read, times.size, times.size, factor)
    centres = block_centres(times, factor)
    return MapView(centres, centres, both[0], factor), MapView(centres, centres, both[1], factor)


def model_strip(result: Any, chosen: Bin, times: np.ndarray, first: int, last: int) -> np.ndarray:
    """Rows first..last-1 of the model's map, shape (last - first, N), computed tile by tile."""
    rows = []
    for low in range(first, last, _TILE):
        high = min(low + _TILE, last)
        pieces = [
            _model_tile(result, chosen, times, (low, high), (left, min(left + _TILE, times.size)))
            for left in range(0, times.size, _TILE)
        ]
        rows.append(np.concatenate(pieces, axis=1))
    return np.concatenate(rows, axis=0)


def _model_tile(
    result: Any, chosen: Bin, times: np.ndarray, rows: tuple[int, int], columns: tuple[int, int]
) -> np.ndarray:
    across, down = np.arange(*columns), np.arange(*rows)
    wanted = np.union1d(across, down)
    square = np.asarray(result.model_map(q=chosen.q, phi=chosen.phi, t=times[wanted]))
    return square[np.ix_(np.searchsorted(wanted, down), np.searchsorted(wanted, across))]


def pixel_noise(ds: xr.Dataset, chosen: Bin) -> Noise:
    """Noise of one pixel of a bin: the dataset's ``sigma``, or an estimate from the middle of the map.

    Raises
    ------
    ConfigurationError
        If the bin has no usable pixel.
    """
    if "sigma" in ds.variables:
        known = ds["sigma"].isel({dim: k for dim, k in chosen.place.items() if dim in ds["sigma"].dims})
        if known.ndim == 0 and 0 < float(known) < np.inf:
            return Noise(float(known), "from the dataset")
    size = ds.sizes["t1"]
    middle = slice(max(0, (size - _TILE) // 2), (size + _TILE) // 2)
    part = ds[["c2", "mask"]] if "mask" in ds.variables else ds[["c2"]]
    part = part.isel({dim: [k] for dim, k in chosen.place.items()})
    part = part.isel({dim: middle for dim in ("t", "t1", "t2") if dim in part.dims})
    sigma = float(estimate_sigma(part).values.ravel()[0])
    if not np.isfinite(sigma):
        raise ConfigurationError(f"the bin {chosen.label} has no data", where="bin")
    return Noise(sigma if sigma > 0 else 1.0, "estimated from the data" if sigma > 0 else "unknown")
