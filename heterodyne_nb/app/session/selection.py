"""Frames, bins and source of a session: ranges in order, the dataset they leave, the same bin in another run."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.data import prepare, stack_bins
from heterodyne_nb.data.dataset import live_bins
from heterodyne_nb.errors import ConfigurationError, HeterodyneError, heard_by
from heterodyne_nb.remote import absolute, is_url, place, told

Range = tuple[int, int]
#: How far a bin of another run may be, and still be the same one: q relative, phi in degrees.
_SAME_Q, _SAME_PHI = 0.05, 2.0


def in_order(ranges: Iterable[Sequence[int]]) -> tuple[Range, ...]:
    """Inclusive ranges of frames, sorted, those that touch made one.

    Raises
    ------
    ConfigurationError
        Not pairs of frame numbers.
    """
    merged: list[Range] = []
    for first, last in sorted(_pair(one) for one in ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _pair(one: Any) -> Range:
    try:
        first, last = (int(frame) for frame in one)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"{one!r} is no range of frames", where="frames", expected="(first, last), both included"
        ) from None
    return (first, last) if first <= last else (last, first)


def without(ranges: Iterable[Range], first: int, last: int) -> tuple[Range, ...]:
    """The ranges less the frames from `first` to `last`."""
    kept: list[Range] = []
    for lo, hi in ranges:
        kept += [(a, b) for a, b in ((lo, min(hi, first - 1)), (max(lo, last + 1), hi)) if a <= b]
    return in_order(kept)


def prepared(
    original: xr.Dataset,
    masked: Sequence[Range],
    crop: Range | None,
    excluded: Sequence[tuple[float, float, float]] = (),
) -> xr.Dataset:
    """The dataset with frames masked and cropped and points of g2 left out; every bin is kept.

    Raises
    ------
    ConfigurationError
        A frame is not in the data, or too few are left.
    """
    done = prepare.mask_frames(original, list(masked)) if masked else original
    done = prepare.crop_frames(done, *crop) if crop else done
    return prepare.exclude_points(done, excluded) if excluded else done


def chosen_bins(dataset: xr.Dataset, bins: Sequence[int] | None) -> xr.Dataset:
    """The dataset with some bins alone, by their place in the stacked form; None for all."""
    if bins is None:
        return dataset
    stacked = stack_bins(dataset, drop_dead=False)
    return stacked.isel(bin=list(bins))


def places(dataset: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """q (1/Å) and phi (degrees) of every bin in the stacked form, dead ones included."""
    q, phi = np.atleast_1d(dataset["q"].values), np.atleast_1d(dataset["phi"].values)
    if "bin" in dataset.dims:
        return q, phi
    return np.repeat(q, phi.size), np.tile(phi, q.size)


def same_bin(place: tuple[float, float] | None, dataset: xr.Dataset) -> int:
    """The bin of `dataset` at the given q and phi, or that with the clearest signal where it has none there."""
    q, phi = places(dataset)
    if place is not None:
        turn = np.abs((phi - place[1] + 180) % 360 - 180)
        far = np.abs(q - place[0]) / max(abs(place[0]), 1e-300)
        inside = (far <= _SAME_Q) & (turn <= _SAME_PHI)
        if inside.any():
            return int(np.argmin(np.where(inside, far / _SAME_Q + turn / _SAME_PHI, np.inf)))
    return clearest_bin(dataset)


#: Pixels of one map that are compared, along each side.
_SAMPLE = 64
#: Least and most bins among which the clearest is looked for, and pixels that this may read.
_LOOKED, _READ = (4, 48), 2e7


def clearest_bin(dataset: xr.Dataset) -> int:
    """The live bin whose contrast at short lags stands out most from its noise, from the middle of each run."""
    stacked = stack_bins(dataset, drop_dead=False)
    alive = np.flatnonzero(live_bins(stacked))
    if not alive.size:
        return 0
    most = int(np.clip(_READ / stacked.sizes.get("t", 1) ** 2, *_LOOKED))
    some = alive[np.unique(np.linspace(0, alive.size - 1, min(alive.size, most)).round().astype(int))]
    return int(some[np.argmax([_signal(stacked.isel(bin=k)) for k in some])])


def _signal(one: xr.Dataset) -> float:
    """Contrast over noise."""
    contrast, noise = contrast_and_noise(one)
    found = (contrast - 1) / max(noise, 1e-6)
    return found if np.isfinite(found) else -np.inf


def contrast_and_noise(one: xr.Dataset) -> tuple[float, float]:
    """1 + contrast of one bin, and its noise: of the lags next to a map's diagonal, or of a curve's shortest delays."""
    if "c2" not in one:
        known = np.flatnonzero(np.isfinite(one["g2"].values))[:3]
        pair = np.ravel(one["g2"].values)[known], np.ravel(one["g2_err"].values)[known]
        contrast, noise = (float(np.mean(x)) if known.size else np.nan for x in pair)
        return contrast, noise
    middle = one.sizes["t"] // 2
    block = slice(max(middle - _SAMPLE // 2, 0), middle + _SAMPLE // 2)
    part = one["c2"][block, block].values
    lags = [np.diagonal(part, k) for k in (1, 2, 3)]
    near = np.concatenate(lags)
    if not np.isfinite(near).any():
        return np.nan, np.nan
    return float(np.nanmedian(near)), float(np.nanmedian(np.abs(np.diff(lags[0]))))


_numbers = itertools.count(1)


def source_of(dataset: xr.Dataset) -> str:
    """The file of a dataset, or a name of its own, in angle brackets, for data made in memory."""
    return file_of(dataset) or f"<memory {next(_numbers)}>"


def file_of(dataset: xr.Dataset) -> str:
    """Absolute path of the file that a dataset was opened from; empty where it says something else.

    A dataset that was masked, cropped, selected or computed after it was opened is data in memory.
    """
    from heterodyne_nb.data import open_dataset

    source = dataset.encoding.get("source")
    if not source:
        return ""
    try:
        if not place(source).exists():
            return ""
        with heard_by(lambda text, category: None), open_dataset(source) as fresh:
            return told(absolute(source)) if _same(dataset, fresh, maps=not is_url(source)) else ""
    except HeterodyneError:
        return ""


def _same(one: xr.Dataset, other: xr.Dataset, maps: bool) -> bool:
    if dict(one.sizes) != dict(other.sizes) or set(one.variables) != set(other.variables):
        return False
    small = [name for name in ("q", "phi", "t", "frame", "mask", "tau") if name in one.variables]
    if not all(np.array_equal(one[name].values, other[name].values) for name in small):
        return False
    if not maps:
        return True
    large = "c2" if "c2" in one else "g2"
    lead = {d: slice(0, 2) for d in one[large].dims if d in ("q", "phi", "bin")}
    step = {d: slice(None, None, max(1, one.sizes[d] // _SAMPLE)) for d in one[large].dims if d not in lead}
    mine, theirs = (ds[large].isel({**lead, **step}).values for ds in (one, other))
    return np.array_equal(mine, theirs, equal_nan=True)
