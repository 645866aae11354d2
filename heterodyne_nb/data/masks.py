"""Crop frames, mask frames, and take the mask back; one-time g2 follows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from heterodyne_nb.data.derived import with_lazy_g2
from heterodyne_nb.errors import ConfigurationError

__all__ = ["crop_frames", "mask_frames", "unmask"]

_EXPECTED = "frame numbers, (first, last) ranges, or one bool a frame (True: used)"


def crop_frames(ds: xr.Dataset, start: int | None = None, end: int | None = None) -> xr.Dataset:
    """Keep the frames from ``start`` to ``end``, both included.

    Parameters
    ----------
    ds : xarray.Dataset
        With a two-time map.
    start, end : int, optional
        Absolute 1-based frame numbers, as in ``ds.frame``. None, and -1 for ``end``: the limit of ``ds``.

    Returns
    -------
    xarray.Dataset
        Times stay absolute (t = frame × dt). g2 is computed anew from the kept frames, on demand.

    Raises
    ------
    ConfigurationError
        A frame outside the data, fewer than two frames left, or only a measured g2, which cannot be cropped.
    """
    if start is None and end in (None, -1):
        return ds
    _need_c2(ds, "cropped")
    frame = ds["frame"].values
    lo = int(frame[0]) if start is None else _frame_number(start, frame, "start")
    hi = int(frame[-1]) if end is None or end == -1 else _frame_number(end, frame, "end")
    if lo >= hi:
        raise ConfigurationError(
            f"start {lo} and end {hi} leave fewer than two frames", where="frames", expected="start < end"
        )
    if lo == frame[0] and hi == frame[-1]:
        return ds
    kept = slice(int(np.searchsorted(frame, lo)), int(np.searchsorted(frame, hi, side="right")))
    _enough_used(ds["mask"].values[kept])
    cropped = ds.drop_dims("tau_measured", errors="ignore").isel(dict.fromkeys(("t", "t1", "t2"), kept))
    return with_lazy_g2(cropped)


def _frame_number(value: Any, frame: np.ndarray, where: str) -> int:
    expected = f"a frame number from {frame[0]} to {frame[-1]} (the first frame of a run is 1)"
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ConfigurationError(f"{value!r} is not a frame number", where=where, expected=expected)
    if not frame[0] <= value <= frame[-1]:
        raise ConfigurationError(f"frame {value} is not in the data", where=where, expected=expected)
    return int(value)


def mask_frames(ds: xr.Dataset, frames: Any) -> xr.Dataset:
    """Leave frames out of everything computed from now on; masks add up.

    Parameters
    ----------
    ds : xarray.Dataset
        With a two-time map.
    frames : int, (first, last), list of these, or bool array of shape (N,)
        1-based absolute frame numbers to leave out; a tuple of two is an inclusive range. A bool array says
        which frames are USED, as ``ds.mask`` and :func:`detect_bad_frames` do.

    Returns
    -------
    xarray.Dataset
        ``mask(t)`` is False for these frames. g2 is computed anew from c2, on demand; a measured g2 is kept
        as ``g2_measured(…, tau_measured)`` and comes back with :func:`unmask`.

    Raises
    ------
    ConfigurationError
        Not frames, outside the data, fewer than two left, or only a measured g2, which cannot be masked.
    """
    _need_c2(ds, "masked")
    used = ds["mask"].values.astype(bool) & ~named_frames(ds["frame"].values, frames)
    return _with_mask(ds, used)


def unmask(ds: xr.Dataset, frames: Any = None) -> xr.Dataset:
    """Use frames again: those named (a bool array: where it is False), or all.

    Parameters
    ----------
    ds : xarray.Dataset
        As returned by :func:`mask_frames`.
    frames : optional
        As for :func:`mask_frames`; None for all frames.

    Returns
    -------
    xarray.Dataset
        With a measured g2 back in place once all frames are used.
    """
    _need_c2(ds, "unmasked")
    used = np.ones(ds.sizes["t"], dtype=bool)
    if frames is not None:
        used = ds["mask"].values.astype(bool) | named_frames(ds["frame"].values, frames)
    return _with_mask(ds, used)


def named_frames(frame: np.ndarray, frames: Any) -> np.ndarray:
    """Return a bool array, True at the frames that are named."""
    if isinstance(frames, xr.DataArray):
        frames = frames.values
    items = _items(frames)
    if items and all(isinstance(item, (bool, np.bool_)) for item in items):
        return ~_bool_per_frame(np.array(items, dtype=bool), frame)
    named = np.zeros(len(frame), dtype=bool)
    for item in items:
        lo, hi = _range_of(item, frame)
        named |= (frame >= lo) & (frame <= hi)
    return named


def _items(frames: Any) -> list[Any]:
    """Return what is listed; a number or a (first, last) tuple is a list of one."""
    is_range = isinstance(frames, tuple) and len(frames) == 2 and not any(map(_is_sequence, frames))
    return list(frames) if _is_sequence(frames) and not is_range else [frames]


def _is_sequence(value: Any) -> bool:
    return (
        isinstance(value, Iterable) and not isinstance(value, (str, bytes)) and getattr(value, "ndim", 1) > 0
    )


def _bool_per_frame(used: np.ndarray, frame: np.ndarray) -> np.ndarray:
    if used.shape != frame.shape:
        raise ConfigurationError(
            f"{used.size} true/false values", where="frames", expected=f"{len(frame)}, one a frame"
        )
    return used


def _range_of(item: Any, frame: np.ndarray) -> tuple[int, int]:
    if isinstance(item, (tuple, list, np.ndarray)) and len(item) == 2:
        lo, hi = (_frame_number(limit, frame, "frames") for limit in item)
        if lo > hi:
            raise ConfigurationError(f"the range {item!r} runs backwards", where="frames", expected=_EXPECTED)
        return lo, hi
    if isinstance(item, (bool, np.bool_)) or not isinstance(item, (int, np.integer)):
        raise ConfigurationError(f"{item!r} is not a frame number", where="frames", expected=_EXPECTED)
    number = _frame_number(item, frame, "frames")
    return number, number


def _with_mask(ds: xr.Dataset, used: np.ndarray) -> xr.Dataset:
    _enough_used(used)
    ds = ds.assign(mask=("t", used, ds["mask"].attrs))
    if used.all() and "g2_measured" in ds:
        return _measured_back(ds)
    return with_lazy_g2(_measured_aside(ds))


def _enough_used(used: np.ndarray) -> None:
    if np.count_nonzero(used) < 2:
        raise ConfigurationError(
            f"only {np.count_nonzero(used)} of {used.size} frames would be used",
            where="frames",
            expected="at least two",
        )


def _need_c2(ds: xr.Dataset, done: str) -> None:
    if "c2" not in ds:
        raise ConfigurationError(
            f"there is only a measured g2, an average over all frames: it cannot be {done} afterwards",
            where="frames",
            expected="a dataset with a two-time map c2",
            hint="open the run's two-time result, or correlate it again without these frames",
        )


def _measured_aside(ds: xr.Dataset) -> xr.Dataset:
    if "g2" not in ds or ds["g2"].attrs.get("origin") == "computed from c2" or "g2_measured" in ds:
        return ds
    names = {"g2": "g2_measured", "g2_err": "g2_err_measured", "tau": "tau_measured"}
    return ds.rename({old: new for old, new in names.items() if old in ds.variables})


def _measured_back(ds: xr.Dataset) -> xr.Dataset:
    ds = ds.drop_vars(["g2", "g2_err", "tau"], errors="ignore")
    names = {"g2_measured": "g2", "g2_err_measured": "g2_err", "tau_measured": "tau"}
    return ds.rename({old: new for old, new in names.items() if old in ds.variables})
