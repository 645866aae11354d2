"""Many two-time maps in one dataset, and maps stored in other coordinates than (t1, t2)."""

from __future__ import annotations

from dataclasses import dataclass, field

import h5py
import numpy as np

from heterodyne_nb.data.formats import hdf
from heterodyne_nb.data.formats.base import MapRef
from heterodyne_nb.errors import DataFormatError


def stacked_maps(node: h5py.Dataset, order: str | None = None) -> list[MapRef]:
    """The maps of a dataset of shape (bins, N, N), (N, N, bins) or (N, N).

    Parameters
    ----------
    node : h5py.Dataset
        The stack.
    order : {"first", "last"}, optional
        Where the bins are; found from the shape when not given ("first" when both are possible).
    """
    shape = node.shape
    if len(shape) == 2 and shape[0] == shape[1]:
        return [MapRef(node.name)]
    if len(shape) != 3 or (shape[1] != shape[2] and shape[0] != shape[1]):
        raise DataFormatError(
            f"the shape is {shape}", where=hdf.place(node), expected="(bins, N, N) or (N, N, bins)"
        )
    if order is None:
        order = "first" if shape[1] == shape[2] else "last"
    if order == "first":
        return [MapRef(node.name, before=(i,)) for i in range(shape[0])]
    return [MapRef(node.name, after=(i,)) for i in range(shape[2])]


@dataclass(frozen=True)
class FlippedMap(MapRef):
    """A map whose first row is the last frame (time origin in the lower left corner)."""

    def read(self, h5file: h5py.File, rows: slice, cols: slice) -> np.ndarray:
        n = self.n_frames(h5file)[0]
        block = super().read(h5file, slice(n - rows.stop, n - rows.start), cols)
        return block[::-1]


@dataclass(frozen=True)
class TrainMean(MapRef):
    """The mean over a leading axis of repeats (pulse trains) of one bin's maps, NaN left out."""

    def n_frames(self, h5file: h5py.File) -> tuple[int, int]:
        shape = h5file[self.path].shape[1:]
        return shape[len(self.before) : len(shape) - len(self.after)]

    def read(self, h5file: h5py.File, rows: slice, cols: slice) -> np.ndarray:
        block = h5file[self.path][(slice(None), *self.before, rows, cols, *self.after)]
        block = np.asarray(block, dtype=np.float64)
        known = np.isfinite(block)
        count = known.sum(axis=0)
        total = np.where(known, block, 0.0).sum(axis=0)
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0).astype(np.float32)


@dataclass(frozen=True)
class LagAgeMap(MapRef):
    """A map stored as (lag, age), lag = t2 − t1 and age = (t1 + t2)/2; each pixel takes its bin's value.

    Attributes
    ----------
    lag_of : ndarray of int
        Index along the lag axis of each lag in frames, −1 where there is none.
    age_of : ndarray of int
        Index along the age axis of each sum of two frame numbers (from 0), −1 where there is none.
    """

    lag_of: np.ndarray = field(default_factory=lambda: np.empty(0, int), compare=False)
    age_of: np.ndarray = field(default_factory=lambda: np.empty(0, int), compare=False)

    def n_frames(self, h5file: h5py.File) -> tuple[int, int]:
        return self.lag_of.size, self.lag_of.size

    def read(self, h5file: h5py.File, rows: slice, cols: slice) -> np.ndarray:
        row, col = np.ogrid[rows, cols]
        lag, age = self.lag_of[np.abs(col - row)], self.age_of[row + col]
        known = (lag >= 0) & (age >= 0)
        if not known.any():
            return np.full(lag.shape, np.nan, np.float32)
        lo_lag, hi_lag = int(lag[known].min()), int(lag[known].max()) + 1
        lo_age, hi_age = int(age[known].min()), int(age[known].max()) + 1
        stored = super().read(h5file, slice(lo_lag, hi_lag), slice(lo_age, hi_age))
        picked = stored[np.where(known, lag - lo_lag, 0), np.where(known, age - lo_age, 0)]
        return np.where(known, picked, np.float32(np.nan)).astype(np.float32)


def nearest_bin(centres: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index of the bin that holds each wanted value; bins meet half-way, −1 beyond the outer ones."""
    centres = np.asarray(centres, dtype=float)
    if centres.size == 1:
        edges = np.array([centres[0] - 0.5, centres[0] + 0.5])
    else:
        middle = 0.5 * (centres[1:] + centres[:-1])
        edges = np.r_[2 * centres[0] - middle[0], middle, 2 * centres[-1] - middle[-1]]
    slack = 1e-9 * max(abs(edges[0]), abs(edges[-1]))
    at = np.clip(np.searchsorted(edges, wanted + slack, side="right") - 1, -1, centres.size)
    return np.where((at >= 0) & (at < centres.size), at, -1)
