"""Data and model of one bin, reduced alike, and the noise to measure their difference with."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from heterodyne_nb.data.prepare import estimate_sigma
from heterodyne_nb.errors import ConfigurationError
from heterodyne_nb.plots.binmodel import BinModel
from heterodyne_nb.plots.maps import MapView, read_map
from heterodyne_nb.plots.select import Bin, frame_times, used_frames

#: Frames along the side of the middle of a map that its noise is estimated from.
_MIDDLE = 1000


class Noise(NamedTuple):
    """Standard deviation of one c2 pixel, and how it is known."""

    sigma: float
    origin: str


def paired_maps(
    ds: xr.Dataset,
    result: Any,
    chosen: Bin,
    max_size: int,
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> tuple[MapView, MapView]:
    """Data and model of one bin, or of a window of its frames, reduced alike, without the diagonal.

    The model is blank wherever the data are.
    """
    data = read_map(ds, chosen, max_size, rows, columns, diagonal=False)
    times, used = frame_times(ds), used_frames(ds)
    frames = np.arange(times.size)
    model = BinModel.of(result, chosen).reduced(times, used, frames[rows], frames[columns], data.factor)
    return data, data.with_values(np.where(np.isfinite(data.values), model, np.nan))


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
    middle = slice(max(0, (size - _MIDDLE) // 2), (size + _MIDDLE) // 2)
    part = ds[["c2", "mask"]] if "mask" in ds.variables else ds[["c2"]]
    part = part.isel({dim: [k] for dim, k in chosen.place.items()})
    part = part.isel({dim: middle for dim in ("t", "t1", "t2") if dim in part.dims})
    sigma = float(estimate_sigma(part).values.ravel()[0])
    if not np.isfinite(sigma):
        raise ConfigurationError(f"the bin {chosen.label} has no data", where="bin")
    return Noise(sigma if sigma > 0 else 1.0, "estimated from the data" if sigma > 0 else "unknown")
