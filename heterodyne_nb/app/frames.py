"""Frames of a dataset as the canvases draw them: numbers, time step, runs of masked ones."""

from __future__ import annotations

import numpy as np
import xarray as xr

from heterodyne_nb.plots.select import frame_times, used_frames

Run = tuple[int, int]


def frame_axis(ds: xr.Dataset) -> tuple[Run, float]:
    """Numbers of the first and last frame (from 1), and the time step in s: frame k is at k·dt."""
    dt = float(ds.attrs["dt"])
    times = frame_times(ds)
    return (round(float(times[0]) / dt), round(float(times[-1]) / dt)), dt


def runs_of(marked: np.ndarray, first: int) -> list[Run]:
    """Runs (first, last) of marked frames, both ends included; frame `first` comes first in the array."""
    steps = np.diff(np.concatenate([[0], np.asarray(marked, dtype=int), [0]]))
    starts, stops = np.flatnonzero(steps > 0), np.flatnonzero(steps < 0)
    return [(int(a) + first, int(b) - 1 + first) for a, b in zip(starts, stops, strict=True)]


def masked_runs(ds: xr.Dataset) -> list[Run]:
    """Runs of frames that are left out."""
    return runs_of(~used_frames(ds), frame_axis(ds)[0][0])


def in_words(runs: list[Run]) -> str:
    """Runs as a person writes them: ``"3, 121–124"``."""
    return ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in runs)
