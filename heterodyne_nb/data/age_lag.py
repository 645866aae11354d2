"""Maps that are averages over cells of age and lag, as correlators with linear-then-logarithmic lags write them.

A file of other programs is opened with every pixel of c2(t1, t2) showing the value of its cell, so that all that looks
at maps works. What :func:`heterodyne_nb.correlate` makes of frames holds the cells alone and needs no such map:
``c2_cells``, ``c2_cells_err`` and ``cell_pixels`` on (…, lag_cell, age_cell). Both hold the edges of the cells:
``lag_edges`` (t2 − t1) and ``age_edges`` ((t1 + t2)/2), s. A fit averages the model over each cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import xarray as xr

from heterodyne_nb.arrays import FloatArray, IntArray
from heterodyne_nb.errors import DataFormatError, DataWarning, warn

__all__ = ["CELLS", "EDGES", "AgeLagCells", "cells_of", "edges_between", "with_cells"]

EDGES = ("lag_edges", "age_edges")
_NAMES = {"lag_edges": "edges of the cells in lag, t2 - t1", "age_edges": "edges in age, (t1 + t2)/2"}
#: Variables of a dataset that holds cells without a map.
CELLS = {
    "c2_cells": "two-time intensity correlation averaged over each cell of age and lag",
    "c2_cells_err": "standard error of c2_cells",
    "cell_pixels": "pairs of used frames t1 < t2 of each cell",
}
#: Median of the square of a standard normal number.
_MEDIAN_OF_SQUARE = 0.454936


def edges_between(centres: np.ndarray) -> np.ndarray:
    """Edges of cells between their centres, (n + 1,): half-way, and in ratio where the last centres grow by one ratio."""
    centres = np.asarray(centres, dtype=float)
    if centres.size == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = 0.5 * (centres[1:] + centres[:-1])
    edges = np.r_[2 * centres[0] - middle[0], middle, 2 * centres[-1] - middle[-1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = centres[1:] / centres[:-1]
    same = np.abs(ratio[::-1] / ratio[-1] - 1) < 1e-4
    run = int(np.argmin(same)) if not same.all() else same.size
    if run >= 2 and ratio[-1] > 1:
        edges[-run - 2 :] = centres[-run - 1] * ratio[-1] ** (np.arange(run + 2) - 0.5)
    return edges


def cell_at(edges: np.ndarray, wanted: np.ndarray) -> IntArray:
    """Number of the cell [edge, next edge) that holds each wanted value, the last edge included; −1 beyond them."""
    slack = 1e-9 * max(abs(edges[0]), abs(edges[-1]))
    at = np.searchsorted(edges, wanted + slack, side="right") - 1
    at = np.where(np.abs(wanted - edges[-1]) <= slack, len(edges) - 2, at)
    return np.where(at < len(edges) - 1, at, -1)


@dataclass(frozen=True)
class AgeLagCells:
    """Which cell each pixel of a map belongs to.

    Attributes
    ----------
    lag_of : (N,) int
        Cell in lag of the pixels k frames apart, −1 for none.
    age_of : (2N − 1,) int
        Cell in age of the pixels whose frames (from 0) have the sum s, −1 for none.
    pixels : (n_lag, n_age) int
        Pixels t1 < t2 that the correlator averaged in each cell, those of frames that were cropped since included.
    """

    lag_of: IntArray
    age_of: IntArray
    pixels: IntArray

    @cached_property
    def first_lag(self) -> IntArray:
        """Lag in frames, from 1, at which each row of cells begins, and one past the last, (n_lag + 1,)."""
        return np.maximum(_first(self.lag_of, self.pixels.shape[0]), 1)

    @cached_property
    def first_sum(self) -> IntArray:
        """Sum of two frames at which each cell of age begins, and one past the last, (n_age + 1,)."""
        return _first(self.age_of, self.pixels.shape[1])

    def counts(self, used: np.ndarray) -> IntArray:
        """Pairs t1 < t2 of used frames in each cell; linear in the frames."""
        used = np.asarray(used, np.int64)
        before = np.concatenate([[0], np.cumsum(used)])
        out = np.zeros(self.pixels.shape, np.int64)
        for row, (near, far) in enumerate(pairwise(self.first_lag)):
            late = near + np.flatnonzero(used[near:])
            first = np.maximum(np.maximum(late - far + 1, 0), self.first_sum[0] - late)
            last = np.minimum(late - near, self.first_sum[-1] - 1 - late)
            while (inside := first <= last).any():
                late, first, last = late[inside], first[inside], last[inside]
                age = self.age_of[first + late]
                end = np.minimum(last, self.first_sum[age + 1] - 1 - late)
                np.add.at(out[row], age, before[end + 1] - before[first])
                first = end + 1
        return out

    def means(self, c2: np.ndarray, used: np.ndarray) -> tuple[FloatArray, IntArray]:
        """Value of each cell of a map and the number of its pixels t1 < t2, 0 where not all of them are used.

        The value is that of the used ones, NaN where there are none.
        """
        total, count = np.zeros((2, *self.pixels.shape))
        for lag in np.flatnonzero(self.lag_of >= 0):
            if lag == 0:
                continue
            values = np.diagonal(c2, lag).astype(float)
            age = self.age_of[lag : len(self.age_of) - lag : 2]
            good = used[lag:] & used[:-lag] & np.isfinite(values) & (age >= 0)
            row = self.lag_of[lag]
            count[row] += np.bincount(age[good], minlength=count.shape[1])
            total[row] += np.bincount(age[good], values[good], minlength=count.shape[1])
        value = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
        return value, np.where(count == self.pixels, self.pixels, 0)

    def pixel_variance(self, c2: np.ndarray, used: np.ndarray) -> float:
        """Variance of a cell times its pixels, from second differences along age; NaN where there are none.

        A signal straight in age, fringes of steady velocity included, cancels; the median resists bad frames.
        """
        value, count = self.means(c2, used)
        with np.errstate(divide="ignore", invalid="ignore"):
            value, parts = np.where(count > 0, value, np.nan), 1.0 / count
            square = (value[:, :-2] - 2 * value[:, 1:-1] + value[:, 2:]) ** 2
            square /= parts[:, :-2] + 4 * parts[:, 1:-1] + parts[:, 2:]
        known = square[np.isfinite(square)]
        return float(np.median(known)) / _MEDIAN_OF_SQUARE if known.size else np.nan


def _first(cell_of: IntArray, cells: int) -> IntArray:
    known = np.flatnonzero(cell_of >= 0)
    if not known.size:
        return np.zeros(cells + 1, np.int64)
    return known[0] + np.searchsorted(cell_of[known], np.arange(cells + 1))


def with_cells(ds: xr.Dataset, lag_edges: np.ndarray, age_edges: np.ndarray) -> xr.Dataset:
    """The dataset with the edges of its cells, s; ages count from the dataset's own times."""
    for name, edges in zip(EDGES, (lag_edges, age_edges), strict=True):
        attrs = {"long_name": _NAMES[name], "units": "s", "n_frames": ds.sizes["t"], "dt": ds.attrs["dt"]}
        ds = ds.assign({name: (name.removesuffix("s"), np.asarray(edges, float), attrs)})
    return ds


def cells_of(ds: xr.Dataset) -> AgeLagCells | None:
    """The cells of a dataset's maps; None where its pixels are pixels.

    Raises
    ------
    DataFormatError
        Only one kind of edge is there, or edges do not rise.

    Warns
    -----
    DataWarning
        Its frames are no longer those that the cells were made of; its pixels are then taken as they are.
    """
    there = [name for name in EDGES if name in ds]
    if not there:
        return None
    for name in EDGES:
        edges = ds[name].values if name in ds else np.empty(0)
        if edges.ndim != 1 or edges.size < 2 or np.any(np.diff(edges) <= 0):
            raise DataFormatError(
                f"cells of age and lag need {' and '.join(EDGES)}", where=name, expected="edges in s, rising"
            )
    said, t = ds["lag_edges"].attrs, ds["t"].values
    dt = float(said.get("dt", ds.attrs["dt"]))
    frame = np.rint(t / dt).astype(int) - 1
    if np.any(np.diff(frame) != 1) or np.any(np.abs(t / dt - frame - 1) > 1e-3):
        warn(
            "the maps are averages over cells of age and lag, and their frames were thinned or summed since: each pixel "
            "is taken as one, though neighbours repeat",
            DataWarning,
        )
        return None
    n, first, every = len(t), int(frame[0]), max(int(said.get("n_frames", 0)), int(frame[-1]) + 1)
    lag_of = cell_at(ds["lag_edges"].values, np.arange(every) * dt)
    age_of = cell_at(ds["age_edges"].values, (1 + 0.5 * np.arange(2 * every - 1)) * dt)
    none = np.zeros((ds.sizes["lag_edge"] - 1, ds.sizes["age_edge"] - 1), np.int64)
    pixels = AgeLagCells(lag_of, age_of, none).counts(np.ones(every, bool))
    return AgeLagCells(lag_of[:n], age_of[2 * first : 2 * (first + n) - 1], pixels)
