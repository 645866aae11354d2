"""The noise of single two-time pixels, and frames that look bad; both without a model."""

from __future__ import annotations

import numpy as np
import xarray as xr

from heterodyne_nb.data.lag_noise import diagonal
from heterodyne_nb.data.maps import bin_dims, each_map, need_c2, used_frames
from heterodyne_nb.errors import ConfigurationError

__all__ = ["detect_bad_frames", "estimate_sigma"]

_MAD_TO_STD = 1.4826
_LAGS_SAMPLED = 256
_FLAT = 1.04


def estimate_sigma(ds: xr.Dataset) -> xr.DataArray:
    """Estimate the standard deviation of one c2 pixel off the diagonal, for each bin.

    Parameters
    ----------
    ds : xarray.Dataset
        With two-time maps; frames with ``mask`` False are left out.

    Returns
    -------
    xarray.DataArray
        ``sigma(…)``, NaN for dead bins; ``ds.assign(sigma=estimate_sigma(ds))`` stores it.

    Raises
    ------
    ConfigurationError
        The dataset has no c2.

    Notes
    -----
    c2 changes fast with lag and slowly with age, so differences are taken along the diagonals, where a
    stationary signal, fringes included, cancels: d_s = c2[i, i+k] − 2 c2[i+s, i+s+k] + c2[i+2s, i+2s+k] at
    all lags k, σ_s = MAD(d_s)·1.4826/√6, robust against bad frames. Neighbouring pixels of speckle data have
    nearly the same noise, which cancels too: var d_s = σ² (6 − 8 ρ(s) + 2 ρ(2s)). Therefore s is doubled from
    1 until σ_s grows by less than 4 % (ρ has decayed), at most to N/8; a longer step would see ageing.
    """
    need_c2(ds, "an estimate of sigma")
    dims = bin_dims(ds)
    sigma = np.full([ds.sizes[d] for d in dims], np.nan)
    for place, one_map in each_map(ds):
        sigma[place] = _sigma_of_map(one_map, used_frames(ds))
    attrs = {"units": "1", "long_name": "noise of one c2 pixel off the diagonal"}
    coords = {name: ds[name] for name in ("q", "phi") if name in ds.coords}
    return xr.DataArray(sigma, dims=dims, coords=coords, name="sigma", attrs=attrs)


def _sigma_of_map(c2: np.ndarray, used: np.ndarray) -> float:
    n = len(used)
    step, sigma = 1, _sigma_at_step(c2, used, 1)
    while 2 * step <= max(n // 8, 1):
        wider = _sigma_at_step(c2, used, 2 * step)
        if not wider > _FLAT * sigma:
            return sigma if np.isnan(wider) else max(sigma, wider)
        step, sigma = 2 * step, wider
    return sigma


def _sigma_at_step(c2: np.ndarray, used: np.ndarray, step: int) -> float:
    n = len(used)
    lags = np.unique(np.linspace(1, max(n - 1 - 2 * step, 1), _LAGS_SAMPLED).astype(int))
    parts = [_second_difference(diagonal(c2, used, lag), step) for lag in lags if lag + 2 * step < n]
    differences = np.concatenate([np.empty(0), *parts])
    if differences.size < 3:
        return np.nan
    return float(_MAD_TO_STD / np.sqrt(6) * np.median(np.abs(differences - np.median(differences))))


def _second_difference(values: np.ndarray, step: int) -> np.ndarray:
    d = values[: -2 * step] - 2 * values[step:-step] + values[2 * step :]
    return d[np.isfinite(d)]


def detect_bad_frames(ds: xr.Dataset, *, threshold: float = 6.0) -> xr.DataArray:
    """Offer a mask that leaves out frames unlike their neighbours; nothing is applied.

    Parameters
    ----------
    ds : xarray.Dataset
        With two-time maps.
    threshold : float
        How many robust standard deviations make a frame bad.

    Returns
    -------
    xarray.DataArray
        ``mask(t)`` bool, True where the frame is (still) used, with coordinate ``score(t)`` in robust
        standard deviations; ``mask_frames(ds, offered)`` applies it.

    Raises
    ------
    ConfigurationError
        The dataset has no c2, or the threshold is not positive.

    Notes
    -----
    Of each map, two numbers a frame: the median of its row, and the median size of the differences between
    neighbouring pixels of its row (a noisy row). From both a running median over a quarter of the run is
    taken away, the rest divided by its own MAD, summed over the bins, and divided by the MAD of that.
    A bad stretch longer than an eighth of the run is not found, nor a lasting change.
    """
    need_c2(ds, "looking for bad frames")
    if not (isinstance(threshold, (int, float)) and threshold > 0):
        raise ConfigurationError(f"{threshold!r}", where="threshold", expected="a positive number")
    used = used_frames(ds)
    total, dead = np.zeros((2, len(used))), np.ones(len(used), dtype=bool)
    for _, one_map in each_map(ds):
        level, rough, nothing = _row_figures(one_map, used)
        total += [_robust_score(level, used), _robust_score(rough, used)]
        dead &= nothing
    score = np.max([np.abs(_rescaled(part, used)) for part in total], axis=0)
    score[dead & used] = np.inf
    good = used & (score <= threshold)
    coords = {"t": ds["t"], "frame": ds["frame"], "score": ("t", score, {"units": "1"})}
    attrs = {"units": "1", "long_name": "frame is used", "threshold": threshold}
    return xr.DataArray(good, dims="t", coords=coords, name="mask", attrs=attrs)


def _row_figures(c2: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each row's median, roughness, and whether it holds nothing; the diagonal does not count."""
    level, rough = np.zeros((2, len(used)))
    nothing = np.zeros(len(used), dtype=bool)
    for i in np.flatnonzero(used):
        row = np.where(used, c2[i], np.nan).astype(float)
        row[i] = np.nan
        kept = row[np.isfinite(row)]
        nothing[i] = kept.size < 2
        if not nothing[i]:
            level[i], rough[i] = np.median(kept), np.median(np.abs(np.diff(kept)))
    return level, rough, nothing


def _robust_score(values: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Return the deviation from a running median in units of its MAD, at most ±50; 0 at unused frames."""
    from scipy.ndimage import median_filter

    out = np.zeros(len(used))
    kept = values[used]
    size = max(len(kept) // 4, 3) | 1
    out[used] = np.clip(_in_mads(kept - median_filter(kept, size=size, mode="nearest")), -50, 50)
    return out


def _rescaled(total: np.ndarray, used: np.ndarray) -> np.ndarray:
    out = np.zeros(len(used))
    out[used] = _in_mads(total[used])
    return out


def _in_mads(values: np.ndarray) -> np.ndarray:
    scale = _MAD_TO_STD * np.median(np.abs(values - np.median(values)))
    return (
        (values - np.median(values)) / scale
        if scale > 0
        else np.where(values == np.median(values), 0.0, np.inf)
    )
