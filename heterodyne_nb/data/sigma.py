"""The noise of single two-time pixels, and frames that look bad; both without a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from heterodyne_nb.data.age_lag import cells_of
from heterodyne_nb.data.dataset import bin_dims, each_map, need_c2, used_frames
from heterodyne_nb.data.door import over_runs
from heterodyne_nb.data.noise import fit_noise
from heterodyne_nb.errors import ConfigurationError

__all__ = ["detect_bad_frames", "estimate_sigma"]

_MAD_TO_STD = 1.4826
_PIXELS = 4096
_ENOUGH_BINS = 5


@over_runs
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
    σ is the root mean square, over the pixels off the diagonal, of the scatter that repeated measurements of
    the same sample would show: σ² = ⟨S s_ij + W + Σ a_m⟩, the variance of speckle, of what is white, and of
    other noise, told from fringes, ageing and bad frames by :mod:`heterodyne_nb.data.noise`. Of speckle
    that lives long, only its short steps are seen: the rest follows from the measured correlation, and in a
    run of one lifetime about a tenth of σ is missing. What is frozen is no noise but part of the contrast.
    One map of 200 frames gives S to about 30 % where fringes drift. Therefore, where the dataset knows the
    pixels of at least five bins, the median of S n_pixels over the bins (speckles have one size on a
    detector) replaces the S of each, and W is fitted anew.

    Of maps that are averages over cells of age and lag, σ² is the variance of a cell times the number of its pixels,
    by the median square of second differences along age.

    Of maps that are averages over cells of age and lag, σ² is the variance of a cell times the number of its pixels,
    by the median square of second differences along age.
    """
    need_c2(ds, "an estimate of sigma")
    return sigma_of(ds, noise_parts(ds))


def noise_parts(ds: xr.Dataset) -> dict[tuple[int, ...], NoiseParts]:
    """What the noise of each usable bin is made of, by its place; each map is read once."""
    used, cells = used_frames(ds), cells_of(ds)
    if cells is None:
        return {place: _parts_of(one_map, used) for place, one_map in each_map(ds)}
    white = {place: cells.pixel_variance(one_map, used) for place, one_map in each_map(ds)}
    return {place: NoiseParts(0.0, 0.0, variance, 0.0, 0.0) for place, variance in white.items()}


def sigma_of(ds: xr.Dataset, found: Mapping[tuple[int, ...], NoiseParts]) -> xr.DataArray:
    """The noise of all bins of a dataset, whose maps are not read, from the parts of each."""
    dims = bin_dims(ds)
    sigma = np.full([ds.sizes[d] for d in dims], np.nan)
    for place, variance in _variances(found, _pixel_numbers(ds, dims)).items():
        sigma[place] = np.sqrt(variance) if variance > 0 else np.nan
    attrs = {"units": "1", "long_name": "noise of one c2 pixel off the diagonal"}
    coords = {name: ds[name] for name in ("q", "phi") if name in ds.coords}
    return xr.DataArray(sigma, dims=dims, coords=coords, name="sigma", attrs=attrs)


@dataclass(frozen=True)
class NoiseParts:
    """What the variance of a pixel is made of: S ⟨s⟩ + W + Σ a_m, and how W gives way to S."""

    speckle: float
    level: float
    white: float
    trade: float
    other: float

    def variance(self, speckle: float | None = None) -> float:
        """Return the variance, with another S if the noise is that of speckle."""
        if speckle is None or self.other > 0:
            speckle = self.speckle
        white = max(self.white - (speckle - self.speckle) * self.trade, 0.0)
        return speckle * self.level + white + self.other


def _parts_of(c2: np.ndarray, used: np.ndarray) -> NoiseParts:
    model = fit_noise(c2, used)
    first, lag = _places(len(used))
    level = model.covariance(first, first + lag, first, first + lag)
    known = level[np.isfinite(level)]
    mean = max(float(known.mean()), 0.0) if known.size else 0.0
    return NoiseParts(model.speckle, mean, model.white, model.trade, float(model.levels.sum()))


def _variances(
    found: Mapping[tuple[int, ...], NoiseParts], pixels: np.ndarray | None
) -> dict[tuple[int, ...], float]:
    """Return the variance of each bin; with one number of speckles a pixel where there are enough bins."""
    variance = {place: parts.variance() for place, parts in found.items()}
    if pixels is None:
        return variance
    seen = [place for place in found if pixels[place] > 0 and np.isfinite(found[place].white)]
    speckles = [found[place].speckle * pixels[place] for place in seen if not found[place].other]
    if len(speckles) < _ENOUGH_BINS:
        return variance
    common = float(np.median(speckles))
    return variance | {place: found[place].variance(common / pixels[place]) for place in seen}


def _pixel_numbers(ds: xr.Dataset, dims: tuple[str, ...]) -> np.ndarray | None:
    """Return the detector pixels of each bin, None where they are unknown."""
    if "n_pixels" not in ds or "unknown" in str(ds["n_pixels"].attrs.get("comment", "")):
        return None
    return np.asarray(ds["n_pixels"].transpose(*dims).values, dtype=float)


def _places(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (first frame, lag) of pixels evenly spread above the diagonal."""
    side = min(n, int(np.sqrt(2 * _PIXELS)))
    frames = np.linspace(0, n - 1, side).round().astype(int)
    i, j = np.triu_indices(side, 1)
    return frames[i], frames[j] - frames[i]


@over_runs
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
